"""Layers that pass values on: Flatten, Identity."""

import math
from typing import Any

from fastnn._checks import integer, is_array, not_array, unmasked
from fastnn._types import FLOATS, Array
from fastnn.nn.module import Backward, Module


class Identity(Module):
    """y is x itself, and dx is dy itself.

    Args:
        args, kwargs: ignored, so that it can replace any other layer.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def get_config(self) -> dict[str, Any]:
        """Return no arguments, since they change nothing."""
        return {}

    def __call__(self, x: Array) -> tuple[Array, Backward]:
        """x and y: any shape.

        Raises:
            TypeError: x is not a float32 or float64 array.
        """
        if not is_array(x) or x.dtype not in FLOATS:
            raise not_array("x", x, "float32 or float64")
        return x, lambda dy, input_grad=True: dy if input_grad else None


class Flatten(Module):
    """Make one axis of the axes from start_dim to end_dim; y shares the memory of x, and dx that of dy.

    Args:
        start_dim: the first of these axes; a negative one counts from the end, as for end_dim.
        end_dim: the last of these axes.

    Raises:
        TypeError: an argument is not an integer.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        want = "the number of an axis, an integer"
        self.start_dim = integer("start_dim", start_dim, -(2**63), want=f"{want}; 1 is the first after the samples")
        self.end_dim = integer("end_dim", end_dim, -(2**63), want=f"{want}; -1 is the last")

    def __call__(self, x: Array) -> tuple[Array, Backward]:
        """x: (..., d_start, ..., d_end, ...), y: (..., d_start * ... * d_end, ...).

        Raises:
            TypeError: x is not a float32 or float64 array.
            ValueError: x is strided, does not have these axes, or start_dim comes after end_dim.
        """
        if not is_array(x) or x.dtype not in FLOATS:
            raise not_array("x", x, "float32 or float64")
        if not x.flags.c_contiguous:
            raise ValueError("x: got strided memory, want C-contiguous memory, since nothing is copied silently; pass "
                             "np.ascontiguousarray(x)")  # fmt: skip
        first, last = (dim + x.ndim if dim < 0 else dim for dim in (self.start_dim, self.end_dim))
        if not 0 <= first <= last < x.ndim:
            raise ValueError(f"x: got shape {x.shape}, want an axis {self.start_dim} (start_dim) and not before it an "
                             f"axis {self.end_dim} (end_dim); add the axis of samples with x[None]")  # fmt: skip
        shape = x.shape
        y = x.reshape(*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])

        def backward(dy: Array, input_grad: bool = True) -> Array | None:
            unmasked("dy", dy)
            if dy.shape != y.shape:
                raise ValueError(f"dy: got shape {dy.shape}, want {y.shape}; pass dloss/dy")
            return dy.reshape(shape) if input_grad else None

        return y, backward

    def _options(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
