"""Elementwise losses; each call returns the loss and its gradient.

All functions take an input of any shape and a target of the same shape (without broadcasting), and return the loss, its
gradient with respect to the input and, with `return_count=True`, the number of elements. The loss is a float, summed in
float64 in an order that depends only on the size; for an empty input the mean is NaN and the sum 0. With
`reduction="none"` it is an array of the input's shape and dtype, the loss of each element, and the gradient is that of
their sum.
"""

from typing import Any, Literal, overload

from fastnn import _core
from fastnn._types import Array

__all__ = ["huber_loss", "l1_loss", "mse_loss", "smooth_l1_loss"]

Sum = Literal["mean", "sum"]
Reduction = Literal["mean", "sum", "none"]


@overload
def mse_loss(
    input: Array, target: Array, reduction: Sum = ..., *, out: Array | None = ..., return_count: Literal[False] = ...
) -> tuple[float, Array]: ...
@overload
def mse_loss(
    input: Array,
    target: Array,
    reduction: Literal["none"],
    *,
    out: Array | None = ...,
    return_count: Literal[False] = ...,
) -> tuple[Array, Array]: ...
@overload
def mse_loss(
    input: Array, target: Array, reduction: Reduction = ..., *, out: Array | None = ..., return_count: Literal[True]
) -> tuple[Any, Array, int]: ...
def mse_loss(
    input: Array, target: Array, reduction: Reduction = "mean", *, out: Array | None = None, return_count: bool = False
) -> tuple[Any, ...]:
    """Return the loss (input - target)^2 and its gradient.

    Args:
        input, target: arrays of the same shape.
        reduction: "mean" over all elements, "sum", or "none" for the loss of each element.
        out: where to write the gradient; may be `input`.
        return_count: also return the number of elements.
    """
    done = _core.mse_loss(input, target, reduction, out)
    return done if return_count else done[:2]


@overload
def l1_loss(
    input: Array, target: Array, reduction: Sum = ..., *, out: Array | None = ..., return_count: Literal[False] = ...
) -> tuple[float, Array]: ...
@overload
def l1_loss(
    input: Array,
    target: Array,
    reduction: Literal["none"],
    *,
    out: Array | None = ...,
    return_count: Literal[False] = ...,
) -> tuple[Array, Array]: ...
@overload
def l1_loss(
    input: Array, target: Array, reduction: Reduction = ..., *, out: Array | None = ..., return_count: Literal[True]
) -> tuple[Any, Array, int]: ...
def l1_loss(
    input: Array, target: Array, reduction: Reduction = "mean", *, out: Array | None = None, return_count: bool = False
) -> tuple[Any, ...]:
    """Return the loss |input - target| and its gradient, 0 where they are equal; arguments as in `mse_loss`."""
    done = _core.l1_loss(input, target, reduction, out)
    return done if return_count else done[:2]


@overload
def huber_loss(
    input: Array,
    target: Array,
    reduction: Sum = ...,
    delta: float = ...,
    *,
    out: Array | None = ...,
    return_count: Literal[False] = ...,
) -> tuple[float, Array]: ...
@overload
def huber_loss(
    input: Array,
    target: Array,
    reduction: Literal["none"],
    delta: float = ...,
    *,
    out: Array | None = ...,
    return_count: Literal[False] = ...,
) -> tuple[Array, Array]: ...
@overload
def huber_loss(
    input: Array,
    target: Array,
    reduction: Reduction = ...,
    delta: float = ...,
    *,
    out: Array | None = ...,
    return_count: Literal[True],
) -> tuple[Any, Array, int]: ...
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
def smooth_l1_loss(
    input: Array,
    target: Array,
    reduction: Sum = ...,
    beta: float = ...,
    *,
    out: Array | None = ...,
    return_count: Literal[False] = ...,
) -> tuple[float, Array]: ...
@overload
def smooth_l1_loss(
    input: Array,
    target: Array,
    reduction: Literal["none"],
    beta: float = ...,
    *,
    out: Array | None = ...,
    return_count: Literal[False] = ...,
) -> tuple[Array, Array]: ...
@overload
def smooth_l1_loss(
    input: Array,
    target: Array,
    reduction: Reduction = ...,
    beta: float = ...,
    *,
    out: Array | None = ...,
    return_count: Literal[True],
) -> tuple[Any, Array, int]: ...
def smooth_l1_loss(
    input: Array,
    target: Array,
    reduction: Reduction = "mean",
    beta: float = 1.0,
    *,
    out: Array | None = None,
    return_count: bool = False,
) -> tuple[Any, ...]:
    """Return the loss, d^2 / (2 * beta) where |d| < beta, else |d| - beta / 2, and its gradient; d = input - target.

    It is `huber_loss` with delta = beta, divided by beta.

    Args:
        beta: finite, >= 0; with 0 the loss is `l1_loss`.

    The other arguments are as in `mse_loss`.

    Source: R. Girshick, "Fast R-CNN", ICCV 2015, equation 3.
    """
    done = _core.smooth_l1_loss(input, target, reduction, beta, out)
    return done if return_count else done[:2]
