"""The table of kernels: how to call each one, what it has to give, on which shapes.

Every entry gets its inputs as a dict of arrays and hands back a dict of outputs, the reference under the same
names; so one test body serves them all.
"""

from kernels import activation, batch_norm, bias_activation, dropout, fill, layer_norm, loss
from kernels.table import Arrays, Kernel, Shape

__all__ = ["KERNELS", "Arrays", "Kernel", "Shape"]

KERNELS: dict[str, Kernel] = {}
for _family in (activation, bias_activation, dropout, fill, layer_norm, batch_norm, loss):
    KERNELS |= _family.KERNELS
