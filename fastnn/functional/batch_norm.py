"""Batch norm, forward and backward."""

from typing import Literal, overload

from fastnn import _core
from fastnn._types import Array, Float64

__all__ = ["batch_norm", "batch_norm_backward"]


@overload
def batch_norm(
    x: Array,
    running_mean: Array | None = ...,
    running_var: Array | None = ...,
    weight: Array | None = ...,
    bias: Array | None = ...,
    training: bool = ...,
    momentum: float = ...,
    eps: float = ...,
    *,
    residual: Array | None = ...,
    activation: Literal["relu"] | None = ...,
    channels_last: bool = ...,
    unbiased: bool = ...,
    out: Array | None = ...,
    return_stats: Literal[False] = ...,
) -> Array: ...
@overload
def batch_norm(
    x: Array,
    running_mean: Array | None = ...,
    running_var: Array | None = ...,
    weight: Array | None = ...,
    bias: Array | None = ...,
    training: bool = ...,
    momentum: float = ...,
    eps: float = ...,
    *,
    residual: Array | None = ...,
    activation: Literal["relu"] | None = ...,
    channels_last: bool = ...,
    unbiased: bool = ...,
    out: Array | None = ...,
    return_stats: Literal[True],
) -> tuple[Array, Float64, Float64]: ...
def batch_norm(
    x: Array,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    residual: Array | None = None,
    activation: Literal["relu"] | None = None,
    channels_last: bool = False,
    unbiased: bool = True,
    out: Array | None = None,
    return_stats: bool = False,
) -> Array | tuple[Array, Float64, Float64]:
    """Normalise each channel over the batch and all other axes, then add `residual`, then apply the activation.

    Training uses the batch's statistics and updates the running statistics, if given, in place:
    running = (1 - momentum) * running + momentum * new, as in PyTorch. Evaluation uses the running statistics.

    Args:
        x: (N, C) or (N, C, ...); with `channels_last` (N, ..., C).
        running_mean, running_var: (C,); needed when not training.
        weight, bias: (C,), or None for ones and zeros.
        momentum: weight of the new value, in [0, 1]. For a cumulative average pass 1 / (number of batches so far,
            including this one), as `nn.BatchNorm2d(momentum=None)` does.
        eps: finite, >= 0, added to the variance.
        residual: an array like x, added to the normalised result in the same pass.
        activation: "relu" makes y = max(norm + residual, 0) in the same pass.
        channels_last: whether the last axis holds the channels.
        unbiased: whether the running variance divides by the number of values minus one, as in PyTorch, or by the
            number of values, as in ONNX and Keras. y always uses the biased variance.
        out: where to write; may be `x` or `residual`.
        return_stats: also return the mean and rstd = 1 / sqrt(var + eps) that were used, float64, (C,).

    Raises:
        ValueError: as for all functions, and for training with one value per channel, which has no variance.

    An empty batch does not change the running statistics.

    Source: S. Ioffe, C. Szegedy, "Batch Normalization", ICML 2015, algorithms 1 and 2.
    """
    y, mean, rstd = _core.batch_norm(
        x, running_mean, running_var, weight, bias, training, momentum, eps,
        residual, activation, channels_last, unbiased, out,
    )  # fmt: skip
    return (y, mean, rstd) if return_stats else y


@overload
def batch_norm_backward(
    dy: Array,
    x: Array,
    weight: Array | None,
    mean: Float64,
    rstd: Float64,
    training: bool = ...,
    *,
    y: Array | None = ...,
    residual: Literal[False] = ...,
    channels_last: bool = ...,
    out: Array | None = ...,
) -> tuple[Array, Array, Array]: ...
@overload
def batch_norm_backward(
    dy: Array,
    x: Array,
    weight: Array | None,
    mean: Float64,
    rstd: Float64,
    training: bool = ...,
    *,
    y: Array | None = ...,
    residual: Literal[True],
    channels_last: bool = ...,
    out: Array | None = ...,
) -> tuple[Array, Array, Array, Array]: ...
def batch_norm_backward(
    dy: Array,
    x: Array,
    weight: Array | None,
    mean: Float64,
    rstd: Float64,
    training: bool = True,
    *,
    y: Array | None = None,
    residual: bool = False,
    channels_last: bool = False,
    out: Array | None = None,
) -> tuple[Array, Array, Array] | tuple[Array, Array, Array, Array]:
    """Return dx, dweight and dbias of `batch_norm`, and with `residual` the gradient with respect to the residual.

    Args:
        dy, x: arrays of the shape of the forward call's x.
        weight: as in forward.
        mean, rstd: as returned by forward with `return_stats=True`.
        training: as in forward.
        y: the result of forward if it had an activation; None otherwise.
        residual: whether forward had a residual; if so, its gradient, an array like x, is returned as a fourth result.
        channels_last: as in forward.
        out: where to write dx; may be `dy`, `x` or `y`.
    """
    dx, dweight, dbias, dresidual = _core.batch_norm_backward(
        dy, x, weight, mean, rstd, training, y, residual, channels_last, out
    )
    return (dx, dweight, dbias, dresidual) if residual else (dx, dweight, dbias)
