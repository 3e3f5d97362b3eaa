"""The results that every kernel must compute, as slow, obvious NumPy formulas in float64.

Nothing here shares code or arithmetic with the compiled kernels. Inputs of either dtype are widened first, so a float32
result of a kernel is compared with the exact value of the same float32 input.
"""
# ruff: noqa: F403 - each module's own functions are not listed anywhere else

from reference.activation import *
from reference.batch_norm import *
from reference.group_norm import *
from reference.layer_norm import *
from reference.loss import *
from reference.max_pool2d import *
from reference.random import *
from reference.softmax import *
from reference.weight_norm import *
