"""Schedules defined by the user: functions and tables."""

import bisect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from fastnn._checks import not_negative
from fastnn.optim.lr_scheduler.base import HasGroups, LRScheduler, with_groups
from fastnn.optim.lr_scheduler.checks import Checks, at_least, each, function, per_group, sorted_steps


class LambdaLR(LRScheduler):
    """base * lr_lambda(step).

    Args:
        lr_lambda: a function of the step alone, or a list of them, one per group; not part of the state.
    """

    rebased = False

    per_group = ("lr_lambdas",)

    def __init__(
        self,
        optimizer: HasGroups,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        count = len(with_groups(optimizer).param_groups)
        self.lr_lambdas: list[Callable[[int], float]] = per_group("lr_lambda", lr_lambda, count, function)
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, base: float) -> float:
        """See `LRScheduler`."""
        return self._rate(0, step, base)

    def _rate(self, group: int, step: int, base: float) -> float:
        return base * self.lr_lambdas[group](step)

    @property
    def scales(self) -> bool:
        """See `LRScheduler`."""
        return True


class ManualLR(LRScheduler):
    """The rate of the last table entry whose step has been reached; base before the first one.

    Args:
        table: step >= 0 -> rate, finite and >= 0; at least one entry.
    """

    checks: ClassVar[Checks] = {"epochs": sorted_steps, "values": each(not_negative)}
    epochs: list[int]
    values: list[float]

    def __init__(self, optimizer: HasGroups, table: Mapping[int, float], last_epoch: int = -1) -> None:
        if not isinstance(table, Mapping) or not table:
            raise TypeError(f"table: got {table!r}, want a dict from steps to rates, with at least one entry")
        for epoch, value in table.items():
            at_least(0)("a step of table", epoch)
            not_negative(f"table[{epoch}]", value)
        epochs = sorted(table)
        self._set(epochs=epochs, values=[table[epoch] for epoch in epochs])
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, base: float) -> float:
        """See the class."""
        past = bisect.bisect_right(self.epochs, step)
        return self.values[past - 1] if past else base

    def _agree(self, options: Mapping[str, Any]) -> None:
        super()._agree(options)
        if not 0 < len(options["epochs"]) == len(options["values"]):
            raise ValueError(
                f"values: got {len(options['values'])} for {len(options['epochs'])} epochs, want as many, >= 1"
            )
