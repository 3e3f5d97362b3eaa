"""Helpers for all tests: guarded memory, exact comparison, gradients, torch, choice of ISA and threads."""

import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastnn

Array = npt.NDArray[Any]
DTYPES = (np.float32, np.float64)
THREADS = (1, 2, 3, 7)
STEP = 1e-5
SECONDS = 60
_CANARY = 0xA5
_BORDER = 64


@contextmanager
def running(isa: str, threads: int) -> Iterator[None]:
    """Run the body on `isa` with `threads` threads, then restore the previous settings."""
    before = fastnn.isa(), fastnn.get_num_threads()
    fastnn.use_isa(isa)
    fastnn.set_num_threads(threads)
    try:
        yield
    finally:
        fastnn.use_isa(before[0])
        fastnn.set_num_threads(before[1])


def python(*arguments: str, through: Sequence[str] = (), seconds: float = SECONDS, **environment: str) -> str:
    """Run a new interpreter, through the command `through` if given, and return its output.

    Inherited variables that set threads or an instruction set are dropped; `environment` is added.
    """
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("FASTNN_", "OMP_"))}
    with subprocess.Popen(
        [*through, sys.executable, *arguments],
        env=inherited | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            printed, complaint = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # also kills forked children, which are what may hang
            raise
    assert process.returncode == 0, complaint
    return printed.strip()


class Guarded:
    """A C-contiguous array inside a larger buffer.

    Attributes:
        array: the view; it begins `offset` elements after a 64-byte boundary.
    """

    def __init__(self, shape: Sequence[int], dtype: Any, offset: int = 1) -> None:
        size, item = math.prod(shape) * np.dtype(dtype).itemsize, np.dtype(dtype).itemsize
        raw = np.full(size + 2 * _BORDER + 64 + offset * item, _CANARY, dtype=np.uint8)
        begin = _BORDER + -(raw.ctypes.data + _BORDER) % 64 + offset * item
        self._before, self._after = raw[:begin], raw[begin + size :]
        self._untouched = [part.tobytes() for part in (self._before, self._after)]
        self.array: Array = raw[begin : begin + size].view(dtype).reshape(tuple(shape))

    def check(self) -> None:
        """Fail if a byte before or after the array has changed."""
        before, after = self._untouched
        assert self._before.tobytes() == before, "written before the array"
        assert self._after.tobytes() == after, "written behind the array"


def guarded(shape: int | Sequence[int], dtype: Any, offset: int = 1, fill: Any = None) -> Guarded:
    """Return a `Guarded` array of `shape` at an odd place, filled with `fill` or else the canary's bytes."""
    made = Guarded((shape,) if isinstance(shape, int) else shape, dtype, offset)
    if fill is not None:
        made.array[...] = fill
    return made


def same_bits(a: Any, b: Any) -> bool:
    """Return whether shapes, dtypes, NaN positions and the bits of all other elements are equal (-0.0 is not 0.0)."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.tobytes() == b.tobytes():  # nearly always the case, and takes a fifth of the time
        return True
    if a.dtype.kind != "f":
        return bool((a == b).all())
    nan = np.isnan(a)
    bits = f"u{a.itemsize}"
    return bool((nan == np.isnan(b)).all() and (a.view(bits) == b.view(bits))[~nan].all())


def error_in_ulps(got: Any, want: Any, scale: float | None = None) -> float:
    """Return the largest |got - want| in units of eps(dtype of got) * scale; NaN and infinity must be at the same
    places.

    Args:
        scale: the bound is relative to this; if None, to the largest finite |want|, at least 1.
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


def normals(rng: np.random.Generator, *shapes: tuple[int, ...]) -> list[Array]:
    """Return one float64 array of normal values for every shape."""
    return [rng.standard_normal(shape) for shape in shapes]


def numeric_gradient(loss: Callable[[], float], at: Array) -> Array:
    """Return d loss / d at by central differences, changing one element at a time in place."""
    gradient = np.empty_like(at)
    for i in np.ndindex(at.shape):
        kept = at[i]
        at[i] = kept + STEP
        above = loss()
        at[i] = kept - STEP
        gradient[i] = (above - loss()) / (2 * STEP)
        at[i] = kept
    return gradient


def relative_error(a: Array, b: Array) -> float:
    """Return the distance of a and b relative to their mean length; 0 if both are zero."""
    size = float(np.linalg.norm(a)) + float(np.linalg.norm(b))
    return 2 * float(np.linalg.norm(a - b)) / size if size else 0.0


def check_gradients(forward: Callable[[], Array], dy: Array, wrt: Sequence[Array], gradients: Sequence[Array]) -> None:
    """Assert that `gradients` are those of (forward() * dy).sum() with respect to each array of `wrt`, to 1e-6."""
    for at, gradient in zip(wrt, gradients, strict=True):
        assert relative_error(gradient, numeric_gradient(lambda: float((forward() * dy).sum()), at)) <= 1e-6


def torch_leaves(*arrays: Array) -> tuple[Any, list[Any]]:
    """Return torch, and a tensor with requires_grad for every array; skip the test if torch is not installed."""
    torch = pytest.importorskip("torch")
    return torch, [torch.from_numpy(a.copy()).requires_grad_() for a in arrays]


def assert_torch(ours: Any, theirs: Any) -> None:
    """Assert that arrays equal tensors to 1e-10."""
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b.detach().numpy(), rtol=1e-10, atol=1e-10)


def refused(run: Callable[[], Any], arrays: dict[str, Any], error: type[Exception], sentence: str) -> None:
    """Assert that `run` raises exactly this error and changes neither the arrays nor the default generator."""
    before = {name: a.tobytes() for name, a in arrays.items() if isinstance(a, np.ndarray)}
    generator = repr(fastnn.random.default_generator)
    with pytest.raises(error, match=sentence) as caught:
        run()
    assert caught.type is error
    assert {name: a.tobytes() for name, a in arrays.items() if isinstance(a, np.ndarray)} == before
    assert repr(fastnn.random.default_generator) == generator


HARD = {"mean 1e4": (1.0, 1e4), "mean -1e4": (1.0, -1e4), "1e30": (1e30, 0.0)}


def hard_values(rng: np.random.Generator, kind: str, shape: tuple[int, ...], dtype: Any) -> Array:
    """Return normal values that cancel or overflow in a careless implementation of a norm."""
    scale, shift = HARD[kind]
    return np.asarray(scale * rng.standard_normal(shape) + shift, dtype=dtype)


def all_close(got: Any, want: Any) -> None:
    """Assert that each array is equal to 1e-5 of its largest value."""
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * max(1e-30, np.abs(b).max()))
