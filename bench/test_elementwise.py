"""ReLU, dropout and initialisation."""

from collections.abc import Callable

import pytest

from fastnn.benchmark import find_torch
from fastnn.benchmark.case import Case
from fastnn.benchmark.cases import CASES


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith(("relu", "dropout", "init"))])
def test_elementwise(compare: Callable[[str, Case], None], name: str, elements: int) -> None:
    compare(name, CASES[name](elements, find_torch()))
