"""Fused operations, forward and backward, over NumPy arrays.

Arrays are C-contiguous, native float32 or float64, and all of one call share a dtype. Anything else is refused
with a sentence that names the argument and the remedy; nothing is copied behind the caller's back. `out=` takes
the result's shape and dtype and may be the input itself, never a part of it.

Raises (everywhere): TypeError for what is not such an array, ValueError for a wrong shape, memory layout,
read-only target, overlap or an option outside its range.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from fastnn import _core
from fastnn.random import Generator, default_generator

Array = npt.NDArray[np.floating]
Float64 = npt.NDArray[np.float64]
Labels = npt.NDArray[np.integer]


def relu(x: Array, *, out: Array | None = None) -> Array:
    """max(x, 0), element by element; NaN stays NaN.

    Args:
        x: any shape.
        out: where to write; may be `x`.
    """
    return _core.relu(x, out)


def relu_backward(dy: Array, x: Array, *, out: Array | None = None) -> Array:
    """dx = dy where x > 0 (or NaN), else 0. `x` may be the input or the output of `relu`; `out` may be `dy`."""
    return _core.relu_backward(dy, x, out)


class DropoutMask(NamedTuple):
    """All that backward needs to draw a dropout mask again: no mask is ever stored."""

    p: float
    seed: int
    stream: int
    block: int


@overload
def dropout(
    x: Array,
    p: float = ...,
    training: bool = ...,
    *,
    generator: Generator | None = ...,
    out: Array | None = ...,
    return_mask: Literal[False] = ...,
) -> Array: ...
@overload
def dropout(
    x: Array,
    p: float = ...,
    training: bool = ...,
    *,
    generator: Generator | None = ...,
    out: Array | None = ...,
    return_mask: Literal[True],
) -> tuple[Array, DropoutMask]: ...
def dropout(
    x: Array,
    p: float = 0.5,
    training: bool = True,
    *,
    generator: Generator | None = None,
    out: Array | None = None,
    return_mask: bool = False,
) -> Array | tuple[Array, DropoutMask]:
    """Set each element to 0 with probability `p`, multiply the others by 1 / (1 - p).

    An element is dropped when its 16 random bits are below p * 2**16, rounded to the nearest integer; so the
    probability is `p` to within 2**-17. A dropped value is exactly 0, also where x is NaN or infinite.

    Args:
        x: any shape.
        p: probability of dropping, in [0, 1].
        training: False copies x unchanged.
        generator: where the bits come from; the default generator if None.
        out: where to write; may be `x`.
        return_mask: also return what `dropout_backward` needs.

    Source: N. Srivastava et al., "Dropout", JMLR 15 (2014), in the inverted form that needs no work at inference.
    """
    g = default_generator if generator is None else generator
    words = -(-getattr(x, "size", 0) // 2) if training else 0
    mask = DropoutMask(p if training else 0.0, g.seed, g.stream, g.reserve(words))
    try:
        y = _core.dropout(x, *mask, out)
    except BaseException:
        g.give_back(mask.block, words)
        raise
    return (y, mask) if return_mask else y


def dropout_backward(dy: Array, mask: DropoutMask, *, out: Array | None = None) -> Array:
    """dx = dy / (1 - p) where `mask` kept the element, else 0. `out` may be `dy`."""
    return _core.dropout_backward(dy, *mask, out)


@overload
def layer_norm(
    x: Array,
    normalized_shape: int | Sequence[int],
    weight: Array | None = ...,
    bias: Array | None = ...,
    eps: float = ...,
    *,
    out: Array | None = ...,
    return_stats: Literal[False] = ...,
) -> Array: ...
@overload
def layer_norm(
    x: Array,
    normalized_shape: int | Sequence[int],
    weight: Array | None = ...,
    bias: Array | None = ...,
    eps: float = ...,
    *,
    out: Array | None = ...,
    return_stats: Literal[True],
) -> tuple[Array, Float64, Float64]: ...
def layer_norm(
    x: Array,
    normalized_shape: int | Sequence[int],
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    *,
    out: Array | None = None,
    return_stats: bool = False,
) -> Array | tuple[Array, Float64, Float64]:
    """y = (x - mean) / sqrt(var + eps) * weight + bias over the trailing `normalized_shape`.

    The variance is biased and taken in two passes. Statistics are float64 for either dtype.

    Args:
        x: (..., *normalized_shape).
        normalized_shape: the trailing shape that is normalised; an int for one axis.
        weight, bias: normalized_shape, or None for ones and zeros.
        eps: finite, >= 0, added to the variance.
        out: where to write; may be `x`.
        return_stats: also return mean and rstd = 1 / sqrt(var + eps), each of shape (...).

    Source: J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer Normalization", 2016, equation 3.
    """
    shape = (normalized_shape,) if isinstance(normalized_shape, (int, np.integer)) else normalized_shape
    y, mean, rstd = _core.layer_norm(x, shape, weight, bias, eps, out)
    return (y, mean, rstd) if return_stats else y


def layer_norm_backward(
    dy: Array, x: Array, weight: Array | None, mean: Float64, rstd: Float64, *, out: Array | None = None
) -> tuple[Array, Array, Array]:
    """dx, dweight, dbias of `layer_norm`.

    Args:
        dy, x: the shape of the forward call.
        weight: as in forward.
        mean, rstd: what forward returned with `return_stats=True`.
        out: where dx goes; may be `dy`.
    """
    return _core.layer_norm_backward(dy, x, weight, mean, rstd, out)


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


def softmax_cross_entropy(logits: Array, labels: Labels, *, out: Array | None = None) -> tuple[float, Array]:
    """The mean over the batch of -log softmax(logits)[label], and its gradient.

    Args:
        logits: (N, C).
        labels: (N,) integers in [0, C), of any integer dtype and layout; what is not contiguous int64 is converted.
        out: where the gradient goes; may be `logits`.

    Returns:
        loss: NaN for an empty batch.
        dlogits: (softmax(logits) - one_hot(labels)) / N, shape (N, C).

    Raises:
        IndexError: a label outside [0, C).
    """
    if isinstance(labels, np.ndarray) and np.issubdtype(labels.dtype, np.integer):
        labels = np.require(labels, np.int64, ("C", "A"))
    return _core.softmax_cross_entropy(logits, labels, out)
