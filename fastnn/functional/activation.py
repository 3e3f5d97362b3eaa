"""Activations, forward and backward."""

from fastnn import _core
from fastnn.functional._types import Array


def relu(x: Array, *, out: Array | None = None) -> Array:
    """max(x, 0), element by element; NaN stays NaN.

    Args:
        x: any shape.
        out: where to write; may be `x`.
    """
    return _core.relu(x, out)


def relu_backward(dy: Array, x: Array, *, out: Array | None = None) -> Array:
    """dx = dy where x > 0 (or NaN), else 0. `x` may be the input or the output of `relu`; `out` may be `dy`."""
    return _core.relu_backward(dy, x, out)
