"""Elementwise losses of probabilities; each call returns the loss and its gradient.

Shapes, reductions and results are those of the losses in `fastnn.functional.loss`.
"""

from typing import Any, Literal, overload

import numpy as np

from fastnn import _core
from fastnn._types import Array

__all__ = ["binary_cross_entropy_with_logits", "gaussian_nll_loss", "kl_div"]

Sum = Literal["mean", "sum"]
Reduction = Literal["mean", "sum", "none"]


@overload
def kl_div(
    input: Array,
    target: Array,
    reduction: Literal["mean", "sum", "batchmean"] = ...,
    log_target: bool = ...,
    *,
    out: Array | None = ...,
    return_count: Literal[False] = ...,
) -> tuple[float, Array]: ...
@overload
def kl_div(
    input: Array,
    target: Array,
    reduction: Literal["none"],
    log_target: bool = ...,
    *,
    out: Array | None = ...,
    return_count: Literal[False] = ...,
) -> tuple[Array, Array]: ...
@overload
def kl_div(
    input: Array,
    target: Array,
    reduction: Literal["mean", "sum", "none", "batchmean"] = ...,
    log_target: bool = ...,
    *,
    out: Array | None = ...,
    return_count: Literal[True],
) -> tuple[Any, Array, int]: ...
def kl_div(
    input: Array,
    target: Array,
    reduction: Literal["mean", "sum", "none", "batchmean"] = "mean",
    log_target: bool = False,
    *,
    out: Array | None = None,
    return_count: bool = False,
) -> tuple[Any, ...]:
    """Return the divergence target * (ln target - input) of e^input from the distribution `target`, and its gradient.

    Elements whose target is 0 add nothing, even if the input is -infinity (PyTorch returns NaN there).

    Args:
        input: logarithms of probabilities.
        target: probabilities, or their logarithms with `log_target`.
        reduction: "mean" over all elements; "sum"; "none" for each element; or "batchmean", the sum divided by the
            length of the first axis, which is the mathematical divergence; it is 0 for an empty batch.

    The other arguments are as in `mse_loss`.

    Source: S. Kullback, R. Leibler, "On information and sufficiency", Ann. Math. Stat. 22 (1951), equation 2.4.
    """
    done = _core.kl_div(input, target, reduction, log_target, out)
    return done if return_count else done[:2]


@overload
def binary_cross_entropy_with_logits(
    input: Array,
    target: Array,
    weight: Array | None = ...,
    reduction: Sum = ...,
    pos_weight: Array | None = ...,
    *,
    out: Array | None = ...,
    return_count: Literal[False] = ...,
) -> tuple[float, Array]: ...
@overload
def binary_cross_entropy_with_logits(
    input: Array,
    target: Array,
    weight: Array | None = ...,
    *,
    reduction: Literal["none"],
    pos_weight: Array | None = ...,
    out: Array | None = ...,
    return_count: Literal[False] = ...,
) -> tuple[Array, Array]: ...
@overload
def binary_cross_entropy_with_logits(
    input: Array,
    target: Array,
    weight: Array | None = ...,
    reduction: Reduction = ...,
    pos_weight: Array | None = ...,
    *,
    out: Array | None = ...,
    return_count: Literal[True],
) -> tuple[Any, Array, int]: ...
def binary_cross_entropy_with_logits(
    input: Array,
    target: Array,
    weight: Array | None = None,
    reduction: Reduction = "mean",
    pos_weight: Array | None = None,
    *,
    out: Array | None = None,
    return_count: bool = False,
) -> tuple[Any, ...]:
    """The loss -(pos_weight * target * ln s + (1 - target) * ln(1 - s)) * weight, s = sigmoid(input), and its gradient.

    Args:
        target: probabilities of the positive class, in [0, 1]; the range is not checked.
        weight, pos_weight: the input's shape or its trailing axes, as (C,) for (N, C); None for ones.
        reduction: "mean", the sum divided by the number of elements regardless of their weights, "sum", or
            "none" for the loss of each element.

    The other arguments are as in `mse_loss`.
    """
    done = _core.binary_cross_entropy_with_logits(input, target, weight, reduction, pos_weight, out)
    return done if return_count else done[:2]


@overload
def gaussian_nll_loss(
    input: Array,
    target: Array,
    var: Array,
    full: bool = ...,
    eps: float = ...,
    reduction: Sum = ...,
    *,
    out: Array | None = ...,
    return_count: Literal[False] = ...,
) -> tuple[float, Array, Array]: ...
@overload
def gaussian_nll_loss(
    input: Array,
    target: Array,
    var: Array,
    full: bool = ...,
    eps: float = ...,
    *,
    reduction: Literal["none"],
    out: Array | None = ...,
    return_count: Literal[False] = ...,
) -> tuple[Array, Array, Array]: ...
@overload
def gaussian_nll_loss(
    input: Array,
    target: Array,
    var: Array,
    full: bool = ...,
    eps: float = ...,
    reduction: Reduction = ...,
    *,
    out: Array | None = ...,
    return_count: Literal[True],
) -> tuple[Any, Array, Array, int]: ...
def gaussian_nll_loss(
    input: Array,
    target: Array,
    var: Array,
    full: bool = False,
    eps: float = 1e-6,
    reduction: Reduction = "mean",
    *,
    out: Array | None = None,
    return_count: bool = False,
) -> tuple[Any, ...]:
    """Return (ln v + (input - target)^2 / v) / 2, v = max(var, eps), and its gradients with respect to input and var.

    This is the negative log-likelihood of the target under a normal distribution with mean `input` and variance `v`,
    but for ln(2 pi) / 2 in each element, which `full` adds. The gradient with respect to var is that with respect to v,
    also where var is below eps, so that training can raise it again.

    Args:
        input: means, of any shape.
        target: of the input's shape.
        var: variances >= 0, of the input's shape; or one for the whole last axis: the input's shape with a last axis of
            1, or without the last axis. These are copied to the input's shape.
        full: add ln(2 pi) / 2.
        eps: > 0, the least variance.
        out: where to write the gradient with respect to the input; may be `input`.

    The other arguments are as in `mse_loss`.

    Returns:
        loss: a float, or with "none" an array of the input's shape.
        dinput: of the input's shape.
        dvar: of var's shape.
        count: the number of elements, only with `return_count`.

    Raises:
        ValueError: a variance is negative, or has another shape.

    Source: D. Nix, A. Weigend, "Estimating the mean and variance of the target probability distribution", ICNN 1994.
    """
    whole = _like(input, var)
    loss, dinput, dvar, count = _core.gaussian_nll_loss(input, target, whole, full, eps, reduction, out)
    if whole is not var:
        dvar = dvar.sum(-1, dtype=np.float64).astype(dvar.dtype).reshape(var.shape)
    return (loss, dinput, dvar, count) if return_count else (loss, dinput, dvar)


def _like(input: Any, var: Any) -> Any:
    """Return variances of the input's shape; what is no array is returned unchanged, for the kernel's checks."""
    if not isinstance(input, np.ndarray) or not isinstance(var, np.ndarray) or var.shape == input.shape:
        return var
    if input.ndim == 0 or var.shape not in ((*input.shape[:-1], 1), input.shape[:-1]):
        raise ValueError(f"var: got shape {var.shape}, want {input.shape}, or that with a last axis of 1, or without "
                         "the last axis; reshape it, nothing else is broadcast")  # fmt: skip
    return np.repeat(var.reshape((*input.shape[:-1], 1)), input.shape[-1], axis=-1)
