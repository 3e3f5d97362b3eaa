"""Cross-entropy for torch; forward computes the gradient together with the loss, if autograd will need it."""

from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as theirs

from fastnn import functional as F
from fastnn._types import AnyArray
from fastnn.functional.class_loss import cross_entropy_alone
from fastnn.torch.autograd import (
    PLAIN,
    REFUSALS,
    Ran,
    Refused,
    array,
    fits,
    fused,
    is_large,
    keeps_graph,
    learns,
    trace,
)

_REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}


def _is_usual(input: Tensor, target: Tensor, weight: Tensor | None) -> bool:
    """Return whether the shapes, and the target's dtype, are those that torch documents; torch decides about others."""
    axis, shape = min(input.dim() - 1, 1), tuple(input.shape)
    if (
        not input.numel()
        or axis < 0
        or type(target) not in PLAIN
        or not target.is_cpu
        or target.layout is not torch.strided
    ):
        return False
    if weight is not None and tuple(weight.shape) != (shape[axis],):
        return False
    if target.is_floating_point():
        return tuple(target.shape) == shape and target.dtype == input.dtype
    return target.dtype is torch.int64 and tuple(target.shape) == shape[:axis] + shape[axis + 1 :]


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """See `fastnn.functional.softmax_cross_entropy`; a gradient that is needed is computed together with the loss.

    Args:
        input: (C,), (N, C) or (N, C, d1, ...), logits.
        target: labels, int64, of the input's shape without C; or probabilities of its shape and dtype.
        weight, ignore_index, reduction, label_smoothing: as in `softmax_cross_entropy`.

    Every other target, weight or option goes to torch's function, which computes or raises an error; so do a target and
    a weight that require a gradient, labels out of range, and an input (N, C, d1, ...) unless C is its last axis in
    memory, as in channels_last images: others would have to be copied, which costs more than torch's loss.
    """
    if _takes(input, target, weight):
        with suppress(IndexError, *REFUSALS):
            return _cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing)
    if type(input) in PLAIN and type(target) in PLAIN and reduction in _REDUCTIONS:
        return torch._C._nn.cross_entropy_loss(
            input, target, weight, _REDUCTIONS[reduction], ignore_index, label_smoothing
        )
    return theirs.cross_entropy(
        input, target, weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
    )


def _takes(input: Any, target: Any, weight: Tensor | None) -> bool:
    if not is_large("cross_entropy", input):
        return False
    probabilities = target if isinstance(target, Tensor) and target.is_floating_point() else None
    if not fits(input, weight, probabilities) or learns(weight, probabilities):
        return False
    copied = input.dim() > 2 and not input.movedim(1, -1).is_contiguous()
    return not copied and _is_usual(input, target, weight)


def _cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, reduction: str, label_smoothing: float
) -> Tensor:
    rows = input.movedim(min(input.dim() - 1, 1), -1)
    if target.is_floating_point():
        target = target.movedim(min(input.dim() - 1, 1), -1).reshape(-1, rows.shape[-1])
    labels: Any = array(target.contiguous() if target.is_floating_point() else target.reshape(-1).contiguous())
    weights = None if weight is None else array(weight.contiguous())

    logits = rows.reshape(-1, rows.shape[-1])
    learning = learns(logits)

    def run(x: AnyArray, _: AnyArray | None) -> Ran:
        options: Any = (labels, weights, ignore_index, reduction, label_smoothing)
        loss, dlogits = F.softmax_cross_entropy(x, *options) if learning else (cross_entropy_alone(x, *options), None)
        if label_smoothing and weights is not None and not np.isfinite(loss).all():
            raise Refused("weight: got weights of the labels that sum to 0, want a positive sum")
        ready = [] if dlogits is None else [torch.from_numpy(dlogits)]
        return x.dtype.type(loss), (1,), lambda dy, _: (_handed_out(ready, torch.from_numpy(dy).reshape(-1, 1)), None)

    loss = fused("cross_entropy", run, logits, trace(logits))
    return loss.reshape(rows.shape[:-1]) if reduction == "none" else loss


def _handed_out(ready: list[Tensor], factor: Tensor) -> Tensor:
    """Return the gradient times one number, or one number per row.

    The caller may write to the returned tensor, so only the last backward gets the tensor itself.
    """
    if keeps_graph():
        return ready[0] * factor
    gradient = ready.pop()
    return gradient if factor.numel() == 1 and float(factor) == 1 else gradient.mul_(factor)
