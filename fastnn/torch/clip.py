"""Clipping of gradients with torch's names and results.

Torch's own functions clip gradients that are not dense, contiguous CPU tensors in float32, float64 or bfloat16.
"""

import functools
from collections.abc import Iterable

import torch
from torch import Tensor

from fastnn import optim
from fastnn._autograd import count_writes
from fastnn.optim.clip import listed


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """See `fastnn.optim.clip_grad_norm_`; the norm is a 0-dimensional tensor of the gradients' dtype, as in torch.

    Raises:
        RuntimeError: the norm is not finite, with `error_if_nonfinite`.
    """
    params = listed(parameters)
    grads = [p.grad for p in params if p.grad is not None]
    if not all(map(_fits, grads)):
        return torch.nn.utils.clip_grad_norm_(params, max_norm, norm_type, error_if_nonfinite, foreach)
    try:
        norm = optim.clip_grad_norm_(params, max_norm, norm_type, error_if_nonfinite, foreach)
    except FloatingPointError as error:
        raise RuntimeError(str(error)) from None
    count_writes(grads)
    dtypes = [g.dtype for g in grads] or [torch.get_default_dtype()]
    return torch.tensor(norm, dtype=functools.reduce(torch.promote_types, dtypes))


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None) -> None:
    """See `fastnn.optim.clip_grad_value_`."""
    params = listed(parameters)
    grads = [p.grad for p in params if p.grad is not None]
    if not all(map(_fits, grads)):
        torch.nn.utils.clip_grad_value_(params, clip_value, foreach)
        return
    optim.clip_grad_value_(params, clip_value, foreach)
    count_writes(grads)


def _fits(grad: Tensor) -> bool:
    is_plain = type(grad) is Tensor and grad.is_cpu and grad.layout is torch.strided and grad.is_contiguous()
    return is_plain and grad.dtype in (torch.float32, torch.float64, torch.bfloat16)
