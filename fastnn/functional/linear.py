"""The product of a linear layer, with what follows it in the same pass."""

import math
from typing import Literal, NamedTuple, overload

import numpy as np

from fastnn import _core
from fastnn._types import Array
from fastnn.functional.dropout import DropoutMask, drawn
from fastnn.random import RandomSource

__all__ = ["LinearSaved", "linear", "linear_backward"]


class LinearSaved(NamedTuple):
    """What `linear_backward` needs of the forward call: where the activation's gradient is taken, and the mask."""

    at: Array | None
    mask: DropoutMask | None


@overload
def linear(
    x: Array,
    weight: Array,
    bias: Array | None = ...,
    activation: str = ...,
    p: float = ...,
    training: bool = ...,
    *,
    alpha: float | None = ...,
    generator: RandomSource | None = ...,
    out: Array | None = ...,
    return_saved: Literal[False] = ...,
) -> Array: ...
@overload
def linear(
    x: Array,
    weight: Array,
    bias: Array | None = ...,
    activation: str = ...,
    p: float = ...,
    training: bool = ...,
    *,
    alpha: float | None = ...,
    generator: RandomSource | None = ...,
    out: Array | None = ...,
    return_saved: Literal[True],
) -> tuple[Array, LinearSaved]: ...
def linear(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    activation: str = "identity",
    p: float = 0.0,
    training: bool = True,
    *,
    alpha: float | None = None,
    generator: RandomSource | None = None,
    out: Array | None = None,
    return_saved: bool = False,
) -> Array | tuple[Array, LinearSaved]:
    """y = dropout(activation(x @ weight.T + bias), p), with the bits of the separate functions.

    Bias, activation and dropout are applied to each part of the product while it is in the cache.

    Args:
        x: (..., in_features), with any strides.
        weight: (out_features, in_features), with any strides.
        bias: (out_features,), or None for none.
        activation, p, training, alpha, generator: as for `bias_activation`.
        out: where to write, (..., out_features); it must not overlap x or weight.
        return_saved: also return what `linear_backward` needs; with an activation other than ReLU this keeps
            the product itself.
    """
    keep, mask = return_saved and activation not in ("identity", "relu"), None
    if isinstance(p, float) and p == 0:  # nothing to draw
        y = _core.linear(x, weight, bias, activation, alpha, 0.0, 0, 0, 0, out, keep)
    else:
        y, drawn_mask = drawn(
            generator, p, training, np.size(x) // max(1, np.shape(weight)[-1]) * len(weight), None,
            lambda mask: _core.linear(x, weight, bias, activation, alpha, *mask[:4], out, keep),
        )  # fmt: skip
        mask = drawn_mask if drawn_mask.p else None
    if not return_saved:
        result: Array = y
        return result
    y, at = y if keep else (y, y if activation == "relu" else None)
    return y, LinearSaved(at, mask)


def linear_backward(
    dy: Array,
    x: Array,
    weight: Array,
    bias: Array | None = None,
    activation: str = "identity",
    saved: LinearSaved | None = None,
    *,
    alpha: float | None = None,
    input_grad: bool = True,
) -> tuple[Array | None, Array, Array | None]:
    """Return dx, dweight and dbias of `linear`; dbias is None without a bias.

    Args:
        dy: (..., out_features).
        x, weight, bias, activation, alpha: as in forward.
        saved: what forward returned with `return_saved=True`; not needed without activation and dropout.
        input_grad: False skips dx, which is then None.

    Raises:
        ValueError: as for all functions, and if `saved` is missing.
    """
    dbias = None if bias is None else np.empty_like(bias)
    dz = product_gradient(dy, bias, activation, saved, dbias, alpha)
    dweight = _core.matmul(as_matrix(dz).T, as_matrix(x), None)
    return _core.matmul(dz, weight, None) if input_grad else None, dweight, dbias


def as_matrix(x: Array) -> Array:
    """Return x with all axes but the last as one; they may be empty."""
    return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def product_gradient(
    dy: Array, bias: Array | None, activation: str, saved: LinearSaved | None, dbias: Array | None, alpha: float | None
) -> Array:
    """Return the gradient with respect to x @ weight.T; write that with respect to the bias to dbias, unless None."""
    at, mask = (None, None) if saved is None else saved
    if activation == "identity" and mask is None:
        if dbias is not None:
            _core.bias_gradient(dy, dbias)
        return dy
    if at is None and activation != "identity":
        raise ValueError("saved: got None, want what linear(..., return_saved=True) returned with the activation")
    drop = (0.0, 0, 0, 0) if mask is None else mask[:4]
    relu = activation == "relu"  # its gradient is taken at y, which contains the bias
    return _core.bias_activation_backward(
        dy, dy if at is None else at, None if relu else bias, activation, alpha, *drop, None, dbias
    )
