"""Measures loss and metrics over the batches of an epoch or a data set."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn._better import Direction
from fastnn._trees import Tree, length
from fastnn.metrics.base import Metric, number_from
from fastnn.metrics.named import named
from fastnn.metrics.outputs import Task
from fastnn.training.losses import Losses


class OfOutput(Metric):
    """A metric of one of several outputs.

    Args:
        key: the output's key in the model's result and the targets.
        metric: bound to the loss of this output.
        task: the task of this loss.
    """

    def __init__(self, key: Any, metric: Metric, task: Task) -> None:
        self.key, self.metric, self.task = key, metric, task
        self.name, self.better = f"{key}_{metric.name}", metric.better

    def update(self, output: Tree, target: Tree) -> None:
        """Add a batch."""
        self.metric.update(output[self.key], target[self.key])

    def compute(self) -> float:
        """Return the metric's value."""
        return self.metric.compute()

    def reset(self) -> None:
        """Forget all batches."""
        self.metric.reset()

    def check(self, task: Task, output: Tree, target: Tree) -> None:
        """Raise unless the metric can measure this output."""
        self.metric.check(self.task, output[self.key], target[self.key])

    def state_dict(self) -> dict[str, Any]:
        """Return the metric's state."""
        return self.metric.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict()`."""
        self.metric.load_state_dict(state)


class PartOfLoss(Metric):
    """The mean of one of several losses over all samples, weighted as in this loss, as `Losses.last` has it."""

    better: Direction | None = "min"

    def __init__(self, losses: Losses, key: Any) -> None:
        self.losses, self.key, self.name = losses, key, f"{key}_loss"
        self.reset()

    def __deepcopy__(self, memo: dict[int, Any]) -> "PartOfLoss":
        return PartOfLoss(self.losses, self.key)  # with the same losses, which know the last call

    def update(self, output: Tree, target: Tree) -> None:
        """Add a batch."""
        value, weight = self.losses.last[self.key]
        if weight:
            self._total += value * weight
            self._weight += weight

    def compute(self) -> float:
        """Return the mean; NaN without samples."""
        return self._total / self._weight if self._weight else float("nan")

    def reset(self) -> None:
        """Forget all batches."""
        self._total, self._weight = 0.0, 0.0


def of_trainer(metrics: Any, criterion: Any) -> dict[str, Metric]:
    """Return the metrics of a trainer by name: "auto" stands for those that fit the loss, None for none.

    For several losses, the metrics are a dict from the keys of outputs to metrics, and each loss is measured too.
    """
    if isinstance(criterion, Losses):
        parts: list[Metric] = [PartOfLoss(criterion, key) for key in criterion.losses]
        given = {} if metrics in ("auto", None) else metrics
        if not isinstance(given, Mapping):
            given = dict(enumerate(given)) if len(given) == len(criterion.losses) else given
        if not isinstance(given, Mapping) or given.keys() - criterion.losses.keys():
            raise ValueError(
                f"metrics: got {given!r}, want a dict from the outputs {list(criterion.losses)} to metrics"
            )
        for key, some in given.items():
            loss = criterion.losses[key]
            parts += [OfOutput(key, metric, getattr(loss, "task", None)) for metric in named(some or (), loss).values()]
        return named(parts)
    if isinstance(metrics, Mapping):  # as the attribute `metrics` of a trainer is one
        return {name: _called(name, metric, criterion) for name, metric in metrics.items()}
    if isinstance(metrics, str) and metrics == "auto":
        metrics = ("accuracy",) if getattr(criterion, "task", None) in ("classes", "binary", None) else ()
    return named(() if metrics is None else metrics, criterion)


def _called(name: str, metric: Any, criterion: Any) -> Metric:
    """Return a metric under this name."""
    (found,) = named([metric], criterion).values()
    found.name = name
    return found


class Meter:
    """Gathers the loss, weighted by the weight of each batch, and the metrics, over several batches.

    Of several losses the loss and the weight are arrays, as `batch_loss` returns them.
    """

    def __init__(self, metrics: dict[str, Metric]) -> None:
        self._metrics = metrics
        self.loss: Any = 0.0
        self.weight: Any = 0.0
        self.samples = 0
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        self.loss = self.weight = 0.0
        self.samples = 0
        for metric in self._metrics.values():
            metric.reset()

    def add(self, loss: Any, weight: Any, outputs: Tree, labels: Tree) -> None:
        """Add a batch with this mean loss over samples of this total weight."""
        if isinstance(weight, float):
            self.loss += loss * weight if weight else 0.0
        else:
            self.loss = self.loss + np.multiply(loss, weight, out=np.zeros_like(weight), where=weight > 0)
        self.weight = self.weight + weight
        self.samples += length(labels)
        for metric in self._metrics.values():
            metric.update(outputs, labels)

    @property
    def mean(self) -> float:
        """The mean loss so far; NaN without samples. Of several, it is the sum of those that have samples."""
        if isinstance(self.weight, float):
            return self.loss / self.weight if self.weight else float("nan")
        counted = self.weight > 0
        return float((self.loss[counted] / self.weight[counted]).sum()) if counted.any() else float("nan")

    def logs(self) -> dict[str, float]:
        """Return the mean loss and the metrics so far; NaN without samples."""
        found = {name: metric.compute() if self.samples else math.nan for name, metric in self._metrics.items()}
        return {"loss": self.mean, **{name: number_from(f"{name}.compute", value) for name, value in found.items()}}

    def state_dict(self) -> dict[str, Any]:
        """Return what has been gathered so far."""
        metrics = {name: metric.state_dict() for name, metric in self._metrics.items()}
        return {"loss": self.loss, "weight": self.weight, "samples": self.samples, "metrics": metrics}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict()`."""
        self.loss, self.weight, self.samples = state["loss"], state["weight"], state["samples"]
        for name, metric in self._metrics.items():
            metric.load_state_dict(state["metrics"][name])
