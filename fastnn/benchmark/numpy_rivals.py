"""Each operation as a good NumPy user writes it: float32 throughout, temporaries reused where that reads naturally."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Arrays = Sequence[Array]
Axes = int | tuple[int, ...]


def adamw_step(params: Arrays, grads: Arrays, ms: Arrays, vs: Arrays, t: int) -> None:
    """Step t = 1, 2, ... with PyTorch's defaults, in place."""
    for p, g, m, v in zip(params, grads, ms, vs, strict=True):
        p *= 1 - 1e-3 * 1e-2
        m *= 0.9
        m += 0.1 * g
        v *= 0.999
        v += 0.001 * g * g
        denominator = np.sqrt(v)
        denominator /= math.sqrt(1 - 0.999**t)
        denominator += 1e-8
        p -= 1e-3 / (1 - 0.9**t) * m / denominator


def sgd_step(params: Arrays, grads: Arrays, buffers: Arrays, momentum: float) -> None:
    """lr = 1e-3; without momentum the buffers stay untouched."""
    for p, g, buffer in zip(params, grads, buffers, strict=True):
        if momentum:
            buffer *= momentum
            buffer += g
        p -= 1e-3 * (buffer if momentum else g)


def dropout(x: Array, rng: np.random.Generator) -> Array:
    """p = 0.5."""
    y: Array = x * (rng.random(x.shape, dtype=np.float32) >= 0.5)
    y *= 2
    return y


def dropout_backward(dy: Array, mask: Array) -> Array:
    """p = 0.5, with the stored boolean mask."""
    dx: Array = dy * mask
    dx *= 2
    return dx


def norm(x: Array, axes: Axes, weight: Array, bias: Array) -> Array:
    """Normalise over `axes`; weight and bias broadcast against x."""
    y: Array = x - x.mean(axes, keepdims=True)
    y *= 1 / np.sqrt(np.square(y).mean(axes, keepdims=True) + np.float32(1e-5))
    y *= weight
    y += bias
    return y


def track(running: Arrays, x: Array, axes: Axes) -> None:
    """Move the running mean and unbiased variance by a tenth towards the batch's."""
    for average, new in zip(running, (x.mean(axes), x.var(axes, ddof=1)), strict=True):
        average *= 0.9
        average += 0.1 * new


def norm_backward(
    dy: Array, x: Array, axes: Axes, others: Axes, weight: Array, mean: Array, rstd: Array
) -> tuple[Array, Array, Array]:
    """dx = rstd * (g - mean(g) - xhat * mean(g * xhat)), g = dy * weight, means over `axes`; sums over `others`."""
    xhat = x - mean
    xhat *= rstd
    product = dy * xhat
    dweight, dbias = product.sum(others), dy.sum(others)
    dx = dy * weight
    product *= weight
    xhat *= product.mean(axes, keepdims=True)
    dx -= dx.mean(axes, keepdims=True)
    dx -= xhat
    dx *= rstd
    return dx, dweight, dbias


def softmax_cross_entropy(logits: Array, labels: Array) -> tuple[Any, Array]:
    """Mean loss and its gradient."""
    rows = np.arange(len(logits))
    shifted = logits - logits.max(1, keepdims=True)
    dlogits = np.exp(shifted)
    total = dlogits.sum(1, keepdims=True)
    loss = np.log(total).mean() - shifted[rows, labels].mean()
    dlogits /= total * np.float32(len(rows))
    dlogits[rows, labels] -= np.float32(1 / len(rows))
    return loss, dlogits


def uniform_(out: Array, bound: float, rng: np.random.Generator) -> Array:
    """In [-bound, bound), in place."""
    rng.random(dtype=np.float32, out=out)
    out *= 2 * bound
    out -= bound
    return out


def normal_(out: Array, std: float, rng: np.random.Generator) -> Array:
    """In place."""
    rng.standard_normal(dtype=np.float32, out=out)
    out *= std
    return out
