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
from fastnn.functional.linear import LinearSaved, as_matrix, product_gradient
from fastnn.init.scaled import kaiming_uniform_
from fastnn.nn.module import Backward, Module
from fastnn.random import RandomSource, as_generator
from fastnn.random.fill import uniform_


class Linear(Module):
    """y = x @ weight.T + bias; see `fastnn.functional.matmul`.

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
        return self._run_with(x)

    def _run_with(
        self, x: Array, activation: str = "identity", alpha: float | None = None, dropout: "Dropout | None" = None
    ) -> tuple[Array, Backward]:
        """Run the layer and what follows it: an activation of `fastnn.functional.linear`, and a Dropout in training."""
        weight, bias = self.weight, self.bias
        dtype = weight.dtype
        if not is_array(x) or x.dtype != dtype:
            raise not_array("x", x, dtype, "convert x or give the layer another dtype")
        if x.ndim == 0 or x.shape[-1] != self.in_features:
            raise ValueError(f"x: got shape {x.shape}, want (..., {self.in_features}); features lie on the last axis")
        p, generator = (0.0, None) if dropout is None else (dropout.p, dropout.generator)
        y, saved = F.linear(
            x, weight.data, None if bias is None else bias.data, activation, p, alpha=alpha, generator=generator,
            return_saved=True,
        )  # fmt: skip

        y_shape = y.shape
        kept = bias is not None and activation not in ("identity", "relu")
        at = bias.data.copy() if bias is not None and kept else None  # the bias may change before backward

        def backward(dy: Array, input_grad: bool = True) -> Array | None:
            if not is_array(dy):
                raise not_array("dy", dy, dtype, "pass dloss/dy")
            if dy.shape != y_shape or dy.dtype != dtype:
                raise ValueError(f"dy: got {dy.dtype} {dy.shape}, want {dtype} {y_shape}; pass dloss/dy")
            dz = _product_gradient(np.ascontiguousarray(dy), bias, at, activation, saved, alpha)
            weight.accumulate(lambda out: _core.matmul(as_matrix(dz).T, as_matrix(x), out))
            return _core.matmul(dz, weight.data, None) if input_grad else None

        return y, backward

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor without the generator."""
        sizes = {"in_features": self.in_features, "out_features": self.out_features}
        return {**sizes, "bias": self.bias is not None, "dtype": self.weight.dtype.name}

    def _options(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"


def _product_gradient(
    dy: Array, bias: Parameter | None, at: Array | None, activation: str, saved: LinearSaved, alpha: float | None
) -> Array:
    """Return the gradient with respect to x @ weight.T; accumulate that with respect to the bias, which was `at`."""
    if bias is None or not bias.requires_grad:
        return product_gradient(dy, at, activation, saved, None, alpha)
    results: list[Array] = []
    bias.accumulate(lambda out: results.append(product_gradient(dy, at, activation, saved, out, alpha)))
    return results[0]


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
