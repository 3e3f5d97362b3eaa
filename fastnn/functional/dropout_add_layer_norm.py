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
    """What `dropout_add_layer_norm` gives, and its backward needs.

    `sum` is residual + dropout(x), `y` its norm, `mean` and `rstd` are the norm's statistics, float64 of shape (...).
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

    x is what a sublayer gave and residual what went into it. In a post-norm block (A. Vaswani et al., NIPS 2017) y goes
    on; in a pre-norm block (R. Xiong et al., ICML 2020) `sum` goes on, and y is the next sublayer's input.

    Args:
        x: (..., *normalized_shape).
        residual: like x, or None for zeros.
        normalized_shape: as for `layer_norm`; None leaves the norm out, so that y is the sum.
        weight, bias: as for `layer_norm`; of the last axis' size, and unused, where there is no norm.
        p: probability of dropping, as for `dropout`, whose mask it is; 0 leaves dropout out.
        eps: finite, >= 0, added to the variance.
        training: False leaves dropout out.
        generator: where the mask's bits come from; the default generator if None.
        out: where y goes; may be `x` or `residual`.
        return_stats: return y with all that backward needs. Without residual and dropout `sum` is x itself, which `out`
            must not be then; without a norm mean and rstd are zeros.
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
    """dx, dresidual, dweight, dbias of `dropout_add_layer_norm` with a norm; without one, dx is `dropout_backward(dy)`.

    Args:
        dy, sum: the shape of the forward call's x.
        weight: as in forward.
        mean, rstd, mask: what forward returned with `return_stats=True`.
        dsum: the gradient that came for `sum` itself, in a pre-norm block; None for zeros.
        out: where dresidual goes; may be `dy` or `sum`. Where nothing was dropped dx is that very array.
    """
    drop = (0.0, 0, 0, 0) if mask is None else mask[:4]
    return _core.dropout_add_layer_norm_backward(dy, sum, weight, mean, rstd, *drop, dsum, out)
