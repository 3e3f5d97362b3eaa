"""Descriptions of all kernels, by family. Every module of this folder is imported here and has one or more of

KERNELS      how to call a kernel, the expected results, and the shapes to test: see table.py
CALLS        a valid call of each function that takes arrays: see calls.py
C_CASES      a call of each function of the C API, and the Python call that returns the same: see c_api.py
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from c_api import Case
from calls import Call
from table import Kernel

FAMILIES = {name: import_module(f"{__name__}.{name}") for _, name, _ in iter_modules(__path__)}


def _of_all_families(table: str) -> dict[str, Any]:
    rows = [row for family in FAMILIES.values() for row in getattr(family, table, {}).items()]
    assert len(rows) == len(dict(rows)), f"two families have the same name in {table}"
    return dict(rows)


KERNELS: dict[str, Kernel] = _of_all_families("KERNELS")
CALLS: dict[str, Call] = _of_all_families("CALLS")
C_CASES: dict[str, Case] = _of_all_families("C_CASES")
SIGNATURES: list[str] = [line for family in FAMILIES.values() for line in getattr(family, "SIGNATURES", ())]
