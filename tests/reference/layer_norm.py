"""Norms over trailing axes."""

import numpy as np

from reference.types import Array, Float64, wide


def layer_norm(
    x: Array, axes: int, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
) -> tuple[Float64, Float64, Float64]:
    """Return y, mean, rstd over the last `axes` axes. Ba, Kiros, Hinton, "Layer Normalization", 2016, equation 3."""
    x, over = wide(x), tuple(range(x.ndim - axes, x.ndim))
    mean = x.mean(over, keepdims=True)
    rstd = 1 / np.sqrt(((x - mean) ** 2).mean(over, keepdims=True) + eps)
    y = (x - mean) * rstd
    y = y if weight is None else y * wide(weight)
    y = y if bias is None else y + wide(bias)
    lead = x.shape[: x.ndim - axes]
    return y, mean.reshape(lead), rstd.reshape(lead)


def layer_norm_backward(
    dy: Array, x: Array, axes: int, weight: Array | None = None, eps: float = 1e-5
) -> tuple[Float64, Float64, Float64]:
    """Return dx, dweight, dbias: the chain rule through mean and variance (Ioffe, Szegedy 2015, section 3, per row)."""
    over, lead = tuple(range(x.ndim - axes, x.ndim)), tuple(range(x.ndim - axes))
    _, mean, rstd = layer_norm(x, axes, eps=eps)
    rstd = rstd.reshape(rstd.shape + (1,) * axes)
    xhat = (wide(x) - mean.reshape(rstd.shape)) * rstd
    g = wide(dy) if weight is None else wide(dy) * wide(weight)
    dx = rstd * (g - g.mean(over, keepdims=True) - xhat * (g * xhat).mean(over, keepdims=True))
    return dx, (wide(dy) * xhat).sum(lead), wide(dy).sum(lead)


def rms_norm(x: Array, axes: int, weight: Array | None = None, eps: float = 1e-5) -> tuple[Float64, Float64]:
    """Return y, rrms over the last `axes` axes. Zhang, Sennrich, NeurIPS 2019, equation 4."""
    x, over = wide(x), tuple(range(x.ndim - axes, x.ndim))
    rrms = 1 / np.sqrt((x**2).mean(over, keepdims=True) + eps)
    y = x * rrms if weight is None else x * rrms * wide(weight)
    return y, rrms.reshape(x.shape[: x.ndim - axes])


def rms_norm_backward(
    dy: Array, x: Array, axes: int, weight: Array | None = None, eps: float = 1e-5
) -> tuple[Float64, Float64]:
    """Return dx, dweight, by the chain rule with d rrms / d x_j = -rrms**3 x_j / n."""
    over, lead = tuple(range(x.ndim - axes, x.ndim)), tuple(range(x.ndim - axes))
    _, rrms = rms_norm(x, axes, eps=eps)
    rrms = rrms.reshape(rrms.shape + (1,) * axes)
    x = wide(x)
    g = wide(dy) if weight is None else wide(dy) * wide(weight)
    dx = rrms * g - rrms**3 * x * (g * x).mean(over, keepdims=True)
    return dx, (wide(dy) * x * rrms).sum(lead)
