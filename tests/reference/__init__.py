"""What every kernel has to compute: slow, obvious NumPy formulas in float64.

Nothing here shares code or arithmetic with the compiled kernels. Inputs of either dtype are widened first, so a
float32 result of a kernel is compared with the exact value of the same float32 input.
"""

from reference import activation
from reference.batch_norm import batch_norm, batch_norm_backward
from reference.layer_norm import layer_norm, layer_norm_backward
from reference.loss import softmax_cross_entropy
from reference.random import dropout, dropout_keep, normal01, philox4x32, philox_blocks, uniform01
from reference.types import Array, Float64, wide

__all__ = [
    "Array",
    "Float64",
    "activation",
    "batch_norm",
    "batch_norm_backward",
    "dropout",
    "dropout_keep",
    "layer_norm",
    "layer_norm_backward",
    "normal01",
    "philox4x32",
    "philox_blocks",
    "softmax_cross_entropy",
    "uniform01",
    "wide",
]
