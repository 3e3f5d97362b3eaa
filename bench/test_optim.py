"""One optimizer step: a single parameter, and many small ones in one call."""

from collections.abc import Callable

import pytest

from fastnn.benchmark import cases, find_torch

Compare = Callable[[str, cases.Case], None]


def test_sgd(compare: Compare, elements: int) -> None:
    compare("SGD", cases.sgd(elements, find_torch(), momentum=0.0))


@pytest.mark.parametrize("name", ["SGD, momentum", "AdamW"])
def test_step(compare: Compare, name: str, elements: int) -> None:
    compare(name, cases.CASES[name](elements, find_torch()))


@pytest.mark.parametrize("size", [16, 1000, 100_000])
@pytest.mark.parametrize("make", [cases.sgd, cases.adamw], ids=["SGD", "AdamW"])
def test_many_tensors(compare: Compare, make: Callable[..., cases.Case], size: int) -> None:
    tensors = 400 if size < 100_000 else 40
    name = "AdamW" if make is cases.adamw else "SGD, momentum"
    compare(f"{name}, {tensors} x {size}", make(tensors * size, find_torch(), tensors=tensors))
