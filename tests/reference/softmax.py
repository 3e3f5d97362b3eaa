"""Softmax and log-softmax over any axis."""

import numpy as np

from reference.types import Array, Float64, wide


def softmax(x: Array, dim: int = -1) -> Float64:
    """e^x / sum(e^x). Bridle 1990."""
    z = wide(x)
    with np.errstate(invalid="ignore"):
        e = np.exp(z - z.max(dim, keepdims=True))
        return np.asarray(e / e.sum(dim, keepdims=True))


def log_softmax(x: Array, dim: int = -1) -> Float64:
    """x - ln sum(e^x), which is finite where the softmax rounds to 0 and has no logarithm."""
    z = wide(x)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = z - z.max(dim, keepdims=True)
        return np.asarray(z - np.log(np.exp(z).sum(dim, keepdims=True)))


def softmax_backward(dy: Array, y: Array, dim: int = -1) -> Float64:
    """dy times the Jacobian diag(y) - y y^T."""
    dy, y = wide(dy), wide(y)
    return np.asarray(y * dy - y * (y * dy).sum(dim, keepdims=True))


def log_softmax_backward(dy: Array, y: Array, dim: int = -1) -> Float64:
    """dy times the Jacobian I - 1 softmax^T."""
    return np.asarray(wide(dy) - np.exp(wide(y)) * wide(dy).sum(dim, keepdims=True))
