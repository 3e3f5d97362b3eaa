"""Cross-entropy for torch; forward computes the gradient together with the loss."""

from typing import Any

import torch
from torch import Tensor

from fastnn import functional as F
from fastnn._types import AnyArray
from fastnn.torch.autograd import Ran, array, check, fused, keeps_graph


def learns(*tensors: Tensor | None) -> bool:
    """Return whether autograd needs a gradient of one of these tensors."""
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """See `fastnn.functional.softmax_cross_entropy`; the gradient is computed together with the loss.

    Args:
        input: (C,), (N, C) or (N, C, d1, ...), logits.
        target: labels, int64, of the input's shape without C; or probabilities of its shape and dtype.
        weight, ignore_index, reduction, label_smoothing: as in `softmax_cross_entropy`.

    Raises:
        TypeError: target or weight requires a gradient, which is not computed here.
    """
    floating = target.is_floating_point()
    check(input, weight, target if floating else None)
    for name, tensor in (("target", target), ("weight", weight)):
        if learns(tensor):
            raise TypeError(
                f"{name}: got a tensor that requires a gradient, want one that does not; use torch's own function"
            )
    axis = min(input.dim() - 1, 1)
    rows = input.movedim(axis, -1)
    targets = target.movedim(axis, -1) if floating else target
    labels: Any = array(
        targets.reshape(-1, rows.shape[-1]).contiguous() if floating else targets.reshape(-1).contiguous()
    )

    def run(x: AnyArray) -> Ran:
        loss, dlogits = F.softmax_cross_entropy(
            x, labels, array(weight), ignore_index, reduction, label_smoothing  # type: ignore[call-overload]
        )  # fmt: skip
        ready = [torch.from_numpy(dlogits)]
        return x.dtype.type(loss), (), lambda dy: (_handed_out(ready, torch.from_numpy(dy).reshape(-1, 1)),)

    loss = fused("cross_entropy", run, rows.reshape(-1, rows.shape[-1]).contiguous())
    return loss.reshape(rows.shape[:-1]) if reduction == "none" else loss


def _handed_out(ready: list[Tensor], factor: Tensor) -> Tensor:
    """Return the gradient times one number, or one number per row.

    The caller may write to the returned tensor, so only the last backward gets the tensor itself.
    """
    if keeps_graph():
        return ready[0] * factor
    gradient = ready.pop()
    return gradient if factor.numel() == 1 and float(factor) == 1 else gradient.mul_(factor)
