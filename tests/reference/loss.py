"""Losses."""

import numpy as np

from reference.types import Array, Float64, wide


def softmax_cross_entropy(logits: Array, labels: Array) -> tuple[float, Float64]:
    """Mean of -log softmax(logits)[label] and its gradient. Goodfellow et al., "Deep Learning", 2016, 6.2.2.3."""
    z, rows = wide(logits), np.arange(len(labels))
    with np.errstate(invalid="ignore"):
        z = z - z.max(1, keepdims=True)
        log_sum = np.log(np.exp(z).sum(1))
        gradient = np.exp(z - log_sum[:, None])
    gradient[rows, labels] -= 1
    return float((log_sum - z[rows, labels]).mean()), gradient / len(labels)
