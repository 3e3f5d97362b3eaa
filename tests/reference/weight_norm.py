"""Weight norm."""

import numpy as np

from reference.types import Array, Float64, wide


def _over(v: Array, dim: int | None) -> tuple[int, ...]:
    return tuple(axis for axis in range(v.ndim) if axis != dim)


def weight_norm(v: Array, g: Array, dim: int | None = 0) -> tuple[Float64, Float64]:
    """Return w and ||v||. Salimans, Kingma, "Weight Normalization", NIPS 2016, equation 2."""
    norm = np.sqrt((wide(v) ** 2).sum(_over(v, dim), keepdims=True))
    return wide(g) / norm * wide(v), norm.reshape(g.shape)


def weight_norm_backward(dw: Array, v: Array, g: Array, dim: int | None = 0) -> tuple[Float64, Float64]:
    """Return dv and dg. Salimans, Kingma 2016, section 2.1: the gradient is projected away from v."""
    norm = np.sqrt((wide(v) ** 2).sum(_over(v, dim), keepdims=True))
    unit = wide(v) / norm
    along = (wide(dw) * unit).sum(_over(v, dim), keepdims=True)
    return wide(g) / norm * (wide(dw) - along * unit), along.reshape(g.shape)
