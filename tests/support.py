"""Helpers that every test file may use: guarded memory, exact comparison, a choice of what runs."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

import fastnn

Array = npt.NDArray[Any]
DTYPES = (np.float32, np.float64)
THREADS = (1, 2, 3, 7)
_CANARY = 0xA5
_BORDER = 64


@contextmanager
def running(isa: str, threads: int) -> Iterator[None]:
    """Run the body on `isa` with `threads` threads, then set back what was there."""
    before = fastnn.isa(), fastnn.get_num_threads()
    fastnn.use_isa(isa)
    fastnn.set_num_threads(threads)
    try:
        yield
    finally:
        fastnn.use_isa(before[0])
        fastnn.set_num_threads(before[1])


class Guarded:
    """A C-contiguous array inside a larger buffer.

    Attributes:
        array: the view; it begins `offset` elements past a 64-byte boundary.
    """

    def __init__(self, shape: Sequence[int], dtype: Any, offset: int = 1) -> None:
        size, item = math.prod(shape) * np.dtype(dtype).itemsize, np.dtype(dtype).itemsize
        raw = np.full(size + 2 * _BORDER + 64 + offset * item, _CANARY, dtype=np.uint8)
        begin = _BORDER + -(raw.ctypes.data + _BORDER) % 64 + offset * item
        self._before, self._after = raw[:begin], raw[begin + size :]
        self.array: Array = raw[begin : begin + size].view(dtype).reshape(tuple(shape))

    def check(self) -> None:
        """Fail if a byte before or behind the array changed."""
        assert (self._before == _CANARY).all(), "written before the array"
        assert (self._after == _CANARY).all(), "written behind the array"


def guarded(shape: int | Sequence[int], dtype: Any, offset: int = 1, fill: Any = None) -> Guarded:
    """A `Guarded` array of `shape` at an odd place, filled with `fill` if given, else with the canary's bytes."""
    made = Guarded((shape,) if isinstance(shape, int) else shape, dtype, offset)
    if fill is not None:
        made.array[...] = fill
    return made


def same_bits(a: Any, b: Any) -> bool:
    """Equal shape, dtype, NaN positions, and equal bits in all other places (so -0.0 is not 0.0)."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind != "f":
        return bool((a == b).all())
    nan = np.isnan(a)
    bits = f"u{a.itemsize}"
    return bool((nan == np.isnan(b)).all() and (a.view(bits) == b.view(bits))[~nan].all())


def error_in_ulps(got: Any, want: Any, scale: float | None = None) -> float:
    """The largest |got - want| in units of eps(dtype of got) * scale; NaN and infinity have to match in place.

    Args:
        scale: what the bound is relative to; the largest finite |want|, at least 1, if None.
    """
    got, want = np.asarray(got), np.asarray(want, dtype=np.float64)
    assert got.shape == want.shape
    finite = np.isfinite(want)
    np.testing.assert_array_equal(got[~finite], want[~finite])
    assert np.isfinite(got[finite]).all()
    if not finite.any():
        return 0.0
    if scale is None:
        scale = max(1.0, float(np.abs(want[finite]).max()))
    eps = float(np.finfo(got.dtype).eps)
    return float(np.abs(got[finite] - want[finite]).max()) / (eps * scale)
