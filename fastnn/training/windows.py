"""Groups batches into windows of one optimizer step each, and gives each batch its share of the window's mean."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from fastnn._trees import Tree
from fastnn.training.weighing import Weights

Taken = tuple[Any, Tree, Weights | None, float | Weights]
"""A batch before its inputs are gathered: they, or a function that returns them; labels, weights, and their sum."""


class Batch(NamedTuple):
    """The samples of one batch. A window is the batches of one optimizer step.

    Attributes:
        x, labels: the samples and their labels or targets.
        weights: the weight of each sample, or None for ones.
        weight: the sum of the weights in the mean of the loss; for several losses an array, with that of each.
        share: the fraction of this sum in that of the window; 1 for a window without weighted samples.
        begins, ends: whether the batch is the first and the last of its window; after the last the optimizer steps.
    """

    x: Tree
    labels: Tree
    weights: Weights | None
    weight: float | Weights
    share: float | Weights
    begins: bool
    ends: bool


def windows(
    batches: Iterator[Taken], size: int, done: int, earlier: Callable[[int], float | Weights]
) -> Iterator[Batch]:
    """Yield batches; their inputs are gathered one after another, since they may share their memory.

    Args:
        batches: the batches of an epoch from number `done` on.
        size: batches of a window; the last window of an epoch has the remaining ones.
        earlier: (done) -> the weight of the batches of the first window that are done; called after the others are
            read, since a stream may not be read from two places at once.
    """
    if size == 1:
        for x, y, weights, weight in batches:
            yield Batch(x() if callable(x) else x, y, weights, weight, 1.0, True, True)
        return
    while window := list(islice(batches, size - done % size)):
        before = earlier(done) if done % size else 0.0
        end, total = done + len(window), before + sum(weight for *_, weight in window)
        for x, y, weights, weight in window:
            share = _share(weight, total)
            begins, done = done % size == 0, done + 1
            yield Batch(x() if callable(x) else x, y, weights, weight, share, begins, done == end)


def _share(weight: Any, total: Any) -> float | Weights:
    """Return weight / total, and 1 where the total is 0."""
    if isinstance(weight, float):
        return weight / total if total else 1.0
    return np.asarray(np.divide(weight, total, out=np.ones_like(weight), where=total > 0))
