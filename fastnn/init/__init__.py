"""Weight initialisation, in place: every function fills its target in the caller's memory and returns it.

A target is a C-contiguous float32 or float64 NumPy array, or a `fastnn.nn.Parameter`. Names, arguments and defaults are
those of `torch.nn.init`.
"""

from fastnn.init.fill import normal_, uniform_
from fastnn.init.orthogonal import orthogonal_
from fastnn.init.scaled import calculate_gain, kaiming_normal_, kaiming_uniform_, xavier_normal_, xavier_uniform_
from fastnn.init.structured import constant_, dirac_, eye_, ones_, sparse_, zeros_

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]
