"""A training step of the demo network."""

from collections.abc import Callable

from training_step import products, training_case

from fastnn.benchmark import check, find_torch
from fastnn.benchmark.case import Case, Side


def test_step(compare: Callable[[str, Case, Side], None]) -> None:
    without_dropout = training_case(find_torch(), p=0.0)
    for _ in range(5):
        check(without_dropout)
    compare("training step, batch 128", training_case(find_torch(), p=0.3), products())
