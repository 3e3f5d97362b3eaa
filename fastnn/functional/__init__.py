"""Fused operations, forward and backward, over NumPy arrays.

Arrays are C-contiguous, native float32 or float64, and all of one call share a dtype. Anything else is refused
with a sentence that names the argument and the remedy; nothing is copied behind the caller's back. `out=` takes
the result's shape and dtype and may be the input itself, never a part of it.

Raises (everywhere): TypeError for what is not such an array, ValueError for a wrong shape, memory layout,
read-only target, overlap or an option outside its range.
"""

from fastnn.functional.activation import relu, relu_backward
from fastnn.functional.batch_norm import batch_norm, batch_norm_backward
from fastnn.functional.dropout import DropoutMask, dropout, dropout_backward
from fastnn.functional.group_norm import group_norm, group_norm_backward, instance_norm, instance_norm_backward
from fastnn.functional.layer_norm import layer_norm, layer_norm_backward
from fastnn.functional.loss import softmax_cross_entropy
from fastnn.functional.weight_norm import weight_norm, weight_norm_backward

__all__ = [
    "DropoutMask",
    "batch_norm",
    "batch_norm_backward",
    "dropout",
    "dropout_backward",
    "group_norm",
    "group_norm_backward",
    "instance_norm",
    "instance_norm_backward",
    "layer_norm",
    "layer_norm_backward",
    "relu",
    "relu_backward",
    "softmax_cross_entropy",
    "weight_norm",
    "weight_norm_backward",
]
