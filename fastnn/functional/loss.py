"""Losses element by element and their gradients, in one call.

All take an input of any shape and a target of the same shape (nothing is broadcast), and return the loss, the gradient
by the input, and with `return_count=True` the number of elements. The loss is summed in float64, in an order that
depends on the size alone. The mean over no element is NaN, the sum 0.
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
    """(input - target)^2, and its gradient.

    Args:
        input, target: any shape, the same.
        reduction: "mean" over all elements, or "sum".
        out: where the gradient goes; may be `input`.
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
    """|input - target|, and its gradient, 0 where they are equal; arguments as in `mse_loss`."""
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
    """With d = input - target, d^2 / 2 where |d| < delta, else delta * (|d| - delta / 2); and its gradient.

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
    """target * (ln target - input), and its gradient: how far e^input is from the distribution `target`.

    Where the target is 0 it adds nothing, also where the input is -infinity (PyTorch has NaN there).

    Args:
        input: logarithms of probabilities.
        target: probabilities, or with `log_target` their logarithms.
        reduction: "mean" over all elements; "sum"; or "batchmean", the sum over the length of the first axis, which is
            the mathematical divergence, and 0 for an empty batch.

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
    """-(pos_weight * target * ln s + (1 - target) * ln(1 - s)) * weight with s = sigmoid(input), and its gradient.

    Args:
        target: probabilities of the positive class, in [0, 1], which is not asked for.
        weight, pos_weight: of the input's shape or its last axes, as (C,) for (N, C); None for ones.
        reduction: "mean" over all elements, whatever they weigh, or "sum".

    The other arguments are as in `mse_loss`.
    """
    done = _core.binary_cross_entropy_with_logits(input, target, weight, reduction, pos_weight, out)
    return done if return_count else done[:2]
