"""Turns the loss of a batch into its part of the mean over all samples of an optimizer step."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn._types import Array
from fastnn.training.batches import Batch, Weights

Loss = Callable[[Array, Any], tuple[float, Array]]
"""(logits, labels) -> (loss, dlogits). A loss may have `reduction`, "sum" if it is not a mean; `ignore_index`;
counts(labels), the weight of each sample in its mean; and each(logits, labels), the loss of each sample and the
gradient of their sum.
"""


def counts(loss: Loss, labels: Any) -> Weights | None:
    """Return (N,), the weight of every sample in the loss's own mean, or None for ones."""
    found: Weights | None = loss.counts(labels) if hasattr(loss, "counts") else None
    return found


def mean_loss(loss: Loss, logits: Array, labels: Any, total: float) -> tuple[float, Array]:
    """Return the loss as a mean over samples with the weight `total`, also if it is a sum, and its own gradient."""
    value, dlogits = loss(logits, labels)
    if getattr(loss, "reduction", "mean") == "sum":
        value = value / total if total else math.nan
    return value, dlogits


def batch_loss(loss: Loss, logits: Array, batch: Batch) -> tuple[float, Array]:
    """Return the mean loss of a batch, and its gradient as a part of the mean over the window."""
    if batch.weights is None:
        value, dlogits = mean_loss(loss, logits, batch.labels, batch.weight)
    else:
        value, dlogits = _weighted_loss(loss, logits, batch)
    if batch.share != 1 and getattr(loss, "reduction", "mean") != "sum":
        np.multiply(dlogits, dlogits.dtype.type(batch.share), out=dlogits)
    return value, dlogits


def _weighted_loss(loss: Any, logits: Array, batch: Batch) -> tuple[float, Array]:
    each, dlogits = loss.each(logits, batch.labels)
    is_sum, weights, total = getattr(loss, "reduction", "mean") == "sum", batch.weights, batch.weight
    assert weights is not None
    scale = weights / total if total and not is_sum else weights
    dlogits *= scale.astype(dlogits.dtype).reshape(-1, *[1] * (dlogits.ndim - 1))
    return float(weights @ each) / total if total else math.nan, dlogits
