"""Activations, forward and backward, under PyTorch's names.

`x` may have any shape and `out` may be `x`. Backward functions take the same `x` and options as forward, and their
`out` may be `dy` or `x`. Options are finite numbers. Sources of the formulas: csrc/steps/activation.h.
"""

from fastnn import _core
from fastnn._types import Array

__all__ = [
    "elu",
    "elu_backward",
    "gelu",
    "gelu_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "relu",
    "relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "softplus",
    "softplus_backward",
    "tanh",
    "tanh_backward",
]


def relu(x: Array, *, out: Array | None = None) -> Array:
    """max(x, 0), element by element; NaN stays NaN.

    Args:
        x: any shape.
        out: where to write; may be `x`.
    """
    return _core.activation(x, "relu", 0, 0, out)


def relu_backward(dy: Array, x: Array, *, out: Array | None = None) -> Array:
    """dx = dy where x > 0 (or NaN), else 0. `x` may be the input or the output of `relu`; `out` may be `dy`."""
    return _core.activation_backward(dy, x, "relu", 0, 0, out)


def leaky_relu(x: Array, negative_slope: float = 0.01, *, out: Array | None = None) -> Array:
    """x where x > 0, else negative_slope * x."""
    return _core.activation(x, "leaky_relu", negative_slope, 0, out)


def leaky_relu_backward(dy: Array, x: Array, negative_slope: float = 0.01, *, out: Array | None = None) -> Array:
    """dx = dy where x > 0, else negative_slope * dy."""
    return _core.activation_backward(dy, x, "leaky_relu", negative_slope, 0, out)


def elu(x: Array, alpha: float = 1.0, *, out: Array | None = None) -> Array:
    """x where x > 0, else alpha * (e^x - 1)."""
    return _core.activation(x, "elu", alpha, 0, out)


def elu_backward(dy: Array, x: Array, alpha: float = 1.0, *, out: Array | None = None) -> Array:
    """dx = dy where x > 0, else dy * alpha * e^x."""
    return _core.activation_backward(dy, x, "elu", alpha, 0, out)


def _gelu(approximate: str) -> str:
    if approximate not in ("none", "tanh"):
        raise ValueError(f"approximate: got {approximate!r}, want 'none' or 'tanh'")
    return "gelu" if approximate == "none" else "gelu_tanh"


def gelu(x: Array, approximate: str = "none", *, out: Array | None = None) -> Array:
    """x * Phi(x), where Phi is the standard normal CDF; in float64 the negative tail keeps its relative accuracy.

    Args:
        x: any shape.
        approximate: "tanh" for x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))) / 2.
        out: where to write; may be `x`.
    """
    return _core.activation(x, _gelu(approximate), 0, 0, out)


def gelu_backward(dy: Array, x: Array, approximate: str = "none", *, out: Array | None = None) -> Array:
    """dx = dy * (Phi(x) + x * phi(x)), or the derivative of the approximation."""
    return _core.activation_backward(dy, x, _gelu(approximate), 0, 0, out)


def silu(x: Array, *, out: Array | None = None) -> Array:
    """x * sigmoid(x)."""
    return _core.activation(x, "silu", 0, 0, out)


def silu_backward(dy: Array, x: Array, *, out: Array | None = None) -> Array:
    """dx = dy * sigmoid(x) * (1 + x * sigmoid(-x))."""
    return _core.activation_backward(dy, x, "silu", 0, 0, out)


def sigmoid(x: Array, *, out: Array | None = None) -> Array:
    """1 / (1 + e^-x)."""
    return _core.activation(x, "sigmoid", 0, 0, out)


def sigmoid_backward(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """dx = dy * (1 - y) * y, from the output `y` of `sigmoid`."""
    return _core.activation_backward(dy, y, "sigmoid", 0, 0, out)


def tanh(x: Array, *, out: Array | None = None) -> Array:
    """The hyperbolic tangent."""
    return _core.activation(x, "tanh", 0, 0, out)


def tanh_backward(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """dx = dy * (1 - y^2), from the output `y` of `tanh`."""
    return _core.activation_backward(dy, y, "tanh", 0, 0, out)


def softplus(x: Array, beta: float = 1.0, threshold: float = 20.0, *, out: Array | None = None) -> Array:
    """ln(1 + e^(beta * x)) / beta, and x itself where beta * x > threshold.

    Args:
        x: any shape.
        beta: > 0.
        threshold: the value of beta * x from which the function is linear.
        out: where to write; may be `x`.
    """
    return _core.activation(x, "softplus", beta, threshold, out)


def softplus_backward(
    dy: Array, x: Array, beta: float = 1.0, threshold: float = 20.0, *, out: Array | None = None
) -> Array:
    """dx = dy * sigmoid(beta * x), and dy itself where beta * x > threshold."""
    return _core.activation_backward(dy, x, "softplus", beta, threshold, out)
