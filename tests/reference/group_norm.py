"""Norms over groups of channels, and over single channels."""

import numpy as np

from reference.types import Array, Float64, wide


def _grouped(a: Array, groups: int) -> Float64:
    """(N, C, ...) -> (N, groups, all other elements)."""
    return wide(a).reshape(a.shape[0], groups, -1)


def _per_channel(v: Array | None, ndim: int, default: float) -> Float64:
    v = np.array(default) if v is None else wide(v)
    return v.reshape(-1, *(1,) * (ndim - 2))


def group_norm(
    x: Array, groups: int, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
) -> tuple[Float64, Float64, Float64]:
    """Return y, mean, rstd. Wu, He, "Group Normalization", ECCV 2018, equations 1, 2, 6 and 7."""
    grouped = _grouped(x, groups)
    mean = grouped.mean(2)
    rstd = 1 / np.sqrt(((grouped - mean[..., None]) ** 2).mean(2) + eps)
    xhat = ((grouped - mean[..., None]) * rstd[..., None]).reshape(x.shape)
    return xhat * _per_channel(weight, x.ndim, 1) + _per_channel(bias, x.ndim, 0), mean, rstd


def group_norm_backward(
    dy: Array, x: Array, groups: int, weight: Array | None, mean: Array, rstd: Array
) -> tuple[Float64, Float64, Float64]:
    """Return dx, dweight, dbias: the chain rule through mean and variance (Ioffe, Szegedy 2015, 3, per group)."""
    xhat = (_grouped(x, groups) - mean[..., None]) * rstd[..., None]
    g = _grouped(wide(dy) * _per_channel(weight, x.ndim, 1), groups)
    dx = rstd[..., None] * (g - g.mean(2, keepdims=True) - xhat * (g * xhat).mean(2, keepdims=True))
    over = (0, *range(2, x.ndim))
    return dx.reshape(x.shape), (wide(dy) * xhat.reshape(x.shape)).sum(over), wide(dy).sum(over)


def instance_norm(
    x: Array,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    weight: Array | None = None,
    bias: Array | None = None,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Float64, Float64, Float64, Float64 | None, Float64 | None]:
    """Return y, mean, rstd, new running mean, new running variance (unbiased per instance). Ulyanov et al. 2016."""
    y, mean, rstd = group_norm(x, x.shape[1], weight, bias, eps)
    over = tuple(range(2, x.ndim))
    fresh_mean, fresh_var = wide(x).mean(over).mean(0), wide(x).var(over, ddof=1).mean(0)
    new_mean = None if running_mean is None else (1 - momentum) * wide(running_mean) + momentum * fresh_mean
    new_var = None if running_var is None else (1 - momentum) * wide(running_var) + momentum * fresh_var
    return y, mean, rstd, new_mean, new_var
