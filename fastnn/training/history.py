"""The record of a training, by epoch, step and validation."""

import math
from typing import Any

import numpy as np

from fastnn._better import Better, Direction
from fastnn._checks import below_one
from fastnn._types import Float64


class History(dict[str, list[float]]):
    """A mapping from names to a value for every epoch.

    The names are "loss", those of the metrics, the same with "val_" before them, "lr" (of the last step) and "seconds".
    Loss and metrics of the training are measured along the way and averaged over samples. Those of the validation are
    NaN for epochs without one, unless no epoch had one. An epoch that ends before its last batch, as by `max_steps` or
    Ctrl-C, has a record of its batches, with its last validation if there was one.

    Attributes:
        steps: name -> a value for every optimizer step: "loss" (NaN if none of its samples has a weight), "lr", and
            the values that callbacks add.
        validations: name -> a value for every validation, also within an epoch: "step" and the results.
        directions: name -> whether "min" or "max" is better, for the metrics that say so.
    """

    def __init__(self) -> None:
        super().__init__()
        self.steps: dict[str, list[float]] = {"loss": [], "lr": []}
        self.validations: dict[str, list[float]] = {}
        self.directions: dict[str, Direction | None] = {}

    @property
    def epochs(self) -> int:
        """The number of epochs that are recorded."""
        return max(map(len, self.values()), default=0)

    def best_epoch(self, monitor: str = "val_loss", mode: str = "auto") -> int:
        """Return the epoch, counted from 1, with the best finite value of a metric; 0 if there is none.

        Args:
            monitor: one of the names.
            mode: "min", "max" or "auto" for the metric's own direction.

        Raises:
            ValueError: the mode is "auto" and the metric has no direction.
        """
        is_better, best, at = Better(monitor, mode, known=self.directions), math.nan, 0
        for epoch, value in enumerate(self.get(monitor, ()), 1):
            if is_better(value, best):
                best, at = value, epoch
        return at

    def smoothed(self, name: str = "loss", share: float = 0.98) -> Float64:
        """Return the exponential moving average of a curve by step, corrected for its start from 0.

        NaN stays NaN in its place and does not enter the average.

        Args:
            name: one of `steps`.
            share: the fraction of the average that remains at every step, in [0, 1).

        Source: D. Kingma, J. Ba, ICLR 2015, section 3.
        """
        return smoothed(self.steps[name], share)

    def state_dict(self) -> dict[str, Any]:
        """Return the curves as arrays, and the directions."""
        curves = {name: {k: np.array(v, np.float64) for k, v in part.items()} for name, part in self._parts().items()}
        return curves | {"directions": dict(self.directions)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace all curves by those of `state_dict()`."""
        for name, part in self._parts().items():
            curves = {k: v.tolist() for k, v in state[name].items()}
            part.clear()
            part.update(curves)
        self.directions = dict(state.get("directions", {}))

    def _parts(self) -> dict[str, dict[str, list[float]]]:
        return {"epochs": self, "steps": self.steps, "validations": self.validations}


def append(curves: dict[str, list[float]], record: dict[str, float]) -> None:
    """Append a value to every curve, so that all have the same length: NaN if the record or the past has none."""
    put(curves, dict.fromkeys(curves, math.nan) | record, max(map(len, curves.values()), default=0))


def drop(history: History, epoch: int) -> None:
    """Remove the record of an epoch that ended before its last batch, and now continues; if there is one."""
    if history.epochs < epoch:
        return
    for name, curve in list(history.items()):
        del curve[epoch - 1 :]
        if not curve:
            del history[name]


def put(curves: dict[str, list[float]], record: dict[str, float], n: int) -> None:
    """Append each value of a record after the first n values of its curve, which NaN fills up if it has fewer."""
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
