"""Residual, dropout and layer norm in one pass."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, overload

import numpy as np

from fastnn import _core
from fastnn._types import Array, Float64
from fastnn.functional.dropout import DropoutMask, drawn
from fastnn.functional.layer_norm import trailing
from fastnn.random import RandomSource

__all__ = ["NormedSum", "dropout_add_layer_norm", "dropout_add_layer_norm_backward"]


class NormedSum(NamedTuple):
    """The results of `dropout_add_layer_norm`, which its backward needs.

    `sum` is residual + dropout(x), `y` is its layer norm; `mean` and `rstd` are statistics, float64 of shape (...).
    """

    y: Array
    sum: Array
    mean: Float64
    rstd: Float64
    mask: DropoutMask


@overload
def dropout_add_layer_norm(
    x: Array,
    residual: Array | None = ...,
    normalized_shape: int | Sequence[int] | None = ...,
    weight: Array | None = ...,
    bias: Array | None = ...,
    p: float = ...,
    eps: float = ...,
    training: bool = ...,
    *,
    generator: RandomSource | None = ...,
    out: Array | None = ...,
    return_stats: Literal[False] = ...,
) -> Array: ...
@overload
def dropout_add_layer_norm(
    x: Array,
    residual: Array | None = ...,
    normalized_shape: int | Sequence[int] | None = ...,
    weight: Array | None = ...,
    bias: Array | None = ...,
    p: float = ...,
    eps: float = ...,
    training: bool = ...,
    *,
    generator: RandomSource | None = ...,
    out: Array | None = ...,
    return_stats: Literal[True],
) -> NormedSum: ...
def dropout_add_layer_norm(
    x: Array,
    residual: Array | None = None,
    normalized_shape: int | Sequence[int] | None = None,
    weight: Array | None = None,
    bias: Array | None = None,
    p: float = 0.0,
    eps: float = 1e-5,
    training: bool = True,
    *,
    generator: RandomSource | None = None,
    out: Array | None = None,
    return_stats: bool = False,
) -> Array | NormedSum:
    """y = layer_norm(residual + dropout(x, p), normalized_shape, weight, bias), in one pass; each part is optional.

    x is a sublayer's output and residual its input. In a post-norm block (A. Vaswani et al., NIPS 2017) y is passed on;
    in a pre-norm block (R. Xiong et al., ICML 2020) `sum` is passed on and y is the next sublayer's input.

    Args:
        x: (..., *normalized_shape).
        residual: an array like x, or None for zeros.
        normalized_shape: as for `layer_norm`; None omits the norm, so that y is the sum.
        weight, bias: as for `layer_norm`; without a norm they have the last axis's size and are not used.
        p: probability of dropping, with the same mask as `dropout`; 0 omits dropout.
        eps: finite, >= 0, added to the variance.
        training: False omits dropout.
        generator: source of the mask's random bits; None for the default generator.
        out: where to write y; may be `x` or `residual`.
        return_stats: return a `NormedSum`, which backward needs. Without residual and dropout, `sum` is x itself, and
            `out` must then not be x; without a norm, mean and rstd are zeros.
    """
    shape = None if normalized_shape is None else trailing(normalized_shape)
    (y, total, mean, rstd), mask = drawn(
        generator, p, training, np.size(x), None,
        lambda mask: _core.dropout_add_layer_norm(x, residual, shape, weight, bias, *mask[:4], eps, return_stats, out),
    )  # fmt: skip
    return NormedSum(y, total, mean, rstd, mask) if return_stats else y


def dropout_add_layer_norm_backward(
    dy: Array,
    sum: Array,
    weight: Array | None,
    mean: Float64,
    rstd: Float64,
    mask: DropoutMask | None = None,
    *,
    dsum: Array | None = None,
    out: Array | None = None,
) -> tuple[Array, Array, Array, Array]:
    """Return dx, dresidual, dweight and dbias of `dropout_add_layer_norm` with a norm.

    Without a norm, dx is `dropout_backward(dy)`.

    Args:
        dy, sum: arrays of the shape of the forward call's x.
        weight: as in forward.
        mean, rstd, mask: as returned by forward with `return_stats=True`.
        dsum: the gradient with respect to `sum` in a pre-norm block; None for zeros.
        out: where to write dresidual; may be `dy` or `sum`. If nothing was dropped, dx is the same array.
    """
    drop = (0.0, 0, 0, 0) if mask is None else mask[:4]
    return _core.dropout_add_layer_norm_backward(dy, sum, weight, mean, rstd, *drop, dsum, out)
