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
    """All three for height and width. Raises ValueError by the name of what is no such size."""
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
    """The largest element of each window; NaN where a window holds one.

    Windows that do not fit are left out: there are (size + 2 * padding - kernel_size) // stride + 1 along an axis.

    Args:
        x: (..., H, W), H and W not 0.
        kernel_size: of the window; an integer, or two for height and width, as the next ones.
        stride: from window to window; kernel_size if None.
        padding: how far windows reach beyond the plane, where they hold nothing; at most half of kernel_size.
        return_indices: also return where in its window each element was found, uint8, counted row by row; the first of
            equal ones, as in PyTorch (whose indices count in the plane). A window has 255 elements at most then.
        out: where to write y, of shape (..., outputs along H, outputs along W); apart from x.

    Raises:
        ValueError: no window fits, or a size is out of its range.

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
    """dx: each dy added where its element was found, in the order of the windows; 0 elsewhere.

    Args:
        dy: the shape of y.
        indices: what `max_pool2d` returned with `return_indices=True`.
        input_size: the shape of x.
        kernel_size, stride, padding: as in forward.
        out: where to write dx, of shape `input_size`; apart from dy.
    """
    return _core.max_pool2d_backward(dy, indices, tuple(input_size), *pooling(kernel_size, stride, padding), out)
