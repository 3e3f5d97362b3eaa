"""Normalize: features of mean 0 and deviation 1."""

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from fastnn._allocation import new
from fastnn._checks import axis_sizes, finite, is_array, not_array, samples, unmasked
from fastnn._dtype import chosen_dtype
from fastnn._types import Array
from fastnn.nn.module import Backward, Module

BLOCK = 2**20
"""Number of elements converted to float64 at a time, so that statistics need no second copy of the data."""

TINY = -400
"""Deviations below 2^TINY are scaled before they are squared."""


class Normalize(Module):
    """y = (x - mean) / std, with the mean and standard deviation of the data passed to `fit`, the training part only.

    As the first layer of a model it is saved with the model, so that new data is always normalised by the same numbers.

    Args:
        shape: the shape of the statistics. An int is the number of features of (N, features), or of channels of (N,
            channels, height, width); (28, 28) normalises each pixel of (N, 28, 28), () all elements together.
        dtype: dtype of the statistics and of x, float32 or float64; None for `fastnn.get_default_dtype()`.

    Attributes:
        mean: the means, of that shape.
        std: the standard deviations, of that shape, with divisor N and not N - 1; 1 where the data is constant or the
            deviation subnormal, and 0 before `fit`.
    """

    def __init__(self, shape: int | Sequence[int], *, dtype: npt.DTypeLike | None = None) -> None:
        self.shape = axis_sizes("shape", shape)
        dtype = chosen_dtype(dtype)
        self.mean, self.std = new(self.shape, dtype, 0), new(self.shape, dtype, 0)

    def fit(self, x: Array) -> Self:
        """Compute the statistics of x, in float64 and two passes, and return the module.

        Args:
            x: (N, *shape, ...), N > 0.

        Raises:
            TypeError: x is not an array of the module's dtype.
            ValueError: x has a wrong shape, no samples, NaN or infinity, or its variance overflows.
        """
        self._check(x)
        samples("x", x)
        finite("x", x)
        axes = (0, *range(1 + len(self.shape), x.ndim))
        count = x.size // math.prod(self.shape)
        rows = max(1, BLOCK * len(x) // x.size)
        blocks = [x[start : start + rows] for start in range(0, len(x), rows)]
        low, high = x.min(axes), x.max(axes)
        with np.errstate(over="ignore", invalid="ignore"):
            mean = sum(block.sum(axes, np.float64) for block in blocks) / count
            # The mean of equal numbers may have a rounding error, which must not count as a deviation.
            mean = np.where(low == high, low, mean)
            centre = self._along(mean, x)
            # Squares of deviations below 1e-154 are subnormal or 0; powers of two change no other result.
            exponent = np.frexp(np.maximum(high - mean, mean - low))[1]
            scale = np.ldexp(1.0, np.where(exponent < TINY, np.minimum(-exponent, 1000), 0))
            factor = self._along(scale, x)
            variance = sum(np.square((block - centre) * factor).sum(axes) for block in blocks) / count
        if not np.isfinite(variance).all():
            raise ValueError(f"x: got values up to {np.abs(x).max()}, want a variance within float64; scale them down")
        std = (np.sqrt(variance) / scale).astype(self.std.dtype)
        self.mean[...] = mean
        self.std[...] = np.where(std >= np.finfo(std.dtype).tiny, std, 1)
        return self

    def transform(self, x: Array) -> Array:
        """Return (x - mean) / std; x and the result are (N, *shape, ...).

        Raises:
            TypeError: x is not an array of the module's dtype.
            ValueError: x has a wrong shape.
            RuntimeError: neither `fit` nor `load_state_dict` has been called.
        """
        mean, std = self._statistics(x)
        y = x - mean
        y /= std
        return y

    def inverse_transform(self, y: Array) -> Array:
        """Return y * std + mean, the inverse of `transform`; shapes and errors are the same."""
        mean, std = self._statistics(y)
        x = y * std
        x += mean
        return x

    def __call__(self, x: Array) -> tuple[Array, Backward]:
        """Return `transform(x)` and its backward."""
        y, shape = self.transform(x), x.shape
        std = self._along(self.std.copy(), x)

        def backward(dy: Array, input_grad: bool = True) -> Array | None:
            unmasked("dy", dy)
            if dy.shape != shape or dy.dtype != std.dtype:
                raise ValueError(f"dy: got {dy.dtype} {dy.shape}, want {std.dtype} {shape}; pass dloss/dy")
            return dy / std if input_grad else None

        return y, backward

    def _statistics(self, x: Array) -> tuple[Array, Array]:
        self._check(x)
        if not self.std.all():
            raise RuntimeError("mean, std: got none so far, want the training data's; call fit(x) first")
        return self._along(self.mean, x), self._along(self.std, x)

    def _along(self, statistic: Array, x: Array) -> Array:
        return statistic.reshape((*self.shape, *(1,) * (x.ndim - 1 - len(self.shape))))

    def _check(self, x: Array) -> None:
        if not is_array(x) or x.dtype != self.std.dtype:
            raise not_array("x", x, self.std.dtype, "convert x or give Normalize another dtype")
        if x.ndim == 0 or x.shape[1 : 1 + len(self.shape)] != self.shape:
            sizes = "".join(f"{size}, " for size in self.shape)
            raise ValueError(f"x: got shape {x.shape}, want (N, {sizes}...); axis 0 counts samples")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {"shape": self.shape, "dtype": self.std.dtype.name}

    def _options(self) -> str:
        return f"{self.shape}, dtype={self.std.dtype}"
