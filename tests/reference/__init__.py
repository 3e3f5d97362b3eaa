"""What every kernel has to compute: slow, obvious NumPy formulas in float64.

Nothing here shares code or arithmetic with the compiled kernels. Inputs of either dtype are widened first, so a
float32 result of a kernel is compared with the exact value of the same float32 input.
"""

from reference.activation import (
    elu,
    elu_slope,
    gelu,
    gelu_slope,
    gelu_tanh,
    gelu_tanh_slope,
    leaky_relu,
    leaky_relu_slope,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    silu,
    silu_slope,
    softplus,
    softplus_slope,
    tanh,
    tanh_backward,
    times_slope,
)
from reference.batch_norm import batch_norm, batch_norm_backward
from reference.group_norm import group_norm, group_norm_backward, instance_norm
from reference.layer_norm import layer_norm, layer_norm_backward, rms_norm, rms_norm_backward
from reference.loss import (
    binary_cross_entropy_with_logits,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    nll_loss,
    softmax_cross_entropy,
)
from reference.random import (
    alpha_dropout,
    alpha_dropout_backward,
    dropout,
    dropout_keep,
    normal01,
    philox4x32,
    philox_blocks,
    uniform01,
)
from reference.softmax import log_softmax, log_softmax_backward, softmax, softmax_backward
from reference.types import Array, Float64, wide
from reference.weight_norm import weight_norm, weight_norm_backward

__all__ = [
    "Array",
    "Float64",
    "alpha_dropout",
    "alpha_dropout_backward",
    "batch_norm",
    "batch_norm_backward",
    "binary_cross_entropy_with_logits",
    "dropout",
    "dropout_keep",
    "elu",
    "elu_slope",
    "gelu",
    "gelu_slope",
    "gelu_tanh",
    "gelu_tanh_slope",
    "group_norm",
    "group_norm_backward",
    "huber_loss",
    "instance_norm",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "layer_norm_backward",
    "leaky_relu",
    "leaky_relu_slope",
    "log_softmax",
    "log_softmax_backward",
    "mse_loss",
    "nll_loss",
    "normal01",
    "philox4x32",
    "philox_blocks",
    "relu",
    "relu_backward",
    "rms_norm",
    "rms_norm_backward",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_slope",
    "softmax",
    "softmax_backward",
    "softmax_cross_entropy",
    "softplus",
    "softplus_slope",
    "tanh",
    "tanh_backward",
    "times_slope",
    "uniform01",
    "weight_norm",
    "weight_norm_backward",
    "wide",
]
