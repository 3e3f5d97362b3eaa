"""Layers without statistics: Linear, Dropout."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn import _core
from fastnn import functional as F
from fastnn._allocation import current, new
from fastnn._checks import axis_size, flag, fraction, is_array, not_array, unmasked
from fastnn._dtype import chosen_dtype
from fastnn._parameter import Parameter
from fastnn._types import Array
from fastnn.init.scaled import kaiming_uniform_
from fastnn.nn.module import Backward, Module
from fastnn.random import RandomSource, as_generator
from fastnn.random.fill import uniform_


class Linear(Module):
    """y = x @ weight.T + bias, computed by NumPy's BLAS.

    Args:
        in_features, out_features: positive integers.
        bias: False omits the bias.
        dtype: dtype of the parameters and of x, float32 or float64; None for `fastnn.get_default_dtype()`.
        generator: source of the initial values; None for the default generator.

    Attributes:
        weight: (out_features, in_features), initially uniform in +-1 / sqrt(in_features), as in PyTorch.
        bias: (out_features,) in the same range, or None.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: npt.DTypeLike | None = None,
        generator: RandomSource | None = None,
    ) -> None:
        self.in_features = axis_size("in_features", in_features)
        self.out_features = axis_size("out_features", out_features)
        dtype = chosen_dtype(dtype)
        self.weight = Parameter(new((self.out_features, self.in_features), dtype))
        self.bias = Parameter(new(self.out_features, dtype)) if flag("bias", bias) else None
        if current() is not None:  # the values are those of a file
            return
        generator = as_generator(generator)
        kaiming_uniform_(self.weight, a=math.sqrt(5), generator=generator)
        if self.bias is not None:
            bound = 1 / math.sqrt(in_features)
            uniform_(self.bias, -bound, bound, generator)

    def __call__(self, x: Array) -> tuple[Array, Backward]:
        """x: (..., in_features), y: (..., out_features).

        Raises:
            TypeError: x is not an array of the layer's dtype.
            ValueError: its last dimension is not in_features.
        """
        weight, bias = self.weight, self.bias
        dtype = weight.dtype
        if not is_array(x) or x.dtype != dtype:
            raise not_array("x", x, dtype, "convert x or give the layer another dtype")
        if x.ndim == 0 or x.shape[-1] != self.in_features:
            raise ValueError(f"x: got shape {x.shape}, want (..., {self.in_features}); features lie on the last axis")
        rows = x if x.ndim == 2 else x.reshape(-1, self.in_features)
        y = np.matmul(rows, weight.data.T, out=_core.empty((len(rows), self.out_features), dtype))
        if bias is not None:
            y += bias.data
        y_shape = (*x.shape[:-1], self.out_features)

        def backward(dy: Array, input_grad: bool = True) -> Array | None:
            if not is_array(dy) or dy.shape != y_shape or dy.dtype != dtype:
                unmasked("dy", dy)
                raise ValueError(f"dy: got {dy.dtype} {dy.shape}, want {dtype} {y_shape}; pass dloss/dy")
            dy_rows = dy if dy.ndim == 2 else dy.reshape(-1, dy.shape[-1])
            weight.accumulate(lambda out: np.matmul(dy_rows.T, rows, out=out))
            if bias is not None:
                bias.accumulate(lambda out: np.add.reduce(dy_rows, axis=0, out=out))
            if not input_grad:
                return None
            dx = np.matmul(dy_rows, weight.data, out=_core.empty(rows.shape, dtype))
            return dx if x.ndim == 2 else dx.reshape(x.shape)

        return y if x.ndim == 2 else y.reshape(y_shape), backward

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor without the generator."""
        sizes = {"in_features": self.in_features, "out_features": self.out_features}
        return {**sizes, "bias": self.bias is not None, "dtype": self.weight.dtype.name}

    def _options(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"


class Dropout(Module):
    """In training, set each element to 0 with probability `p` and multiply the others by 1 / (1 - p).

    Args:
        p: probability of dropping, in [0, 1].
        generator: source of the mask's random bits; None for the default generator.

    Raises:
        ValueError: p is NaN or outside [0, 1].

    In evaluation y is x itself and dx is dy itself. The mask is not stored, see `fastnn.functional.dropout`.
    """

    def __init__(self, p: float = 0.5, *, generator: RandomSource | None = None) -> None:
        fraction("p", p, "a probability in [0, 1]; 0.5 drops one half")
        self.p = p
        self.generator = None if generator is None else as_generator(generator)

    def __call__(self, x: Array) -> tuple[Array, Backward]:
        """x and y: any shape."""
        if not self.training:
            unmasked("x", x)
            return x, lambda dy, input_grad=True: dy if input_grad else None
        y, mask = F.dropout(x, self.p, generator=self.generator, return_mask=True)

        def backward(dy: Array, input_grad: bool = True) -> Array | None:
            return F.dropout_backward(dy, mask) if input_grad else None

        return y, backward

    def _options(self) -> str:
        return f"p={self.p}"
