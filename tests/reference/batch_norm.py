"""Batch norm."""

import numpy as np

from reference.types import Array, Float64, wide


def _channel(v: Array | None, ndim: int, default: float) -> Float64:
    """(C,) -> (C, 1, ...), so that it broadcasts over (N, C, ...)."""
    v = np.array(default) if v is None else wide(v)
    return v.reshape(-1, *(1,) * (ndim - 2))


def batch_norm(
    x: Array,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Float64, Float64, Float64, Float64 | None, Float64 | None]:
    """Return y, mean, rstd, new running mean, new running variance. Ioffe, Szegedy, ICML 2015, algorithms 1 and 2.

    As in PyTorch, `momentum` is the weight of the new value, and the running variance is unbiased.
    """
    x, over = wide(x), (0, *range(2, x.ndim))
    new_mean = None if running_mean is None else wide(running_mean)
    new_var = None if running_var is None else wide(running_var)
    if training:
        count = x.size // x.shape[1]
        exact = x.astype(np.longdouble)  # a plain float64 sum over 100,000 rows loses digits that the kernel keeps
        mean, var = wide(exact.mean(over)), wide(exact.var(over))
        new_mean = None if new_mean is None else (1 - momentum) * new_mean + momentum * mean
        new_var = None if new_var is None else (1 - momentum) * new_var + momentum * var * count / (count - 1)
    else:
        assert new_mean is not None and new_var is not None
        mean, var = new_mean, new_var
    rstd = 1 / np.sqrt(var + eps)
    y = (x - _channel(mean, x.ndim, 0)) * _channel(rstd, x.ndim, 1)
    y = y * _channel(weight, x.ndim, 1) + _channel(bias, x.ndim, 0)
    return y, mean, rstd, new_mean, new_var


def batch_norm_backward(
    dy: Array, x: Array, weight: Array | None, mean: Array, rstd: Array, training: bool = True
) -> tuple[Float64, Float64, Float64]:
    """Return dx, dweight, dbias. Ioffe, Szegedy 2015, section 3; mean and rstd are constants in evaluation."""
    dy, over = wide(dy), (0, *range(2, x.ndim))
    scale = _channel(rstd, x.ndim, 1)
    xhat = (wide(x) - _channel(mean, x.ndim, 0)) * scale
    g = dy * _channel(weight, x.ndim, 1)
    dx = scale * g
    if training:
        dx = scale * (g - g.mean(over, keepdims=True) - xhat * (g * xhat).mean(over, keepdims=True))
    return dx, (dy * xhat).sum(over), dy.sum(over)
