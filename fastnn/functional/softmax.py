"""Softmax and its logarithm, forward and backward."""

from fastnn import _core
from fastnn._types import Array

__all__ = ["log_softmax", "log_softmax_backward", "softmax", "softmax_backward"]


def softmax(x: Array, dim: int = -1, *, out: Array | None = None) -> Array:
    """e^x / sum(e^x) along axis `dim`.

    A row that is all -infinity, or that contains NaN or +infinity, gives NaN; otherwise -infinity gives 0.

    Args:
        x: any shape.
        dim: the axis; a negative one counts from the end.
        out: where to write; may be `x`.

    Source: J. Bridle, "Probabilistic interpretation of feedforward classification network outputs", 1990.
    """
    return _core.softmax(x, dim, out)


def softmax_backward(dy: Array, y: Array, dim: int = -1, *, out: Array | None = None) -> Array:
    """dx = y * (dy - sum(dy * y)) along `dim`, where `y` is the result of `softmax`; `out` may be `dy` or `y`."""
    return _core.softmax_backward(dy, y, dim, out)


def log_softmax(x: Array, dim: int = -1, *, out: Array | None = None) -> Array:
    """ln softmax(x) along axis `dim`, computed without underflow of softmax(x); arguments as in `softmax`.

    A row that is all -infinity, or that contains NaN or +infinity, gives NaN; otherwise -infinity stays -infinity.
    """
    return _core.log_softmax(x, dim, out)


def log_softmax_backward(dy: Array, y: Array, dim: int = -1, *, out: Array | None = None) -> Array:
    """dx = dy - e^y * sum(dy) along `dim`, where `y` is the result of `log_softmax`; `out` may be `dy` or `y`."""
    return _core.log_softmax_backward(dy, y, dim, out)
