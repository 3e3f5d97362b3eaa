"""Runs PyTorch's own tests with fastnn's classes in the place of torch's, and compares: `make test-torch`.

Each suite runs twice, with torch's classes and with fastnn's. A test concerns fastnn if it makes an object of a class
that fastnn has. Exits with 1 if such a test passes with torch's and fails with fastnn's, unless differences.toml has a
name for it.
"""

import argparse
import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import compare
import fetch

import fastnn.torch
from fastnn.torch import replacing

RESULTS = fetch.ROOT / "bench/results/pytorch_tests.json"
FOLDER = fetch.ROOT / "build/pytorch_tests"  # outcomes and logs
CHECKOUT = Path(fastnn.__file__).parents[1]
SUITES = {
    "optim": ("test_optim.py", "optim/test_optim.py"),
    "lrscheduler": ("optim/test_lrscheduler.py", "optim/test_swa_utils.py"),
    "modules": ("test_modules.py",),
    "nn": ("test_nn.py", "nn"),
}
# What runs beside the control: classes, suites, the family of torch's classes that they replace.
MODES = (
    ("fastnn.torch", tuple(SUITES), ""),
    ("fastnn.optim", ("optim",), "optim"),
)


def main(arguments: list[str] | None = None) -> int:
    """Run the suites named, print the table, and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("suites", nargs="*", metavar="suite", help=f"of {', '.join(SUITES)}; all by default")
    parser.add_argument("--save", action="store_true", help=f"write {RESULTS.relative_to(fetch.ROOT)}")
    given = parser.parse_args(arguments)
    suites = given.suites or list(SUITES)
    if unknown := set(suites) - set(SUITES):
        parser.error(f"got {', '.join(sorted(unknown))}, want suites of {', '.join(SUITES)}")
    if given.save and given.suites:
        parser.error("--save: got some suites, want all of them; name none")
    versions = {"torch": importlib.metadata.version("torch"), "tests": "2.6.0"}
    try:
        tests, known = fetch.tests(), compare.differences()
    except (fetch.FetchError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"fastnn of {CHECKOUT}, torch {versions['torch']}, tests of {tests}", flush=True)
    results = {(suite, mode): result for suite in suites for mode, result in compared(tests, suite, known)}
    named = sum((result.named for result in results.values()), Counter[str]())
    rows = [row(suite, mode, result) for (suite, mode), result in results.items()]
    print(table(rows))
    unused = {difference.name for difference in known} - set(named) if set(suites) == set(SUITES) else set()
    for name in sorted(unused):
        print(f"differences.toml: {name!r} explains no failure; remove it")
    if given.save:
        RESULTS.write_text(json.dumps({"versions": versions, "rows": rows, "differences": named}, indent=1) + "\n")
    return int(bool(unused) or any(map(is_bad, results.values())))


def is_bad(result: compare.Comparison) -> bool:
    """Return whether tests fail that should not, or fastnn was not tested at all."""
    return bool(result.failures) or (result.torch > 0 and not result.kernels)


def compared(tests: Path, suite: str, known: list[compare.Difference]) -> Iterator[tuple[str, compare.Comparison]]:
    """Run a suite with torch's classes and with fastnn's; yield and print each comparison with its mode."""
    control = outcomes(tests, suite, "control")
    for mode, its_suites, family in MODES:
        if suite in its_suites:
            swapped = outcomes(tests, suite, mode, compare.concerned(control, family))
            result = compare.compare(control, swapped, [row for row in known if row.classes == mode], family)
            report(suite, mode, result)
            yield mode, result


def outcomes(tests: Path, suite: str, mode: str, chosen: list[str] | None = None) -> compare.Outcomes:
    """Run a suite, or the tests chosen from it, and return the outcomes; those of the control are kept in build/."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{suite}_{mode}_{_key(tests) if mode == 'control' else CHECKOUT.name}.json"
    if mode != "control" or not path.exists():
        started = time.monotonic()
        _run(tests, SUITES[suite], mode, path, chosen)
        print(f"{suite}, {mode}: {time.monotonic() - started:.0f} s", flush=True)
    got = compare.read(path)
    for file, outcome in got.items():
        if outcome["outcome"] == "error":
            raise SystemExit(f"{file}, {mode}: {outcome['error']}")
    return got


def _key(tests: Path) -> str:
    """Return a hash of what the control depends on."""
    files = [Path(__file__).with_name("swap.py"), *(file for suite in SUITES.values() for file in _files(tests, suite))]
    classes = sorted([kind.__name__ for kind in replacing._SWAPS] + fastnn.torch.optim.__all__)
    told = repr((sys.version, importlib.metadata.version("torch"), classes))
    return hashlib.sha256(told.encode() + b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _files(tests: Path, names: tuple[str, ...]) -> list[Path]:
    return [file for name in names for file in sorted((tests / name).glob("test_*.py")) or [tests / name]]


def _run(tests: Path, names: tuple[str, ...], mode: str, path: Path, chosen: list[str] | None) -> None:
    """Run the tests of the files named, in the folder `tests`, and let the plugin write the outcomes to `path`."""
    path.unlink(missing_ok=True)
    searched = [str(Path(__file__).parent), str(tests), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "FASTNN_SWAP": mode, "FASTNN_OUTCOMES": str(path), "FASTNN_TESTS": ""}
    environment |= {"PYTHONPATH": os.pathsep.join(filter(None, searched)), "OMP_NUM_THREADS": "1"}
    if chosen is not None:
        listed = path.with_suffix(".txt")
        listed.write_text("\n".join(chosen))
        environment["FASTNN_TESTS"] = str(listed)
    options = "-p swap -p no:cacheprovider -c /dev/null --rootdir=. --noconftest --import-mode=importlib -n auto -q"
    command = [sys.executable, "-m", "pytest", *options.split(), "--disable-warnings", "--tb=line", *names]
    done = subprocess.run(command, cwd=tests, env=environment, capture_output=True, text=True)
    path.with_suffix(".log").write_text(done.stdout + done.stderr)
    if done.returncode not in (0, 1) or not path.exists():
        raise SystemExit(
            f"{' '.join(command)} in {tests}, {mode}: status {done.returncode}\n{done.stdout}{done.stderr}"
        )


def report(suite: str, mode: str, result: compare.Comparison) -> None:
    """Print the failures, and how many each difference explains."""
    for test, error in sorted(result.failures.items()):
        print(f"{suite}, {mode}: {test}: {' '.join(error.split())[:200]}")
    for name, count in sorted(result.named.items()):
        print(f"{suite}, {mode}: {count} x {name}")


def row(suite: str, mode: str, result: compare.Comparison) -> dict[str, Any]:
    """Return a row of the table."""
    numbers = {"tests": result.tests, "torch passes": result.torch, "fastnn passes": result.fastnn}
    numbers |= {"run kernels": result.kernels, "named differences": result.named.total()}
    return {"suite": suite, "classes of": mode} | numbers | {"failures": len(result.failures)}


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a table of text."""
    cells = [list(rows[0]), *(list(map(str, row.values())) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(cell.rjust(n) for cell, n in zip(line, widths, strict=True)) for line in cells)


if __name__ == "__main__":
    sys.exit(main())
