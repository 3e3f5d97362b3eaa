"""What a training measured, by epoch and by step."""

import math
from typing import Any

import numpy as np

from fastnn._better import Better
from fastnn._checks import below_one
from fastnn._types import Float64


class History(dict[str, list[float]]):
    """Name -> a value for every epoch: loss, the metrics, val_ and either of both, lr (of the last step), seconds.

    Training's loss and metrics are those met on the way, averaged over samples. Validation's are NaN for epochs that
    had none, unless no epoch had one.

    Attributes:
        steps: name -> a value for every optimizer step: loss (of its batches; NaN where nothing of them has a weight)
            and lr; what callbacks add.
        validations: name -> a value for every validation, also those within an epoch: step, and what was measured.
    """

    def __init__(self) -> None:
        super().__init__()
        self.steps: dict[str, list[float]] = {"loss": [], "lr": []}
        self.validations: dict[str, list[float]] = {}

    def best_epoch(self, monitor: str = "val_loss", mode: str = "auto") -> int:
        """The epoch, counted from 1, with the best finite value of a metric; 0 where there is none.

        Args:
            monitor: one of the names.
            mode: "min", "max" or "auto", see `Better`.
        """
        is_better, best, at = Better(monitor, mode), math.nan, 0
        for epoch, value in enumerate(self.get(monitor, ()), 1):
            if is_better(value, best):
                best, at = value, epoch
        return at

    def smoothed(self, name: str = "loss", share: float = 0.98) -> Float64:
        """The exponential mean of a curve by step, freed of its start from 0 (D. Kingma, J. Ba, ICLR 2015, section 3).

        NaN stays NaN in its place and is no part of the mean.

        Args:
            name: one of `steps`.
            share: how much of the mean stays at every step, in [0, 1).
        """
        return smoothed(self.steps[name], share)

    def state_dict(self) -> dict[str, Any]:
        """Its curves, as arrays."""
        return {name: {k: np.array(v, np.float64) for k, v in part.items()} for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Have the curves of `state_dict()`, and no other."""
        for name, part in self._parts().items():
            curves = {k: v.tolist() for k, v in state[name].items()}
            part.clear()
            part.update(curves)

    def _parts(self) -> dict[str, dict[str, list[float]]]:
        return {"epochs": self, "steps": self.steps, "validations": self.validations}


def append(curves: dict[str, list[float]], record: dict[str, float]) -> None:
    """Put a value on the end of every curve, so that all stay as long: NaN where the record or the past has none."""
    put(curves, dict.fromkeys(curves, math.nan) | record, max(map(len, curves.values()), default=0))


def put(curves: dict[str, list[float]], record: dict[str, float], n: int) -> None:
    """Put each value of a record behind the n values of its curve; NaN where it has fewer."""
    for name, value in record.items():
        curve = curves.setdefault(name, [])
        curve += [math.nan] * (n - len(curve))
        curve.append(value)


def smoothed(values: list[float] | Float64, share: float) -> Float64:
    """See `History.smoothed`."""
    below_one("share", share, "a number in [0, 1); 0 smooths nothing")
    result = np.empty(len(values), np.float64)
    mean, start = 0.0, 1.0
    for i, value in enumerate(values):
        if not math.isnan(value):
            mean, start = share * mean + (1 - share) * value, share * start
        result[i] = math.nan if math.isnan(value) else mean / (1 - start)
    return result
