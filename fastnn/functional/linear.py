"""The product of a linear layer, with what follows it in the same pass."""

import math
from typing import Any, Literal, NamedTuple, overload

import numpy as np

from fastnn import _core
from fastnn._checks import is_array, not_array
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
            generator, p, training, _elements(x, weight), None,
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
        dy: (..., out_features); it is copied unless it is C-contiguous.
        x, weight, bias, activation, alpha: as in forward.
        saved: what forward returned with `return_saved=True`; not needed without activation and dropout.
        input_grad: False skips dx, which is then None.

    Raises:
        TypeError, ValueError: as for all functions.
        ValueError: `saved` is missing.
    """
    _check_gradient(dy, x, weight, bias)
    dbias = None if bias is None else np.empty_like(bias)
    dz = product_gradient(np.ascontiguousarray(dy), bias, activation, saved, dbias, alpha)
    dweight = _core.matmul(as_matrix(dz).T, as_matrix(x), None)
    return _core.matmul(dz, weight, None) if input_grad else None, dweight, dbias


def _elements(x: Any, weight: Any) -> int:
    """Return the number of elements of the result; 0 for arguments that are then refused."""
    shape, outputs = getattr(x, "shape", ()), getattr(weight, "shape", ())
    return math.prod(shape[:-1]) * outputs[0] if shape and outputs else 0


def _check_gradient(dy: Any, x: Any, weight: Any, bias: Any) -> None:
    """Raise unless the arguments of backward fit each other; the kernels check dtypes."""
    arrays = {"dy": dy, "x": x, "weight": weight} | ({} if bias is None else {"bias": bias})
    for name, array in arrays.items():
        if not is_array(array):
            raise not_array(name, array, "float32 or float64")
    if weight.ndim != 2:
        raise ValueError(f"weight: got shape {weight.shape}, want (out_features, in_features)")
    if x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        raise ValueError(f"x: got shape {x.shape}, want (..., {weight.shape[1]}), the x of forward")
    wanted = {"dy": (*x.shape[:-1], len(weight)), "bias": (len(weight),)}
    for name, shape in wanted.items():
        if name in arrays and (arrays[name].shape != shape or arrays[name].dtype != weight.dtype):
            got = f"{arrays[name].dtype} {arrays[name].shape}"
            raise ValueError(
                f"{name}: got {got}, want {weight.dtype} {shape}; pass what belongs to the call of forward"
            )


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
