"""Fused operations, forward and backward, over NumPy arrays.

Arrays are C-contiguous, native float32 or float64, and all of one call share a dtype. Anything else is refused
with a sentence that names the argument and the remedy; nothing is copied behind the caller's back. `out=` takes
the result's shape and dtype and may be the input itself, never a part of it.

Raises (everywhere): TypeError for what is not such an array, ValueError for a wrong shape, memory layout,
read-only target, overlap or an option outside its range.
"""
# ruff: noqa: F403 - the `__all__` of a module is the one place that exports its functions

from fastnn.functional.activation import *
from fastnn.functional.batch_norm import *
from fastnn.functional.bias_activation import *
from fastnn.functional.class_loss import *
from fastnn.functional.dropout import *
from fastnn.functional.dropout_add_layer_norm import *
from fastnn.functional.group_norm import *
from fastnn.functional.layer_norm import *
from fastnn.functional.loss import *
from fastnn.functional.max_pool import *
from fastnn.functional.softmax import *
from fastnn.functional.weight_norm import *

__all__ = [name for name, value in globals().items() if getattr(value, "__module__", "").startswith(__name__)]
