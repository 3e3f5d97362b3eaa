"""Fills of a tensor with random numbers, in place.

A tensor is a C-contiguous NumPy array of float32 or float64 (for `integers_` of int64), a `fastnn.nn.Parameter`, or a
CPU tensor of PyTorch; not empty. Every function fills it in the caller's memory and returns it. `generator` is where
the numbers come from: a `fastnn.Generator`, NumPy's, an integer seed, or None for the default one.
"""

from collections.abc import Callable
from typing import Any, SupportsIndex, TypeVar

import numpy as np
import numpy.typing as npt

from fastnn import _core
from fastnn._autograd import count_writes
from fastnn._checks import integer
from fastnn.random.generator import BLOCK_WORDS, RandomSource, as_generator

Target = TypeVar("Target")

_LIMITS = -(2**64), 2**64, "an integer that int64 holds"


def uniform_(tensor: Target, a: float = 0.0, b: float = 1.0, generator: RandomSource | None = None) -> Target:
    """Fill with values uniform in [a, b); b itself never comes out unless a == b.

    They are a + (b - a) u, u a multiple of 2**-24, in float64 of 2**-53.

    Raises:
        ValueError: a or b not finite, or a > b.
    """
    return _fill(_core.uniform, tensor, generator, a, b)


def normal_(tensor: Target, mean: float = 0.0, std: float = 1.0, generator: RandomSource | None = None) -> Target:
    """Fill with normal values, by the transform of G. Box and M. Muller, Ann. Math. Stat. 29 (1958).

    The largest is 5.77 standard deviations off the mean, in float64 8.57.

    Raises:
        ValueError: mean not finite, or std not finite or negative.
    """
    return _fill(_core.normal, tensor, generator, mean, std)


def trunc_normal_(
    tensor: Target,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: RandomSource | None = None,
) -> Target:
    """Fill with values of a normal distribution that is cut off outside [a, b].

    Nothing is drawn twice: the distribution function is inverted, so a value stems from one uniform one of 31 (float64:
    53) bits. Right also where [a, b] lies far out in a tail, and where it is narrow. a and b may be infinite.

    Raises:
        ValueError: mean or std not finite, std negative, a > b, NaN; or std == 0 with mean outside [a, b].

    Source: L. Devroye, "Non-uniform random variate generation", 1986, II.2.1; `csrc/steps/quantile.h`.
    """
    return _fill(_core.truncated_normal, tensor, generator, mean, std, a, b)


def bernoulli_(tensor: Target, p: float = 0.5, generator: RandomSource | None = None) -> Target:
    """Fill with 1 where a uniform value of [0, 1) is below p, else 0: p is kept to 2**-24, in float64 to 2**-53.

    Raises:
        ValueError: p outside [0, 1].
    """
    return _fill(_core.bernoulli, tensor, generator, p)


def exponential_(tensor: Target, lambd: float = 1.0, generator: RandomSource | None = None) -> Target:
    """Fill with exponential values of mean 1 / lambd: -ln(u) / lambd, u in (0, 1].

    Raises:
        ValueError: lambd not positive or not finite.
    """
    return _fill(_core.exponential, tensor, generator, lambd)


def integers_(
    tensor: npt.NDArray[np.int64],
    low: SupportsIndex,
    high: SupportsIndex | None = None,
    generator: RandomSource | None = None,
) -> npt.NDArray[np.int64]:
    """Fill an int64 array with integers uniform in [low, high); in [0, low) without high.

    They are low + floor((high - low) w / 2**64), w of 64 bits: no value is more likely than another by more than
    (high - low) / 2**64 of its likelihood.

    Raises:
        TypeError: another dtype, or limits that are no integers.
        ValueError: low >= high, or beyond int64.
    """
    first = integer("low", low, *_LIMITS)
    first, end = (0, first) if high is None else (first, integer("high", high, *_LIMITS))
    if not -(2**63) <= first < end <= 2**63:
        raise ValueError(f"low: got the interval [{first}, {end}), want one that is not empty and within int64")
    _check_size(tensor)
    g = as_generator(generator)
    g.draw(2 * np.size(tensor), lambda at: _core.integers(tensor, first, end - 1, g.seed, g.stream, at), 2)
    return tensor


def permutation(n: SupportsIndex, generator: RandomSource | None = None) -> npt.NDArray[np.int64]:
    """The numbers below n in a random order, (n,) int64.

    Each gets a random bucket, and each bucket is shuffled: C. R. Rao (1961), M. Sandelius, J. Royal Stat. Soc. B 24
    (1962); R. Durstenfeld, Comm. ACM 7 (1964), algorithm 235, inside of a bucket. The order is the same for any number
    of threads.

    Raises:
        TypeError: n is no integer.
        ValueError: n < 0.
    """
    count = integer("n", n, want="an integer in [0, 2**63)")
    g = as_generator(generator)
    words = 2 * -(-count // BLOCK_WORDS) * BLOCK_WORDS  # one for the bucket, one for the exchange
    return g.draw(words, lambda at: _core.permutation(count, g.seed, g.stream, at))


def as_array(tensor: Any) -> npt.NDArray[np.floating]:
    """The writable array that lies in the memory of a tensor.

    Raises:
        TypeError: no float32 or float64 array, or not in the CPU's memory.
        ValueError: strided, read-only, or empty: what should be filled has most likely got a wrong shape.
    """
    is_parameter = not isinstance(tensor, np.ndarray) and isinstance(getattr(tensor, "data", None), np.ndarray)
    data = _core.writable(tensor.data if is_parameter else tensor, "tensor")
    _check_size(data)
    if hasattr(tensor, "detach"):
        count_writes([tensor])
    return data


def _check_size(data: npt.NDArray[Any]) -> None:
    if np.size(data) == 0:
        raise ValueError(f"tensor: got shape {np.shape(data)}, want one element at least")


def _fill(kernel: Callable[..., None], tensor: Target, generator: RandomSource | None, *options: float) -> Target:
    data, g = as_array(tensor), as_generator(generator)
    g.draw(data.nbytes // 4, lambda at: kernel(data, *options, g.seed, g.stream, at), data.itemsize // 4)
    return tensor
