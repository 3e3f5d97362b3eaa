"""Losses over classes and their gradients, in one call."""

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
    """-sum over classes of weight * target * log softmax(logits), and its gradient by the logits.

    The target is one at the label, or the probabilities given; with `label_smoothing` s it becomes (1 - s) of that
    and s / C in every class.

    Args:
        logits: (N, C).
        labels: (N,) integers in [0, C), of any integer dtype and layout (what is not contiguous int64 is converted);
            or probabilities, (N, C) of the logits' dtype, whose sum is not asked for.
        weight: (C,), or None for ones.
        ignore_index: a label, in [0, C) or not, whose rows do not count: no loss, and a gradient of zeros whatever the
            logits are. Negative with probabilities.
        reduction: "mean" divides by the weights of the labels that count, with probabilities by N; "sum"; or "none",
            with the gradient of the sum.
        label_smoothing: in [0, 1].
        out: where the gradient goes; may be `logits`.
        return_count: also return the number of rows that count.

    Returns:
        loss: a float; with "none" (N,) of the logits' dtype. The mean over no row, or none that counts, is NaN, and
            its gradient zeros.
        dlogits: (N, C).
        count: with `return_count`.

    A class that is no part of a target adds nothing, also where its logit is -infinity, where PyTorch has NaN.

    Raises:
        IndexError: a label outside [0, C) that is not `ignore_index`.

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
    """-weight[target] * input[target] of each row, and its gradient by the input.

    Args:
        input: (N, C), logarithms of probabilities.
        target: (N,), labels as in `softmax_cross_entropy`.
        out: where the gradient goes; may be `input`.

    The other arguments, what is returned and what is raised are as in `softmax_cross_entropy`.
    """
    done = _core.nll_loss(input, as_int64(target), weight, ignore_index, reduction, out)
    return done if return_count else done[:2]


def as_int64(labels: Any) -> Any:
    """Labels of any integer dtype and layout as the kernels read them; whatever else this is, the border refuses it."""
    if not isinstance(labels, np.ndarray) or (labels.dtype == _INT64 and labels.flags.carray):
        return labels
    if labels.dtype.kind not in "iu":
        return labels
    if labels.dtype.kind == "u" and labels.dtype.itemsize == 8:
        labels = np.minimum(labels, np.uint64(2**63 - 1))  # what int64 cannot hold must not become a negative label
    return np.require(labels, np.int64, ("C", "A"))
