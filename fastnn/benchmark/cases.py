"""Imports all modules of `fastnn.benchmark.operations`, which register the operations to benchmark."""

from importlib import import_module
from pkgutil import iter_modules

from fastnn.benchmark import operations
from fastnn.benchmark.case import CASES

__all__ = ["CASES"]

for _module in iter_modules(operations.__path__):
    import_module(f"{operations.__name__}.{_module.name}")
