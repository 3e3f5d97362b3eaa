"""Fused operations, forward and backward, over NumPy arrays.

Arrays are C-contiguous, native float32 or float64, and all of one call share a dtype. Anything else is refused
with a sentence that names the argument and the remedy; nothing is copied behind the caller's back. `out=` takes
the result's shape and dtype and may be the input itself, never a part of it.

Raises (everywhere): TypeError for what is not such an array, ValueError for a wrong shape, memory layout,
read-only target, overlap or an option outside its range.
"""

from fastnn.functional.activation import (
    elu,
    elu_backward,
    gelu,
    gelu_backward,
    leaky_relu,
    leaky_relu_backward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    silu,
    silu_backward,
    softplus,
    softplus_backward,
    tanh,
    tanh_backward,
)
from fastnn.functional.batch_norm import batch_norm, batch_norm_backward
from fastnn.functional.bias_activation import bias_activation, bias_activation_backward
from fastnn.functional.dropout import DropoutMask, dropout, dropout_backward
from fastnn.functional.layer_norm import layer_norm, layer_norm_backward
from fastnn.functional.loss import softmax_cross_entropy

__all__ = [
    "DropoutMask",
    "batch_norm",
    "batch_norm_backward",
    "bias_activation",
    "bias_activation_backward",
    "dropout",
    "dropout_backward",
    "elu",
    "elu_backward",
    "gelu",
    "gelu_backward",
    "layer_norm",
    "layer_norm_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "relu",
    "relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "softmax_cross_entropy",
    "softplus",
    "softplus_backward",
    "tanh",
    "tanh_backward",
]
