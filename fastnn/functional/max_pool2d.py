"""Max pooling of images, forward and backward."""

from collections.abc import Sequence
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

from fastnn import _core
from fastnn._checks import integer
from fastnn._types import Array

__all__ = ["max_pool2d", "max_pool2d_backward"]

Pair = int | Sequence[int]
Places = npt.NDArray[np.uint8]
Sizes = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


def pooling(kernel_size: Pair, stride: Pair | None, padding: Pair) -> Sizes:
    """Return kernel size, stride and padding, each for height and width. Raises ValueError, which names the bad one."""
    kernel = _pair("kernel_size", kernel_size, 1)
    return kernel, kernel if stride is None else _pair("stride", stride, 1), _pair("padding", padding, 0)


def _pair(name: str, value: Any, least: int) -> tuple[int, int]:
    try:
        height, width = value if isinstance(value, list | tuple) else (value, value)
        return integer(name, height, least, 2**31), integer(name, width, least, 2**31)
    except ValueError:
        want = f"an integer >= {least}, or two, for height and width"
        raise ValueError(f"{name}: got {value!r}, want {want}") from None


@overload
def max_pool2d(
    x: Array,
    kernel_size: Pair,
    stride: Pair | None = ...,
    padding: Pair = ...,
    *,
    return_indices: Literal[False] = ...,
    out: Array | None = ...,
) -> Array: ...
@overload
def max_pool2d(
    x: Array,
    kernel_size: Pair,
    stride: Pair | None = ...,
    padding: Pair = ...,
    *,
    return_indices: Literal[True],
    out: Array | None = ...,
) -> tuple[Array, Places]: ...
def max_pool2d(
    x: Array,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    *,
    return_indices: bool = False,
    out: Array | None = None,
) -> Array | tuple[Array, Places]:
    """Return the largest element of each window; NaN if the window contains NaN.

    Windows must fit completely: there are (size + 2 * padding - kernel_size) // stride + 1 of them along an axis.

    Args:
        x: (..., H, W), H and W not 0.
        kernel_size: the window's size; an integer, or two for height and width, as for stride and padding.
        stride: distance between windows; None for kernel_size.
        padding: how far windows extend beyond the plane, where they have no elements; at most half of kernel_size.
        return_indices: also return the position of each maximum within its window, uint8, counted row by row; the first
            one of equal elements, as in PyTorch (whose indices count in the plane). Windows then have at most 255
            elements.
        out: where to write y, of shape (..., outputs along H, outputs along W); must not overlap x.

    Raises:
        ValueError: no window fits, or a size is out of range.

    Source: D. Scherer et al., "Evaluation of pooling operations in convolutional architectures", ICANN 2010.
    """
    y, places = _core.max_pool2d(x, *pooling(kernel_size, stride, padding), return_indices, out)
    return (y, places) if return_indices else y


def max_pool2d_backward(
    dy: Array,
    indices: Places,
    input_size: Sequence[int],
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    *,
    out: Array | None = None,
) -> Array:
    """Return dx: each dy is added at the position of its maximum, in the order of the windows; other elements are 0.

    Args:
        dy: an array of the shape of y.
        indices: as returned by `max_pool2d` with `return_indices=True`.
        input_size: the shape of x.
        kernel_size, stride, padding: as in forward.
        out: where to write dx, of shape `input_size`; must not overlap dy.
    """
    shape = tuple(integer("input_size", size) for size in input_size)
    return _core.max_pool2d_backward(dy, indices, shape, *pooling(kernel_size, stride, padding), out)
