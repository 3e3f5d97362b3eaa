"""Normalising layers: BatchNorm1d, BatchNorm2d, LayerNorm."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn import functional as F
from fastnn._allocation import new
from fastnn._checks import axis_size, axis_sizes, flag
from fastnn._dtype import chosen_dtype
from fastnn._parameter import Parameter
from fastnn._types import Array
from fastnn.nn.module import Backward, Module


def _accumulate(parameter: Parameter | None, gradient: Array) -> None:
    if parameter is not None:
        parameter.accumulate(lambda out: np.copyto(out, gradient))


def _dtype_name(*members: Parameter | Array | None) -> str | None:
    """Return the name of the dtype that the members of a layer have, or None if it has none of them."""
    return next((member.dtype.name for member in members if member is not None), None)


class Norm(Module):
    """Base class of normalisation layers, whose output scale does not depend on the input's."""


class _BatchNorm(Norm):
    """Base class of the batch norms."""

    _layouts: tuple[str, ...] = ()

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        dtype: npt.DTypeLike | None = None,
    ) -> None:
        self.num_features = axis_size("num_features", num_features)
        self.eps = eps
        self.momentum = momentum
        size, dtype, tracked = self.num_features, chosen_dtype(dtype), flag("track_running_stats", track_running_stats)
        self.weight = Parameter(new(size, dtype, 1)) if flag("affine", affine) else None
        self.bias = Parameter(new(size, dtype, 0)) if affine else None
        self.running_mean: Array | None = new(size, dtype, 0) if tracked else None
        self.running_var: Array | None = new(size, dtype, 1) if tracked else None
        self.num_batches_tracked: npt.NDArray[np.int64] | None = np.array(0, np.int64) if tracked else None

    def __call__(self, x: Array) -> tuple[Array, Backward]:
        """x and y: (N, C, ...).

        Raises:
            TypeError: x is not an array of the layer's dtype.
            ValueError: x has a wrong shape, or one value per channel in training, which has no variance.
        """
        if isinstance(x, np.ndarray) and (x.ndim not in map(len, self._layouts) or x.shape[1] != self.num_features):
            want = " or ".join(f"({', '.join(layout)})" for layout in self._layouts)
            raise ValueError(f"x: got shape {x.shape}, want {want} with C = {self.num_features}; channels are axis 1")
        weight, bias = self.weight, self.bias
        scale = None if weight is None else weight.data
        shift = None if bias is None else bias.data
        own = self.training or self.running_mean is None
        y, mean, rstd = F.batch_norm(
            x, self.running_mean, self.running_var, scale, shift, own, self._share(), self.eps, return_stats=True
        )
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked += 1

        def backward(dy: Array, input_grad: bool = True) -> Array | None:
            dx, dweight, dbias = F.batch_norm_backward(dy, x, scale, mean, rstd, own)
            _accumulate(weight, dweight)
            _accumulate(bias, dbias)
            return dx if input_grad else None

        return y, backward

    def _share(self) -> float:
        if self.momentum is not None:
            return self.momentum
        return 0.0 if self.num_batches_tracked is None else 1 / (int(self.num_batches_tracked) + 1)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {
            **{name: getattr(self, name) for name in ("num_features", "eps", "momentum")},
            "affine": self.weight is not None,
            "track_running_stats": self.running_mean is not None,
            "dtype": _dtype_name(self.weight, self.running_mean),
        }

    def _options(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.weight is not None}"


class BatchNorm1d(_BatchNorm):
    """Normalise each channel over the batch and all trailing axes; see `fastnn.functional.batch_norm`.

    x: (N, C) or (N, C, L).

    Args:
        num_features: number of channels C.
        eps: finite, >= 0, added to the variance.
        momentum: weight of the new value in the running statistics, in [0, 1]; None averages all batches so far
            equally.
        affine: False omits weight and bias.
        track_running_stats: False keeps no running statistics; evaluation then uses the batch's statistics too.
        dtype: dtype of the parameters and of x, float32 or float64; None for `fastnn.get_default_dtype()`.

    Attributes:
        weight, bias: (C,), initially ones and zeros, or None.
        running_mean, running_var: (C,), initially zeros and ones, or None. The variance is unbiased, as in PyTorch.
        num_batches_tracked: int64, shape (); the number of training calls so far, or None.
    """

    _layouts = ("NC", "NCL")


class BatchNorm2d(_BatchNorm):
    """`BatchNorm1d` for images, x: (N, C, H, W); arguments and attributes are the same."""

    _layouts = ("NCHW",)


class LayerNorm(Norm):
    """Normalise each sample over its trailing axes; see `fastnn.functional.layer_norm`.

    Args:
        normalized_shape: the trailing shape; an int for one axis.
        eps: finite, >= 0, added to the variance.
        elementwise_affine: False omits weight and bias.
        bias: False omits the bias.
        dtype: dtype of the parameters and of x, float32 or float64; None for `fastnn.get_default_dtype()`.

    Attributes:
        weight, bias: of shape normalized_shape, initially ones and zeros, or None.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: npt.DTypeLike | None = None,
    ) -> None:
        self.normalized_shape = axis_sizes("normalized_shape", normalized_shape)
        self.eps = eps
        dtype, has_bias = chosen_dtype(dtype), flag("bias", bias) and flag("elementwise_affine", elementwise_affine)
        self.weight = Parameter(new(self.normalized_shape, dtype, 1)) if elementwise_affine else None
        self.bias = Parameter(new(self.normalized_shape, dtype, 0)) if has_bias else None

    def __call__(self, x: Array) -> tuple[Array, Backward]:
        """x and y: (..., *normalized_shape).

        Raises:
            TypeError: x is not an array of the layer's dtype.
            ValueError: its trailing shape is not normalized_shape.
        """
        weight, bias = self.weight, self.bias
        scale = None if weight is None else weight.data
        shift = None if bias is None else bias.data
        y, mean, rstd = F.layer_norm(x, self.normalized_shape, scale, shift, self.eps, return_stats=True)

        def backward(dy: Array, input_grad: bool = True) -> Array | None:
            dx, dweight, dbias = F.layer_norm_backward(dy, x, scale, mean, rstd)
            _accumulate(weight, dweight)
            _accumulate(bias, dbias)
            return dx if input_grad else None

        return y, backward

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {
            "normalized_shape": self.normalized_shape,
            "eps": self.eps,
            "elementwise_affine": self.weight is not None,
            "bias": self.bias is not None,
            "dtype": _dtype_name(self.weight),
        }

    def _options(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.weight is not None}"
