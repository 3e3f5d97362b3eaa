"""Max pooling, window by window."""

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from reference.types import Array, Float64, wide

Pair = tuple[int, int]


def max_pool2d_outputs(shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Pair) -> tuple[int, ...]:
    """Return the shape of the output for an input of this shape."""
    sizes = zip(shape[-2:], kernel, stride, padding, strict=True)
    return (*shape[:-2], *(1 + (n + 2 * p - k) // s for n, k, s, p in sizes))


def _windows(x: Array, kernel: Pair, stride: Pair, padding: Pair, beyond: float) -> Array:
    """Return the windows as (..., windows along H, windows along W, elements of a window)."""
    around = [(0, 0)] * (x.ndim - 2) + [(p, p) for p in padding]
    seen = sliding_window_view(np.pad(x, around, constant_values=beyond), kernel, axis=(-2, -1))
    seen = seen[..., :: stride[0], :: stride[1], :, :]
    return seen.reshape(*seen.shape[:-2], kernel[0] * kernel[1])


def max_pool2d(x: Array, kernel: Pair, stride: Pair, padding: Pair) -> tuple[Float64, npt.NDArray[np.int64]]:
    """Return the maximum of each window and its position in it: the first of equal maxima, but the last NaN."""
    windows = _windows(wide(x), kernel, stride, padding, -np.inf)
    held = _windows(np.ones(x.shape), kernel, stride, padding, 0) > 0
    nan = np.isnan(windows)
    first = (held & (windows == windows.max(-1, keepdims=True))).argmax(-1)
    last = windows.shape[-1] - 1 - nan[..., ::-1].argmax(-1)
    return windows.max(-1), np.where(nan.any(-1), last, first)


def max_pool2d_backward(
    dy: Array, places: Array, shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Pair
) -> Float64:
    """Add every dy to the element that it belongs to."""
    dx = np.zeros(shape)
    for at in np.ndindex(dy.shape):
        row, column = divmod(int(places[at]), kernel[1])
        dx[(*at[:-2], at[-2] * stride[0] - padding[0] + row, at[-1] * stride[1] - padding[1] + column)] += dy[at]
    return dx
