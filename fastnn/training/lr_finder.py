"""Which learning rate to begin with."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._checks import integer, positive_integer
from fastnn._types import Float64
from fastnn.optim.lr_scheduler import OneCycleLR
from fastnn.training import resuming
from fastnn.training.evaluation import in_mode
from fastnn.training.fitting import Fit, prepare
from fastnn.training.history import History, smoothed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fastnn.training.trainer import Trainer

SMOOTHING = 0.9
DIVERGED = 4.0
"""The test ends when the smoothed loss is this many times its least, or as far above it where that is negative."""


@dataclass(frozen=True)
class LRFinder:
    """What a test of growing rates found.

    Attributes:
        rates, losses, smoothed: of every step, (n,) float64.
        suggestions: "steepest", where the smoothed loss falls fastest by log(rate); "valley", two thirds into the
            longest fall of it; "minimum / 10", a tenth of the rate where it is least. NaN where it never falls.

    Sources: L. N. Smith, "Cyclical learning rates for training neural networks", WACV 2017, section 3.3; the
    suggestions are those that fastai's users know.
    """

    rates: Float64
    losses: Float64
    smoothed: Float64
    suggestions: dict[str, float]

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw loss over rate, with the suggestions; returns the axes. Needs matplotlib."""
        from fastnn import plot

        return plot.lr_finder(self, ax=ax)


def lr_find(trainer: "Trainer", fit: Fit, start_lr: float, end_lr: float, num_it: int) -> LRFinder:
    """See `Trainer.lr_find`."""
    if not 0 < start_lr < end_lr < math.inf:
        raise ValueError(f"start_lr, end_lr: got {start_lr!r}, {end_lr!r}, want 0 < start_lr < end_lr < infinity")
    num_it = integer("num_it", num_it, 2, want="an integer >= 2")
    rates = start_lr * (end_lr / start_lr) ** (np.arange(num_it) / (num_it - 1))
    losses: list[float] = []
    with resuming.untouched(trainer), in_mode(trainer.model, training=True):
        for i, rate in enumerate(rates):
            losses.append(_trained(trainer, fit, i, float(rate)))
            curve = smoothed(losses, SMOOTHING)
            least = curve.min()
            if not curve[-1] - least <= (DIVERGED - 1) * abs(least):
                break
    return found(rates[: len(losses)], np.array(losses))


def _trained(trainer: "Trainer", fit: Fit, step: int, rate: float) -> float:
    """The loss of an optimizer step, ahead of it."""
    epoch, window = divmod(step, fit.batches.windows)
    if window == 0:
        fit.batches.shuffle(fit.seed, epoch + 1)
    for group in trainer.optimizer.param_groups:
        group["lr"] = rate  # type: ignore[index]
    loss = 0.0
    for number in fit.batches.of_window(window):
        value, _, batch = trainer.forward_backward(fit.batches, number)
        loss += batch.share * value if batch.weight else 0.0
    trainer.update()
    return loss


def found(rates: Float64, losses: Float64) -> LRFinder:
    """Smooth the losses and read the suggestions from them."""
    curve = smoothed(losses, SMOOTHING)
    finite = int(np.isfinite(curve).cumprod().sum())
    return LRFinder(rates, losses, curve, _suggestions(rates[:finite], curve[:finite]))


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
    """The ends of the longest falling subsequence of a curve."""
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


def fit_one_cycle(trainer: "Trainer", train: Any, validation: Any, epochs: int, max_lr: float | None, batch_size: int,
                  options: dict[str, Any]) -> History:  # fmt: skip
    """See `Trainer.fit_one_cycle`."""
    epochs, batch_size = positive_integer("epochs", epochs), positive_integer("batch_size", batch_size)
    weights = options.get("sample_weight"), options.get("class_weight")
    prepare(trainer.model, trainer.loss, trainer.metrics, train, validation, batch_size,
            trainer.accumulate_grad_batches, trainer.seed, *weights)  # fmt: skip
    if max_lr is None:
        max_lr = trainer.lr_find(train, batch_size=batch_size).suggestions["valley"]
        if math.isnan(max_lr):
            raise ValueError("max_lr: got None and no rate at which the loss falls, want one; look at lr_find().plot()")
    batches = -(-len(train[0]) // batch_size)
    steps = epochs * -(-batches // trainer.accumulate_grad_batches)
    schedule = trainer.scheduler, trainer.scheduler_interval
    before = [dict(group) for group in trainer.optimizer.param_groups]
    cycle = any("momentum" in group or "betas" in group for group in before)
    try:
        trainer.scheduler = OneCycleLR(trainer.optimizer, max_lr, steps, cycle_momentum=cycle)  # type: ignore[arg-type]
        trainer.scheduler_interval = "step"
        return trainer.fit(train, validation, epochs, batch_size, **options)
    finally:
        trainer.scheduler, trainer.scheduler_interval = schedule
        groups: Any = trainer.optimizer.param_groups
        for group, options_before in zip(groups, before, strict=False):
            group.update({key: value for key, value in options_before.items() if key != "params"})
            for key in group.keys() - options_before.keys():
                dict.pop(group, key)  # initial_lr, which the next schedule would begin from
