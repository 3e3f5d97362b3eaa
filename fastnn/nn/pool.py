"""Pooling of images."""

import numpy as np

from fastnn import functional as F
from fastnn._types import Array
from fastnn.functional.max_pool2d import Pair, pooling
from fastnn.nn.module import Backward, Module


class MaxPool2d(Module):
    """The largest element of each window; see `fastnn.functional.max_pool2d`.

    Args:
        kernel_size: the window's size, an integer, or two for height and width, as for stride; at most 255 elements.
        stride: distance between windows; None for kernel_size.
        padding: how far windows extend beyond the image; at most half of kernel_size.

    Raises:
        ValueError: a size is out of range.
    """

    def __init__(self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> None:
        self.kernel_size, self.stride, self.padding = pooling(kernel_size, stride, padding)
        self(np.zeros((0, *self.kernel_size)))  # on no images, so that the kernel's argument checks raise now

    def __call__(self, x: Array) -> tuple[Array, Backward]:
        """x: (..., H, W)."""
        sizes, shape = (self.kernel_size, self.stride, self.padding), np.shape(x)
        y, places = F.max_pool2d(x, *sizes, return_indices=True)

        def backward(dy: Array, input_grad: bool = True) -> Array | None:
            return F.max_pool2d_backward(dy, places, shape, *sizes) if input_grad else None

        return y, backward

    def _options(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
