"""The table of kernels: how to call each one, what it has to give, on which shapes.

Every entry gets its inputs as a dict of arrays and hands back a dict of outputs, the reference under the same
names; so one test body serves them all.
"""

from kernels import (
    activation,
    batch_norm,
    bias_activation,
    dropout,
    fill,
    group_norm,
    layer_norm,
    loss,
    max_pool,
    dropout_add_layer_norm,
    softmax,
    weight_norm,
)
from kernels.table import Arrays, Kernel, Shape

__all__ = ["KERNELS", "Arrays", "Kernel", "Shape"]

KERNELS: dict[str, Kernel] = {}
for _family in (
    activation,
    batch_norm,
    bias_activation,
    dropout,
    fill,
    group_norm,
    layer_norm,
    loss,
    max_pool,
    dropout_add_layer_norm,
    softmax,
    weight_norm,
):
    KERNELS |= _family.KERNELS
