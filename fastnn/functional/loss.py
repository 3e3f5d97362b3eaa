"""Elementwise losses; each call returns the loss and its gradient.

All functions take an input of any shape and a target of the same shape (without broadcasting), and return the loss, its
gradient with respect to the input and, with `return_count=True`, the number of elements. The loss is summed in float64,
in an order that depends only on the size. For an empty input the mean is NaN and the sum 0.
"""

from typing import Any, Literal, overload

from fastnn import _core
from fastnn._types import Array

__all__ = ["binary_cross_entropy_with_logits", "huber_loss", "kl_div", "l1_loss", "mse_loss"]

Reduction = Literal["mean", "sum"]


@overload
def mse_loss(
    input: Array,
    target: Array,
    reduction: Reduction = ...,
    *,
    out: Array | None = ...,
    return_count: Literal[False] = ...,
) -> tuple[float, Array]: ...
@overload
def mse_loss(
    input: Array,
    target: Array,
    reduction: Reduction = ...,
    *,
    out: Array | None = ...,
    return_count: Literal[True],
) -> tuple[float, Array, int]: ...
def mse_loss(
    input: Array,
    target: Array,
    reduction: Reduction = "mean",
    *,
    out: Array | None = None,
    return_count: bool = False,
) -> tuple[Any, ...]:
    """Return the loss (input - target)^2 and its gradient.

    Args:
        input, target: arrays of the same shape.
        reduction: "mean" over all elements, or "sum".
        out: where to write the gradient; may be `input`.
        return_count: also return the number of elements.
    """
    done = _core.mse_loss(input, target, reduction, out)
    return done if return_count else done[:2]


@overload
def l1_loss(
    input: Array,
    target: Array,
    reduction: Reduction = ...,
    *,
    out: Array | None = ...,
    return_count: Literal[False] = ...,
) -> tuple[float, Array]: ...
@overload
def l1_loss(
    input: Array,
    target: Array,
    reduction: Reduction = ...,
    *,
    out: Array | None = ...,
    return_count: Literal[True],
) -> tuple[float, Array, int]: ...
def l1_loss(
    input: Array,
    target: Array,
    reduction: Reduction = "mean",
    *,
    out: Array | None = None,
    return_count: bool = False,
) -> tuple[Any, ...]:
    """Return the loss |input - target| and its gradient, 0 where they are equal; arguments as in `mse_loss`."""
    done = _core.l1_loss(input, target, reduction, out)
    return done if return_count else done[:2]


@overload
def huber_loss(
    input: Array,
    target: Array,
    reduction: Reduction = ...,
    delta: float = ...,
    *,
    out: Array | None = ...,
    return_count: Literal[False] = ...,
) -> tuple[float, Array]: ...
@overload
def huber_loss(
    input: Array,
    target: Array,
    reduction: Reduction = ...,
    delta: float = ...,
    *,
    out: Array | None = ...,
    return_count: Literal[True],
) -> tuple[float, Array, int]: ...
def huber_loss(
    input: Array,
    target: Array,
    reduction: Reduction = "mean",
    delta: float = 1.0,
    *,
    out: Array | None = None,
    return_count: bool = False,
) -> tuple[Any, ...]:
    """Return the loss, d^2 / 2 where |d| < delta, else delta * (|d| - delta / 2), and its gradient; d = input - target.

    Args:
        delta: finite, > 0.

    The other arguments are as in `mse_loss`.

    Source: P. Huber, "Robust estimation of a location parameter", Ann. Math. Stat. 35 (1964).
    """
    done = _core.huber_loss(input, target, reduction, delta, out)
    return done if return_count else done[:2]


@overload
def kl_div(
    input: Array,
    target: Array,
    reduction: Literal["mean", "sum", "batchmean"] = ...,
    log_target: bool = ...,
    *,
    out: Array | None = ...,
    return_count: Literal[False] = ...,
) -> tuple[float, Array]: ...
@overload
def kl_div(
    input: Array,
    target: Array,
    reduction: Literal["mean", "sum", "batchmean"] = ...,
    log_target: bool = ...,
    *,
    out: Array | None = ...,
    return_count: Literal[True],
) -> tuple[float, Array, int]: ...
def kl_div(
    input: Array,
    target: Array,
    reduction: Literal["mean", "sum", "batchmean"] = "mean",
    log_target: bool = False,
    *,
    out: Array | None = None,
    return_count: bool = False,
) -> tuple[Any, ...]:
    """Return the divergence target * (ln target - input) of e^input from the distribution `target`, and its gradient.

    Elements whose target is 0 add nothing, even if the input is -infinity (PyTorch returns NaN there).

    Args:
        input: logarithms of probabilities.
        target: probabilities, or their logarithms with `log_target`.
        reduction: "mean" over all elements; "sum"; or "batchmean", the sum divided by the length of the first axis,
            which is the mathematical divergence; it is 0 for an empty batch.

    The other arguments are as in `mse_loss`.

    Source: S. Kullback, R. Leibler, "On information and sufficiency", Ann. Math. Stat. 22 (1951), equation 2.4.
    """
    done = _core.kl_div(input, target, reduction, log_target, out)
    return done if return_count else done[:2]


@overload
def binary_cross_entropy_with_logits(
    input: Array,
    target: Array,
    weight: Array | None = ...,
    reduction: Reduction = ...,
    pos_weight: Array | None = ...,
    *,
    out: Array | None = ...,
    return_count: Literal[False] = ...,
) -> tuple[float, Array]: ...
@overload
def binary_cross_entropy_with_logits(
    input: Array,
    target: Array,
    weight: Array | None = ...,
    reduction: Reduction = ...,
    pos_weight: Array | None = ...,
    *,
    out: Array | None = ...,
    return_count: Literal[True],
) -> tuple[float, Array, int]: ...
def binary_cross_entropy_with_logits(
    input: Array,
    target: Array,
    weight: Array | None = None,
    reduction: Reduction = "mean",
    pos_weight: Array | None = None,
    *,
    out: Array | None = None,
    return_count: bool = False,
) -> tuple[Any, ...]:
    """The loss -(pos_weight * target * ln s + (1 - target) * ln(1 - s)) * weight, s = sigmoid(input), and its gradient.

    Args:
        target: probabilities of the positive class, in [0, 1]; the range is not checked.
        weight, pos_weight: the input's shape or its trailing axes, as (C,) for (N, C); None for ones.
        reduction: "mean", the sum divided by the number of elements regardless of their weights, or "sum".

    The other arguments are as in `mse_loss`.
    """
    done = _core.binary_cross_entropy_with_logits(input, target, weight, reduction, pos_weight, out)
    return done if return_count else done[:2]
