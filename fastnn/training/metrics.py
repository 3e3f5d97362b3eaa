"""What is measured besides the loss, and the mean of it over samples."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from fastnn import _core
from fastnn._types import Array
from fastnn.functional.class_loss import as_int64

Metric = Callable[[Array, Any], float]
"""(logits, labels) -> the mean over the samples."""


def accuracy(logits: Array, labels: Any) -> float:
    """The share of rows of logits (N, C) whose largest is at the label, (N,), or the largest probability, (N, C).

    Of several that are equal the first is taken. A row with NaN, or with a label that is no class, is wrong.
    """
    labels = as_int64(labels if labels.ndim == 1 else labels.argmax(axis=1))
    return _core.count_correct(np.ascontiguousarray(logits), labels) / len(labels)


NAMED: dict[str, Metric] = {"accuracy": accuracy}


def named(metrics: Iterable[str | Metric]) -> dict[str, Metric]:
    """Metrics by name; a function's is its own.

    Raises:
        ValueError: an unknown name, or the same twice.
        TypeError: neither name nor function.
    """
    result: dict[str, Metric] = {}
    for metric in (metrics,) if isinstance(metrics, str) else metrics:
        if isinstance(metric, str) and metric not in NAMED:
            raise ValueError(f"metrics: got {metric!r}, want one of {sorted(NAMED)} or a function (logits, labels)")
        if not isinstance(metric, str) and not callable(metric):
            raise TypeError(f"metrics: got {type(metric).__name__}, want names or functions (logits, labels)")
        name = metric if isinstance(metric, str) else getattr(metric, "__name__", type(metric).__name__)
        if name.startswith("val_"):
            raise ValueError(f"metrics: got {name!r}, want a name without 'val_', which those of the validation have")
        if name in result or name in ("loss", "lr", "seconds"):
            raise ValueError(f"metrics: got {name!r} twice, want each name of the history once; give the function "
                             "another __name__")  # fmt: skip
        result[name] = NAMED[metric] if isinstance(metric, str) else metric
    return result


class Meter:
    """Loss and metrics of several batches, averaged over what their losses were averaged over, and over samples."""

    def __init__(self, metrics: dict[str, Metric]) -> None:
        self._metrics = metrics
        self.sums = dict.fromkeys(("loss", *metrics), 0.0)
        self.weight, self.samples = 0.0, 0

    def add(self, loss: float, weight: float, logits: Array, labels: Any) -> None:
        """A batch with this mean loss over samples that together weigh `weight`."""
        n, sums = len(labels), self.sums
        if weight:
            sums["loss"] += loss * weight
        self.weight += weight
        self.samples += n
        for name, metric in self._metrics.items():
            sums[name] += metric(logits, labels) * n

    def logs(self) -> dict[str, float]:
        """The means so far; NaN over nothing."""
        return {
            name: total / d if (d := self.weight if name == "loss" else self.samples) else float("nan")
            for name, total in self.sums.items()
        }

    def state_dict(self) -> dict[str, Any]:
        """The sums so far."""
        return {"sums": dict(self.sums), "weight": self.weight, "samples": self.samples}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the sums of `state_dict()`."""
        self.sums, self.weight, self.samples = dict(state["sums"]), state["weight"], state["samples"]
