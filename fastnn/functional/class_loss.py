"""Losses over classes; each call returns the loss and its gradient."""

from typing import Any, Literal, overload

import numpy as np

from fastnn import _core
from fastnn._types import Array, Labels

__all__ = ["nll_loss", "softmax_cross_entropy"]

Sum = Literal["mean", "sum"]

_INT64 = np.dtype(np.int64)


@overload
def softmax_cross_entropy(
    logits: Array,
    labels: Labels | Array,
    weight: Array | None = ...,
    ignore_index: int = ...,
    reduction: Sum = ...,
    label_smoothing: float = ...,
    *,
    out: Array | None = ...,
    return_count: Literal[False] = ...,
) -> tuple[float, Array]: ...
@overload
def softmax_cross_entropy(
    logits: Array,
    labels: Labels | Array,
    weight: Array | None = ...,
    ignore_index: int = ...,
    *,
    reduction: Literal["none"],
    label_smoothing: float = ...,
    out: Array | None = ...,
    return_count: Literal[False] = ...,
) -> tuple[Array, Array]: ...
@overload
def softmax_cross_entropy(
    logits: Array,
    labels: Labels | Array,
    weight: Array | None = ...,
    ignore_index: int = ...,
    reduction: Literal["mean", "sum", "none"] = ...,
    label_smoothing: float = ...,
    *,
    out: Array | None = ...,
    return_count: Literal[True],
) -> tuple[Any, Array, int]: ...
def softmax_cross_entropy(
    logits: Array,
    labels: Labels | Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: Literal["mean", "sum", "none"] = "mean",
    label_smoothing: float = 0.0,
    *,
    out: Array | None = None,
    return_count: bool = False,
) -> tuple[Any, ...]:
    """Return -sum over classes of weight * target * log softmax(logits), and its gradient with respect to the logits.

    The target is one-hot for labels, or the given probabilities; `label_smoothing` s makes it (1 - s) * target + s / C.

    Args:
        logits: (N, C), or (N, ..., C) with any number of axes between, as (N, T, C) for sequences. The classes are on
            the last axis, where PyTorch has them on axis 1.
        labels: (N,) or (N, ...), integers in [0, C), of any integer dtype and layout (converted unless they are
            contiguous int64); or probabilities of the logits' shape and dtype, whose sum is not checked.
        weight: (C,), or None for ones.
        ignore_index: a label, in [0, C) or not, whose rows do not count: their loss is 0 and their gradient zeros,
            whatever the logits are. Must be negative with probabilities.
        reduction: "mean" divides the sum by the weights of the labels that count, or by the number of rows for
            probabilities; "sum"; or "none", which returns each row's loss and the gradient of their sum.
        label_smoothing: in [0, 1].
        out: where to write the gradient; may be `logits`.
        return_count: also return the number of rows that count.

    Returns:
        loss: a float; with "none" an array of the labels' shape, (N, ...), and the logits' dtype. If there are no rows
            that count, the mean is NaN and its gradient zeros.
        dlogits: of the logits' shape.
        count: the number of rows that count, only with `return_count`.

    A class whose target is 0 adds nothing, even if its logit is -infinity, where PyTorch returns NaN.

    Raises:
        IndexError: a label is outside [0, C) and not `ignore_index`.
        ValueError: the classes are not on the last axis; the message shows how to move them there.

    Source: I. Goodfellow et al., "Deep learning", 2016, 6.2.2.3; smoothing: C. Szegedy et al., "Rethinking the
    Inception architecture for computer vision", CVPR 2016, section 7.
    """
    done = _core.softmax_cross_entropy(logits, as_int64(labels), weight, ignore_index, reduction, label_smoothing, out)
    return done if return_count else done[:2]


@overload
def nll_loss(
    input: Array,
    target: Labels,
    weight: Array | None = ...,
    ignore_index: int = ...,
    reduction: Sum = ...,
    *,
    out: Array | None = ...,
    return_count: Literal[False] = ...,
) -> tuple[float, Array]: ...
@overload
def nll_loss(
    input: Array,
    target: Labels,
    weight: Array | None = ...,
    ignore_index: int = ...,
    *,
    reduction: Literal["none"],
    out: Array | None = ...,
    return_count: Literal[False] = ...,
) -> tuple[Array, Array]: ...
@overload
def nll_loss(
    input: Array,
    target: Labels,
    weight: Array | None = ...,
    ignore_index: int = ...,
    reduction: Literal["mean", "sum", "none"] = ...,
    *,
    out: Array | None = ...,
    return_count: Literal[True],
) -> tuple[Any, Array, int]: ...
def nll_loss(
    input: Array,
    target: Labels,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: Literal["mean", "sum", "none"] = "mean",
    *,
    out: Array | None = None,
    return_count: bool = False,
) -> tuple[Any, ...]:
    """Return -weight[target] * input[target], reduced over the rows, and its gradient with respect to the input.

    Args:
        input: (N, C) or (N, ..., C), logarithms of probabilities.
        target: (N,) or (N, ...), labels as in `softmax_cross_entropy`.
        out: where to write the gradient; may be `input`.

    The other arguments, results and errors are those of `softmax_cross_entropy`.
    """
    done = _core.nll_loss(input, as_int64(target), weight, ignore_index, reduction, out)
    return done if return_count else done[:2]


def cross_entropy_alone(
    logits: Array, labels: Labels | Array, weight: Array | None, ignore_index: int, reduction: str, smoothing: float
) -> Any:
    """Return the loss of `softmax_cross_entropy` with the same bits, without computing its gradient."""
    return _core.softmax_cross_entropy(
        logits, as_int64(labels), weight, ignore_index, reduction, smoothing, None, gradient=False
    )[0]


def nll_alone(input: Array, target: Labels, weight: Array | None, ignore_index: int, reduction: str) -> Any:
    """Return the loss of `nll_loss` with the same bits, without computing its gradient."""
    return _core.nll_loss(input, as_int64(target), weight, ignore_index, reduction, None, gradient=False)[0]


def as_int64(labels: Any) -> Any:
    """Return integer labels as contiguous int64; anything else is returned unchanged, for the kernels' checks."""
    if not isinstance(labels, np.ndarray) or (labels.dtype == _INT64 and labels.flags.carray):
        return labels
    if labels.dtype.kind not in "iu":
        return labels
    if labels.dtype.kind == "u" and labels.dtype.itemsize == 8:
        labels = np.minimum(labels, np.uint64(2**63 - 1))  # labels too large for int64 must not become negative
    return np.require(labels, np.int64, ("C", "A"))
