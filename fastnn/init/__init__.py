"""Weight initialisation, in place: every function fills its target in the caller's memory and returns it.

A target is a C-contiguous float32 or float64 NumPy array, a `fastnn.nn.Parameter`, or a CPU tensor of PyTorch. Names,
arguments and defaults are those of `torch.nn.init`; he_ is an alias of kaiming_, and glorot_ of xavier_.
"""

from fastnn.init.orthogonal import orthogonal_
from fastnn.init.scaled import (
    calculate_gain,
    glorot_normal_,
    glorot_uniform_,
    he_normal_,
    he_uniform_,
    kaiming_normal_,
    kaiming_uniform_,
    lecun_normal_,
    lecun_uniform_,
    xavier_normal_,
    xavier_uniform_,
)
from fastnn.init.structured import constant_, dirac_, eye_, ones_, sparse_, zeros_
from fastnn.nn.initialize import initialize
from fastnn.nn.report import LayerReport, Report, Signal, report
from fastnn.random.fill import normal_, trunc_normal_, uniform_

__all__ = [
    "LayerReport",
    "Report",
    "Signal",
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "glorot_normal_",
    "glorot_uniform_",
    "he_normal_",
    "he_uniform_",
    "initialize",
    "kaiming_normal_",
    "kaiming_uniform_",
    "lecun_normal_",
    "lecun_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "report",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]
