"""A pytest plugin that runs PyTorch's tests with the classes of fastnn in the place of torch's.

`FASTNN_SWAP` names what takes their place: nothing ("control"), `fastnn.torch` or `fastnn.optim`. `FASTNN_OUTCOMES`
names the file to write: each test's outcome, its error, the swapped classes of which it made objects, and the kernels
it ran. `FASTNN_TESTS` names a file with the tests to run, one on a line; without it all run.
"""

import functools
import importlib
import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from fastnn import _core
from fastnn.torch import limits, replacing

SECONDS = 300  # for one test
MODE = os.environ["FASTNN_SWAP"]
KERNELS = Path(__file__).parents[2] / "csrc/kernels/kernels.inc"
# torch.nn.modules.transformer makes attention, dropout and layer norms itself.
NAMESPACES = (torch.optim, torch.nn, torch.nn.modules, torch.nn.modules.transformer)

made: set[str] = set()  # both are of the test that runs
kernels: set[str] = set()


def swaps() -> dict[type, type]:
    """Return torch's classes and those of fastnn that take their place."""
    ours = importlib.import_module("fastnn.optim" if MODE == "fastnn.optim" else "fastnn.torch.optim")
    shared = [name for name in ours.__all__ if name != "Optimizer" and isinstance(vars(torch.optim).get(name), type)]
    optimizers = {getattr(torch.optim, name): getattr(ours, name) for name in shared}
    return optimizers if MODE == "fastnn.optim" else optimizers | replacing._SWAPS


def noting(function: Callable[..., Any], notes: set[str], name: str) -> Callable[..., Any]:
    """Return the function, which adds the name to the notes when it is called."""

    @functools.wraps(function)
    def noted(*args: Any, **options: Any) -> Any:
        notes.add(name)
        return function(*args, **options)

    return noted


def note_kernels() -> None:
    """Let every kernel and every optimizer's step note their names in `kernels`."""
    for name in {*re.findall(r"KERNEL\((\w+)", KERNELS.read_text())} & {*vars(_core)}:
        setattr(_core, name, noting(getattr(_core, name), kernels, name))
    for name, kind in vars(_core).items():
        if hasattr(kind, "step"):
            kind.step = noting(kind.step, kernels, name)


def install() -> None:
    """Swap the classes, before PyTorch's tests and their tables are imported."""
    note_kernels()
    limits.LEAST.update(dict.fromkeys(limits.LEAST, (0, 0)))  # torch's code would run for small inputs
    for theirs, ours in swaps().items():
        used: Any = theirs if MODE == "control" else ours
        family = "optim" if issubclass(theirs, torch.optim.Optimizer) else "nn"
        used.__init__ = noting(used.__init__, made, f"{family}.{theirs.__name__}")
        for space in NAMESPACES:
            if vars(space).get(theirs.__name__) is theirs:
                setattr(space, theirs.__name__, used)
        for lazy in vars(torch.nn).values():
            if getattr(lazy, "cls_to_become", None) is theirs:
                lazy.cls_to_become = used


def rename() -> None:
    """Give helpers of today's torch the names they had in PyTorch 2.6, whose tests these are."""
    helpers = [importlib.import_module(f"torch.testing._internal.common_{name}") for name in ("nn", "cuda", "mkldnn")]
    modules, cuda, mkldnn = map(vars, helpers)
    if "get_new_module_tests" in modules:
        modules.setdefault("new_module_tests", modules["get_new_module_tests"]())
    cuda.setdefault("tf32_is_not_fp32", lambda: False)
    if "reduced_f32_on_and_off" in mkldnn:
        mkldnn.setdefault("bf32_on_and_off", mkldnn["reduced_f32_on_and_off"])


install()
rename()


def others(module_db: list[Any]) -> list[str]:
    """Return the names of the modules of torch, in PyTorch's table, that make no object of a swapped class."""
    names = []
    for info in module_db:
        made.clear()
        given = {"device": "cpu", "dtype": torch.float32, "requires_grad": False, "training": False}
        for inputs in info.module_inputs_func(info, **given):
            info.module_cls(*inputs.constructor_input.args, **inputs.constructor_input.kwargs)
        if not made:
            names.append(info.formatted_name)
    return names


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Leave out tests of other modules, and those that a file only imports from another one, which runs them itself."""
    items[:] = [item for item in items if item.cls is None or item.cls.__module__ == item.module.__name__]
    tables = [item.module.module_db for item in items if hasattr(item.module, "module_db")]
    if names := others(tables[0]) if tables else []:
        other = re.compile(f"_({'|'.join(names)})_")
        items[:] = [item for item in items if not other.search(item.name)]
    if chosen := os.environ.get("FASTNN_TESTS"):
        tests = {*Path(chosen).read_text().splitlines()}
        items[:] = [item for item in items if item.nodeid in tests]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """Let a test fail that does not end."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"the test took more than {SECONDS} s")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        return (yield)
    finally:
        signal.alarm(0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Iterator[None]:
    """Begin the notes of a test."""
    made.clear()
    kernels.clear()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """Attach the notes to the report, which workers send to the process that started them."""
    report: Any = yield
    report.made, report.kernels = sorted(made), sorted(kernels)
    return report


class Outcomes:
    """Collects the outcomes in the process that starts the workers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tests: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keep the first outcome of a test's setup, call and teardown that is not "passed"."""
        test = self.tests.setdefault(report.nodeid, {"outcome": "passed", "error": "", "made": [], "kernels": []})
        test["made"], test["kernels"] = (getattr(report, key, test[key]) for key in ("made", "kernels"))
        if report.outcome != "passed" and test["outcome"] == "passed":
            crash = getattr(report.longrepr, "reprcrash", None)
            error = str(crash.message if crash else report.longrepr or "")
            test |= {"outcome": report.outcome, "error": error.partition("\n\nTo execute this test")[0]}

    def pytest_collectreport(self, report: Any) -> None:
        """Keep an error in a file's import as the file's outcome."""
        if report.failed:
            self.tests[report.nodeid] = {"outcome": "error", "error": str(report.longrepr), "made": [], "kernels": []}

    def pytest_sessionfinish(self) -> None:
        """Write the file."""
        self.path.write_text(json.dumps(self.tests, indent=1))


def pytest_configure(config: pytest.Config) -> None:
    """Collect outcomes, except in a worker."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Outcomes(Path(os.environ["FASTNN_OUTCOMES"])))
