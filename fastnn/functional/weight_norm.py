"""Weight norm: a weight as the product of a magnitude and a direction, forward and backward."""

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
    """w = g * v / ||v||, with one norm per index of axis `dim`, computed over all other axes.

    Squares are summed in double: float32 values of any size are safe, float64 values up to 1e150. Where ||v|| is 0, w
    is NaN, as in PyTorch.

    Args:
        v: any shape.
        g: of size v.shape[dim] along `dim` and 1 along other axes, as in PyTorch; with `dim=None` of sizes 1, or ().
        dim: an axis of v, not negative; None for one norm over all elements (-1 in PyTorch).
        out: where to write; may be `v`.
        return_norm: also return ||v||, float64, of the shape of g.

    Source: T. Salimans, D. Kingma, "Weight Normalization", NIPS 2016, equation 2.
    """
    w, norm = _core.weight_norm(v, g, dim, out)
    return (w, norm) if return_norm else w


def weight_norm_backward(
    dw: Array, v: Array, g: Array, norm: Float64, dim: int | None = 0, *, out: Array | None = None
) -> tuple[Array, Array]:
    """Return dv and dg of `weight_norm`: dg = dw . v / ||v||, dv = g / ||v|| * dw - g * dg / ||v||^2 * v.

    Args:
        dw, v: arrays of the shape of the forward call's v.
        g, dim: as in forward.
        norm: as returned by forward with `return_norm=True`.
        out: where to write dv; may be `dw` or `v`.

    Source: T. Salimans, D. Kingma, "Weight Normalization", NIPS 2016, equation 3.
    """
    return _core.weight_norm_backward(dw, v, g, norm, dim, out)
