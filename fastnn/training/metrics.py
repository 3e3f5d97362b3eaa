"""Metrics, and their means over samples."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from fastnn import _core
from fastnn._types import Array
from fastnn.functional.class_loss import as_int64

Metric = Callable[[Array, Any], float]
"""(logits, labels) -> the mean over the samples."""


def accuracy(logits: Array, labels: Any) -> float:
    """Return the fraction of rows of logits (N, C) whose maximum is at the label.

    Of several equal maxima the first counts. A row with NaN counts as wrong, and so does one whose label is not a
    class.

    Args:
        logits: (N, C).
        labels: (N,) integers, or (N, C) probabilities, whose largest entry gives the label.
    """
    labels = as_int64(labels if labels.ndim == 1 else labels.argmax(axis=1))
    return _core.count_correct(np.ascontiguousarray(logits), labels) / len(labels)


NAMED: dict[str, Metric] = {"accuracy": accuracy}


def named(metrics: Iterable[str | Metric]) -> dict[str, Metric]:
    """Return metrics by name; a function has its own name.

    Raises:
        ValueError: a name is unknown, or occurs twice.
        TypeError: a metric is neither a name nor a function.
    """
    result: dict[str, Metric] = {}
    for metric in (metrics,) if isinstance(metrics, str) else metrics:
        if isinstance(metric, str) and metric not in NAMED:
            raise ValueError(f"metrics: got {metric!r}, want one of {sorted(NAMED)} or a function (logits, labels)")
        if not isinstance(metric, str) and not callable(metric):
            raise TypeError(f"metrics: got {type(metric).__name__}, want names or functions (logits, labels)")
        name = metric if isinstance(metric, str) else getattr(metric, "__name__", type(metric).__name__)
        if name.startswith("val_"):
            raise ValueError(f"metrics: got {name!r}, want a name without 'val_', which marks validation metrics")
        if name in result or name in ("loss", "lr", "seconds"):
            raise ValueError(f"metrics: got {name!r} twice, want each name of the history once; give the function "
                             "another __name__")  # fmt: skip
        result[name] = NAMED[metric] if isinstance(metric, str) else metric
    return result


class Meter:
    """Sums up loss and metrics of several batches: the loss by the weight of each batch, metrics by its samples."""

    def __init__(self, metrics: dict[str, Metric]) -> None:
        self._metrics = metrics
        self.sums = dict.fromkeys(("loss", *metrics), 0.0)
        self.weight, self.samples = 0.0, 0

    def add(self, loss: float, weight: float, logits: Array, labels: Any) -> None:
        """Add a batch with this mean loss over samples of this total weight."""
        n, sums = len(labels), self.sums
        if weight:
            sums["loss"] += loss * weight
        self.weight += weight
        self.samples += n
        for name, metric in self._metrics.items():
            sums[name] += metric(logits, labels) * n

    def logs(self) -> dict[str, float]:
        """Return the means so far; NaN without samples."""
        return {
            name: total / d if (d := self.weight if name == "loss" else self.samples) else float("nan")
            for name, total in self.sums.items()
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the sums so far."""
        return {"sums": dict(self.sums), "weight": self.weight, "samples": self.samples}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from the sums of `state_dict()`."""
        self.sums, self.weight, self.samples = dict(state["sums"]), state["weight"], state["samples"]
