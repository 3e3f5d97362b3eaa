"""`Parameter`: an array that is trained, with its gradient."""

from collections.abc import Callable

import numpy as np

from fastnn._checks import flag, is_array, not_array
from fastnn._types import FLOATS, Array


class Parameter:
    """An array that is trained, and its gradient.

    Args:
        data: a C-contiguous, writable float32 or float64 array of any shape. It is used without a copy.
        requires_grad: False freezes the parameter: it gets no gradients, so that optimizers skip it.

    Raises:
        TypeError: data is not a float32 or float64 array, or requires_grad is not a bool.
        ValueError: data is strided or read-only.

    Optimizers hold the memory of `data`, so it can be written to (`p.data[...] = 0`, `p.data *= 2`), but not replaced.
    """

    __slots__ = ("_data", "_grad", "_memory", "_requires_grad")

    def __init__(self, data: Array, requires_grad: bool = True) -> None:
        if not is_array(data) or data.dtype not in FLOATS:
            raise not_array("data", data, "float32 or float64")
        if not (data.flags.c_contiguous and data.flags.writeable):
            layout = "a strided array" if data.flags.writeable else "a read-only array"
            raise ValueError(f"data: got {layout}, want a C-contiguous, writable one; pass np.array(data, order='C')")
        self._requires_grad = flag("requires_grad", requires_grad)
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
    def requires_grad(self) -> bool:
        """Whether backward passes compute the gradient. Setting it to False discards the gradient.

        Raises (on assignment):
            TypeError: the value is not a bool.
        """
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self._requires_grad = flag("requires_grad", value)
        if not value:
            self._grad = None

    @property
    def grad(self) -> Array | None:
        """The gradient, in the shape and dtype of `data`; None before the first backward after `zero_grad()`.

        It is always the same array: after `zero_grad()` the next backward writes into the array that was returned here.
        Assigned values are copied into it, and used by optimizers whether or not `requires_grad` is set.

        Raises (on assignment):
            TypeError: the value is not an array of the parameter's dtype.
            ValueError: it has another shape.
        """
        return self._grad

    @grad.setter
    def grad(self, value: Array | None) -> None:
        if value is None:
            self._grad = None
            return
        if not is_array(value) or value.dtype != self.dtype:
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

        Without `requires_grad` nothing happens.

        Args:
            compute: called once with an array of the parameter's shape and dtype, which it fills with the gradient. The
                array's earlier content is arbitrary.
        """
        if not self._requires_grad:
            return
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
        frozen = "" if self._requires_grad else ", requires_grad=False"
        return f"Parameter(shape={self.shape}, dtype={self.dtype}{frozen})"
