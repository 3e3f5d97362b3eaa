"""Functions that fill a tensor with random numbers, in place.

A tensor is a C-contiguous NumPy array of float32 or float64 (of int64 for `integers_`), a `fastnn.nn.Parameter`, or a
CPU tensor of PyTorch; an empty one is left alone. Every function fills it in the caller's memory and returns it.
`generator` is the source of the numbers: a `fastnn.Generator`, a NumPy generator, an integer seed, or None for the
default generator. Options that are not numbers raise TypeError.
"""

from collections.abc import Callable
from typing import Any, SupportsIndex, TypeVar

import numpy as np
import numpy.typing as npt

from fastnn import _core
from fastnn._autograd import count_writes
from fastnn._checks import integer
from fastnn._parameter import Parameter
from fastnn.random.generator import BLOCK_WORDS, RandomSource, as_generator

Target = TypeVar("Target")

_LIMITS = -(2**64), 2**64, "an integer that int64 holds; pass int(...) of it"


def uniform_(tensor: Target, a: float = 0.0, b: float = 1.0, generator: RandomSource | None = None) -> Target:
    """Fill with uniform values in [a, b); b itself is never drawn unless a == b.

    The values are a + (b - a) u, where u is a multiple of 2**-24, or of 2**-53 in float64.

    Raises:
        ValueError: a or b is not finite, or a > b.
    """
    return _fill(_core.uniform, tensor, generator, a=a, b=b)


def normal_(tensor: Target, mean: float = 0.0, std: float = 1.0, generator: RandomSource | None = None) -> Target:
    """Fill with normal values, using the transform of G. Box and M. Muller, Ann. Math. Stat. 29 (1958).

    The largest value is 5.77 standard deviations from the mean, or 8.57 in float64.

    Raises:
        ValueError: mean is not finite, or std is not finite or is negative.
    """
    return _fill(_core.normal, tensor, generator, mean=mean, std=std)


def trunc_normal_(
    tensor: Target,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: RandomSource | None = None,
) -> Target:
    """Fill with values of a normal distribution truncated to [a, b].

    No value is drawn again: each one is the inverse of the distribution function at a uniform value of 31 bits (53 in
    float64). This is accurate even if [a, b] is narrow or far out in a tail. a and b may be infinite.

    Raises:
        ValueError: mean or std is not finite, std is negative, a > b, a or b is NaN, or std == 0 with mean outside [a,
            b].

    Source: L. Devroye, "Non-uniform random variate generation", 1986, II.2.1; `csrc/steps/quantile.h`.
    """
    return _fill(_core.trunc_normal, tensor, generator, mean=mean, std=std, a=a, b=b)


def bernoulli_(tensor: Target, p: float = 0.5, generator: RandomSource | None = None) -> Target:
    """Fill with 1 where a uniform value in [0, 1) is below p, else 0; p is exact to 2**-24, or to 2**-53 in float64.

    Raises:
        ValueError: p is outside [0, 1].
    """
    return _fill(_core.bernoulli, tensor, generator, p=p)


def exponential_(tensor: Target, lambd: float = 1.0, generator: RandomSource | None = None) -> Target:
    """Fill with exponential values of mean 1 / lambd: -ln(u) / lambd with u in (0, 1].

    Raises:
        ValueError: lambd is not positive or not finite.
    """
    return _fill(_core.exponential, tensor, generator, lambd=lambd)


def integers_(
    tensor: npt.NDArray[np.int64],
    low: SupportsIndex,
    high: SupportsIndex | None = None,
    generator: RandomSource | None = None,
) -> npt.NDArray[np.int64]:
    """Fill an int64 array with uniform integers in [low, high), or in [0, low) if high is not given.

    The values are low + floor((high - low) w / 2**64), where w has 64 bits: the probabilities of two values differ by
    at most (high - low) / 2**64, relatively.

    Raises:
        TypeError: the dtype is not int64, or a limit is not an integer.
        ValueError: low >= high, or a limit is out of the range of int64.
    """
    first = integer("low", low, *_LIMITS)
    first, end = (0, first) if high is None else (first, integer("high", high, *_LIMITS))
    if not -(2**63) <= first < end <= 2**63:
        raise ValueError(
            f"low: got the interval [{first}, {end}), want one that is not empty and within int64; choose low < high"
        )
    g = as_generator(generator)
    g.draw(2 * np.size(tensor), lambda at: _core.integers(tensor, first, end - 1, g.seed, g.stream, at), 2)
    return tensor


def permutation(n: SupportsIndex, generator: RandomSource | None = None) -> npt.NDArray[np.int64]:
    """Return the numbers 0 to n - 1 in a random order, (n,) int64.

    Each number is put into a random bucket, and each bucket is shuffled: C. R. Rao (1961), M. Sandelius, J. Royal Stat.
    Soc. B 24 (1962); within a bucket R. Durstenfeld, Comm. ACM 7 (1964), algorithm 235. The order is the same for any
    number of threads.

    Raises:
        TypeError: n is not an integer.
        ValueError: n < 0.
    """
    count = integer("n", n, want="an integer in [0, 2**63); 0 is the least")
    g = as_generator(generator)
    words = 2 * -(-count // BLOCK_WORDS) * BLOCK_WORDS  # one for the bucket, one for the shuffle
    return g.draw(words, lambda at: _core.permutation(count, g.seed, g.stream, at))


def as_array(tensor: Any) -> npt.NDArray[np.floating]:
    """Return a writable array over the memory of a tensor.

    Raises:
        TypeError: the tensor is not float32 or float64, or not in the CPU's memory.
        ValueError: it is strided or read-only.
    """
    # A sparse matrix has an array `data` too: of its nonzero elements.
    data = _core.writable(tensor.data if isinstance(tensor, Parameter) else tensor, "tensor")
    if hasattr(tensor, "detach"):
        count_writes([tensor])
    return data


def real(name: str, value: Any) -> float:
    """Return a number, or an array or tensor without axes, as a float.

    Raises:
        TypeError: the value is something else.
        ValueError: a double cannot hold it.
    """
    if not isinstance(value, str | bytes | bytearray):
        try:
            return float(value)
        except OverflowError:
            raise ValueError(f"{name}: got a number beyond a double's, want one within +-1.8e308; round it") from None
        except (TypeError, ValueError, RuntimeError):
            pass
    raise TypeError(f"{name}: got {value!r}, want a number; pass a float")


def _fill(kernel: Callable[..., None], tensor: Target, generator: RandomSource | None, **options: float) -> Target:
    data, g = as_array(tensor), as_generator(generator)
    numbers = [real(name, value) for name, value in options.items()]
    g.draw(data.nbytes // 4, lambda at: kernel(data, *numbers, g.seed, g.stream, at), data.itemsize // 4)
    return tensor
