"""A bias, an activation and dropout in one pass."""

from typing import Literal, overload

import numpy as np

from fastnn import _core
from fastnn._types import Array
from fastnn.functional.dropout import DropoutMask, drawn
from fastnn.random import RandomSource

__all__ = ["bias_activation", "bias_activation_backward"]


@overload
def bias_activation(
    x: Array,
    bias: Array | None = ...,
    activation: str = ...,
    p: float = ...,
    training: bool = ...,
    *,
    alpha: float | None = ...,
    generator: RandomSource | None = ...,
    out: Array | None = ...,
    return_mask: Literal[False] = ...,
) -> Array: ...
@overload
def bias_activation(
    x: Array,
    bias: Array | None = ...,
    activation: str = ...,
    p: float = ...,
    training: bool = ...,
    *,
    alpha: float | None = ...,
    generator: RandomSource | None = ...,
    out: Array | None = ...,
    return_mask: Literal[True],
) -> tuple[Array, DropoutMask]: ...
def bias_activation(
    x: Array,
    bias: Array | None = None,
    activation: str = "gelu",
    p: float = 0.0,
    training: bool = True,
    *,
    alpha: float | None = None,
    generator: RandomSource | None = None,
    out: Array | None = None,
    return_mask: bool = False,
) -> Array | tuple[Array, DropoutMask]:
    """y = dropout(activation(x + bias), p) in one pass over memory, with the bits of the separate functions.

    Args:
        x: (..., C).
        bias: (C,), or None for none.
        activation: identity, relu, leaky_relu, elu, gelu, gelu_tanh, silu, sigmoid, tanh or softplus.
        p: probability of dropping, in [0, 1]; 0 draws no random bits.
        training: False drops nothing.
        alpha: negative_slope of leaky_relu, alpha of elu or beta of softplus; None for their default.
        generator: source of the random bits; None for the default generator.
        out: where to write; may be `x`.
        return_mask: also return the mask that `bias_activation_backward` needs.

    Raises:
        ValueError: as for all functions, and for an unknown activation, or an alpha for an activation without one.
    """
    y, mask = drawn(
        generator, p, training, np.size(x), None,
        lambda mask: _core.bias_activation(x, bias, activation, alpha, *mask[:4], out),
    )  # fmt: skip
    return (y, mask) if return_mask else y


def bias_activation_backward(
    dy: Array,
    x: Array,
    bias: Array | None,
    activation: str = "gelu",
    mask: DropoutMask | None = None,
    *,
    alpha: float | None = None,
    out: Array | None = None,
) -> tuple[Array, Array | None]:
    """Return dx and dbias of `bias_activation`; dbias is None without a bias.

    Args:
        dy, x: arrays of the shape of the forward call's x.
        bias, activation, alpha: as in forward.
        mask: the mask that forward returned with `return_mask=True`; None if nothing was dropped.
        out: where to write dx; may be `dy` or `x`.
    """
    drop = (0.0, 0, 0, 0) if mask is None else mask[:4]
    dbias = None if bias is None else np.empty_like(bias)
    return _core.bias_activation_backward(dy, x, bias, activation, alpha, *drop, out, dbias), dbias
