"""Samplers: the order in which an epoch visits the samples. A draw depends on the seed and the epoch alone."""

from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from fastnn._checks import integer
from fastnn.random import Generator, permutation, uniform_

ORDER_STREAM = 2**63 + 2**62
"""The order of samples in epoch n is drawn from this stream + n of the seed."""

Indices = npt.NDArray[np.int64]


@runtime_checkable
class Sampler(Protocol):
    """Protocol of a sampler: any object with these two methods."""

    def __len__(self) -> int:
        """Return the number of samples of an epoch."""

    def order(self, seed: int, epoch: int) -> Indices:
        """Return the indices of the samples of an epoch, (len,) int64, in their order; the same for the same
        arguments."""


class RandomSampler:
    """All n samples, in another order every epoch."""

    def __init__(self, n: int) -> None:
        self.n = integer("n", n, 1)

    def __len__(self) -> int:
        return self.n

    def order(self, seed: int, epoch: int) -> Indices:
        """Return a permutation that depends on seed and epoch."""
        return permutation(self.n, Generator(seed, ORDER_STREAM + epoch))


class SequentialSampler:
    """All n samples, in their own order."""

    def __init__(self, n: int) -> None:
        self.n = integer("n", n, 1)
        self._order = np.arange(self.n)

    def __len__(self) -> int:
        return self.n

    def order(self, seed: int, epoch: int) -> Indices:
        """Return 0 ... n - 1."""
        return self._order


class WeightedRandomSampler:
    """Samples drawn with probabilities proportional to weights, as in PyTorch.

    Args:
        weights: (N,), finite, >= 0, at least one > 0.
        num_samples: samples of an epoch.
        replacement: whether a sample may come more than once; without, `num_samples` must not exceed the number of
            positive weights.

    Raises:
        ValueError: the weights are not such numbers, or there are too few of them.

    Source (without replacement): P. Efraimidis, P. Spirakis, "Weighted random sampling with a reservoir", Inf. Process.
    Lett. 97 (2006).
    """

    def __init__(self, weights: Any, num_samples: int, replacement: bool = True) -> None:
        self.weights = np.array(weights, np.float64)
        w = self.weights
        if w.ndim != 1 or not len(w) or not np.isfinite(w).all() or w.min() < 0 or not w.any():
            raise ValueError(f"weights: got shape {w.shape}, want (N,) finite numbers >= 0 that are not all 0")
        self.num_samples, self.replacement = integer("num_samples", num_samples, 1), bool(replacement)
        if not self.replacement and self.num_samples > np.count_nonzero(w):
            raise ValueError(f"num_samples: got {num_samples}, want at most {np.count_nonzero(w)}, the number of "
                             "samples with a weight, or replacement=True")  # fmt: skip

    def __len__(self) -> int:
        return self.num_samples

    def order(self, seed: int, epoch: int) -> Indices:
        """Return drawn indices that depend on seed and epoch."""
        generator = Generator(seed, ORDER_STREAM + epoch)
        if self.replacement:
            total = self.weights.cumsum()
            drawn = uniform_(np.empty(self.num_samples), generator=generator) * total[-1]
            last = int(np.flatnonzero(self.weights)[-1])  # rounding must not reach a sample without weight
            order: Indices = np.minimum(total.searchsorted(drawn, side="right"), last).astype(np.int64)
            return order
        u = uniform_(np.empty(len(self.weights)), generator=generator)
        with np.errstate(divide="ignore"):
            times = np.where(self.weights > 0, -np.log1p(-u) / self.weights, np.inf)
        order = times.argsort(kind="stable")[: self.num_samples].astype(np.int64)
        return order
