"""Fused operations, forward and backward, over NumPy arrays.

Arrays are C-contiguous, native float32 or float64, and all arrays of a call have the same dtype. Anything else raises
an error that names the argument and the remedy; no array is copied silently. `out=` must have the result's shape and
dtype; it may be the input itself, but not a part of it.

All functions raise TypeError for any other type or dtype, and ValueError for a wrong shape or memory layout, a
read-only output, overlapping arrays or an option outside its range.
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
from fastnn.functional.likelihood_loss import *
from fastnn.functional.linear import *
from fastnn.functional.loss import *
from fastnn.functional.matmul import *
from fastnn.functional.max_pool2d import *
from fastnn.functional.softmax import *
from fastnn.functional.weight_norm import *

__all__ = [name for name, value in globals().items() if getattr(value, "__module__", "").startswith(__name__)]
