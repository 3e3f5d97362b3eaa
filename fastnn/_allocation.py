"""Memory for the parameters and buffers of layers: from NumPy, and out of a budget while a file is being loaded."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import numpy.typing as npt

from fastnn._types import Array


class Budget:
    """What the constructors of layers may use while a model is built from a file.

    Attributes:
        left: number of bytes that may still be taken.
        dtype: the dtype of layers that are made without one; None for the default.
    """

    def __init__(self, left: int) -> None:
        self.left = left
        self.dtype: np.dtype[np.floating] | None = None


_current: ContextVar[Budget | None] = ContextVar("_current", default=None)


@contextmanager
def limited(left: int) -> Iterator[Budget]:
    """Take the memory of layers that are made inside the block out of a budget, and do not initialise it."""
    budget = Budget(left)
    token = _current.set(budget)
    try:
        yield budget
    finally:
        _current.reset(token)


def current() -> Budget | None:
    """Return the budget of the file that is being loaded, or None: layers then need initial values."""
    return _current.get()


def new(shape: int | tuple[int, ...], dtype: npt.DTypeLike, value: float | None = None) -> Array:
    """Return an array of a value, or of arbitrary values if it is None or a file is being loaded.

    Raises:
        ValueError: the budget of the file is exhausted; no memory has been taken then.
    """
    budget = _current.get()
    if budget is not None:
        axes = shape if isinstance(shape, tuple) else (shape,)
        if len(axes) > 64:  # NumPy has no more, and their product may take minutes
            raise ValueError(f"shape: got {len(axes)} axes, want at most 64")
        size = math.prod(axes) * np.dtype(dtype).itemsize
        if size > budget.left:
            shown = size if size < 2**64 else "more than 2**64"
            raise ValueError(
                f"shape: got one of {shown} bytes, want at most {budget.left}, those of the file's tensors"
            )
        budget.left -= size
    result: Array = np.empty(shape, dtype)
    if value is not None and budget is None:
        result[...] = value
    return result
