"""An optimizer step for a single parameter, and for many small ones in one call."""

from collections.abc import Callable

import pytest

from fastnn.benchmark import find_torch
from fastnn.benchmark.case import Case
from fastnn.benchmark.operations.optimizers import STATES, step_case

Compare = Callable[[str, Case], None]
MOMENTUM = {"SGD": {"momentum": 0.9}}


def test_sgd_without_momentum(compare: Compare, elements: int) -> None:
    compare("SGD", step_case("SGD", elements, find_torch()))


@pytest.mark.parametrize("name", STATES)
def test_step(compare: Compare, name: str, elements: int) -> None:
    options = MOMENTUM.get(name, {})
    compare(", ".join([name, *options]), step_case(name, elements, find_torch(), **options))


@pytest.mark.parametrize("size", [16, 1000, 100_000])
@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_many_tensors(compare: Compare, name: str, size: int) -> None:
    tensors, options = 400 if size < 100_000 else 40, MOMENTUM.get(name, {})
    case = step_case(name, tensors * size, find_torch(), tensors=tensors, **options)
    compare(", ".join([name, *options, f"{tensors} x {size}"]), case)
