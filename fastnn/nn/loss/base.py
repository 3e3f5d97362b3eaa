"""The base class of losses, and what they share: weights, the losses of samples, checks of shapes."""

import inspect
import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from fastnn._checks import not_array, unmasked
from fastnn._types import FLOATS, AnyArray, Array, Float64

Task = Literal["classes", "binary", "regression", "distribution"]


class Loss:
    """Base class of losses. `loss(output, target)` returns the loss, a float, and its gradient with respect to output.

    Args:
        reduction: "mean" or "sum".

    Attributes:
        task: what the targets are: "classes", labels of classes or their probabilities; "binary", 0 or 1 for each
            output; "regression", real numbers; "distribution", probabilities of all classes.
        reductions: the values that `reduction` may have.

    Raises:
        ValueError: an option is out of range.
    """

    task: ClassVar[Task]
    reductions: ClassVar[tuple[str, ...]] = ("mean", "sum")

    def __init__(self, reduction: str = "mean") -> None:
        if reduction not in self.reductions:
            *others, last = map(repr, self.reductions)
            raise ValueError(f"reduction: got {reduction!r}, want {', '.join(others)} or {last}, since the gradient is "
                             "that of one number; for the loss of each sample call each(output, target)")  # fmt: skip
        self.reduction = reduction

    def __call__(self, output: Any, target: Any) -> tuple[float, Any]:
        """Return the loss and its gradient with respect to the output, the argument of the model's backward."""
        raise NotImplementedError

    def each(self, output: Any, target: Any) -> tuple[Array, Any]:
        """Return the loss of every sample, (N,), and the gradient of their sum; arguments as for a call.

        The loss of a sample is the mean over its elements, or over its labels weighted as in the loss's own mean and 0
        if none counts; with the reduction "sum" it is the sum. The mean of a batch is sum(counts * each) / sum(counts).
        """
        raise NotImplementedError

    def counts(self, target: Any) -> Float64 | None:
        """Return each sample's weight in the mean, (N,), or None for ones."""
        return None

    def check(self, output: Any, target: Any, name: str = "target") -> None:
        """Raise if these cannot be the targets of this loss; made for a check before a training.

        Args:
            output: the model's output for the first samples.
            target: the targets of all samples.
            name: what to call the targets in messages.

        Raises:
            TypeError: the targets are no array, or of a wrong dtype.
            ValueError: their shape does not fit that of the output, or a value is out of range.
            IndexError: a label is none of the classes.
        """
        raise NotImplementedError

    def __repr__(self) -> str:
        shown = []
        for name, parameter in inspect.signature(type(self)).parameters.items():
            value = getattr(self, name)
            if isinstance(value, np.ndarray) or value != parameter.default:
                shown.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


def weights(name: str, value: Array | Sequence[float] | None) -> Array | None:
    """Return weights as an array, unchanged if they are one of float32 or float64; raise unless they are >= 0."""
    if value is None:
        return None
    unmasked(name, value)
    array: AnyArray = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise not_array(name, array, "numeric", "pass numbers")
    if array.dtype not in FLOATS:
        array = array.astype(np.float64)
    wrong = ~(np.isfinite(array) & (array >= 0))
    if wrong.any():
        raise ValueError(f"{name}: got {array[wrong][0]}, want finite numbers >= 0; leave {name} out for ones")
    return array


def like(output: Any, other: Any) -> Any:
    """Return an array of numbers in the dtype of the output; anything else is returned unchanged."""
    arrays = isinstance(output, np.ndarray) and isinstance(other, np.ndarray)
    if not arrays or other.dtype == output.dtype or output.dtype not in FLOATS or other.dtype.kind not in "biuf":
        return other
    return other.astype(output.dtype)


def converted(output: Any, target: Any) -> Any:
    """Return targets in the dtype of the output; raise ValueError if they are an array of another shape."""
    if isinstance(output, np.ndarray) and isinstance(target, np.ndarray):
        check_shape("target", target, output)
    return like(output, target)


def of_samples(losses: Array, is_mean: bool, *gradients: Array) -> Array:
    """Return (N,), the mean or sum of each sample's losses; for the mean the gradients, in place, are divided too."""
    if losses.ndim == 0:
        raise ValueError("output: got shape (), want at least one axis, since axis 0 counts samples; pass "
                         "output.reshape(1)")  # fmt: skip
    totals, size = losses.sum(axis=tuple(range(1, losses.ndim)), dtype=np.float64), math.prod(losses.shape[1:])
    if is_mean and size != 1:
        totals /= size or math.nan
        for gradient in gradients:
            gradient *= gradient.dtype.type(len(losses) / max(losses.size, 1))
    return np.asarray(totals, losses.dtype)


def check_numbers(name: str, target: Any) -> None:
    """Raise TypeError unless target is an array of real numbers."""
    if not isinstance(target, np.ndarray) or target.dtype.kind not in "biuf":
        raise not_array(name, target, "numeric", "convert it with np.asarray(y, np.float32)")
    if target.ndim == 0:
        raise ValueError(f"{name}: got shape (), want one target for each sample; reshape it to (1,)")


def check_shape(name: str, target: AnyArray, output: AnyArray) -> None:
    """Raise ValueError unless the target has the output's axes, the first of any length."""
    if target.ndim == output.ndim and target.shape[1:] == output.shape[1:]:
        return
    want = (*target.shape[:1], *output.shape[1:])
    if target.shape == want[:1] and want[1:] == (1,):
        remedy = "pass y[:, None] or y.reshape(-1, 1)"
    elif target.size == math.prod(want):
        remedy = f"pass y.reshape{(-1, *want[1:]) if len(want) > 1 else '(-1)'}"
    elif target.ndim == 1 and output.ndim == 2 and target.dtype.kind in "iu":
        remedy = "use CrossEntropyLoss for labels, or a model with one output and y[:, None]"
    else:
        remedy = "give the model one output for each number of a target"
    raise ValueError(f"{name}: got shape {target.shape}, want {want} like the model's output, since nothing is "
                     f"broadcast; {remedy}")  # fmt: skip


def first(array: AnyArray, wrong: AnyArray) -> str:
    """Return the first element of an array where `wrong` is true, and its place, in words."""
    place = tuple(int(i) for i in np.unravel_index(int(wrong.argmax()), wrong.shape))
    return f"{array[place]} at row {place[0]}" if len(place) == 1 else f"{array[place]} at {place}"
