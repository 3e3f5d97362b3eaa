"""A loss as a part of the mean over all samples of an optimizer step."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.nn.module import Array
from fastnn.training.batches import Weights

Loss = Callable[[Array, Any], tuple[float, Array]]
"""(logits, labels) -> (loss, dlogits). It may have `reduction`, "sum" if it is no mean; `ignore_index`; counts(labels),
what each sample counts in its mean; and each(logits, labels), the loss of each sample and the gradient of their sum.
"""


def counts(loss: Loss, labels: Any) -> Weights | None:
    """(N,), what every sample counts in the loss's own mean; None for ones."""
    found: Weights | None = loss.counts(labels) if hasattr(loss, "counts") else None
    return found


def mean_loss(loss: Loss, logits: Array, labels: Any, total: float) -> tuple[float, Array]:
    """The loss, as a mean also where it is a sum, over samples that weigh `total`; and its own gradient."""
    value, dlogits = loss(logits, labels)
    if getattr(loss, "reduction", "mean") == "sum":
        value = value / total if total else math.nan
    return value, dlogits


def weighted_loss(loss: Any, logits: Array, labels: Any, weights: Weights, total: float) -> tuple[float, Array]:
    """The same with a weight for every sample; the gradient is the mean's, or that of the weighted sum."""
    each, dlogits = loss.each(logits, labels)
    is_sum = getattr(loss, "reduction", "mean") == "sum"
    scale = weights / total if total and not is_sum else weights
    dlogits *= scale.astype(dlogits.dtype).reshape(-1, *[1] * (dlogits.ndim - 1))
    return float(weights @ each) / total if total else math.nan, dlogits


def take_share(loss: Loss, dlogits: Array, share: float) -> None:
    """Make the gradient of a batch's mean its part of the window's mean."""
    if share != 1 and getattr(loss, "reduction", "mean") != "sum":
        np.multiply(dlogits, dlogits.dtype.type(share), out=dlogits)
