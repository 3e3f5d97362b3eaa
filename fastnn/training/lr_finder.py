"""The learning-rate range test."""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import plot
from fastnn._checks import integer
from fastnn._types import Float64
from fastnn.data.source import Stream
from fastnn.training.callbacks.freezing import Freeze
from fastnn.training.evaluation import in_mode
from fastnn.training.fitting import Fit
from fastnn.training.history import smoothed
from fastnn.training.losses import in_window
from fastnn.training.protocols import Training
from fastnn.training.resuming import untouched
from fastnn.training.schedule import proportions
from fastnn.training.step import clipped, forward_backward, update
from fastnn.training.windows import Batch

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SMOOTHING = 0.9
DIVERGED = 4.0
"""The test ends when the smoothed loss is this many times its minimum, or equally far above a negative minimum."""


@dataclass(frozen=True)
class LRFinder:
    """The result of a learning-rate range test.

    Attributes:
        rates, losses, smoothed: of every step, (n,) float64. The loss of a step without a weighted sample is NaN, as in
            `Trainer.fit`, and does not count.
        suggestions: "steepest", the rate at which the smoothed loss falls fastest over log(rate); "valley", two thirds
            into its longest fall; "minimum / 10", a tenth of the rate at its minimum. NaN if the loss never falls.

    Sources: L. N. Smith, "Cyclical learning rates for training neural networks", WACV 2017, section 3.3; the
    suggestions are those of fastai.
    """

    rates: Float64
    losses: Float64
    smoothed: Float64
    suggestions: dict[str, float]

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the loss over the rate, with the suggestions, and return the axes. Needs matplotlib."""
        return plot.lr_finder(self, ax=ax)


def lr_find(trainer: Training, fit: Fit, start_lr: float, end_lr: float, num_it: int) -> LRFinder:
    """See `Trainer.lr_find`."""
    if not 0 < start_lr < end_lr < math.inf:
        raise ValueError(f"start_lr, end_lr: got {start_lr!r}, {end_lr!r}, want 0 < start_lr < end_lr < infinity")
    num_it = integer("num_it", num_it, 2, want="an integer >= 2")
    if isinstance(fit.batches.source, Stream) and fit.batches.source.once:
        warnings.warn("train: got an iterator, whose batches lr_find uses up; pass a list, or a function that returns "
                      "a new iterator", stacklevel=3)  # fmt: skip
    rates = start_lr * (end_lr / start_lr) ** (np.arange(num_it) / (num_it - 1))
    losses: list[tuple[float, float]] = []
    with untouched(trainer), clipped(trainer), in_mode(trainer.model, training=True):
        frozen = [callback for callback in trainer.callbacks if isinstance(callback, Freeze)]
        for callback in frozen:
            callback.begin(trainer, trainer.state.epoch + 1)
        try:
            shares = proportions(trainer.optimizer.param_groups)
            batches = _windows(fit)
            for rate in rates:
                window = next(batches, None)
                if window is None:  # an iterator that is used up
                    break
                losses.append(_trained(trainer, window, float(rate), shares))
                if _has_diverged(smoothed([loss for loss, weight in losses if weight], SMOOTHING)):
                    break
        finally:
            for callback in frozen:
                callback.end()
    return found(rates[: len(losses)], np.array([loss for loss, _ in losses]))


def valley(finder: LRFinder) -> float:
    """Return the suggestion "valley"; raise ValueError if the loss never falls."""
    rate = finder.suggestions["valley"]
    if math.isnan(rate):
        raise ValueError("max_lr: got None and no rate at which the loss falls, want one; look at lr_find().plot()")
    return rate


def _windows(fit: Fit) -> Iterator[tuple[Batch, Iterator[Batch]]]:
    """Yield the first batch of every optimizer step, and the iterator of those after it, over many epochs."""
    batches, epoch = fit.batches, 1
    while True:
        iterator = batches.of_epoch(epoch)
        read = 0
        while (first := next(iterator, None)) is not None:
            read += 1
            yield first, iterator
        if not read:
            return
        epoch += 1


def _has_diverged(curve: Float64) -> bool:
    least = curve.min(initial=math.inf)
    return len(curve) > 0 and not curve[-1] - least <= (DIVERGED - 1) * abs(least)


def _trained(trainer: Training, window: Any, rate: float, shares: list[float]) -> tuple[float, float]:
    """Make an optimizer step with this rate, and return the loss before it and the weight of its samples."""
    for group, share in zip(trainer.optimizer.param_groups, shares, strict=True):
        group["lr"] = rate * share
    loss, weight, (batch, rest) = 0.0, 0.0, window
    while True:
        value, _ = forward_backward(trainer, batch)
        part, share = in_window(value, batch)
        loss, weight = loss + part, weight + share
        if batch.ends:
            break
        batch = next(rest)
    update(trainer)
    return loss if weight else math.nan, weight


def found(rates: Float64, losses: Float64) -> LRFinder:
    """Smooth the losses and derive the suggestions from them."""
    curve = smoothed(losses, SMOOTHING)
    finite = np.isfinite(curve)
    return LRFinder(rates, losses, curve, _suggestions(rates[finite], curve[finite]))


def _suggestions(rates: Float64, curve: Float64) -> dict[str, float]:
    none = dict.fromkeys(("steepest", "valley", "minimum / 10"), math.nan)
    if len(curve) < 3 or curve[0] - curve.min() <= 1e-12 * abs(curve[0]):  # less is rounding
        return none
    lowest = int(curve.argmin())
    slope = np.gradient(curve, np.log(rates))[: lowest + 1]
    first, last = _longest_fall(curve)
    return {
        "steepest": float(rates[slope.argmin()]),
        "valley": float(rates[first + (last - first) * 2 // 3]),
        "minimum / 10": float(rates[lowest] / 10),
    }


def _longest_fall(curve: Float64) -> tuple[int, int]:
    """Return the first and the last place of the longest falling subsequence of a curve."""
    length, before = np.ones(len(curve), np.int64), np.arange(len(curve))
    for i in range(1, len(curve)):
        higher = np.flatnonzero(curve[:i] > curve[i])
        if len(higher):
            best = higher[length[higher].argmax()]
            length[i], before[i] = length[best] + 1, best
    last = int(length.argmax())
    first = last
    while before[first] != first:
        first = int(before[first])
    return first, last
