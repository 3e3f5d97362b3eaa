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
    """y = dropout(activation(x + bias), p): the bits of these functions one after the other, in one pass over memory.

    Args:
        x: (..., C).
        bias: (C,), or None for none.
        activation: identity, relu, leaky_relu, elu, gelu, gelu_tanh, silu, sigmoid, tanh or softplus.
        p: probability of dropping, in [0, 1]; with 0 no bits are drawn.
        training: False drops nothing.
        alpha: negative_slope of leaky_relu, alpha of elu, beta of softplus; their default if None.
        generator: where the bits come from; the default generator if None.
        out: where to write; may be `x`.
        return_mask: also return what `bias_activation_backward` needs.

    Raises:
        ValueError: also for another activation, or an alpha for one that has none.
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
    """dx and dbias of `bias_activation`; dbias is None without a bias.

    Args:
        dy, x: the shape of the forward call.
        bias, activation, alpha: as in forward.
        mask: what forward returned with `return_mask=True`; None if nothing was dropped.
        out: where dx goes; may be `dy` or `x`.
    """
    drop = (0.0, 0, 0, 0) if mask is None else mask[:4]
    return _core.bias_activation_backward(dy, x, bias, activation, alpha, *drop, out)
