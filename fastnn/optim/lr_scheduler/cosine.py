"""Cosine annealing, without and with restarts."""

import math
from typing import ClassVar

from fastnn._checks import not_negative
from fastnn.optim.lr_scheduler.base import HasGroups, LRScheduler, note_steps
from fastnn.optim.lr_scheduler.checks import Checks, at_least


class CosineAnnealingLR(LRScheduler):
    """eta_min + (base - eta_min) * (1 + cos(pi * step / T_max)) / 2; beyond `T_max` the rate climbs again.

    Args:
        T_max: half a period, in steps, >= 1.
        eta_min: the lowest rate, finite, >= 0.

    Source: I. Loshchilov, F. Hutter, "SGDR", ICLR 2017, equation 5, without restarts.
    """

    checks: ClassVar[Checks] = {"T_max": at_least(1), "eta_min": not_negative}
    T_max: int
    eta_min: float

    def __init__(self, optimizer: HasGroups, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self._set(T_max=T_max, eta_min=eta_min)
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, base: float) -> float:
        """See the class."""
        return annealed(base, self.eta_min, step, self.T_max)

    @property
    def scales(self) -> bool:
        """See `LRScheduler`."""
        return self.eta_min == 0


class CosineAnnealingWarmRestarts(LRScheduler):
    """Cosine annealing from base to `eta_min` in `T_0` steps, then restarts, each period `T_mult` times as long.

    Args:
        T_0: steps until the first restart, >= 1.
        T_mult: factor between the lengths of two periods, >= 1.
        eta_min: the lowest rate, finite, >= 0.

    Source: I. Loshchilov, F. Hutter, "SGDR", ICLR 2017, equation 5.
    """

    checks: ClassVar[Checks] = {"T_0": at_least(1), "T_mult": at_least(1), "eta_min": not_negative}
    rebased = False
    T_0: int
    T_mult: int
    eta_min: float

    def __init__(
        self, optimizer: HasGroups, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self._set(T_0=T_0, T_mult=T_mult, eta_min=eta_min)
        super().__init__(optimizer, last_epoch)

    def rate(self, step: float, base: float) -> float:
        """See the class."""
        period = self.T_0
        if self.T_mult == 1:
            step %= period
        while step >= period:
            step -= period
            period *= self.T_mult
        return annealed(base, self.eta_min, step, period)

    def step(self, epoch: float | None = None) -> None:
        """Advance to the next step.

        Args:
            epoch: the step to set instead, which may be fractional; the step after it is floor(epoch) + 1.
        """
        if epoch is None:
            super().step()
        else:
            now = not_negative("epoch", epoch)
            self._take_in_groups()
            self._take(math.floor(now), [self.rate(now, base) for base in self.base_lrs])
            note_steps(self.optimizer)

    @property
    def scales(self) -> bool:
        """See `LRScheduler`."""
        return self.eta_min == 0


def annealed(base: float, eta_min: float, step: float, half_period: int) -> float:
    """Return the rate by equation 5 of SGDR."""
    return eta_min + (base - eta_min) * (1 + math.cos(math.pi * step / half_period)) / 2
