"""Losses over classes: softmax cross-entropy and the negative log-likelihood."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from fastnn import functional as F
from fastnn._checks import fraction, integer, number, unmasked
from fastnn._types import AnyArray, Array, Float64, Labels
from fastnn.functional.class_loss import cross_entropy_alone, nll_alone
from fastnn.nn.loss.base import Loss, first, like, of_samples, weights


class ClassLoss(Loss):
    """Base class of losses over classes, which are the last axis of the output.

    Args:
        weight: (C,), or None for ones.
        ignore_index: a label whose rows do not count.
        reduction: "mean" or "sum".
    """

    task = "classes"
    takes_probabilities: ClassVar[bool]

    def __init__(
        self,
        weight: Array | Sequence[float] | None = None,
        ignore_index: int = -100,
        reduction: Literal["mean", "sum"] = "mean",
    ) -> None:
        super().__init__(reduction)
        self.weight = weights("weight", weight)
        self.ignore_index = integer("ignore_index", ignore_index, -(2**63), want="an integer; -100 if none is ignored")

    def __call__(self, output: Array, target: Labels | Array) -> tuple[float, Array]:
        """Return the loss and its gradient with respect to the output.

        Args:
            output: (N, C) or (N, ..., C), float32 or float64.
            target: (N,) or (N, ...), integers in [0, C); or, for CrossEntropyLoss, probabilities of the output's shape.

        Returns:
            loss: a float; NaN for the mean if there are no labels that count.
            gradient: of the output's shape, the argument of the model's backward.

        Raises:
            IndexError: a label is outside [0, C) and not `ignore_index`.
        """
        loss, gradient = self._losses(output, target, self.reduction)
        return loss, gradient

    def value(self, output: Array, target: Labels | Array) -> float:
        """Return the loss of a call alone, for validation; arguments and errors as for a call.

        The gradient is not computed, which saves half of the memory traffic; the loss has the same bits.
        """
        raise NotImplementedError

    def each(self, output: Array, target: Labels | Array) -> tuple[Array, Array]:
        """Return the loss of every sample, (N,), and the gradient of their sum; arguments as for a call.

        The loss of a sample is the sum over its labels; for the reduction "mean" divided by the sample's count, and 0
        if that is 0. Then sum(counts * each) / sum(counts) is the mean.
        """
        losses, gradient = self._losses(output, target, "none")
        counts = self.counts(target)
        if self.reduction == "sum" or counts is None:  # without counts, all of the labels count alike
            return of_samples(losses, self.reduction == "mean", gradient), gradient
        inverse = np.divide(1, counts, out=np.zeros(len(losses)), where=counts != 0)
        gradient *= inverse.astype(gradient.dtype).reshape(-1, *[1] * (gradient.ndim - 1))
        totals = losses.sum(axis=tuple(range(1, losses.ndim)), dtype=np.float64)
        return (totals * inverse).astype(losses.dtype), gradient

    def counts(self, target: Labels | Array) -> Float64 | None:
        """Return each sample's weight in the mean, (N,), or None for ones.

        It is the number of the sample's labels that are not `ignore_index`, or the sum of their weights. With
        probabilities it is None.

        Raises:
            IndexError: a label has no weight.
        """
        unmasked("labels", target)
        if target.dtype.kind not in "iu":
            return None
        counted = target != self.ignore_index
        if self.weight is None and target.ndim == 1 and counted.all():
            return None
        found = counted.astype(np.float64)
        if self.weight is not None:
            check_labels("target", target, len(self.weight), self.ignore_index)
            found[counted] = self.weight[target[counted]]
        return np.asarray(found.sum(axis=tuple(range(1, found.ndim))))

    def check(self, output: Array, target: Labels | Array, name: str = "target") -> None:
        """Raise unless the targets are labels of classes, or probabilities where the loss takes them; see `Loss.check`.

        Raises:
            TypeError: the targets are no array, or labels are floats or bools.
            ValueError: their shape does not fit that of the output.
            IndexError: a label is outside [0, C) and not `ignore_index`.
        """
        if not isinstance(target, np.ndarray) or target.dtype.kind not in "biuf":
            got = target.dtype if isinstance(target, np.ndarray) else type(target).__name__
            raise TypeError(f"{name}: got {got}, want an array of integers; convert it with np.asarray(y, np.int64)")
        if output.ndim < 2:
            raise ValueError(f"output: got shape {output.shape}, want (N, C), a number for each class; end the model "
                             "with one output for each class, or use BCEWithLogitsLoss for two")  # fmt: skip
        if self.weight is not None and self.weight.shape != output.shape[-1:]:
            raise ValueError(f"weight: got shape {self.weight.shape}, want {output.shape[-1:]}, one for each class; "
                             "give the loss as many as the model has outputs")  # fmt: skip
        if self.takes_probabilities and target.dtype.kind == "f" and target.ndim >= output.ndim:
            return _check_probabilities(name, target, output)
        if target.dtype.kind not in "iu":
            rows = target.shape[1:] == output.shape[1:]
            remedy = "for one-hot rows pass y.argmax(axis=-1)" if rows else "pass y.astype(np.int64)"
            raise TypeError(f"{name}: got {target.dtype}, want integer labels; {remedy}")
        _check_label_shape(name, target, output)
        check_labels(name, target, output.shape[-1], self.ignore_index)

    def _losses(self, output: Array, target: Any, reduction: Any) -> tuple[Any, Array]:
        raise NotImplementedError


class CrossEntropyLoss(ClassLoss):
    """Softmax and cross-entropy in one; see `fastnn.functional.softmax_cross_entropy`, also for the options.

    Args:
        weight: (C,), or None for ones.
        ignore_index: a label whose rows do not count.
        reduction: "mean" or "sum".
        label_smoothing: in [0, 1].

    Raises:
        ValueError: an option is out of range.
        TypeError: ignore_index is not an integer, or the weights are not numbers.
    """

    takes_probabilities = True

    def __init__(
        self,
        weight: Array | Sequence[float] | None = None,
        ignore_index: int = -100,
        reduction: Literal["mean", "sum"] = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, ignore_index, reduction)
        self.label_smoothing = fraction("label_smoothing", number("label_smoothing", label_smoothing))

    def value(self, output: Array, target: Labels | Array) -> float:
        """Return the loss of a call alone; see `ClassLoss.value`."""
        loss: float = cross_entropy_alone(output, *self._arguments(output, target, self.reduction))
        return loss

    def _losses(self, output: Array, target: Any, reduction: Any) -> tuple[Any, Array]:
        loss, gradient = F.softmax_cross_entropy(output, *self._arguments(output, target, reduction))
        return loss, gradient

    def _arguments(self, output: Array, target: Any, reduction: Any) -> tuple[Any, ...]:
        is_row = isinstance(target, np.ndarray) and target.dtype.kind == "f" and target.shape == output.shape
        target, weight = like(output, target) if is_row else target, like(output, self.weight)
        return target, weight, self.ignore_index, reduction, self.label_smoothing


class NLLLoss(ClassLoss):
    """The negative log-likelihood of log-probabilities; see `fastnn.functional.nll_loss`, also for the options.

    Args:
        weight: (C,), or None for ones.
        ignore_index: a label whose rows do not count.
        reduction: "mean" or "sum".

    Raises:
        ValueError: an option is out of range.
        TypeError: ignore_index is not an integer, or the weights are not numbers.
    """

    takes_probabilities = False

    def value(self, output: Array, target: Any) -> float:
        """Return the loss of a call alone; see `ClassLoss.value`."""
        loss: float = nll_alone(output, target, like(output, self.weight), self.ignore_index, self.reduction)
        return loss

    def _losses(self, output: Array, target: Any, reduction: Any) -> tuple[Any, Array]:
        return F.nll_loss(output, target, like(output, self.weight), self.ignore_index, reduction)


def check_labels(name: str, labels: AnyArray, classes: int, ignore_index: int) -> None:
    """Raise IndexError if a label is neither one of the classes nor `ignore_index`."""
    counted = labels != ignore_index
    wrong = ((labels < 0) | (labels >= classes)) & counted
    if not wrong.any():
        return
    low, high = int(labels[counted].min()), int(labels[counted].max())
    if low >= 1 and high == classes:
        shifted = "y - 1" if counted.all() else f"np.where(y == {ignore_index}, y, y - 1)"
        remedy = f"labels are counted from 0: subtract 1, pass {shifted}"
    elif low < 0 and np.isin(labels[counted], (-1, 1)).all():
        remedy = "for two classes, -1 and 1, pass (y == 1).astype(np.int64)"
    elif low < 0:
        remedy = "set ignore_index to a label that is not to count, or correct it"
    else:
        remedy = f"give the model {high + 1} outputs, or correct the labels"
    raise IndexError(f"{name}: got label {first(labels, wrong)}, want one in [0, {classes}): the model's result has "
                     f"{classes} classes; {remedy}")  # fmt: skip


def _check_probabilities(name: str, target: AnyArray, output: AnyArray) -> None:
    if target.shape[1:] != output.shape[1:]:
        column = target.shape[1:] == (*output.shape[1:-1], 1)
        remedy = "for labels pass y[..., 0].astype(np.int64)" if column else "give each class its probability"
        raise ValueError(f"{name}: got shape {target.shape} of {target.dtype}, want {(len(target), *output.shape[1:])} "
                         f"for probabilities; {remedy}")  # fmt: skip
    wrong = ~((target >= 0) & (target <= 1))
    if wrong.any():
        raise ValueError(f"{name}: got {first(target, wrong)}, want probabilities in [0, 1]; for numbers use MSELoss")


def _check_label_shape(name: str, target: AnyArray, output: AnyArray) -> None:
    if target.ndim and target.shape[1:] == output.shape[1:-1]:
        return
    want = (*target.shape[:1], *output.shape[1:-1])
    if target.shape == (*want, 1):
        remedy = "pass y[..., 0]"
    elif target.shape == (*want, output.shape[-1]):
        remedy = "for one-hot rows pass y.argmax(axis=-1)"
    elif target.ndim and output.ndim > 2 and target.shape[1:] == output.shape[2:]:
        remedy = "let the model return the classes on the last axis: np.ascontiguousarray(np.moveaxis(output, 1, -1))"
    else:
        remedy = "give each row of the output one label"
    raise ValueError(f"{name}: got shape {target.shape}, want {want}, one label for each sample of x, since the model "
                     f"returns {('N', *output.shape[1:])}; {remedy}".replace("'N'", "N"))  # fmt: skip
