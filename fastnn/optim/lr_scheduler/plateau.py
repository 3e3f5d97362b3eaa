"""The schedule that depends on a metric."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, SupportsFloat

import numpy as np

from fastnn._checks import below_one, not_negative
from fastnn._types import Float64
from fastnn.optim.lr_scheduler.base import HasGroups, LRScheduler, draw, with_groups
from fastnn.optim.lr_scheduler.checks import Checks, at_least, choice, each, per_group, same_length

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Run(NamedTuple):
    """The history of the metric and the current rates."""

    best: float | None
    bad: int
    cooldown: int
    rates: list[float]


class ReduceLROnPlateau(LRScheduler):
    """Multiplies the current rates by `factor` when a metric has not improved for more than `patience` steps.

    A metric that is NaN or infinite does not count as an improvement. If the best value is negative, a relative
    improvement must exceed it by threshold * |best|; torch compares with best * (1 - threshold) for "min", which is
    worse than the best.

    Args:
        mode: "min" or "max": whether lower or higher metrics are better.
        factor: in [0, 1).
        patience: number of steps without improvement after which the next one reduces the rate, >= 0.
        threshold: the smallest improvement that counts, >= 0, and < 1 for "min" and "rel".
        threshold_mode: "rel", relative to the best value, or "abs".
        cooldown: number of steps after a reduction in which no step counts as bad, >= 0.
        min_lr: the lowest rate, >= 0; one value for all groups or a list.
        eps: reductions of at most this much are skipped, >= 0.
    """

    checks: ClassVar[Checks] = {
        "mode": choice("min", "max"),
        "factor": below_one,
        "patience": at_least(0),
        "threshold": not_negative,
        "threshold_mode": choice("rel", "abs"),
        "cooldown": at_least(0),
        "min_lrs": each(not_negative),
        "eps": not_negative,
        "best": lambda name, value: None if value is None else _finite(name, value),
        "num_bad_epochs": at_least(0),
        "cooldown_counter": at_least(0),
    }
    per_group = ("min_lrs",)
    mode: str
    factor: float
    patience: int
    threshold: float
    threshold_mode: str
    cooldown: int
    min_lrs: list[float]
    eps: float
    best: float | None
    num_bad_epochs: int
    cooldown_counter: int

    def __init__(
        self,
        optimizer: HasGroups,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        self.optimizer = with_groups(optimizer)
        self.base_lrs = self._bases(-1)
        self._set(
            mode=mode,
            factor=factor,
            patience=patience,
            threshold=threshold,
            threshold_mode=threshold_mode,
            cooldown=cooldown,
            min_lrs=per_group("min_lr", min_lr, len(self.base_lrs), not_negative),
            eps=eps,
        )
        self._agree(vars(self))
        self.last_epoch = 0
        self._keep(Run(None, 0, 0, self._now()))

    def rate(self, step: int, base: float) -> float:
        """Raise TypeError: the rate does not depend on the step alone.

        Raises:
            TypeError: always.
        """
        raise TypeError("rate: got ReduceLROnPlateau, want a schedule that depends on the step alone; preview(metrics)")

    def step(self, metrics: SupportsFloat) -> None:  # type: ignore[override]
        """Advance by one step with the next metric."""
        self._advance(metrics)

    def preview(self, metrics: Sequence[SupportsFloat]) -> Float64:  # type: ignore[override]
        """Return the rates now and after each further metric, (len(metrics) + 1, groups); nothing is changed."""
        runs = [Run(self.best, self.num_bad_epochs, self.cooldown_counter, self._now())]
        for metric in metrics:
            runs.append(self.after(runs[-1], metric))
        return np.array([run.rates for run in runs], np.float64)

    def plot(self, metrics: Sequence[SupportsFloat], ax: Axes | None = None) -> Axes:  # type: ignore[override]
        """Draw `preview(metrics)`; see `LRScheduler`."""
        return draw(self.preview(metrics), ax)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """See `LRScheduler`; the rates are the optimizer's, so load its state too."""
        super().load_state_dict(state_dict)

    def fresh(self) -> Run:
        """Return the state with the base rates, before any metric."""
        return Run(None, 0, 0, list(self.base_lrs))

    def after(self, run: Run, metrics: SupportsFloat) -> Run:
        """Return the state after one more metric."""
        best, bad, cooldown, rates = run
        metric = _metric(metrics)
        if self._is_better(metric, best):
            best, bad = metric, 0
        else:
            bad += 1
        if cooldown > 0:
            cooldown, bad = cooldown - 1, 0
        if bad > self.patience:
            lower = [max(rate * self.factor, low) for rate, low in zip(rates, self.min_lrs, strict=True)]
            rates = [new if old - new > self.eps else old for old, new in zip(rates, lower, strict=True)]
            cooldown, bad = self.cooldown, 0
        return Run(best, bad, cooldown, rates)

    def _is_better(self, metric: float, best: float | None) -> bool:
        if not math.isfinite(metric):
            return False
        if best is None:
            return True
        sign = 1.0 if self.mode == "max" else -1.0
        if self.threshold_mode == "abs":
            bound = best + sign * self.threshold
        else:
            bound = best * (1.0 + (sign if best >= 0 else -sign) * self.threshold)
        return metric > bound if self.mode == "max" else metric < bound

    def _base_of(self, lr: float) -> float:
        return lr

    def _agree(self, options: Mapping[str, Any]) -> None:
        super()._agree(options)
        if options["mode"] == "min" and options["threshold_mode"] == "rel" and options["threshold"] >= 1:
            raise ValueError(f"threshold: got {options['threshold']!r}, want a number in [0, 1) for 'min' and 'rel'")

    def _go(self, step: int, metrics: SupportsFloat | None = None) -> None:
        if step == 0:
            run = self.fresh()
        elif metrics is None:
            raise TypeError("metrics: got None, want a number while ReduceLROnPlateau is active; step(metrics)")
        else:
            run = self.after(Run(self.best, self.num_bad_epochs, self.cooldown_counter, self._now()), metrics)
        self._take(step, run.rates)
        self._keep(run)

    def _jump(self, step: int) -> None:
        self.last_epoch = step
        if step == 0:
            self._go(step)

    def _keep(self, run: Run) -> None:
        self.best, self.num_bad_epochs, self.cooldown_counter, self._last_lr = run

    def _now(self) -> list[float]:
        groups = self.optimizer.param_groups
        same_length("base_lrs", self.base_lrs, len(groups))
        return [not_negative(f"lr of param_groups[{i}]", group["lr"]) for i, group in enumerate(groups)]


def _metric(value: Any) -> float:
    scalar = isinstance(value, SupportsFloat) and getattr(value, "shape", ()) == ()
    if not scalar or isinstance(value, bool | str | bytes):
        raise TypeError(f"metrics: got {value!r}, want a number")
    try:
        return float(value)
    except OverflowError:
        raise ValueError("metrics: got an integer too large for a double, want a number") from None


def _finite(name: str, value: Any) -> float:
    if not math.isfinite(_metric(value)):
        raise ValueError(f"{name}: got {value!r}, want a finite number or None")
    return _metric(value)
