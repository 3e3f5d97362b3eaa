"""Valid calls of functions that take arrays, their shapes, and ways to make an array invalid, for test_border.py."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from support import Array

from fastnn import functional as F

CALL_MASK = F.DropoutMask(0.5, 1, 2, 3)
ROWS, COLUMNS = 6, 4


@dataclass(frozen=True)
class Call:
    """A function with valid keyword arguments.

    Attributes:
        run: the function.
        shapes: shapes of the array arguments, float64 unless they are labels; the others must match the first.
        written: arguments that are changed in place.
        optional: arguments that may be None.
        same: inputs that `out` may be.
        options: all other arguments.
        labels, places: arguments that hold classes, or positions in a window.
    """

    run: Callable[..., Any]
    shapes: dict[str, tuple[int, ...]]
    written: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    same: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    places: tuple[str, ...] = ()

    def arrays(self) -> dict[str, Array]:
        """Return new array arguments."""
        rng = np.random.default_rng(1)
        made = {name: rng.uniform(0.5, 2, shape) for name, shape in self.shapes.items()}
        made |= {name: np.zeros(self.shapes[name], np.int64) for name in self.labels}
        return made | {name: np.zeros(self.shapes[name], np.uint8) for name in self.places}

    def __call__(self, **arrays: Any) -> Any:
        return self.run(**arrays, **self.options)


X, ROW, COLUMN = (ROWS, COLUMNS), (ROWS,), (COLUMNS,)
IMAGE = (*X, 3)
RUNNING = {"running_mean": COLUMN, "running_var": COLUMN}
AFFINE = {"weight": COLUMN, "bias": COLUMN}
NORM_GRADIENT = {"x": X, "dy": X, "weight": COLUMN}


def strided(a: Array) -> Array:
    """Return the values as every second element of a larger array."""
    wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)
    wide[..., ::2] = a
    return wide[..., ::2]


def misaligned(a: Array) -> Array:
    """Return the values at an odd address."""
    raw = np.zeros(a.nbytes + 1, np.uint8)
    view: Array = raw[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def read_only(a: Array) -> Array:
    """Return a read-only copy."""
    a = a.copy()
    a.flags.writeable = False
    return a


def swapped(a: Array) -> Array:
    """The same values with the other byte order."""
    return a.astype(a.dtype.newbyteorder("S"))


# kind -> the function that makes it, the exception it must cause, and the words of the message.
WRONG: dict[str, tuple[Callable[[Array], Any], type[Exception], str]] = {
    "list": (lambda a: a.tolist(), TypeError, "got list, want a numpy.ndarray"),
    "None": (lambda a: None, TypeError, "got NoneType, want a numpy.ndarray"),
    "float": (lambda a: 1.0, TypeError, "got float, want a numpy.ndarray"),
    "float16": (lambda a: a.astype(np.float16), TypeError, "got dtype float16, want native float32 or float64"),
    "longdouble": (lambda a: a.astype(np.longdouble), TypeError, "got dtype float128, want native float32 or float64"),
    "int64": (lambda a: a.astype(np.int64), TypeError, "got dtype int64, want native float32 or float64"),
    "bool": (lambda a: a.astype(bool), TypeError, "got dtype bool, want native float32 or float64"),
    "complex": (lambda a: a.astype(complex), TypeError, "got dtype complex128, want native float32 or float64"),
    "object": (lambda a: a.astype(object), TypeError, "got dtype object, want native float32 or float64"),
    "masked": (np.ma.masked_array, TypeError, "got a masked array, want an array without a mask"),
    "swapped": (swapped, TypeError, "got dtype >f8, want native float32 or float64"),
    "strided": (strided, ValueError, "got strided memory, want C-contiguous memory"),
    "reversed": (lambda a: a[::-1], ValueError, "got strided memory, want C-contiguous memory"),
    "broadcast": (lambda a: np.broadcast_to(a[:1], a.shape), ValueError, "got strided memory, want C-contiguous"),
    "misaligned": (misaligned, ValueError, "got misaligned memory, want an address that is a multiple"),
}
# These kinds need two axes, a writable argument, or another array to differ from.
FORTRAN = (np.asfortranarray, ValueError, "got strided memory, want C-contiguous memory")
READ_ONLY = (read_only, ValueError, "got a read-only array, want a writable one")
OTHER_DTYPE = (lambda a: a.astype(np.float32), TypeError, "got float32, want float64")
OTHER_SHAPE = (lambda a: np.concatenate([a, a]), ValueError, r"got shape \(.*, want \(.*\)")
EXTRA_AXIS = (lambda a: a[..., None].copy(), ValueError, r"got shape \(.*, 1\), want ")
