"""The one-cycle policy."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from fastnn._checks import flag, fraction, positive
from fastnn.optim.lr_scheduler.base import HasGroups
from fastnn.optim.lr_scheduler.checks import Checks, at_least, choice
from fastnn.optim.lr_scheduler.cyclic import CYCLE_CHECKS, CYCLE_LISTS, CycleLR


class OneCycleLR(CycleLR):
    """Rises from max_lr / div_factor to `max_lr`, then falls to max_lr / div_factor / final_div_factor.

    Momentum moves in the opposite direction.

    Step `total_steps`, one after the last, keeps the last rate; torch continues along the curve, below 0 if it is
    linear. Any further step raises ValueError.

    Args:
        max_lr: the peak, finite, >= 0; one value for all groups or a list.
        total_steps: >= 1; by default epochs * steps_per_epoch.
        pct_start: the fraction of the steps in which the rate rises, in [0, 1].
        anneal_strategy: "cos" or "linear".
        cycle_momentum: False does not change momentum.
        base_momentum, max_momentum: momentum at the peak and at the ends, in [0, 1); one value for all groups or a
            list.
        div_factor, final_div_factor: > 0.
        three_phase: fall to the first rate in as many steps as the rise took, and to the last rate in the remaining
            ones.

    Source: L. N. Smith, N. Topin, "Super-convergence", 2017; the two-phase form is fastai's.
    """

    checks: ClassVar[Checks] = {
        **CYCLE_CHECKS,
        "total_steps": at_least(1),
        "pct_start": fraction,
        "anneal_strategy": choice("cos", "linear"),
        "div_factor": positive,
        "final_div_factor": positive,
        "three_phase": flag,
    }
    per_group = CYCLE_LISTS
    total_steps: int
    pct_start: float
    anneal_strategy: str
    div_factor: float
    final_div_factor: float
    three_phase: bool

    def __init__(
        self,
        optimizer: HasGroups,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("total_steps: got None, want a number or both of epochs and steps_per_epoch")
            total_steps = at_least(1)("epochs", epochs) * at_least(1)("steps_per_epoch", steps_per_epoch)
        self._set_cycle(optimizer, max_lr, cycle_momentum, base_momentum, max_momentum)
        self._set(
            total_steps=total_steps,
            pct_start=pct_start,
            anneal_strategy=anneal_strategy,
            div_factor=div_factor,
            final_div_factor=final_div_factor,
            three_phase=three_phase,
        )
        super().__init__(optimizer, last_epoch)

    def _initial(self, i: int, group: Mapping[str, Any]) -> Any:
        return self.max_lrs[i] / self.div_factor

    def _rate(self, group: int, step: int, base: float) -> float:
        high = self.max_lrs[group]
        first = high / self.div_factor
        return self._annealed(step, {"first": first, "peak": high, "last": first / self.final_div_factor})

    def _momentum(self, group: int, step: int) -> float:
        high = self.max_momentums[group]
        return self._annealed(step, {"first": high, "peak": self.base_momentums[group], "last": high})

    def _annealed(self, step: int, values: Mapping[str, float]) -> float:
        if step > self.total_steps:
            raise ValueError(f"step: got {step}, want at most total_steps = {self.total_steps}")
        step = min(step, self.total_steps - 1)
        phases = self._phases()
        i = next(i for i, (end, _, _) in enumerate(phases) if step <= end)
        begin = phases[i - 1][0] if i else 0.0
        end, start, goal = phases[i]
        done = (step - begin) / (end - begin) if end > begin else 1.0
        a, b = values[start], values[goal]
        if self.anneal_strategy == "linear":
            return (b - a) * done + a
        return b + (a - b) / 2.0 * (math.cos(math.pi * done) + 1)

    def _phases(self) -> list[tuple[float, str, str]]:
        """Return the last step of each phase and the names of the values at its ends."""
        up, last = self.pct_start * self.total_steps - 1, self.total_steps - 1
        if self.three_phase:
            return [(up, "first", "peak"), (2 * up, "peak", "first"), (last, "first", "last")]
        return [(up, "first", "peak"), (last, "peak", "last")]
