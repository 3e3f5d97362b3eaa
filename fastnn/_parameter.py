"""`Parameter`: an array that is trained, with its gradient."""

from collections.abc import Callable

import numpy as np

from fastnn._checks import not_array
from fastnn._types import FLOATS, Array


class Parameter:
    """An array that is trained, and its gradient.

    Args:
        data: a C-contiguous, writable float32 or float64 array of any shape. It is used without a copy.

    Raises:
        TypeError: data is not a float32 or float64 array.
        ValueError: it is strided or read-only.

    Optimizers hold the memory of `data`, so it can be written to (`p.data[...] = 0`, `p.data *= 2`), but not replaced.
    """

    __slots__ = ("_data", "_grad", "_memory")

    def __init__(self, data: Array) -> None:
        if not isinstance(data, np.ndarray) or data.dtype not in FLOATS:
            raise not_array("data", data, "float32 or float64")
        if not (data.flags.c_contiguous and data.flags.writeable):
            layout = "a strided array" if data.flags.writeable else "a read-only array"
            raise ValueError(f"data: got {layout}, want a C-contiguous, writable one; pass np.array(data, order='C')")
        self._data = data
        self._grad: Array | None = None  # None or _memory, so that an optimizer reads one attribute
        self._memory: Array | None = None

    @property
    def data(self) -> Array:
        """The values; always the same array."""
        return self._data

    @data.setter
    def data(self, value: Array) -> None:
        if value is not self._data:  # `p.data *= 2` assigns the same array again
            raise AttributeError("data: got another array, want the same one as before; write p.data[...] = values")

    @property
    def grad(self) -> Array | None:
        """The gradient, in the shape and dtype of `data`; None before the first backward after `zero_grad()`.

        It is always the same array: after `zero_grad()` the next backward writes into the array that was returned here.
        Assigned values are copied into it.
        """
        return self._grad

    @grad.setter
    def grad(self, value: Array | None) -> None:
        if value is None:
            self._grad = None
            return
        if not isinstance(value, np.ndarray) or value.dtype != self.dtype:
            raise not_array("grad", value, self.dtype)
        if value.shape != self.shape:
            raise ValueError(f"grad: got shape {value.shape}, want {self.shape}; a gradient has its parameter's shape")
        buffer = self._buffer()
        if value is not buffer:
            np.copyto(buffer, value)
        self._grad = buffer

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of `data`."""
        return self._data.shape

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """The dtype of `data`: float32 or float64."""
        return self._data.dtype

    def accumulate(self, compute: Callable[[Array], object]) -> None:
        """Add a gradient; the first one after `zero_grad()` is written straight into the gradient's memory.

        Args:
            compute: called once with an array of the parameter's shape and dtype, which it fills with the gradient. The
                array's earlier content is arbitrary.
        """
        if self._grad is None:
            buffer = self._buffer()
            compute(buffer)
            self._grad = buffer
        else:
            out = np.empty_like(self._data)
            compute(out)
            self._grad += out

    def zero_grad(self) -> None:
        """Discard the gradient: `grad` is None until the next one is written. This needs no pass over memory."""
        self._grad = None

    def _buffer(self) -> Array:
        if self._memory is None:
            self._memory = np.empty_like(self._data)
        return self._memory

    def __repr__(self) -> str:
        return f"Parameter(shape={self.shape}, dtype={self.dtype})"
