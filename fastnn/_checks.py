"""Argument checks, each written once. Messages name the argument, the value received, the wanted one and a remedy.

A check takes an argument's name and value and returns the value, converted to int or float if it is a number. `want`
replaces the part of the message after "want", so that a caller can add its own remedy.
"""

import math
import operator
from numbers import Real
from typing import Any, TypeGuard
from weakref import WeakSet

import numpy as np
import numpy.typing as npt

from fastnn._types import FLOATS, AnyArray, Array

FLOAT32_MAX = 3.4028234663852886e38
_ROUNDING = 1e-12  # schedules that end at 0, such as torch's OneCycleLR, end up to some 1e-16 times their peak below it
_ROWS = 4096  # rows that `finite` checks at a time, so that its mask needs little memory


class NotAnInteger(TypeError, ValueError):
    """Raised for an argument that is not an integer; a ValueError too, which callers catch for bad sizes and counts."""


def integer(name: str, value: Any, least: int = 0, end: int = 2**63, want: str = "") -> int:
    """Return an integer in [least, end) as an int; Python's, NumPy's or another with `__index__`, but not a bool.

    Raises:
        NotAnInteger: the value is not an integer.
        ValueError: it is out of range.
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
    """Return an integer >= 1; raises like `integer`."""
    return integer(name, value, 1, want=f"a positive integer; {remedy}")


def axis_size(name: str, value: Any) -> int:
    """Return the size of an axis, an integer >= 1; raises like `integer`."""
    return positive_integer(name, value, "it is the size of an axis")


def axis_sizes(name: str, value: Any) -> tuple[int, ...]:
    """Return a shape, given as the size of one axis or a sequence of sizes; raises like `integer`."""
    return tuple(axis_size(name, size) for size in ((value,) if np.ndim(value) == 0 else value))


def number(name: str, value: Any, want: str = "a real number; pass an int or a float") -> float:
    """Return a real number, or any other object with `__index__` but not a bool, as a float.

    Raises:
        TypeError: the value is not a number.
        ValueError: an integer is too large for a double.
    """
    if isinstance(value, bool):
        raise TypeError(f"{name}: got {value!r}, want {want}")
    try:
        return float(value) if isinstance(value, Real) else float(operator.index(value))
    except TypeError:
        raise TypeError(f"{name}: got {value!r}, want {want}") from None
    except OverflowError:
        raise ValueError(
            f"{name}: got a number of more than 308 digits, want one that a double can hold; round it"
        ) from None


def single(value: Any) -> float | None:
    """Return one real number, also that of an array or tensor without axes, as a float; None for anything else."""
    if isinstance(value, float):
        return float(value)
    if value is None or isinstance(value, str | bytes) or np.ndim(value) != 0 or np.iscomplexobj(value):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def not_negative(name: str, value: Any, want: str = "a finite number >= 0") -> float:
    """Return a finite number >= 0 in the range of float32; raises TypeError and ValueError, as do the checks below."""
    result = number(name, value)
    if not 0 <= result < math.inf:
        raise ValueError(f"{name}: got {value!r}, want {want}")
    if result > FLOAT32_MAX:
        raise ValueError(f"{name}: got {value!r}, want a number that float32 can hold; {FLOAT32_MAX} is the largest")
    return result


def rate(name: str, value: Any) -> float:
    """Return a learning rate, as `not_negative`; one that is below zero by no more than rounding is 0."""
    result = number(name, value)
    return 0.0 if -_ROUNDING <= result < 0 else not_negative(name, value)


def positive(name: str, value: Any, want: str = "a finite number > 0") -> float:
    """Return a finite number > 0 in the range of float32."""
    result = not_negative(name, value, want)
    if result == 0:
        raise ValueError(f"{name}: got {value!r}, want {want}")
    return result


def fraction(name: str, value: Any, want: str = "a number in [0, 1]") -> float:
    """Return a number in [0, 1]."""
    result = number(name, value)
    if not 0 <= result <= 1:
        raise ValueError(f"{name}: got {value!r}, want {want}")
    return result


def positive_fraction(name: str, value: Any) -> float:
    """Return a number in (0, 1]."""
    result = fraction(name, value)
    if result == 0:
        raise ValueError(f"{name}: got {value!r}, want a number in (0, 1]")
    return result


def below_one(name: str, value: Any, want: str = "a number in [0, 1)") -> float:
    """Return a number in [0, 1)."""
    result = not_negative(name, value, want)
    if result >= 1:
        raise ValueError(f"{name}: got {value!r}, want {want}")
    return result


def flag(name: str, value: Any) -> bool:
    """Return True or False.

    Raises:
        TypeError: the value is something else.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name}: got {value!r}, want True or False")
    return value


def float_dtype(dtype: npt.DTypeLike) -> np.dtype[np.floating]:
    """Return `dtype` as a native NumPy dtype.

    Raises:
        TypeError: the dtype is neither float32 nor float64.
    """
    try:
        result: np.dtype[Any] | None = None if dtype is None else np.dtype(dtype)  # np.dtype(None) is float64
    except TypeError:
        result = None
    if result is None or result not in FLOATS:
        got = repr(dtype) if result is None else result
        raise TypeError(f"dtype: got {got}, want float32 or float64; the kernels know no other, pass np.float32")
    return result


def is_array(value: Any) -> TypeGuard[AnyArray]:
    """Return whether a value is a NumPy array without a mask: nothing here would heed the mask."""
    return type(value) is np.ndarray or (isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray))


def is_ours(value: object) -> bool:
    """Return whether an object's class is one of this package, whose results need no check."""
    return type(value).__module__.startswith("fastnn.")


def unmasked(name: str, value: Any) -> None:
    """Raise TypeError for a masked array, whose mask NumPy would drop, or a sparse matrix, which it would not fill."""
    if not is_array(value) and (isinstance(value, np.ndarray) or hasattr(value, "toarray")):
        raise not_array(name, value, "")


def not_array(name: str, value: Any, want: object, remedy: str = "convert it with np.asarray") -> TypeError:
    """Return the error for a value that `is_array` rejects, or whose dtype is not the one that `want` names.

    Sparse matrices and data frames have a remedy of their own: np.asarray makes one object of the former.
    """
    if isinstance(value, np.ndarray) and not is_array(value):
        return TypeError(f"{name}: got a masked array, want an array without a mask; pass its .filled(value) or, for "
                         "the valid elements, .compressed()")  # fmt: skip
    got = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
    if remedy == "convert it with np.asarray" and (isinstance(want, np.dtype) or str(want).startswith("float32")):
        place, dtype = name if name.isidentifier() else "value", want if isinstance(want, np.dtype) else "float32"
        remedy += f"({place}, np.{dtype})"
    if own := own_conversion(value):
        remedy = own + (f".astype(np.{want})" if isinstance(want, np.dtype) else "")
    return TypeError(f"{name}: got {got}, want {f'a {want}' if want else 'an'} array; {remedy}")


def own_conversion(value: Any) -> str:
    """Return the remedy for a sparse matrix or a data frame in place of an array; "" for anything else."""
    if isinstance(value, np.ndarray):
        return ""
    return next((f"pass its .{name}()" for name in ("toarray", "to_numpy") if hasattr(value, name)), "")


def finite(name: str, x: Array) -> None:
    """Raise ValueError if x has a non-finite element; the message gives the place of the first one."""
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


def ordered(name: str, values: Any) -> None:
    """Raise TypeError for a set, whose order changes between runs; the keys, values and items of a dict have one."""
    if isinstance(values, set | frozenset | WeakSet):
        raise TypeError(f"{name}: got a {type(values).__name__}, want an ordered collection, since the order of a set "
                        "changes between runs; pass a list")  # fmt: skip


def pair(name: str, data: Any) -> tuple[Any, Any]:
    """Return the two items of a tuple (x, y).

    Raises:
        TypeError: something else.
    """
    if not isinstance(data, tuple) or len(data) != 2:
        raise TypeError(f"{name}: got {type(data).__name__}, want a tuple (x, y) of two arrays; pass (x, y)")
    return data
