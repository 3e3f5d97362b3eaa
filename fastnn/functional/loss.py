"""Losses and their gradients, in one call."""

import numpy as np

from fastnn import _core
from fastnn.functional._types import Array, Labels


def softmax_cross_entropy(logits: Array, labels: Labels, *, out: Array | None = None) -> tuple[float, Array]:
    """The mean over the batch of -log softmax(logits)[label], and its gradient.

    Args:
        logits: (N, C).
        labels: (N,) integers in [0, C), of any integer dtype and layout; what is not contiguous int64 is converted.
        out: where the gradient goes; may be `logits`.

    Returns:
        loss: NaN for an empty batch.
        dlogits: (softmax(logits) - one_hot(labels)) / N, shape (N, C).

    Raises:
        IndexError: a label outside [0, C).
    """
    if isinstance(labels, np.ndarray) and np.issubdtype(labels.dtype, np.integer):
        labels = np.require(labels, np.int64, ("C", "A"))
    return _core.softmax_cross_entropy(logits, labels, out)
