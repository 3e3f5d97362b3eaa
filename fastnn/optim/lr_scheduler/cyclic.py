"""Cycles of the learning rate, and opposite cycles of momentum."""

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, SupportsFloat

from fastnn._checks import below_one, flag, not_negative, positive
from fastnn.optim.lr_scheduler.base import HasGroups, LRScheduler, with_groups
from fastnn.optim.lr_scheduler.checks import Checks, choice, each, function, per_group

CYCLE_CHECKS: Checks = {
    "max_lrs": each(not_negative),
    "cycle_momentum": flag,
    "base_momentums": each(below_one),
    "max_momentums": each(below_one),
}
CYCLE_LISTS = ("max_lrs", "base_momentums", "max_momentums")


class CycleLR(LRScheduler):
    """Base class of schedules with rates per group, which may also set "momentum" or the first of "betas"."""

    max_lrs: list[float]
    cycle_momentum: bool
    base_momentums: list[float]
    max_momentums: list[float]
    rebased = False

    @abstractmethod
    def _momentum(self, group: int, step: int) -> float:
        """Return the momentum of a group after `step` steps."""

    def rate(self, step: int, base: float) -> float:
        """See `LRScheduler`; the groups' base rates have no effect."""
        return self._rate(0, step, base)

    def _set_cycle(
        self, optimizer: HasGroups, max_lr: Any, cycle_momentum: bool, base_momentum: Any, max_momentum: Any
    ) -> None:
        groups = with_groups(optimizer).param_groups
        self._set(
            max_lrs=per_group("max_lr", max_lr, len(groups), not_negative),
            cycle_momentum=cycle_momentum,
            base_momentums=per_group("base_momentum", base_momentum, len(groups), below_one),
            max_momentums=per_group("max_momentum", max_momentum, len(groups), below_one),
        )
        if self.cycle_momentum and not all("momentum" in group or "betas" in group for group in groups):
            raise ValueError(
                "cycle_momentum: got True and an optimizer without it, want 'momentum' or 'betas' in every group; "
                "cycle_momentum=False"
            )

    def _go(self, step: int, metrics: SupportsFloat | None = None) -> None:
        momentums: Sequence[float] = []
        if self.cycle_momentum:
            momentums = [below_one("momentum", self._momentum(i, step)) for i in range(len(self.max_lrs))]
        super()._go(step)
        for group, momentum in zip(self.optimizer.param_groups, momentums, strict=False):
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum


class CyclicLR(CycleLR):
    """Cycles linearly from `base_lr` up to `max_lr` and down again; momentum moves in the opposite direction.

    Args:
        base_lr, max_lr: finite, >= 0; one value for all groups or a list.
        step_size_up, step_size_down: number of steps up and down, > 0; step_size_down is step_size_up by default.
        mode: "triangular": all cycles have the same height; "triangular2": each cycle has half the height of the one
            before; "exp_range": the height is multiplied by gamma ** step.
        gamma: finite, >= 0.
        scale_fn: a function that returns the height, instead of `mode`; not part of the state.
        scale_mode: the argument of `scale_fn`: "cycle", counted from 1, or "iterations", the step, from 0.
        cycle_momentum: False does not change momentum.
        base_momentum, max_momentum: in [0, 1); one value for all groups or a list.

    Source: L. N. Smith, "Cyclical learning rates for training neural networks", WACV 2017, section 3.
    """

    checks: ClassVar[Checks] = {
        **CYCLE_CHECKS,
        "min_lrs": each(not_negative),
        "step_size_up": positive,
        "step_size_down": positive,
        "mode": choice("triangular", "triangular2", "exp_range"),
        "gamma": not_negative,
        "scale_mode": choice("cycle", "iterations"),
    }
    per_group = (*CYCLE_LISTS, "min_lrs")
    min_lrs: list[float]
    step_size_up: float
    step_size_down: float
    mode: str
    gamma: float
    scale_mode: str

    def __init__(
        self,
        optimizer: HasGroups,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[int], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.8,
        max_momentum: float | Sequence[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        self.scale_fn: Callable[[int], float] | None = None if scale_fn is None else function("scale_fn", scale_fn)
        self._set_cycle(optimizer, max_lr, cycle_momentum, base_momentum, max_momentum)
        self._set(
            min_lrs=per_group("base_lr", base_lr, len(self.max_lrs), not_negative),
            step_size_up=step_size_up,
            step_size_down=step_size_up if step_size_down is None else step_size_down,
            mode=mode if scale_fn is None else "triangular",
            gamma=gamma,
            scale_mode=scale_mode,
        )
        super().__init__(optimizer, last_epoch)

    def _initial(self, i: int, group: Mapping[str, Any]) -> Any:
        return group.get("initial_lr", self.min_lrs[i])

    def _rate(self, group: int, step: int, base: float) -> float:
        return self.min_lrs[group] + self._height(step, self.max_lrs[group] - self.min_lrs[group])

    def _momentum(self, group: int, step: int) -> float:
        low, high = self.base_momentums[group], self.max_momentums[group]
        return high - self._height(step, high - low)

    def _height(self, step: int, full: float) -> float:
        total = self.step_size_up + self.step_size_down
        cycle = math.floor(1 + step / total)
        place, peak = 1.0 + step / total - cycle, self.step_size_up / total  # both as fractions of a cycle
        way = place / peak if place <= peak else (place - 1) / (peak - 1)
        return full * way * self._scale(cycle, step)

    def _scale(self, cycle: int, step: int) -> float:
        if self.scale_fn is not None:
            return self.scale_fn(cycle if self.scale_mode == "cycle" else step)
        if self.mode == "triangular2":
            return math.ldexp(1.0, 1 - cycle)
        return math.pow(self.gamma, step) if self.mode == "exp_range" else 1.0
