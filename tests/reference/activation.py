"""Activations. Where PyTorch returns NaN (infinity times zero), these return NaN."""

import math
from collections.abc import Callable

import numpy as np

from reference.types import Array, Float64, wide

_quiet = np.errstate(over="ignore", invalid="ignore", divide="ignore")
_erfc = np.vectorize(math.erfc, otypes=[np.float64])
_SLOPE = math.sqrt(2 / math.pi)


def relu(x: Array) -> Float64:
    """max(x, 0); NaN stays NaN."""
    x = wide(x)
    return np.where((x > 0) | np.isnan(x), x, 0.0)


def relu_backward(dy: Array, x: Array) -> Float64:
    """dy where x > 0 or x is NaN, else 0."""
    return np.where((wide(x) > 0) | np.isnan(x), wide(dy), 0.0)


@_quiet
def leaky_relu(x: Array, slope: float = 0.01) -> Float64:
    """x, or slope * x below 0."""
    x = wide(x)
    return np.where(x > 0, x, slope * x)


@_quiet
def leaky_relu_slope(x: Array, slope: float = 0.01) -> Float64:
    """1, or slope below 0."""
    return np.where(wide(x) > 0, 1.0, slope)


@_quiet
def elu(x: Array, alpha: float = 1.0) -> Float64:
    """x, or alpha (e^x - 1) below 0."""
    x = wide(x)
    return np.where(x > 0, x, alpha * np.expm1(x))


@_quiet
def elu_slope(x: Array, alpha: float = 1.0) -> Float64:
    """1, or alpha e^x below 0; NaN for NaN."""
    x = wide(x)
    return np.where(x > 0, 1.0, alpha * np.exp(x))


@_quiet
def gelu(x: Array) -> Float64:
    """x Phi(x)."""
    x = wide(x)
    return x * _erfc(-x / math.sqrt(2)) / 2


@_quiet
def gelu_slope(x: Array) -> Float64:
    """Phi(x) + x phi(x)."""
    x = wide(x)
    return _erfc(-x / math.sqrt(2)) / 2 + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


@_quiet
def gelu_tanh(x: Array) -> Float64:
    """Hendrycks, Gimpel 2016, the approximation."""
    x = wide(x)
    return x * (1 + np.tanh(_SLOPE * (x + 0.044715 * x**3))) / 2


@_quiet
def gelu_tanh_slope(x: Array) -> Float64:
    """The derivative of gelu_tanh, term by term."""
    x = wide(x)
    t = np.tanh(_SLOPE * (x + 0.044715 * x**3))
    return (1 + t) / 2 + x * (1 - t * t) / 2 * _SLOPE * (1 + 3 * 0.044715 * x**2)


@_quiet
def sigmoid(x: Array) -> Float64:
    """1 / (1 + e^-x)."""
    return 1 / (1 + np.exp(-wide(x)))


@_quiet
def silu(x: Array) -> Float64:
    """x sigmoid(x)."""
    return wide(x) * sigmoid(x)


@_quiet
def silu_slope(x: Array) -> Float64:
    """d/dx of x sigmoid(x)."""
    return sigmoid(x) + wide(x) * sigmoid(x) * (1 - sigmoid(x))


@_quiet
def tanh(x: Array) -> Float64:
    """The hyperbolic tangent."""
    return np.tanh(wide(x))


@_quiet
def softplus(x: Array, beta: float = 1.0, threshold: float = 20.0) -> Float64:
    """ln(1 + e^(beta x)) / beta, or x above the threshold."""
    x = wide(x)
    return np.where(beta * x > threshold, x, np.log1p(np.exp(beta * x)) / beta)


@_quiet
def softplus_slope(x: Array, beta: float = 1.0, threshold: float = 20.0) -> Float64:
    """sigmoid(beta x), or 1 above the threshold."""
    x = wide(x)
    return np.where(beta * x > threshold, 1.0, sigmoid(beta * x))


@_quiet
def times_slope(slope: Callable[..., Float64], dy: Array, x: Array, *options: float) -> Float64:
    """Return the gradient of an activation whose derivative is `slope`."""
    return wide(dy) * slope(x, *options)


@_quiet
def sigmoid_backward(dy: Array, y: Array) -> Float64:
    """The gradient, computed from the output."""
    return wide(dy) * (1 - wide(y)) * wide(y)


@_quiet
def tanh_backward(dy: Array, y: Array) -> Float64:
    """The gradient, computed from the output."""
    return wide(dy) * (1 - wide(y) ** 2)


VALUES: dict[str, Callable[..., Float64]] = {
    "identity": wide,
    "relu": relu,
    "leaky_relu": leaky_relu,
    "elu": elu,
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "silu": silu,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "softplus": softplus,
}
SLOPES: dict[str, Callable[..., Float64]] = {
    "identity": lambda x: np.ones(np.shape(x)),
    "relu": lambda x: np.where(wide(x) > 0, 1.0, 0.0),
    "leaky_relu": leaky_relu_slope,
    "elu": elu_slope,
    "gelu": gelu_slope,
    "gelu_tanh": gelu_tanh_slope,
    "silu": silu_slope,
    "sigmoid": lambda x: sigmoid(x) * (1 - sigmoid(x)),
    "tanh": lambda x: 1 / np.cosh(wide(x)) ** 2,
    "softplus": softplus_slope,
}
