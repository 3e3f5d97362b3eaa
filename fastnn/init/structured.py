"""Fills with a structure: one value, the identity, and columns that are mostly zeros."""

import math

import numpy as np

from fastnn._checks import fraction, integer
from fastnn.random import RandomSource, as_generator
from fastnn.random.fill import Target, as_array, normal_, real, uniform_


def constant_(tensor: Target, val: float) -> Target:
    """Fill with `val`, which may be infinite or NaN.

    Raises:
        TypeError, ValueError: tensor is not a C-contiguous, writable float32 or float64 array.
        ValueError: val is finite, but too large for the tensor's dtype.
    """
    data, value = as_array(tensor), real("val", val)
    with np.errstate(over="ignore", invalid="ignore"):
        fits = bool(np.isfinite(np.float64(value).astype(data.dtype)))
    if math.isfinite(value) and not fits:
        raise ValueError(f"val: got {val!r}, want a number that the tensor's dtype can hold; use float64")
    data.fill(value)
    return tensor


def ones_(tensor: Target) -> Target:
    """Fill with 1; raises like `constant_`."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Target) -> Target:
    """Fill with 0; raises like `constant_`."""
    return constant_(tensor, 0.0)


def eye_(tensor: Target) -> Target:
    """Fill a (rows, columns) tensor with the identity: ones on the diagonal and zeros elsewhere.

    Raises:
        TypeError, ValueError: as `constant_`, and if tensor does not have exactly two dimensions.
    """
    data = as_array(tensor)
    _want_matrix(data.shape)
    data.fill(0)
    np.fill_diagonal(data, 1)
    return tensor


def dirac_(tensor: Target, groups: int = 1) -> Target:
    """Fill a convolution's weight so that it passes its input on: output channel d of a group is input channel d.

    Args:
        tensor: (out, in / groups, ...) with one to three kernel dimensions; the kernel's element at size // 2 becomes
            1.
        groups: the number of groups, a divisor of out. Channels beyond the smaller count are zeros.

    Raises:
        TypeError, ValueError: as `constant_`, and if tensor does not have three to five dimensions.
        ValueError: groups is not a positive integer that divides out.
    """
    data = as_array(tensor)
    if not 3 <= data.ndim <= 5:
        raise ValueError(f"tensor: got shape {data.shape}, want (out, in, ...) with one to three kernel dimensions; "
                         "reshape it, or fill matrices with eye_")  # fmt: skip
    out, channels, *kernel = data.shape
    want = f"a positive integer that divides the {out} output channels; leave it out for 1"
    groups = integer("groups", groups, 1, want=want)
    if out % groups:
        raise ValueError(f"groups: got {groups}, want {want}")
    if data.size == 0:
        return tensor
    data.fill(0)
    same = np.arange(min(out // groups, channels))
    data.reshape(groups, out // groups, channels, *kernel)[:, same, same, *(size // 2 for size in kernel)] = 1
    return tensor


def sparse_(tensor: Target, sparsity: float, std: float = 0.01, generator: RandomSource | None = None) -> Target:
    """Fill each column with zeros at ceil(sparsity * rows) places, and with normal values of mean 0 elsewhere.

    Source: J. Martens, "Deep learning via Hessian-free optimization", ICML 2010, on random initialization. One uniform
    number per element is drawn, and the smallest ones give the places, so all choices are equally likely.

    Args:
        tensor: (rows, columns).
        sparsity: the fraction of zeros, in [0, 1].
        std: the standard deviation of the normal values.
        generator: source of one normal and one uniform float64 number per element, in this order.

    Raises:
        TypeError, ValueError: as `constant_`, and if tensor does not have exactly two dimensions.
        ValueError: sparsity is outside [0, 1], or std is not finite or is negative.
    """
    data = as_array(tensor)
    _want_matrix(data.shape)
    sparsity = fraction("sparsity", sparsity, "a fraction in [0, 1]; 0 sets none to zero")
    zeros = math.ceil(sparsity * len(data))
    keys, source = np.empty(data.shape[::-1]), as_generator(generator)
    normal_(data, 0.0, std, source)
    uniform_(keys, generator=source)
    if zeros:
        places = np.argpartition(keys, zeros - 1, axis=1)[:, :zeros]
        np.put_along_axis(data, places.T, 0, axis=0)
    return tensor


def _want_matrix(shape: tuple[int, ...]) -> None:
    if len(shape) != 2:
        raise ValueError(f"tensor: got shape {shape}, want two dimensions; reshape it to (rows, columns)")
