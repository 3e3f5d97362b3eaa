"""`Metric`, the base class of all metrics, and metrics made from functions."""

import copy
import functools
import warnings
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from fastnn._better import Direction
from fastnn._checks import is_ours, single, unmasked
from fastnn._trees import Tree, is_tree, leaves, map_leaves
from fastnn._types import Array
from fastnn.metrics.outputs import Task, classes_of, mean_of, probabilities

Function = Callable[[Any, Any], float]
"""(outputs, targets) -> the value over all samples of both."""

SCORES = ("roc_auc", "average_precision", "log_loss", "brier", "top_k_accuracy", "hinge_loss", "d2_log_loss", "ndcg")
"""The functions of scikit-learn with one of these beginnings take probabilities, the others predicted classes."""


class Metric:
    """A number that is measured over all samples of an epoch or a data set, not averaged over batches.

    `update` adds a batch, `compute` returns the value over all batches since `reset`. A metric of your own defines
    these and `better`, and stores numbers and arrays alone in its attributes if checkpoints within an epoch are to
    keep them.

    Attributes:
        better: "max" if larger values are better, "min" if smaller ones are, None if neither is known.
        name: the name in the history.
    """

    better: Direction | None = None
    name: str = ""
    tasks: ClassVar[tuple[Task, ...]] = ("classes", "binary", "regression", "distribution", None)
    """The tasks that the metric can measure, as a loss names them; None for a loss that names none."""

    def update(self, output: Any, target: Any) -> None:
        """Add a batch: the model's outputs (N, ...) and the targets or labels (N, ...); or tuples or dicts of them."""
        raise NotImplementedError(f"{type(self).__name__}: define update(self, output, target)")

    def compute(self) -> float:
        """Return the value over all samples since `reset`; NaN if there are none."""
        raise NotImplementedError(f"{type(self).__name__}: define compute(self)")

    def reset(self) -> None:
        """Forget all batches."""
        raise NotImplementedError(f"{type(self).__name__}: define reset(self)")

    def bind(self, loss: Any) -> Self:
        """Take over what the metric needs to know of the loss, such as `ignore_index`; return the metric."""
        return self

    def check(self, task: Task, output: Any, target: Any) -> None:
        """Raise ValueError unless the metric can measure this task; `output` and `target` are the first samples."""
        if task not in self.tasks:
            raise ValueError(f"metrics: got {self.name!r} for a loss of the task {task!r}, want a metric of that task; "
                             "pass metrics=() or others")  # fmt: skip
        if not is_ours(self):
            try_out(self, output, target)

    def check_arrays(self, output: Any, target: Any) -> None:
        """Raise ValueError for several outputs or targets."""
        if is_tree(output) or is_tree(target):
            raise ValueError(f"metrics: got {self.name!r} for several outputs or targets and one loss, want a metric "
                             "of them; pass metrics=() or a function (outputs, targets)")  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """Return what `update` has gathered so far."""
        found = {name: value for name, value in vars(self).items() if name.startswith("_")}
        return {name: list(value) if isinstance(value, list) else value for name, value in found.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict()`."""
        vars(self).update({name: list(value) if isinstance(value, list) else value for name, value in state.items()})

    def __repr__(self) -> str:
        return self.name


def number_from(name: str, value: Any) -> float:
    """Return what a metric of this name has returned; raise TypeError unless it is one real number."""
    found = single(value)
    if found is None:
        got = "None" if value is None else f"{type(value).__name__} {np.shape(value) or ''}".strip()
        raise TypeError(f"metrics: got {got} from {name}, want one number; return a float")
    return found


def try_out(metric: Metric, output: Any, target: Any) -> None:
    """Raise what a metric of one's own would raise at the end of an epoch, if it returns no number, lacks a method or
    takes other arguments. An error of its own is left to the training: it may need more samples."""
    trial = copy.deepcopy(metric)
    try:
        with np.errstate(all="ignore"):
            trial.reset()
            trial.update(output, target)
            value = trial.compute()
    except NotImplementedError:
        raise
    except Exception:
        return
    number_from(f"{metric.name}.compute", value)


class Gathered(Metric):
    """Base class of metrics that need all samples at once: it keeps a copy of every batch's outputs and targets."""

    def __init__(self) -> None:
        self._outputs: list[Tree] = []
        self._targets: list[Tree] = []

    def update(self, output: Tree, target: Tree) -> None:
        """Keep a copy of a batch."""
        for leaf in leaves(output):
            unmasked("output", leaf)
        for leaf in leaves(target):
            unmasked("target", leaf)
        self._outputs.append(map_leaves(np.array, output))
        self._targets.append(map_leaves(np.array, target))

    def reset(self) -> None:
        """Forget all batches."""
        self._outputs, self._targets = [], []

    def compute(self) -> float:
        """Return the value over all samples since `reset`; NaN if there are none."""
        if not self._outputs:
            return float("nan")
        return self.measure(_joined(self._outputs), _joined(self._targets))

    def measure(self, output: Tree, target: Tree) -> float:
        """Return the value for all samples."""
        raise NotImplementedError


class FunctionMetric(Gathered):
    """A function as a metric; it is called once for all samples.

    A function of `sklearn.metrics` gets the labels first, then what it needs: predicted classes, probabilities, or the
    outputs of a regression. The function's own name decides this, however the metric is called, and tells which values
    are better: "..._score" larger, "..._loss", "..._error" and "..._deviance" smaller. Any other function is called as
    function(outputs, targets); its attribute `better`, "min" or "max", tells which values are better.

    Args:
        function: the function, or a `functools.partial` of it.

    Raises:
        TypeError: at the end of an epoch, the function does not return a number.
    """

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function
        self.task: Task = None
        plain: Any = function
        while isinstance(plain, functools.partial):
            plain = plain.func
        self.own_name = getattr(plain, "__name__", "") or type(plain).__name__
        self.name = getattr(function, "__name__", "") or self.own_name
        self.of_sklearn = (getattr(plain, "__module__", None) or "").startswith("sklearn.metrics")
        self.better = getattr(function, "better", None) or (_direction(self.own_name) if self.of_sklearn else None)

    def bind(self, loss: Any) -> Self:
        """Take over the loss's task."""
        self.task = getattr(loss, "task", None)
        return self

    def check(self, task: Task, output: Tree, target: Tree) -> None:
        """Raise TypeError unless the function returns a number for the first samples.

        A function of scikit-learn may need more samples, or some of every class; if it also raises ValueError for such
        ones, so does this.
        """
        if self.of_sklearn:
            self.check_arrays(mean_of(output) if task == "regression" else output, target)
        try:
            with np.errstate(all="ignore"):
                self.measure(output, map_leaves(np.asarray, target))
        except ValueError:
            if not self.of_sklearn:
                raise
            self._check_task(output, np.asarray(target))

    def _check_task(self, output: Any, target: npt.NDArray[Any]) -> None:
        """Raise ValueError if the function cannot measure the loss's task, whatever the samples are."""
        samples = _samples_of(self.task, output, target)
        if samples is None:
            return
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
                self.measure(*samples)
        except ValueError as error:
            raise ValueError(f"metrics: got {self.name!r} for a loss of the task {self.task!r}, which raises: {error}; "
                             "pass its options with functools.partial, or another metric") from None  # fmt: skip

    def measure(self, output: Tree, target: Tree) -> float:
        """Return the function's value."""
        value = self.function(target, self._prediction(output)) if self.of_sklearn else self.function(output, target)
        return number_from(self.name, value)

    def _prediction(self, output: Array) -> npt.NDArray[Any]:
        if self.task not in ("classes", "binary"):
            prediction: npt.NDArray[Any] = mean_of(output) if self.task == "regression" else output
            return prediction
        if not self.own_name.startswith(SCORES):
            return classes_of(output, self.task)
        found = probabilities(output, self.task)
        return found[:, 1] if found.ndim == 2 and found.shape[1] == 2 and self.task == "classes" else found


def _joined(batches: list[Tree]) -> Tree:
    """Return the samples of all batches."""
    first, *others = batches
    return map_leaves(lambda *parts: np.concatenate(parts), first, *others)


def _samples_of(task: Task, output: Any, target: npt.NDArray[Any]) -> tuple[Array, npt.NDArray[Any]] | None:
    """Return outputs and targets of this task, with samples of every class; None where they are not known."""
    if task == "regression" and isinstance(output, np.ndarray):
        values = np.linspace(0.1, 2.3, 4 * output[0].size, dtype=output.dtype).reshape(4, *output.shape[1:])
        return values[::-1].copy(), values
    if task == "binary" and output.size == len(output):
        labels = np.resize([0, 1], (4, *output.shape[1:]))
        return np.resize([-1, 1, 1, -1], labels.shape).astype(output.dtype), labels
    if task == "classes" and output.ndim == 2 and target.ndim == 1 and target.dtype.kind in "iu":
        labels = np.arange(2 * output.shape[1]) % output.shape[1]
        return np.eye(output.shape[1], dtype=output.dtype)[np.sort(labels)], labels
    return None


def _direction(name: str) -> Direction | None:
    """Return the direction of a function of scikit-learn.

    Source: scikit-learn's user guide, "Metrics and scoring": functions that end with _score return a value to maximise,
    those that end with _error, _loss or _deviance one to minimise.
    """
    if name.endswith(("_error", "_loss", "_deviance")):
        return "min"
    return "max" if name.endswith(("_score", "corrcoef")) else None
