"""Losses: each returns the loss and its gradient with respect to the first argument."""

import numpy as np

from reference.softmax import log_softmax
from reference.types import Array, Float64, wide

Pair = tuple[Float64, Float64]


def _reduced(losses: Float64, gradient: Float64, divisor: float) -> Pair:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(losses.sum() / divisor), gradient / divisor


def softmax_cross_entropy(
    logits: Array,
    labels: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Pair:
    """-sum of w t log softmax(logits), with smoothed targets t. Goodfellow et al., "Deep Learning", 2016, 6.2.2.3."""
    z, (rows, classes) = wide(logits), logits.shape
    w = np.ones(classes) if weight is None else wide(weight)
    if labels.dtype.kind == "f":
        target, counts = wide(labels), np.ones(rows, bool)
        divisor = float(rows)
    else:
        counts = labels != ignore_index
        target = np.zeros((rows, classes))
        target[np.flatnonzero(counts), labels[counts]] = 1
        divisor = float(w[labels[counts]].sum())
    t = w * ((1 - label_smoothing) * target + label_smoothing / max(classes, 1)) * counts[:, None]
    log_p = log_softmax(z, 1) if classes else z
    used = np.where((t == 0) & np.isneginf(log_p), 0, log_p)
    used, p = np.where(counts[:, None], used, 0), np.where(counts[:, None], np.exp(log_p), 0)
    losses, gradient = -(t * used).sum(1), p * t.sum(1, keepdims=True) - t
    if reduction == "none":
        return losses, gradient
    return _reduced(losses, gradient, divisor if reduction == "mean" else 1.0)


def nll_loss(
    input: Array, target: Array, weight: Array | None = None, ignore_index: int = -100, reduction: str = "mean"
) -> Pair:
    """-w[target] * input[target]."""
    losses, gradient, divisor = np.zeros(len(input)), np.zeros(input.shape), 0.0
    for row, label in enumerate(target):
        if label != ignore_index:
            w = 1.0 if weight is None else float(weight[label])
            losses[row], gradient[row, label] = -w * float(input[row, label]), -w
            divisor += w
    if reduction == "none":
        return losses, gradient
    return _reduced(losses, gradient, divisor if reduction == "mean" else 1.0)


def _of_elements(losses: Float64, gradient: Float64, reduction: str) -> Pair:
    if reduction == "none":
        return losses, gradient
    samples = float(len(losses)) if losses.ndim else 1.0
    return _reduced(losses, gradient, {"mean": float(losses.size), "sum": 1.0, "batchmean": samples}[reduction])


def mse_loss(input: Array, target: Array, reduction: str = "mean") -> Pair:
    """The squared difference."""
    d = wide(input) - wide(target)
    return _of_elements(d**2, 2 * d, reduction)


def l1_loss(input: Array, target: Array, reduction: str = "mean") -> Pair:
    """The absolute difference."""
    d = wide(input) - wide(target)
    return _of_elements(np.abs(d), np.sign(d), reduction)


def huber_loss(input: Array, target: Array, reduction: str = "mean", delta: float = 1.0) -> Pair:
    """Quadratic up to delta, then linear."""
    d = wide(input) - wide(target)
    losses = np.where(np.abs(d) < delta, d**2 / 2, delta * (np.abs(d) - delta / 2))
    return _of_elements(losses, np.clip(d, -delta, delta), reduction)


def smooth_l1_loss(input: Array, target: Array, reduction: str = "mean", beta: float = 1.0) -> Pair:
    """Quadratic up to beta, then the absolute difference minus beta / 2."""
    if beta == 0:
        return l1_loss(input, target, reduction)
    d = wide(input) - wide(target)
    losses = np.where(np.abs(d) < beta, d**2 / (2 * beta), np.abs(d) - beta / 2)
    return _of_elements(losses, np.clip(d / beta, -1, 1), reduction)


def gaussian_nll_loss(
    input: Array, target: Array, var: Array, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> tuple[Float64, Float64, Float64]:
    """(ln v + d^2 / v) / 2, v = max(var, eps), and ln(2 pi) / 2 if `full`; the gradients with respect to d and v."""
    d, v = wide(input) - wide(target), np.maximum(wide(var), eps)
    losses = 0.5 * (np.log(v) + d**2 / v) + (0.5 * np.log(2 * np.pi) if full else 0.0)
    loss, dinput = _of_elements(losses, d / v, reduction)
    return loss, dinput, _of_elements(losses, 0.5 * (1 / v - (d / v) ** 2), reduction)[1]


def binary_cross_entropy_with_logits(
    input: Array,
    target: Array,
    weight: Array | None = None,
    reduction: str = "mean",
    pos_weight: Array | None = None,
) -> Pair:
    """-w (p t ln s + (1 - t) ln(1 - s)), where ln s = -ln(1 + e^-x) is computed by NumPy's logaddexp."""
    x, t = wide(input), wide(target)
    w, p = (np.ones(()) if a is None else wide(a) for a in (weight, pos_weight))
    with np.errstate(invalid="ignore", over="ignore"):
        losses = w * (p * t * np.logaddexp(0, -x) + (1 - t) * np.logaddexp(0, x))
        gradient = w * ((1 - t) / (1 + np.exp(-x)) - p * t / (1 + np.exp(x)))
    return _of_elements(losses, gradient, reduction)


def kl_div(input: Array, target: Array, reduction: str = "mean", log_target: bool = False) -> Pair:
    """q (ln q - x), or 0 where q is 0 and x is not NaN."""
    x, t = wide(input), wide(target)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        q, log_q = (np.exp(t), t) if log_target else (t, np.log(t))
        losses = np.where(q == 0, np.where(np.isnan(x), x, 0), q * (log_q - x))
    return _of_elements(losses, -q, reduction)
