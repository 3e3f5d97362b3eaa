"""Schedules made of schedules."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, SupportsFloat

import numpy as np

from fastnn._checks import not_negative, ordered
from fastnn._types import Float64
from fastnn.optim.lr_scheduler.base import HasGroups, LRScheduler, draw, with_groups
from fastnn.optim.lr_scheduler.checks import Checks, at_least, rising_steps
from fastnn.optim.lr_scheduler.cosine import CosineAnnealingLR
from fastnn.optim.lr_scheduler.decay import LinearLR
from fastnn.optim.lr_scheduler.manual import ManualLR
from fastnn.optim.lr_scheduler.plateau import ReduceLROnPlateau, Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Composed(LRScheduler):
    """Base class of schedules whose state contains their members' states under "schedulers"."""

    schedulers: list[LRScheduler]

    def state_dict(self) -> dict[str, Any]:
        """See `LRScheduler`."""
        return {**super().state_dict(), "schedulers": [member.state_dict() for member in self.schedulers]}

    def _begins_anew(self) -> bool:
        """Return False: the members have noted the base rates, but for ReduceLROnPlateau, which notes none."""
        return all(isinstance(member, ReduceLROnPlateau) for member in self.schedulers) and super()._begins_anew()

    def _read(self, state: Mapping[str, Any]) -> dict[str, Any]:
        fresh, states = super()._read(state), state["schedulers"]
        if not isinstance(states, list | tuple) or len(states) != len(self.schedulers):
            raise ValueError(f"schedulers: got {states!r}, want a list of {len(self.schedulers)} states")
        parts = [member._read(part) for member, part in zip(self.schedulers, states, strict=True)]
        return {**fresh, "schedulers": parts}

    def _check_lists(self, group: int) -> None:
        for member in self.schedulers:
            member._check_lists(group)

    def _add_group(self, base: float, lr: float) -> None:
        super()._add_group(base, lr)
        for member in self.schedulers:
            member._add_group(base, lr)

    def _restore(self, fresh: dict[str, Any]) -> None:
        for member, part in zip(self.schedulers, fresh.pop("schedulers"), strict=True):
            member._restore(part)
        super()._restore(fresh)


class SequentialLR(Composed):
    """Runs schedules one after another: the i-th one starts, at its step 0, at `milestones[i - 1]`.

    A ReduceLROnPlateau may be among them: it starts with the base rates and no history, and uses the metrics of the
    steps after its milestone. Composed schedules count from their own step 0 like any other; in torch they are off by
    one step as the first member and raise elsewhere.

    Args:
        schedulers: schedules of the same optimizer.
        milestones: the first step of each schedule but the first; increasing, >= 1.
        last_epoch: as in `LRScheduler`. Resume with `load_state_dict` instead at a step of a ReduceLROnPlateau, or if
            schedules were made before a OneCycleLR, which overwrites "initial_lr" as in torch.
    """

    checks: ClassVar[Checks] = {"milestones": rising_steps}
    milestones: list[int]

    def __init__(
        self,
        optimizer: HasGroups,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = with_groups(optimizer)
        self.schedulers = _members(optimizer, schedulers)
        if any(isinstance(member, SequentialLR) and member._plateau for member in self.schedulers):
            raise ValueError(
                "schedulers: got a SequentialLR with a ReduceLROnPlateau in it, want that one flat; list its members"
            )
        self._set(milestones=milestones)
        self._agree(vars(self))
        step = at_least(-1)("last_epoch", last_epoch) + 1
        active, begin = self._active(step)
        if isinstance(active, ReduceLROnPlateau) and step > begin:
            raise ValueError(
                f"last_epoch: got {last_epoch}, a step of ReduceLROnPlateau, whose history it does not hold, want a "
                "step of another; load_state_dict"
            )
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, base: float) -> float:
        """See the class."""
        member, begin = self._active(step)
        return member.rate(step - begin, base)

    def rates(self, step: int) -> list[float]:
        """See `LRScheduler`; each member keeps the base rates that it was made with."""
        member, begin = self._active(step)
        return member.rates(step - begin)

    @property
    def scales(self) -> bool:
        """See `LRScheduler`."""
        return all(member.scales for member in self.schedulers)

    def step(self, metrics: SupportsFloat | None = None) -> None:
        """Advance to the next step.

        Args:
            metrics: the metric for a ReduceLROnPlateau, if it is active; otherwise ignored.
        """
        self._advance(metrics)

    def preview(self, n: int, metrics: Sequence[SupportsFloat] | None = None) -> Float64:
        """Return the rates of steps 0 to n - 1, (n, groups); nothing is changed.

        Args:
            metrics: with a ReduceLROnPlateau among the schedules, the metrics for the n - 1 steps.
        """
        if not self._plateau:
            return super().preview(n)
        n = at_least(0)("n", n)
        if metrics is None or len(metrics) != max(n - 1, 0):
            got = None if metrics is None else len(metrics)
            raise ValueError(f"metrics: got {got}, want {max(n - 1, 0)} of them: one per step but the first")
        rows, run = [], Run(None, 0, 0, [])
        for step in range(n):
            member, begin = self._active(step)
            if isinstance(member, ReduceLROnPlateau):
                run = member.fresh() if step == begin else member.after(run, metrics[step - 1])
            rows.append(run.rates if isinstance(member, ReduceLROnPlateau) else member._valid(step - begin))
        return np.array(rows, np.float64).reshape(n, len(self.base_lrs))

    def plot(self, n: int, ax: Axes | None = None, metrics: Sequence[SupportsFloat] | None = None) -> Axes:
        """Draw `preview(n, metrics)`; see `LRScheduler`."""
        return draw(self.preview(n, metrics), ax)

    @property
    def _plateau(self) -> bool:
        return any(isinstance(member, ReduceLROnPlateau) for member in self.schedulers)

    def _active(self, step: int) -> tuple[LRScheduler, int]:
        past = bisect.bisect_right(self.milestones, step)
        return self.schedulers[past], self.milestones[past - 1] if past else 0

    def _agree(self, options: Mapping[str, Any]) -> None:
        super()._agree(options)
        if len(options["milestones"]) != len(self.schedulers) - 1:
            raise ValueError(
                f"milestones: got {options['milestones']}, want {len(self.schedulers) - 1}, one less than schedulers"
            )

    def _base_of(self, lr: float) -> float:
        return self._active(self.last_epoch)[0]._base_of(lr)

    def _bases(self, last_epoch: int) -> list[float]:
        bases = super()._bases(last_epoch)
        if self.schedulers[0].rebased:
            self.schedulers[0].base_lrs = list(bases)
        return bases

    def _rate(self, group: int, step: int, base: float) -> float:
        member, begin = self._active(step)
        return member._rate(group, step - begin, base)

    def _go(self, step: int, metrics: SupportsFloat | None = None) -> None:
        member, begin = self._active(step)
        member._go(step - begin, metrics)
        self.last_epoch, self._last_lr = step, member.get_last_lr()

    def _jump(self, step: int) -> None:
        begins, ends = [0, *self.milestones], [*self.milestones, step + 1]
        for member, begin, end in zip(self.schedulers, begins, ends, strict=True):
            if begin > step:
                member.last_epoch = -1
            else:
                member._jump(min(step, end - 1) - begin)  # an earlier schedule may have left its momentum
        self.last_epoch, self._last_lr = step, self._active(step)[0].get_last_lr()


class ChainedScheduler(Composed):
    """Multiplies the base rate by the factors of all schedules, which step together.

    Schedules that do not multiply the base rate by a factor raise: CyclicLR, OneCycleLR, ManualLR, ReduceLROnPlateau,
    and an eta_min other than 0. Unlike in torch, LambdaLR and CosineAnnealingWarmRestarts multiply too (torch's discard
    the effect of the schedules before them), and beyond the T_max of a CosineAnnealingLR the other factors remain.

    Args:
        schedulers: schedules of one optimizer, all at the same step.
        optimizer: that optimizer.
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: HasGroups | None = None) -> None:
        self.schedulers = _members(optimizer, schedulers)
        for i, member in enumerate(self.schedulers):
            if not member.scales:
                raise ValueError(
                    f"schedulers[{i}]: got a {type(member).__name__} that does not multiply the base rate, want "
                    "schedules that do; use SequentialLR, or eta_min=0"
                )
        steps = {member.last_epoch for member in self.schedulers}
        if len(steps) > 1:
            raise ValueError(f"schedulers: got steps {sorted(steps)}, want all at the same step")
        super().__init__(self.schedulers[0].optimizer, steps.pop() - 1)

    def rate(self, step: int, base: float) -> float:
        """See the class."""
        return self._rate(0, step, base)

    @property
    def scales(self) -> bool:
        """See `LRScheduler`."""
        return True

    def _rate(self, group: int, step: int, base: float) -> float:
        for member in self.schedulers:
            base *= member._rate(group, step, 1.0)
        return base

    def _go(self, step: int, metrics: SupportsFloat | None = None) -> None:
        super()._go(step)
        for member in self.schedulers:
            member.last_epoch, member._last_lr = step, self.get_last_lr()


def warmup_cosine(
    optimizer: HasGroups, warmup_steps: int, total_steps: int, start_factor: float = 0.01, eta_min: float = 0.0
) -> LRScheduler:
    """Return a schedule: linear from start_factor * base to base, then a cosine down to `eta_min`, then constant.

    Args:
        warmup_steps: the step at which the rate is base, >= 0.
        total_steps: the step at which it is `eta_min`, > warmup_steps.
        start_factor: in (0, 1].
        eta_min: finite, >= 0.
    """
    warmup_steps, total_steps = at_least(0)("warmup_steps", warmup_steps), at_least(1)("total_steps", total_steps)
    if total_steps <= warmup_steps:
        raise ValueError(f"total_steps: got {total_steps}, want more than warmup_steps = {warmup_steps}")
    not_negative("eta_min", eta_min)
    climb = [LinearLR(optimizer, start_factor, 1.0, warmup_steps)] if warmup_steps else []
    descent = CosineAnnealingLR(optimizer, total_steps - warmup_steps, eta_min)
    end = ManualLR(optimizer, {0: eta_min})
    return SequentialLR(optimizer, [*climb, descent, end], [*([warmup_steps] if climb else []), total_steps])


def _members(optimizer: HasGroups | None, schedulers: Iterable[LRScheduler]) -> list[LRScheduler]:
    ordered("schedulers", schedulers)
    members = list(schedulers) if isinstance(schedulers, Iterable) else []
    if not members or not all(isinstance(member, LRScheduler) for member in members):
        raise TypeError(f"schedulers: got {schedulers!r}, want a list of at least one schedule")
    optimizer = members[0].optimizer if optimizer is None else with_groups(optimizer)
    for i, member in enumerate(members):
        if member.optimizer is not optimizer:
            raise ValueError(f"schedulers[{i}]: got a schedule of another optimizer, want all of the same one")
    return members
