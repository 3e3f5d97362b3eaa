"""Metrics of predicted classes: accuracy, precision, recall, F1 and the confusion matrix."""

from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

from fastnn import _core
from fastnn._better import Direction
from fastnn._checks import unmasked
from fastnn._types import Array
from fastnn.functional.class_loss import as_int64
from fastnn.metrics.base import Metric
from fastnn.metrics.outputs import Task, as_binary

Average = Literal["binary", "macro", "micro", "weighted"]
Counts = npt.NDArray[np.int64]


class Classification(Metric):
    """Base class of metrics that compare predicted classes with labels.

    Logits (..., C) predict their largest class; labels are (...) integers, or (..., C) probabilities whose largest
    entry is the label. For a loss of single logits, such as `BCEWithLogitsLoss`, a logit above 0 predicts class 1, and
    labels are 0 and 1 of the same shape.

    Args:
        ignore_index: labels with this value do not count; None takes the loss's `ignore_index`, if it has one.
    """

    better: Direction | None = "max"
    tasks: ClassVar[tuple[Task, ...]] = ("classes", "binary", None)

    def __init__(self, ignore_index: int | None = None) -> None:
        self.ignore_index = ignore_index
        self.task: Task = None
        self.reset()

    def bind(self, loss: Any) -> Self:
        """Take over the loss's task and `ignore_index`."""
        self.task = getattr(loss, "task", None)
        if self.ignore_index is None:
            self.ignore_index = getattr(loss, "ignore_index", None)
        return self

    def check(self, task: Task, output: Array, target: Any) -> None:
        """Raise ValueError unless these are logits and labels, or single logits and labels 0 and 1."""
        super().check(task, output, target)
        self.check_arrays(output, target)
        target, name = np.asarray(target), f"metrics: got {self.name!r} for"
        if task == "binary":
            if output.ndim > 1 and output[0].size > 1 and not self.takes_several:
                raise ValueError(
                    f"{name} {output[0].size} decisions per sample, want one; pass 'f1_macro' or metrics=()"
                )
            as_binary(target)
        elif not _are_classes(output, target) and not (task == "classes" and output.shape == target.shape):
            raise ValueError(f"{name} outputs {output.shape} and targets of {target.dtype} {target.shape}, want logits "
                             "(N, C) and integer labels (N,); pass metrics=() or ones for these targets")  # fmt: skip

    takes_several: ClassVar[bool] = False
    """Whether several single logits of a sample can be measured."""

    def rows(self, output: Array, target: Any) -> tuple[Array, Counts]:
        """Return the outputs as (rows, C), or (rows, 1) for single logits, and the labels (rows,), negative for
        ignored ones."""
        if type(output) is not np.ndarray or type(target) is not np.ndarray:
            unmasked("output", output)
            unmasked("target", target)
            output, target = np.asarray(output), np.asarray(target)
        if target.size != output.size and target.shape != output.shape[:-1]:
            raise ValueError(f"target: got shape {target.shape} for outputs of {output.shape}, want a label for each "
                             "row of logits, or for a single logit; the order is update(output, target)")  # fmt: skip
        if self.task == "binary" or (self.task is None and not _are_classes(output, target)):
            return np.ascontiguousarray(output).reshape(-1, 1), as_binary(target).reshape(-1)
        if target.shape == output.shape:
            target = target.argmax(axis=-1)
        labels = as_int64(target)
        if self.ignore_index is not None and self.ignore_index >= 0:
            labels = np.where(labels == self.ignore_index, -1, labels)
        output = np.ascontiguousarray(output)
        return (output, labels) if output.ndim == 2 else (output.reshape(-1, output.shape[-1]), labels.reshape(-1))


def _are_classes(output: Array, target: npt.NDArray[Any]) -> bool:
    """Return whether these can be logits of at least two classes and integer labels."""
    is_label = target.dtype.kind in "iu" and output.shape[:-1] == target.shape
    return bool(is_label and output.ndim > 1 and output.shape[-1] > 1)


class Accuracy(Classification):
    """The fraction of samples whose predicted class is the label.

    Of several equal maxima the first counts. A row with NaN counts as wrong.
    """

    name = "accuracy"

    def reset(self) -> None:
        """Forget all batches."""
        self._correct = self._samples = 0

    def update(self, output: Array, target: Any) -> None:
        """Add a batch; see `Classification`."""
        rows, labels = self.rows(output, target)
        if rows.shape[1] == 1:
            self._correct += int(((rows[:, 0] > 0) == labels).sum()) - int((np.isnan(rows[:, 0]) & (labels == 0)).sum())
            self._samples += len(labels)
            return
        correct, labelled = _core.count_correct(rows, labels)
        self._correct += correct
        self._samples += len(labels) if self.ignore_index is None else labelled

    def compute(self) -> float:
        """Return the fraction, or NaN without samples."""
        return self._correct / self._samples if self._samples else float("nan")


class ConfusionMatrix(Classification):
    """The number of samples of every label (rows) that are predicted as each class (columns), (C, C) int64.

    It is no single number, so a `Trainer` does not take it; use `update` and `compute`.
    """

    name = "confusion_matrix"
    better = None

    def reset(self) -> None:
        """Forget all batches."""
        self._counts: Counts = np.zeros((0, 0), np.int64)

    def check(self, task: Task, output: Array, target: Any) -> None:
        """Raise ValueError: a history holds numbers."""
        raise ValueError(f"metrics: got {self.name!r}, want metrics of one number; call its update and compute")

    def update(self, output: Array, target: Any) -> None:
        """Add a batch; see `Classification`. A row with NaN is not counted."""
        rows, labels = self.rows(output, target)
        predicted, classes = _predicted(rows)
        counted = (labels >= 0) & (predicted >= 0)
        pairs = labels[counted] * classes + predicted[counted]
        if not self._counts.size:
            self._counts = np.zeros((classes, classes), np.int64)
        self._counts += np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)

    def compute(self) -> Counts:  # type: ignore[override]
        """Return the matrix; (0, 0) without samples."""
        return self._counts


class _ByClass(Classification):
    """Base class of metrics of the hits, predictions and labels of every class."""

    def reset(self) -> None:
        """Forget all batches."""
        self._hits = self._predicted = self._actual = np.zeros(0, np.int64)

    def update(self, output: Array, target: Any) -> None:
        """Add a batch; see `Classification`. A row with NaN predicts no class."""
        unmasked("output", output)
        several = self.takes_several and self.task == "binary" and output.ndim > 1 and output.shape[-1] > 1
        found = _of_columns(output, as_binary(target)) if several else self._of_rows(output, target)
        if not self._hits.size:
            self._hits, self._predicted, self._actual = found
        else:
            self._hits, self._predicted, self._actual = (
                a + b for a, b in zip((self._hits, self._predicted, self._actual), found, strict=True)
            )

    def _of_rows(self, output: Array, target: Any) -> tuple[Counts, Counts, Counts]:
        rows, labels = self.rows(output, target)
        predicted, classes = _predicted(rows)
        predicted = np.where(labels >= 0, predicted, -1)
        hits = labels[(labels == predicted) & (labels >= 0)]
        parts = (hits, predicted[predicted >= 0], labels[labels >= 0])
        first, second, third = (np.bincount(part, minlength=classes) for part in parts)
        return first, second, third


def _of_columns(output: Array, target: Counts) -> tuple[Counts, Counts, Counts]:
    predicted, actual = (output > 0).reshape(-1, output.shape[-1]), target.reshape(-1, output.shape[-1]) == 1
    return (predicted & actual).sum(0), predicted.sum(0), actual.sum(0)


def _predicted(rows: Array) -> tuple[Counts, int]:
    """Return the class of every row, -1 for one with NaN, and the number of classes."""
    single = rows.shape[1] == 1
    classes = (rows[:, 0] > 0).astype(np.int64) if single else rows.argmax(axis=1)
    classes[np.isnan(rows).any(axis=1)] = -1
    return classes, 2 if single else rows.shape[1]


class BalancedAccuracy(_ByClass):
    """The mean over the classes that occur of the fraction of their samples that are predicted."""

    name = "balanced_accuracy"

    def compute(self) -> float:
        """Return the mean, or NaN without samples."""
        occurs = self._actual > 0
        return float((self._hits[occurs] / self._actual[occurs]).mean()) if occurs.any() else float("nan")


class _Averaged(_ByClass):
    """Base class of precision, recall and F1.

    Args:
        average: "binary", the value of class 1 of two; "macro", the mean over the classes that occur or are predicted;
            "weighted", the mean weighted by the labels; "micro", the value of all classes together.
        ignore_index: labels with this value do not count; None takes the loss's `ignore_index`, if it has one.

    A quotient with the divisor 0 is 0, as in scikit-learn. Several single logits of a sample are classes of their own.
    """

    takes_several: ClassVar[bool] = True
    averages: ClassVar[tuple[str, ...]] = ("binary", "macro", "micro", "weighted")

    def __init__(self, average: Average = "binary", ignore_index: int | None = None) -> None:
        if average not in self.averages:
            raise ValueError(f"average: got {average!r}, want one of {list(self.averages)}")
        self.average = average
        self.name = self.name if average == "binary" else f"{self.name}_{average}"
        super().__init__(ignore_index)

    def check(self, task: Task, output: Array, target: Any) -> None:
        """Raise ValueError also if there are more than two classes for the average "binary"."""
        super().check(task, output, target)
        columns = output.shape[-1] if task == "classes" or output.ndim > np.ndim(target) else 2
        if task == "binary":
            columns = 2 if output[0].size == 1 else output.shape[-1]
        if self.average == "binary" and (columns != 2 or (task == "binary" and output[0].size > 1)):
            raise ValueError(f"metrics: got {self.name!r} for {columns} classes, want an average over them; "
                             f"pass '{self.name}_macro', '{self.name}_micro' or '{self.name}_weighted'")  # fmt: skip

    def compute(self) -> float:
        """Return the value, or NaN without samples."""
        hits, predicted, actual = self._hits, self._predicted, self._actual
        if not hits.size:
            return float("nan")
        if self.average == "binary":
            hits, predicted, actual = hits[1:], predicted[1:], actual[1:]
        elif self.average == "micro":
            hits, predicted, actual = (part.sum(keepdims=True) for part in (hits, predicted, actual))
        above, below = self.quotient(hits, predicted, actual)
        values = above / np.maximum(below, 1)
        if self.average == "weighted":
            return float((values * actual).sum() / max(int(actual.sum()), 1))
        occurs = (predicted + actual > 0) if self.average == "macro" and self.task != "binary" else slice(None)
        return float(values[occurs].mean())

    def quotient(self, hits: Counts, predicted: Counts, actual: Counts) -> tuple[Counts, Counts]:
        """Return the dividend and the divisor of every class."""
        raise NotImplementedError


class Precision(_Averaged):
    """The fraction of the predictions of a class that are right; see the arguments of `F1Score`."""

    name = "precision"

    def quotient(self, hits: Counts, predicted: Counts, actual: Counts) -> tuple[Counts, Counts]:
        """Return the hits and the predictions."""
        return hits, predicted


class Recall(_Averaged):
    """The fraction of the samples of a class that are predicted; see the arguments of `F1Score`."""

    name = "recall"

    def quotient(self, hits: Counts, predicted: Counts, actual: Counts) -> tuple[Counts, Counts]:
        """Return the hits and the labels."""
        return hits, actual


class F1Score(_Averaged):
    __doc__ = f"The harmonic mean of precision and recall.\n{str(_Averaged.__doc__).split(chr(10), 1)[1]}"

    name = "f1"

    def quotient(self, hits: Counts, predicted: Counts, actual: Counts) -> tuple[Counts, Counts]:
        """Return twice the hits, and predictions and labels."""
        return 2 * hits, predicted + actual
