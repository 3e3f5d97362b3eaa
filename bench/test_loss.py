"""Softmax-cross-entropy, loss and gradient: many classes, and a batch of digits."""

from collections.abc import Callable

from fastnn.benchmark import find_torch
from fastnn.benchmark.case import Case
from fastnn.benchmark.cases import CASES, softmax_cross_entropy


def test_many_classes(compare: Callable[[str, Case], None], elements: int) -> None:
    compare("softmax_cross_entropy", CASES["softmax_cross_entropy"](elements, find_torch()))


def test_digits(compare: Callable[[str, Case], None]) -> None:
    compare("softmax_cross_entropy 128 x 10", softmax_cross_entropy(1280, find_torch(), classes=10))
