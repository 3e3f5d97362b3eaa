"""Argument checks, each written once. Sentences name the argument, what came, what is wanted, and the remedy.

A check takes the argument's name and value and returns the value, as an int or a float where it is a number. `want`
replaces what the sentence asks for, so that it can end with a remedy of its own.
"""

import math
import operator
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn._types import FLOATS, AnyArray, Array

FLOAT32_MAX = 3.4028234663852886e38
_ROWS = 4096  # at a time, so that the mask of `finite` needs little memory


class NotAnInteger(TypeError, ValueError):
    """An argument is no integer. It is also a ValueError, for callers who catch all bad sizes and counts as that."""


def integer(name: str, value: Any, least: int = 0, end: int = 2**63, want: str = "") -> int:
    """An integer in [least, end): Python's, NumPy's, or any other object with `__index__`, but no bool.

    Raises:
        NotAnInteger, ValueError: it is no integer; it is out of range.
    """
    if type(value) is int and least <= value < end:  # nearly every call
        return value
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise NotAnInteger(f"{name}: got {value!r}, want {want or f'an integer >= {least}'}")
    if not least <= number < end:
        got = number if abs(number) < 2**128 else f"an integer of {number.bit_length()} bits"
        raise ValueError(f"{name}: got {got}, want {want or f'an integer >= {least} that 64 bits hold'}")
    return number


def positive_integer(name: str, value: Any, remedy: str = "1 is the least") -> int:
    """An integer >= 1; errors of `integer`."""
    return integer(name, value, 1, want=f"a positive integer; {remedy}")


def axis_size(name: str, value: Any) -> int:
    """The size of an axis: an integer >= 1; errors of `integer`."""
    return positive_integer(name, value, "it is the size of an axis")


def axis_sizes(name: str, value: Any) -> tuple[int, ...]:
    """A shape: the size of one axis, or a sequence of sizes; errors of `integer`."""
    return tuple(axis_size(name, size) for size in ((value,) if np.ndim(value) == 0 else value))


def number(name: str, value: Any, want: str = "a real number") -> float:
    """A real number, or any other object with `__index__`, but no bool.

    Raises:
        TypeError: it is none.
        ValueError: an integer that no double can hold.
    """
    if isinstance(value, bool):
        raise TypeError(f"{name}: got {value!r}, want {want}")
    try:
        return float(value) if isinstance(value, Real) else float(operator.index(value))
    except TypeError:
        raise TypeError(f"{name}: got {value!r}, want {want}") from None
    except OverflowError:
        raise ValueError(f"{name}: got a number of more than 308 digits, want one that a double can hold") from None


def not_negative(name: str, value: Any, want: str = "a finite number >= 0") -> float:
    """A finite number >= 0, within what float32 holds; TypeError and ValueError otherwise, as in those below."""
    result = number(name, value)
    if not 0 <= result < math.inf:
        raise ValueError(f"{name}: got {value!r}, want {want}")
    if result > FLOAT32_MAX:
        raise ValueError(f"{name}: got {value!r}, want a number that float32 can hold; {FLOAT32_MAX} is the largest")
    return result


def positive(name: str, value: Any, want: str = "a finite number > 0") -> float:
    """A finite number > 0, within what float32 holds."""
    result = not_negative(name, value, want)
    if result == 0:
        raise ValueError(f"{name}: got {value!r}, want {want}")
    return result


def fraction(name: str, value: Any, want: str = "a number in [0, 1]") -> float:
    """A number in [0, 1]."""
    result = number(name, value)
    if not 0 <= result <= 1:
        raise ValueError(f"{name}: got {value!r}, want {want}")
    return result


def positive_fraction(name: str, value: Any) -> float:
    """A number in (0, 1]."""
    result = fraction(name, value)
    if result == 0:
        raise ValueError(f"{name}: got {value!r}, want a number in (0, 1]")
    return result


def below_one(name: str, value: Any, want: str = "a number in [0, 1)") -> float:
    """A number in [0, 1)."""
    result = not_negative(name, value, want)
    if result >= 1:
        raise ValueError(f"{name}: got {value!r}, want {want}")
    return result


def flag(name: str, value: Any) -> bool:
    """True or False.

    Raises:
        TypeError: something else.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name}: got {value!r}, want True or False")
    return value


def float_dtype(dtype: npt.DTypeLike) -> np.dtype[np.floating]:
    """`dtype` as a native NumPy dtype.

    Raises:
        TypeError: neither float32 nor float64.
    """
    result: np.dtype[Any] = np.dtype(dtype)
    if result not in FLOATS:
        raise TypeError(f"dtype: got {result}, want float32 or float64; the kernels know no other")
    return result


def not_array(name: str, value: Any, want: object, remedy: str = "convert it with np.asarray") -> TypeError:
    """The error for a value that is no array, or one of another dtype than `want` says."""
    got = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
    return TypeError(f"{name}: got {got}, want a {want} array; {remedy}")


def finite(name: str, x: Array) -> None:
    """Raise ValueError with the place of the first sample that is NaN or infinite."""
    for start in range(0, len(x), _ROWS):
        is_finite = np.isfinite(x[start : start + _ROWS])
        if not is_finite.all():
            row, *column = (int(i) for i in np.argwhere(~is_finite)[0])
            place = f"row {start + row}, column {', '.join(map(str, column))}" if column else f"row {start + row}"
            raise ValueError(f"{name}: got {x[(start + row, *column)]} at {place}, want finite numbers; clean the data")


def samples(name: str, x: AnyArray) -> None:
    """Raise ValueError unless axis 0 has at least one sample."""
    if x.ndim == 0 or len(x) == 0:
        raise ValueError(f"{name}: got shape {x.shape}, want at least one sample; axis 0 counts samples")


def pair(name: str, data: Any) -> tuple[Any, Any]:
    """A tuple of two: (x, y).

    Raises:
        TypeError: something else.
    """
    if not isinstance(data, tuple) or len(data) != 2:
        raise TypeError(f"{name}: got {type(data).__name__}, want a tuple (x, y) of two arrays; pass (x, y)")
    return data
