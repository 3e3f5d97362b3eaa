"""Losses: called with what the network says and what is right, they return the loss and its gradient."""

from fastnn import functional as F
from fastnn.functional._types import Labels
from fastnn.nn.module import Array


class CrossEntropyLoss:
    """Softmax and cross-entropy in one, the mean over the batch; see `fastnn.functional.softmax_cross_entropy`."""

    def __call__(self, logits: Array, labels: Labels) -> tuple[float, Array]:
        """The loss, and its gradient by the logits.

        Args:
            logits: (N, C), float32 or float64.
            labels: (N,), integers in [0, C).

        Returns:
            loss: NaN for an empty batch.
            dlogits: (N, C), to be given to the model's backward.

        Raises:
            IndexError: a label outside [0, C).
        """
        return F.softmax_cross_entropy(logits, labels)

    def __repr__(self) -> str:
        return "CrossEntropyLoss()"
