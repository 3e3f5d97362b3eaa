"""Metrics by name."""

import copy
import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from fastnn._checks import ordered
from fastnn._words import nearest
from fastnn.metrics.base import Function, FunctionMetric, Metric, try_out
from fastnn.metrics.classification import Accuracy, BalancedAccuracy, F1Score, Precision, Recall
from fastnn.metrics.outputs import Task
from fastnn.metrics.ranking import ROCAUC, AveragePrecision, LogLoss, Perplexity, TopKAccuracy
from fastnn.metrics.regression import MeanAbsoluteError, MeanSquaredError, R2Score, RootMeanSquaredError

_AVERAGED: dict[str, Any] = {"precision": Precision, "recall": Recall, "f1": F1Score}

NAMED: dict[str, Callable[[], Metric]] = {
    "accuracy": Accuracy,
    "balanced_accuracy": BalancedAccuracy,
    **_AVERAGED,
    **{f"{name}_{how}": partial(kind, how) for name, kind in _AVERAGED.items()
       for how in ("macro", "micro", "weighted")},
    "roc_auc": ROCAUC,
    "average_precision": AveragePrecision,
    "log_loss": LogLoss,
    "perplexity": Perplexity,
    "r2": R2Score,
    "mae": MeanAbsoluteError,
    "mse": MeanSquaredError,
    "rmse": RootMeanSquaredError,
}  # fmt: skip
"""The metrics that a name stands for; "top_5_accuracy", with any number, stands for `TopKAccuracy(5)`."""

RESERVED = ("loss", "lr", "seconds")


def named(metrics: str | Metric | Function | Iterable[str | Metric | Function], loss: Any = None) -> dict[str, Metric]:
    """Return new metrics by their names, each bound to the loss; an object is copied, so that its own state stays.

    Raises:
        ValueError: a name is unknown, or occurs twice.
        TypeError: a metric is neither a name, an object with `update`, `compute` and `reset`, nor a function.
    """
    ordered("metrics", metrics)
    single = isinstance(metrics, str) or callable(metrics) or hasattr(metrics, "update")
    if not single and not isinstance(metrics, Iterable):
        raise TypeError(f"metrics: got {type(metrics).__name__}, want names, metrics or functions (outputs, targets)")
    result: dict[str, Metric] = {}
    for given in [metrics] if single else list(metrics):  # type: ignore[arg-type]
        metric = _metric(given).bind(loss)
        if metric.name.startswith("val_"):
            raise ValueError(
                f"metrics: got {metric.name!r}, want a name without 'val_', which marks validation metrics"
            )
        if metric.better not in ("min", "max", None):
            raise ValueError(f"metrics: got {metric.name!r} with better = {metric.better!r}, want 'min', 'max' or None")
        if metric.name in result or metric.name in RESERVED:
            raise ValueError(f"metrics: got {metric.name!r} twice, want each name of the history once; give the "
                             "function another __name__, the object another name")  # fmt: skip
        result[metric.name] = metric
    return result


def _metric(given: Any) -> Metric:
    if isinstance(given, str):
        if found := re.fullmatch(r"top_([1-9][0-9]*)_accuracy", given):
            return TopKAccuracy(int(found[1]))
        if given not in NAMED:
            near = nearest(given, NAMED)
            remedy = f"; write {near!r}" if near in NAMED else ""
            raise ValueError(f"metrics: got {given!r}, want one of {sorted(NAMED)}, a metric, or a function (outputs, "
                             f"targets){remedy}")  # fmt: skip
        return NAMED[given]()
    if isinstance(given, type):
        raise TypeError(f"metrics: got the class {given.__name__}, want an object; write {given.__name__}()")
    if isinstance(given, Metric):
        metric = copy.deepcopy(given)
        metric.name = metric.name or type(given).__name__
        return metric
    if all(hasattr(given, name) for name in ("update", "compute", "reset")):
        return _Foreign(given)
    if type(given).__module__ == "sklearn.metrics._scorer":
        raise TypeError(f"metrics: got the scorer {given!r:.80}, which calls an estimator, want a function of labels; "
                        "pass one of sklearn.metrics, with options by functools.partial")  # fmt: skip
    if callable(given):
        return FunctionMetric(given)
    raise TypeError(f"metrics: got {type(given).__name__}, want names, metrics or functions (outputs, targets)")


class _Foreign(Metric):
    """An object with `update`, `compute` and `reset` that is not derived from `Metric`."""

    def __init__(self, given: Any) -> None:
        self._given = copy.deepcopy(given)
        self.name = getattr(given, "name", "") or type(given).__name__
        self.better = getattr(given, "better", None)
        self.update, self.compute, self.reset = self._given.update, self._given.compute, self._given.reset  # type: ignore[method-assign]

    def check(self, task: Task, output: Any, target: Any) -> None:
        """Raise TypeError unless the object returns one number."""
        try_out(self, output, target)

    def state_dict(self) -> dict[str, Any]:
        """Return the object's own state, if it says one."""
        return self._given.state_dict() if hasattr(self._given, "state_dict") else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict()`."""
        if state:
            self._given.load_state_dict(state)
