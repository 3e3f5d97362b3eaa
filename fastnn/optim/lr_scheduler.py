"""Learning-rate schedules, with PyTorch's names, argument order and defaults.

Each is a pure function of the step: `rate(step, base)` gives the learning rate after `step` steps of a group that began
with `base`. So a schedule resumed at any step goes on with the same bits.
"""

import bisect
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

from fastnn.optim.optimizer import Optimizer
from fastnn.optim.options import not_negative


class LRScheduler(ABC):
    """Sets the learning rate of every group of `optimizer`: at once for step `last_epoch + 1`, then at each `step()`.

    Args:
        optimizer: its groups' rates of the moment become the base rates; a group that has "initial_lr" keeps that one.
        last_epoch: the last step already done; -1 at the beginning.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self.step()

    @abstractmethod
    def rate(self, step: int, base: float) -> float:
        """The learning rate after `step` steps of a group whose base rate is `base`."""

    def step(self) -> None:
        """Go on to the next step."""
        self.last_epoch += 1
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = self.rate(self.last_epoch, base)

    def get_last_lr(self) -> list[float]:
        """The rate of each group that the last `step()` set."""
        return [group["lr"] for group in self.optimizer.param_groups]


class LinearLR(LRScheduler):
    """base * factor, the factor going in a straight line from `start_factor` to `end_factor` in `total_iters` steps.

    Args:
        start_factor: in (0, 1].
        end_factor: in [0, 1].
        total_iters: steps until `end_factor` is reached, >= 1.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < not_negative("start_factor", start_factor) <= 1:
            raise ValueError(f"start_factor: got {start_factor!r}, want a number in (0, 1]")
        if not not_negative("end_factor", end_factor) <= 1:
            raise ValueError(f"end_factor: got {end_factor!r}, want a number in [0, 1]")
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = _positive("total_iters", total_iters)
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, base: float) -> float:
        """See the class."""
        done = min(step, self.total_iters) / self.total_iters
        return base * (self.start_factor + (self.end_factor - self.start_factor) * done)


class CosineAnnealingLR(LRScheduler):
    """eta_min + (base - eta_min) * (1 + cos(pi * step / T_max)) / 2.

    Args:
        T_max: half a period, in steps, >= 1.
        eta_min: the lowest rate, finite, >= 0.

    Source: I. Loshchilov, F. Hutter, "SGDR", ICLR 2017, equation 5, without restarts.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max = _positive("T_max", T_max)
        self.eta_min = not_negative("eta_min", eta_min)
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, base: float) -> float:
        """See the class."""
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * step / self.T_max)) / 2


class SequentialLR(LRScheduler):
    """One schedule after another: the i-th begins anew, at its step 0, at `milestones[i - 1]`.

    Args:
        schedulers: schedules of the same optimizer.
        milestones: where each but the first begins; rising.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        if not schedulers or any(s.optimizer is not optimizer for s in schedulers):
            raise ValueError("schedulers: got none or one of another optimizer, want schedules of the optimizer given")
        if len(milestones) != len(schedulers) - 1 or any(
            a >= b for a, b in zip([0, *milestones], milestones, strict=False)
        ):
            raise ValueError(f"milestones: got {list(milestones)}, want {len(schedulers) - 1} rising positive steps")
        self.schedulers, self.milestones = list(schedulers), list(milestones)
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, base: float) -> float:
        """See the class."""
        past = bisect.bisect_right(self.milestones, step)
        begin = self.milestones[past - 1] if past else 0
        return self.schedulers[past].rate(step - begin, base)


def _positive(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}: got {value!r}, want an integer >= 1")
    return value
