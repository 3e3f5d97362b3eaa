"""Layer norm and batch norm, forward and backward."""

from collections.abc import Callable

import pytest

from fastnn.benchmark import find_torch
from fastnn.benchmark.case import Case
from fastnn.benchmark.cases import CASES


@pytest.mark.parametrize("name", [name for name in CASES if "norm" in name and "init" not in name])
def test_norm(compare: Callable[[str, Case], None], name: str, elements: int) -> None:
    compare(name, CASES[name](elements, find_torch()))
