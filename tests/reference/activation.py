"""Activations."""

import numpy as np

from reference.types import Array, Float64, wide


def relu(x: Array) -> Float64:
    """max(x, 0), NaN kept."""
    x = wide(x)
    return np.where((x > 0) | np.isnan(x), x, 0.0)


def relu_backward(dy: Array, x: Array) -> Float64:
    """dy where x > 0 or x is NaN, else 0."""
    return np.where((wide(x) > 0) | np.isnan(x), wide(dy), 0.0)
