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
from fastnn.functional.class_loss import nll_loss, softmax_cross_entropy
from fastnn.functional.dropout import (
    DropoutMask,
    alpha_dropout,
    alpha_dropout_backward,
    dropout,
    dropout2d,
    dropout2d_backward,
    dropout_backward,
)
from fastnn.functional.dropout_add_layer_norm import NormedSum, dropout_add_layer_norm, dropout_add_layer_norm_backward
from fastnn.functional.group_norm import group_norm, group_norm_backward, instance_norm, instance_norm_backward
from fastnn.functional.layer_norm import layer_norm, layer_norm_backward, rms_norm, rms_norm_backward
from fastnn.functional.loss import binary_cross_entropy_with_logits, huber_loss, kl_div, l1_loss, mse_loss
from fastnn.functional.max_pool import max_pool2d, max_pool2d_backward
from fastnn.functional.softmax import log_softmax, log_softmax_backward, softmax, softmax_backward
from fastnn.functional.weight_norm import weight_norm, weight_norm_backward

__all__ = [
    "DropoutMask",
    "NormedSum",
    "alpha_dropout",
    "alpha_dropout_backward",
    "batch_norm",
    "batch_norm_backward",
    "bias_activation",
    "bias_activation_backward",
    "binary_cross_entropy_with_logits",
    "dropout",
    "dropout2d",
    "dropout2d_backward",
    "dropout_add_layer_norm",
    "dropout_add_layer_norm_backward",
    "dropout_backward",
    "elu",
    "elu_backward",
    "gelu",
    "gelu_backward",
    "group_norm",
    "group_norm_backward",
    "huber_loss",
    "instance_norm",
    "instance_norm_backward",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "layer_norm_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "log_softmax",
    "log_softmax_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "mse_loss",
    "nll_loss",
    "relu",
    "relu_backward",
    "rms_norm",
    "rms_norm_backward",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "softmax",
    "softmax_backward",
    "softmax_cross_entropy",
    "softplus",
    "softplus_backward",
    "tanh",
    "tanh_backward",
    "weight_norm",
    "weight_norm_backward",
]
