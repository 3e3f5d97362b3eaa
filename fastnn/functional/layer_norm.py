"""Layer norm and RMS norm over the trailing axes of each sample, forward and backward."""

from collections.abc import Sequence
from typing import Literal, cast, overload

import numpy as np

from fastnn import _core
from fastnn._checks import integer
from fastnn._types import Array, Float64

__all__ = ["layer_norm", "layer_norm_backward", "rms_norm", "rms_norm_backward"]


@overload
def layer_norm(
    x: Array,
    normalized_shape: int | Sequence[int],
    weight: Array | None = ...,
    bias: Array | None = ...,
    eps: float = ...,
    *,
    out: Array | None = ...,
    return_stats: Literal[False] = ...,
) -> Array: ...
@overload
def layer_norm(
    x: Array,
    normalized_shape: int | Sequence[int],
    weight: Array | None = ...,
    bias: Array | None = ...,
    eps: float = ...,
    *,
    out: Array | None = ...,
    return_stats: Literal[True],
) -> tuple[Array, Float64, Float64]: ...
def layer_norm(
    x: Array,
    normalized_shape: int | Sequence[int],
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    *,
    out: Array | None = None,
    return_stats: bool = False,
) -> Array | tuple[Array, Float64, Float64]:
    """Layer norm y = (x - mean) / sqrt(var + eps) * weight + bias over the trailing `normalized_shape`.

    The variance is biased and computed in two passes. The statistics are float64 for both dtypes.

    Args:
        x: (..., *normalized_shape).
        normalized_shape: the trailing shape that is normalised; an int for one axis.
        weight, bias: normalized_shape, or None for ones and zeros.
        eps: finite, >= 0, added to the variance.
        out: where to write; may be `x`.
        return_stats: also return mean and rstd = 1 / sqrt(var + eps), each of shape (...).

    Source: J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer Normalization", 2016, equation 3.
    """
    result: Array | tuple[Array, Float64, Float64]
    result = _core.layer_norm(x, trailing(normalized_shape), weight, bias, eps, False, return_stats, out)
    return result


def layer_norm_backward(
    dy: Array, x: Array, weight: Array | None, mean: Float64, rstd: Float64, *, out: Array | None = None
) -> tuple[Array, Array, Array]:
    """Return dx, dweight, dbias of `layer_norm`.

    Args:
        dy, x: arrays of the shape of the forward call's x.
        weight: as in forward.
        mean, rstd: as returned by forward with `return_stats=True`.
        out: where to write dx; may be `dy` or `x`.
    """
    return _core.layer_norm_backward(dy, x, weight, mean, rstd, False, out)


@overload
def rms_norm(
    x: Array,
    normalized_shape: int | Sequence[int],
    weight: Array | None = ...,
    eps: float | None = ...,
    *,
    out: Array | None = ...,
    return_stats: Literal[False] = ...,
) -> Array: ...
@overload
def rms_norm(
    x: Array,
    normalized_shape: int | Sequence[int],
    weight: Array | None = ...,
    eps: float | None = ...,
    *,
    out: Array | None = ...,
    return_stats: Literal[True],
) -> tuple[Array, Float64]: ...
def rms_norm(
    x: Array,
    normalized_shape: int | Sequence[int],
    weight: Array | None = None,
    eps: float | None = None,
    *,
    out: Array | None = None,
    return_stats: bool = False,
) -> Array | tuple[Array, Float64]:
    """RMS norm y = x / sqrt(mean(x**2) + eps) * weight over the trailing `normalized_shape`.

    Args:
        x: (..., *normalized_shape).
        normalized_shape, weight, out: as for `layer_norm`.
        eps: finite, >= 0, added to the mean square; None for the machine epsilon of x's dtype.
        return_stats: also return rrms = 1 / sqrt(mean(x**2) + eps), float64, of shape (...).

    Source: B. Zhang, R. Sennrich, "Root Mean Square Layer Normalization", NeurIPS 2019, equation 4.
    """
    if eps is None:
        eps = float(np.finfo(x.dtype).eps) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else 0.0
    y, _, rrms = _core.layer_norm(x, trailing(normalized_shape), weight, None, eps, True, True, out)
    return (y, rrms) if return_stats else y


def rms_norm_backward(
    dy: Array, x: Array, weight: Array | None, rrms: Float64, *, out: Array | None = None
) -> tuple[Array, Array]:
    """Return dx and dweight of `rms_norm`; arguments as in `layer_norm_backward`, with rrms as returned by forward."""
    dx, dweight, _ = _core.layer_norm_backward(dy, x, weight, None, rrms, True, out)
    return dx, dweight


def trailing(normalized_shape: int | Sequence[int]) -> Sequence[int]:
    """Return a shape, given as a shape or as the size of one axis."""
    if type(normalized_shape) is int:  # the two usual types first, at a tenth of what np.ndim takes
        return (normalized_shape,)
    if isinstance(normalized_shape, tuple) or np.ndim(normalized_shape):
        return cast(Sequence[int], normalized_shape)
    return (integer("normalized_shape", normalized_shape),)
