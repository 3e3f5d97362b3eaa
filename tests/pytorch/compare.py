"""Compares the outcomes of PyTorch's tests with fastnn's classes with the outcomes with torch's own."""

import json
import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = {"fastnn.torch": ROOT / "docs/torch.md", "fastnn.optim": ROOT / "docs/optimizers.md"}
Outcomes = dict[str, dict[str, Any]]


class Difference(NamedTuple):
    """A documented difference of a package, and the failures it explains: those whose test and error are both found."""

    classes: str
    name: str
    test: str
    error: str

    def explains(self, test: str, error: str) -> bool:
        """Return whether the failure of a test comes from this difference."""
        return bool(re.search(self.test, test) and re.search(self.error, error))


class Comparison(NamedTuple):
    """The tests of a suite that concern the swapped classes."""

    tests: int
    torch: int  # that pass with torch's classes
    fastnn: int  # of these, that pass with fastnn's
    kernels: int  # of these, that run a kernel of fastnn
    named: Counter[str]  # how many failures each difference explains
    failures: dict[str, str]  # the errors of the others


def differences() -> list[Difference]:
    """Return the rows of differences.toml, each named after a row of the documentation.

    Raises:
        ValueError: the table in the documentation has no such row, or more than one.
    """
    rows = [
        Difference(row.get("classes", "fastnn.torch"), row["name"], row.get("test", ""), row.get("error", ""))
        for row in tomllib.loads(Path(__file__).with_name("differences.toml").read_text())["difference"]
    ]
    for row in rows:
        page = PAGES[row.classes]
        section = page.read_text().split("## Differences from PyTorch\n")[1].split("\n## ")[0]
        cells = [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("|")]
        if sum(row.name in cell for cell in cells) != 1:
            raise ValueError(f"differences.toml: got {row.name!r}, want a row of 'Differences from PyTorch' in {page}")
    return rows


def read(path: Path) -> Outcomes:
    """Return the outcomes that a run has written."""
    outcomes: Outcomes = json.loads(path.read_text())
    return outcomes


def concerned(control: Outcomes, family: str = "") -> list[str]:
    """Return the tests that ran with torch's classes and made an object of one of the family, "optim", "nn" or any."""
    return [
        test
        for test, got in control.items()
        if got["outcome"] != "skipped" and any(name.startswith(family) for name in got["made"])
    ]


def compare(control: Outcomes, swapped: Outcomes, known: list[Difference], family: str = "") -> Comparison:
    """Compare two runs; a failure with torch's classes does not count, nor does what happens with fastnn's there."""
    tests = concerned(control, family)
    passing = [test for test in tests if control[test]["outcome"] == "passed"]
    named: Counter[str] = Counter()
    failures = {}
    for test in passing:
        error = _error(swapped.get(test))
        difference = next((row for row in known if row.explains(test, error)), None)
        if error and difference:
            named[difference.name] += 1
        elif error:
            failures[test] = error
    passed = len(passing) - named.total() - len(failures)
    kernels = sum(not _error(swapped.get(test)) and bool(swapped[test]["kernels"]) for test in passing)
    return Comparison(len(tests), len(passing), passed, kernels, named, failures)


def _error(got: dict[str, Any] | None) -> str:
    if got is None:
        return "did not run"
    if got["outcome"] != "passed":
        return f"{got['outcome']}: {got['error']}"
    return "" if got["made"] else "passed, but made no object of fastnn's classes"
