"""Batch norm, forward and backward."""

from typing import Literal, overload

from fastnn import _core
from fastnn.functional._types import Array, Float64


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
    out: Array | None = None,
    return_stats: bool = False,
) -> Array | tuple[Array, Float64, Float64]:
    """Normalise each channel over the batch and all trailing axes.

    In training the statistics are the batch's own, and the running ones, if given, are updated in place:
    running = (1 - momentum) * running + momentum * new, the variance unbiased there and biased in y, as in
    PyTorch. Otherwise the running ones are used.

    Args:
        x: (N, C) or (N, C, ...).
        running_mean, running_var: (C,); needed when not training.
        weight, bias: (C,), or None for ones and zeros.
        momentum: share of the new value, in [0, 1].
        eps: finite, >= 0, added to the variance.
        out: where to write; may be `x`.
        return_stats: also return the mean and rstd = 1 / sqrt(var + eps) that were used, float64, (C,).

    Raises:
        ValueError: also for one value per channel in training, which has no variance.

    An empty batch leaves the running statistics alone.

    Source: S. Ioffe, C. Szegedy, "Batch Normalization", ICML 2015, algorithms 1 and 2.
    """
    y, mean, rstd = _core.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps, out)
    return (y, mean, rstd) if return_stats else y


def batch_norm_backward(
    dy: Array,
    x: Array,
    weight: Array | None,
    mean: Float64,
    rstd: Float64,
    training: bool = True,
    *,
    out: Array | None = None,
) -> tuple[Array, Array, Array]:
    """dx, dweight, dbias of `batch_norm`; arguments as in `layer_norm_backward`, `training` as in forward."""
    return _core.batch_norm_backward(dy, x, weight, mean, rstd, training, out)
