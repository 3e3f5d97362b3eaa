"""Weight initialisation, in place: every function fills its target in the caller's memory and returns it.

A target is a C-contiguous float32 or float64 NumPy array, or a `fastnn.nn.Parameter`. Names, arguments and defaults are
those of `torch.nn.init`.
"""

from fastnn.init.fill import normal_, uniform_
from fastnn.init.scaled import calculate_gain, kaiming_normal_, kaiming_uniform_, xavier_normal_, xavier_uniform_

__all__ = [
    "calculate_gain",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
]
