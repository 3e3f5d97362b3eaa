"""Counter-based random streams.

Every random value in fastnn is a function of (seed, stream, position): Philox4x32-10, J. K. Salmon et al.,
"Parallel random numbers: as easy as 1, 2, 3", SC 2011. A generator's only state is therefore its position, and the
numbers are the same on every machine, ISA and thread count.
"""

from fastnn.random.fill import bernoulli_, exponential_, integers_, normal_, permutation, trunc_normal_, uniform_
from fastnn.random.generator import (
    BLOCK_WORDS,
    Generator,
    RandomSource,
    as_generator,
    default_generator,
    manual_seed,
)

__all__ = [
    "BLOCK_WORDS",
    "Generator",
    "RandomSource",
    "as_generator",
    "bernoulli_",
    "default_generator",
    "exponential_",
    "integers_",
    "manual_seed",
    "normal_",
    "permutation",
    "trunc_normal_",
    "uniform_",
]
