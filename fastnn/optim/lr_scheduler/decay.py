"""Schedules that multiply the base rate by a factor that depends on the step: decays and warm-ups."""

import bisect
import math
from collections.abc import Iterable
from typing import ClassVar

from fastnn._checks import flag, fraction, not_negative, positive_fraction
from fastnn.optim.lr_scheduler.base import FactorLR, HasGroups
from fastnn.optim.lr_scheduler.checks import Checks, at_least, sorted_steps


class StepLR(FactorLR):
    """base * gamma ** (step // step_size).

    Args:
        step_size: steps between two decays, >= 1.
        gamma: finite, >= 0.
    """

    checks: ClassVar[Checks] = {"step_size": at_least(1), "gamma": not_negative}
    step_size: int
    gamma: float

    def __init__(self, optimizer: HasGroups, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self._set(step_size=step_size, gamma=gamma)
        super().__init__(optimizer, last_epoch)

    def multiple(self, step: int) -> float:
        """See the class."""
        return self.gamma ** (step // self.step_size)


class MultiStepLR(FactorLR):
    """base * gamma ** (number of milestones <= step).

    Args:
        milestones: sorted steps >= 0; one that is listed twice counts twice.
        gamma: finite, >= 0.
    """

    checks: ClassVar[Checks] = {"milestones": sorted_steps, "gamma": not_negative}
    milestones: list[int]
    gamma: float

    def __init__(
        self, optimizer: HasGroups, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self._set(milestones=milestones, gamma=gamma)
        super().__init__(optimizer, last_epoch)

    def multiple(self, step: int) -> float:
        """See the class."""
        return self.gamma ** bisect.bisect_right(self.milestones, step)


class ConstantLR(FactorLR):
    """base * factor for `total_iters` steps, base after them.

    Args:
        factor: in [0, 1]; torch divides by it, so it cannot be 0 there.
        total_iters: >= 1.
    """

    checks: ClassVar[Checks] = {"factor": fraction, "total_iters": at_least(1)}
    factor: float
    total_iters: int

    def __init__(self, optimizer: HasGroups, factor: float = 1 / 3, total_iters: int = 5, last_epoch: int = -1) -> None:
        self._set(factor=factor, total_iters=total_iters)
        super().__init__(optimizer, last_epoch)

    def multiple(self, step: int) -> float:
        """See the class."""
        return self.factor if step < self.total_iters else 1.0


class LinearLR(FactorLR):
    """base * factor, where the factor moves linearly from `start_factor` to `end_factor` in `total_iters` steps.

    Args:
        start_factor: in (0, 1].
        end_factor: in [0, 1].
        total_iters: steps until `end_factor` is reached, >= 1.
    """

    checks: ClassVar[Checks] = {"start_factor": positive_fraction, "end_factor": fraction, "total_iters": at_least(1)}
    start_factor: float
    end_factor: float
    total_iters: int

    def __init__(
        self,
        optimizer: HasGroups,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self._set(start_factor=start_factor, end_factor=end_factor, total_iters=total_iters)
        super().__init__(optimizer, last_epoch)

    def multiple(self, step: int) -> float:
        """See the class."""
        if step >= self.total_iters:
            return self.end_factor
        return self.start_factor + (self.end_factor - self.start_factor) * (step / self.total_iters)


class ExponentialLR(FactorLR):
    """base * gamma ** step.

    Args:
        gamma: finite, >= 0.
    """

    checks: ClassVar[Checks] = {"gamma": not_negative}
    gamma: float

    def __init__(self, optimizer: HasGroups, gamma: float, last_epoch: int = -1) -> None:
        self._set(gamma=gamma)
        super().__init__(optimizer, last_epoch)

    def multiple(self, step: int) -> float:
        """See the class."""
        return self.gamma**step


class PolynomialLR(FactorLR):
    """base * (1 - step / total_iters) ** power, constant from step `total_iters` on.

    Args:
        total_iters: >= 1.
        power: finite, >= 0.
    """

    checks: ClassVar[Checks] = {"total_iters": at_least(1), "power": not_negative}
    total_iters: int
    power: float

    def __init__(self, optimizer: HasGroups, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self._set(total_iters=total_iters, power=power)
        super().__init__(optimizer, last_epoch)

    def multiple(self, step: int) -> float:
        """See the class."""
        return math.pow(1.0 - min(step, self.total_iters) / self.total_iters, self.power)


class InverseTimeLR(FactorLR):
    """base / (1 + rate * step / decay_steps).

    Args:
        rate: finite, >= 0.
        decay_steps: >= 1.
        staircase: round step / decay_steps down to an integer.
    """

    checks: ClassVar[Checks] = {"decay_rate": not_negative, "decay_steps": at_least(1), "staircase": flag}
    decay_rate: float
    decay_steps: int
    staircase: bool

    def __init__(
        self, optimizer: HasGroups, rate: float, decay_steps: int = 1, staircase: bool = False, last_epoch: int = -1
    ) -> None:
        self._set(decay_rate=not_negative("rate", rate), decay_steps=decay_steps, staircase=staircase)
        super().__init__(optimizer, last_epoch)

    def multiple(self, step: int) -> float:
        """See the class."""
        time = step // self.decay_steps if self.staircase else step / self.decay_steps
        return 1 / (1 + self.decay_rate * time)


class InverseSqrtLR(FactorLR):
    """base * min(n / warmup_steps, sqrt(warmup_steps / n)), n = step + 1: a linear rise, then a slow decay.

    Args:
        warmup_steps: the rate is `base` at step warmup_steps - 1; >= 1.

    Source: A. Vaswani et al., "Attention is all you need", 2017, equation 3, scaled so that the peak is `base`.
    """

    checks: ClassVar[Checks] = {"warmup_steps": at_least(1)}
    warmup_steps: int

    def __init__(self, optimizer: HasGroups, warmup_steps: int, last_epoch: int = -1) -> None:
        self._set(warmup_steps=warmup_steps)
        super().__init__(optimizer, last_epoch)

    def multiple(self, step: int) -> float:
        """See the class."""
        n = step + 1
        return n / self.warmup_steps if n < self.warmup_steps else math.sqrt(self.warmup_steps / n)
