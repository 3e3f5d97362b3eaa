"""Cuts an epoch into batches, and weights each batch within its optimizer step."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastnn import _core
from fastnn._types import Array
from fastnn.random import Generator, permutation

ORDER_STREAM = 2**63 + 2**62
"""The order of samples in epoch n is drawn from this stream + n of the seed."""

Weights = npt.NDArray[np.float64]


class Batch(NamedTuple):
    """The samples of one batch. A window is the batches of one optimizer step.

    Attributes:
        x, labels: the samples and their labels or targets.
        weights: the weight of each sample, or None for ones.
        weight: the sum of the weights in the mean of the loss.
        share: the fraction of this sum in that of the window; 1 for a window without weighted samples.
        begins, ends: whether the batch is the first and the last of its window; after the last the optimizer steps.
    """

    x: Array
    labels: Any
    weights: Weights | None
    weight: float
    share: float
    begins: bool
    ends: bool


class Batches:
    """The samples in the order of an epoch, cut into batches, and the batches into windows of one optimizer step each.

    The loss is a weighted mean over samples, so the gradient of a window is the mean over all its samples, however they
    are divided into batches.

    Args:
        x, y: N samples and their labels or targets.
        size: samples of a batch; the last batch of an epoch has the remaining ones.
        window: batches of a window; the last window has the remaining ones.
        weights: (N,), the factor of the loss of every sample, or None for ones.
        counts: (N,), the weight of every sample in the loss's own mean, or None for ones.
    """

    def __init__(
        self, x: Array, y: Any, size: int, window: int, weights: Weights | None = None, counts: Weights | None = None
    ) -> None:
        self.x, self._y, self._weights = x, y, weights
        self._size, self._window = size, window
        self._shares = counts if weights is None else weights if counts is None else weights * counts
        self._order: npt.NDArray[np.int64] = np.arange(len(x))
        # Closures need x only until backward has run, so all batches share the same memory.
        self._memory = _core.empty((min(size, len(x)), *x.shape[1:]), x.dtype)

    def __len__(self) -> int:
        return -(-len(self.x) // self._size)

    def shuffle(self, seed: int, epoch: int) -> None:
        """Draw the order of an epoch from the seed and the number of the epoch."""
        self._order = permutation(len(self.x), Generator(seed, ORDER_STREAM + epoch))

    def take(self, number: int) -> Batch:
        """Return a batch by its number; its x is valid until the next batch is taken."""
        start, window = number * self._size, self._window
        index = self._order[start : start + self._size]
        # Every index is in range, and mode="raise" would make a copy.
        x = self.x.take(index, axis=0, out=self._memory[: len(index)], mode="clip")
        return Batch(
            x,
            self._y.take(index, axis=0),
            None if self._weights is None else self._weights.take(index),
            float(len(index)) if self._shares is None else float(self._shares[index].sum()),
            1.0 if window == 1 else self._share(number),
            number % window == 0,
            (number + 1) % window == 0 or number + 1 == len(self),
        )

    @property
    def windows(self) -> int:
        """Optimizer steps of an epoch."""
        return -(-len(self) // self._window)

    def of_window(self, window: int) -> range:
        """Return the numbers of the batches of a window."""
        return range(window * self._window, min((window + 1) * self._window, len(self)))

    def _share(self, number: int) -> float:
        window = self.of_window(number // self._window)
        total = self._weight(window.start, window.stop)
        return self._weight(number, number + 1) / total if total else 1.0

    def _weight(self, first: int, last: int) -> float:
        start, stop = first * self._size, min(last * self._size, len(self.x))
        return float(stop - start if self._shares is None else self._shares[self._order[start:stop]].sum())


def sample_weights(y: Any, sample_weight: Any = None, class_weight: Mapping[int, float] | Any = None) -> Weights | None:
    """Return (N,), the products of the weights of sample and class, or None without either.

    Args:
        y: (N,) labels.
        sample_weight: (N,), finite, >= 0, not all 0.
        class_weight: the weight of each class: an array (C,), or a mapping from labels, with 1 for other labels.

    Raises:
        ValueError: a shape or range is wrong, or there is a class_weight but y does not hold labels.
    """
    if sample_weight is None and class_weight is None:
        return None
    weights = np.ones(len(y)) if sample_weight is None else np.array(sample_weight, np.float64)
    if weights.shape != (len(y),):
        raise ValueError(f"sample_weight: got shape {weights.shape}, want ({len(y)},), one for each sample")
    if class_weight is not None:
        for label, weight in _by_class(y, class_weight).items():
            weights[y == label] *= weight
    if not (np.isfinite(weights).all() and weights.min() >= 0 and weights.max() > 0):
        raise ValueError("sample_weight, class_weight: got NaN, infinity, a negative number or nothing but 0, "
                         "want finite numbers >= 0")  # fmt: skip
    return weights


def _by_class(y: Any, class_weight: Mapping[int, float] | Any) -> Mapping[int, float]:
    if y.ndim != 1 or not np.issubdtype(y.dtype, np.integer):
        raise ValueError(f"class_weight: got it for targets of {y.dtype}, shape {y.shape}, want integer labels, (N,); "
                         "pass sample_weight")  # fmt: skip
    if isinstance(class_weight, Mapping):
        unknown = sorted(set(class_weight) - set(np.unique(y).tolist()))
        if unknown:
            raise ValueError(f"class_weight: got weights of {unknown}, want labels that occur in y")
        return class_weight
    array = np.asarray(class_weight, np.float64)
    if array.ndim != 1 or len(array) <= y.max():
        raise ValueError(f"class_weight: got shape {array.shape}, want one number for each class up to {y.max()}")
    return dict(enumerate(array.tolist()))
