"""Names, order and defaults of all public arguments equal a list, so that nobody changes them by accident.

The list of fastnn.functional is kept with the kernel families.
"""

import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kernels import SIGNATURES

MODULES = ("functional", "random", "init", "optim", "optim.lr_scheduler", "nn", "data", "training", "plot")
# Functions of modules without a list of their public names.
MORE = ("runs.train", "runs.resume", "runs.find_lr", "report.save_run", "report.write_report")
LINES = [
    *(f"functional.{line}" for line in SIGNATURES),
    *Path(__file__).with_name("signatures.txt").read_text().splitlines(),
]


def _default(value: Any) -> str:
    return f"np.{np.dtype(value)}" if isinstance(value, type) else repr(value)


def _arguments(function: Any) -> str:
    """Return the arguments as in a definition, without types."""
    found, star = [], False
    for p in inspect.signature(function).parameters.values():
        if p.kind is p.KEYWORD_ONLY and not star:
            found.append("*")
        star |= p.kind in (p.KEYWORD_ONLY, p.VAR_POSITIONAL)
        name = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "") + p.name
        found.append(name if p.default is p.empty else f"{name}={_default(p.default)}")
    return ", ".join(found)


def _methods(owner: type) -> Iterator[str]:
    return (name for name, f in vars(owner).items() if not name.startswith("_") and inspect.isfunction(f))


def _public() -> Iterator[str]:
    """Yield the dotted names of everything public, below fastnn."""
    for module in MODULES:
        owner = import_module(f"fastnn.{module}")
        for name in getattr(owner, "__all__", [n for n, f in vars(owner).items() if inspect.isfunction(f)]):
            value = getattr(owner, name)
            if name.startswith("_") or not callable(value) or getattr(value, "_is_protocol", False):
                continue
            if not (inspect.isclass(value) and issubclass(value, Exception)):
                yield f"{module}.{name}"
            if inspect.isclass(value):
                yield from (f"{module}.{name}.{method}" for method in _methods(value))
    yield from MORE


def _find(place: str) -> Any:
    """Return the object with a dotted name."""
    parts = place.split(".")
    split = next(i for i in (2, 1) if ".".join(parts[:i]) in (*MODULES, *(more.split(".")[0] for more in MORE)))
    found = import_module(f"fastnn.{'.'.join(parts[:split])}")
    for part in parts[split:]:
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("line", LINES, ids=[line.split("(")[0] for line in LINES])
def test_signature(line: str) -> None:
    """The signature is the listed one."""
    place = line.split("(")[0]
    assert f"{place}({_arguments(_find(place))})" == line


def test_list_is_complete() -> None:
    """Every public function, class and method has a line."""
    assert sorted(line.split("(")[0] for line in LINES) == sorted(_public())
