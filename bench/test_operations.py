"""Single operations: those of the short bench from the first cache to memory, the others in cache and from memory."""

from collections.abc import Callable

import pytest

from fastnn.benchmark import find_torch
from fastnn.benchmark.case import Case
from fastnn.benchmark.cases import CASES
from fastnn.benchmark.operations.losses import softmax_cross_entropy
from fastnn.benchmark.operations.optimizers import STATES
from fastnn.benchmark.timing import SHORT

Compare = Callable[[str, Case], None]
OPERATIONS = [name for name in CASES if name.partition(",")[0] not in STATES]  # test_optim.py has optimizers


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name in SHORT])
def test_operation(compare: Compare, name: str, elements: int) -> None:
    compare(name, CASES[name](elements, find_torch()))


@pytest.mark.parametrize("elements", [1 << 17, 1 << 24], ids=["128k", "16M"])
@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in SHORT])
def test_other_operation(compare: Compare, name: str, elements: int) -> None:
    compare(name, CASES[name](elements, find_torch()))


def test_digits(compare: Compare) -> None:
    """Softmax and cross-entropy of a batch of digits."""
    compare("softmax_cross_entropy 128 x 10", softmax_cross_entropy(1280, find_torch(), classes=10))
