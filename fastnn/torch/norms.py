"""Norms for torch: those of `fastnn.torch.functional`."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as theirs

from fastnn import functional as F
from fastnn._autograd import count_writes
from fastnn._types import AnyArray
from fastnn.torch.autograd import PLAIN, REFUSALS, Ran, array, fits, fused, is_large, learns

Forward = Callable[[AnyArray, AnyArray | None, AnyArray | None], tuple[AnyArray, Any, AnyArray]]
Backward = Callable[..., tuple[AnyArray, AnyArray, AnyArray | None]]


def is_like_channels_last(input: Tensor) -> bool:
    """Return whether torch takes images for channels_last, by the order of their strides, with gaps or without."""
    if input.dim() not in (4, 5):
        return False
    strides, least = input.stride(), 0
    for axis in (1, *range(input.dim() - 1, 1, -1), 0):
        if strides[axis] < max(least, 1) or (axis == 0 and least == strides[1]):
            return False
        least = strides[axis] * input.shape[axis]
    return True


def _norm(
    name: str,
    forward: Forward,
    backward: Backward,
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    *needed: int,
) -> Tensor:
    """Run a norm: forward(x, w, b) returns y, mean and rstd, backward(dy, x, w, mean, rstd) returns three gradients."""

    def run(x: AnyArray, w: AnyArray | None, b: AnyArray | None) -> Ran:
        y, mean, rstd = forward(x, w, b)
        has_bias = b is not None

        def gradients(dy: AnyArray, x: AnyArray, w: AnyArray | None, *others: AnyArray) -> tuple[AnyArray | None, ...]:
            dx, dweight, dbias = backward(dy, x, w, mean, rstd, *others)
            return dx, None if w is None else dweight, dbias if has_bias else None

        return y, (0, 1, *needed), gradients

    return fused(name, run, input, weight, bias)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """See `fastnn.functional.layer_norm`; the order of arguments is torch's."""
    if is_large("layer_norm", input) and fits(input, weight, bias):
        with suppress(*REFUSALS):
            shape = tuple(normalized_shape)
            return _norm(
                "layer_norm",
                lambda x, w, b: F.layer_norm(x, shape, w, b, eps, return_stats=True),
                F.layer_norm_backward,
                input, weight, bias,
            )  # fmt: skip
    if type(input) in PLAIN:
        return torch.layer_norm(input, normalized_shape, weight, bias, eps)
    return theirs.layer_norm(input, normalized_shape, weight, bias, eps)


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """See `fastnn.functional.rms_norm`; the order of arguments is torch's."""

    if is_large("rms_norm", input) and fits(input, weight) and not is_like_channels_last(input):
        with suppress(*REFUSALS):
            forward: Forward = lambda x, w, _: _rms_norm(x, normalized_shape, w, eps)  # noqa: E731
            return _norm("rms_norm", forward, _rms_backward, input, weight, None)
    if type(input) in PLAIN:
        return torch.rms_norm(input, normalized_shape, weight, eps)
    return theirs.rms_norm(input, normalized_shape, weight, eps)


def _rms_norm(
    x: AnyArray, shape: Sequence[int], w: AnyArray | None, eps: float | None
) -> tuple[AnyArray, None, AnyArray]:
    y, rrms = F.rms_norm(x, tuple(shape), w, eps, return_stats=True)
    return y, None, rrms


def _rms_backward(
    dy: AnyArray, x: AnyArray, w: AnyArray | None, _: None, rrms: AnyArray
) -> tuple[AnyArray, AnyArray, None]:
    return *F.rms_norm_backward(dy, x, w, rrms), None


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """See `fastnn.functional.group_norm`; the order of arguments is torch's."""
    takes_it = is_large("group_norm", input) and fits(input, weight, bias) and not is_like_channels_last(input)
    if takes_it and input.numel() != num_groups:  # of one value per group, torch has no norm
        with suppress(*REFUSALS):
            return _norm(
                "group_norm",
                lambda x, w, b: F.group_norm(x, num_groups, w, b, eps, return_stats=True),
                lambda dy, x, w, mean, rstd: F.group_norm_backward(dy, x, num_groups, w, mean, rstd),
                input, weight, bias,
            )  # fmt: skip
    if type(input) in PLAIN and input.dim() > 1 and input.numel() >= 2 * num_groups > 0:
        return torch.group_norm(input, num_groups, weight, bias, eps, torch.backends.cudnn.enabled)
    return theirs.group_norm(input, num_groups, weight, bias, eps)


def is_large_for_batch_norm(input: Any) -> bool:
    """Return `is_large` for images or for rows, (N, C), which take longer per element."""
    if not is_large("batch_norm", input):
        return False
    return input.dim() != 2 or is_large("batch_norm of rows", input)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    activation: Literal["relu"] | None = None,
) -> Tensor:
    """See `fastnn.functional.batch_norm`; the order of arguments is torch's.

    Images may be channels_last; the result and the gradient then are too.

    Args:
        activation: "relu" applies a ReLU after the norm, in the same pass.
    """
    takes_it = is_large_for_batch_norm(input) and fits(input, running_mean, running_var, weight, bias)
    if takes_it and not (training and eps == 0) and not learns(running_mean, running_var):  # which torch refuses
        with suppress(*REFUSALS):
            return _batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps, activation)
    plain = type(input) in PLAIN and eps > 0 and input.dim() > 1
    if plain and not (training and input.numel() < 2 * input.shape[1]):  # else torch's function raises
        cudnn = torch.backends.cudnn.enabled
        y = torch.batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, cudnn)
    else:
        y = theirs.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    return theirs.relu(y) if activation else y


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    activation: Literal["relu"] | None,
) -> Tensor:
    last = not input.is_contiguous() and (
        is_like_channels_last(input) or (input.dim() == 4 and input.is_contiguous(memory_format=torch.channels_last))
    )
    mean, var = array(running_mean), array(running_var)
    y = _norm(
        "batch_norm",
        lambda x, w, b: F.batch_norm(
            x, mean, var, w, b, training, momentum, eps, activation=activation, channels_last=last, return_stats=True
        ),
        lambda dy, x, w, mean, rstd, y=None: F.batch_norm_backward(
            dy, x, w, mean, rstd, training, y=y, channels_last=last
        ),
        input.movedim(1, -1) if last else input, weight, bias, *((3,) if activation else ()),
    )  # fmt: skip
    if training:
        count_writes([t for t in (running_mean, running_var) if t is not None])
    return y.movedim(-1, 1) if last else y
