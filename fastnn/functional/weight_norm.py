"""A weight as a direction and a magnitude."""

from typing import Literal, overload

from fastnn import _core
from fastnn._types import Array, Float64

__all__ = ["weight_norm", "weight_norm_backward"]


@overload
def weight_norm(
    v: Array, g: Array, dim: int | None = ..., *, out: Array | None = ..., return_norm: Literal[False] = ...
) -> Array: ...
@overload
def weight_norm(
    v: Array, g: Array, dim: int | None = ..., *, out: Array | None = ..., return_norm: Literal[True]
) -> tuple[Array, Float64]: ...
def weight_norm(
    v: Array, g: Array, dim: int | None = 0, *, out: Array | None = None, return_norm: bool = False
) -> Array | tuple[Array, Float64]:
    """w = g * v / ||v||, with a norm for each index of axis `dim`, over all other axes.

    Squares are summed in double: float32 of any size is safe, float64 up to 1e150. Where ||v|| is 0, w is NaN, as in
    PyTorch.

    Args:
        v: any shape.
        g: v.shape[dim] at `dim` and 1 elsewhere, as in PyTorch; with `dim=None` ones only, or ().
        dim: an axis of v, not negative; None for one norm over everything (-1 in PyTorch).
        out: where to write; may be `v`.
        return_norm: also return ||v||, float64, the shape of g.

    Source: T. Salimans, D. Kingma, "Weight Normalization", NIPS 2016, equation 2.
    """
    w, norm = _core.weight_norm(v, g, dim, out)
    return (w, norm) if return_norm else w


def weight_norm_backward(
    dw: Array, v: Array, g: Array, norm: Float64, dim: int | None = 0, *, out: Array | None = None
) -> tuple[Array, Array]:
    """dv, dg of `weight_norm`: dg = dw . v / ||v||, dv = g / ||v|| * dw - g * dg / ||v||^2 * v.

    Args:
        dw, v: the shape of the forward call.
        g, dim: as in forward.
        norm: what forward returned with `return_norm=True`.
        out: where dv goes; may be `dw` or `v`.

    Source: T. Salimans, D. Kingma, "Weight Normalization", NIPS 2016, equation 3.
    """
    return _core.weight_norm_backward(dw, v, g, norm, dim, out)
