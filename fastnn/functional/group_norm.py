"""Group norm and instance norm, forward and backward."""

from typing import Literal, overload

from fastnn import _core
from fastnn._types import Array, Float64

__all__ = ["group_norm", "group_norm_backward", "instance_norm", "instance_norm_backward"]


@overload
def group_norm(
    x: Array,
    num_groups: int,
    weight: Array | None = ...,
    bias: Array | None = ...,
    eps: float = ...,
    *,
    out: Array | None = ...,
    return_stats: Literal[False] = ...,
) -> Array: ...
@overload
def group_norm(
    x: Array,
    num_groups: int,
    weight: Array | None = ...,
    bias: Array | None = ...,
    eps: float = ...,
    *,
    out: Array | None = ...,
    return_stats: Literal[True],
) -> tuple[Array, Float64, Float64]: ...
def group_norm(
    x: Array,
    num_groups: int,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    *,
    out: Array | None = None,
    return_stats: bool = False,
) -> Array | tuple[Array, Float64, Float64]:
    """Normalise each sample over groups of C / num_groups neighbouring channels and all trailing axes.

    A group of one value has no variance and gives the bias, for any batch size (PyTorch raises for a batch of one).

    Args:
        x: (N, C) or (N, C, ...).
        num_groups: a divisor of C, at least 1.
        weight, bias: (C,), or None for ones and zeros.
        eps: finite, >= 0, added to the biased variance.
        out: where to write; may be `x`.
        return_stats: also return mean and rstd = 1 / sqrt(var + eps), float64, (N, num_groups); zeros for an empty x.

    Source: Y. Wu, K. He, "Group Normalization", ECCV 2018, equations 1, 2, 6 and 7.
    """
    y, mean, rstd = _core.group_norm(x, num_groups, weight, bias, eps, out)
    return (y, mean, rstd) if return_stats else y


def group_norm_backward(
    dy: Array,
    x: Array,
    num_groups: int,
    weight: Array | None,
    mean: Float64,
    rstd: Float64,
    *,
    out: Array | None = None,
) -> tuple[Array, Array, Array]:
    """Return dx, dweight, dbias of `group_norm`.

    Args:
        dy, x: arrays of the shape of the forward call's x.
        num_groups, weight: as in forward.
        mean, rstd: as returned by forward with `return_stats=True`.
        out: where to write dx; may be `dy` or `x`.
    """
    return _core.group_norm_backward(dy, x, num_groups, weight, mean, rstd, out)


@overload
def instance_norm(
    x: Array,
    running_mean: Array | None = ...,
    running_var: Array | None = ...,
    weight: Array | None = ...,
    bias: Array | None = ...,
    use_input_stats: bool = ...,
    momentum: float = ...,
    eps: float = ...,
    *,
    out: Array | None = ...,
    return_stats: Literal[False] = ...,
) -> Array: ...
@overload
def instance_norm(
    x: Array,
    running_mean: Array | None = ...,
    running_var: Array | None = ...,
    weight: Array | None = ...,
    bias: Array | None = ...,
    use_input_stats: bool = ...,
    momentum: float = ...,
    eps: float = ...,
    *,
    out: Array | None = ...,
    return_stats: Literal[True],
) -> tuple[Array, Float64, Float64]: ...
def instance_norm(
    x: Array,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    weight: Array | None = None,
    bias: Array | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    out: Array | None = None,
    return_stats: bool = False,
) -> Array | tuple[Array, Float64, Float64]:
    """Normalise each channel of each sample over all trailing axes.

    The running statistics, if given, are updated in place as in PyTorch: running = (1 - momentum) * running +
    momentum * new, where new is the batch average of the means and of the unbiased variances. With
    `use_input_stats=False` the running statistics are used instead, as by `batch_norm` in evaluation.

    Args:
        x: (N, C) or (N, C, ...).
        running_mean, running_var: (C,); both or neither; required with `use_input_stats=False`.
        weight, bias: (C,), or None for ones and zeros.
        momentum: weight of the new value, in [0, 1].
        eps: finite, >= 0, added to the variance; y uses the biased variance.
        out: where to write; may be `x`.
        return_stats: also return the mean and rstd = 1 / sqrt(var + eps) that were used, float64, of shape (N, C), or
            (C,) with `use_input_stats=False`.

    Raises:
        ValueError: as for all functions, and for one value per instance with `use_input_stats`, which has no variance.

    An empty x does not change the running statistics.

    Source: D. Ulyanov, A. Vedaldi, V. Lempitsky, "Instance Normalization", 2016, equation 3.
    """
    if use_input_stats:
        y, mean, rstd = _core.instance_norm(x, running_mean, running_var, weight, bias, momentum, eps, out)
    else:
        y, mean, rstd = _core.batch_norm(
            x, running_mean, running_var, weight, bias, False, momentum, eps, None, None, False, True, out
        )
    return (y, mean, rstd) if return_stats else y


def instance_norm_backward(
    dy: Array,
    x: Array,
    weight: Array | None,
    mean: Float64,
    rstd: Float64,
    use_input_stats: bool = True,
    *,
    out: Array | None = None,
) -> tuple[Array, Array, Array]:
    """Return dx, dweight, dbias of `instance_norm`.

    Args:
        dy, x: arrays of the shape of the forward call's x.
        weight, use_input_stats: as in forward.
        mean, rstd: as returned by forward with `return_stats=True`.
        out: where to write dx; may be `dy` or `x`.
    """
    if use_input_stats:
        return _core.instance_norm_backward(dy, x, weight, mean, rstd, out)
    return _core.batch_norm_backward(dy, x, weight, mean, rstd, False, None, False, False, out)[:3]
