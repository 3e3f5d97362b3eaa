"""What every kernel has to compute: slow, obvious NumPy formulas in float64.

Nothing here shares code or arithmetic with the compiled kernels. Inputs of either dtype are widened first, so a
float32 result of a kernel is compared with the exact value of the same float32 input.
"""
# ruff: noqa: F403 - a module's own names are listed nowhere else

from reference.activation import *
from reference.batch_norm import *
from reference.group_norm import *
from reference.layer_norm import *
from reference.loss import *
from reference.max_pool import *
from reference.random import *
from reference.softmax import *
from reference.weight_norm import *
