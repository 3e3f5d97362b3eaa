"""All operations that are benchmarked: those of the modules of `fastnn.benchmark.operations`."""

from importlib import import_module
from pkgutil import iter_modules

from fastnn.benchmark import operations
from fastnn.benchmark.case import CASES

__all__ = ["CASES"]

for _module in iter_modules(operations.__path__):
    import_module(f"{operations.__name__}.{_module.name}")
