"""Losses: called with the network's output and the target, they return the loss and its gradient."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from fastnn import functional as F
from fastnn._types import Array, Labels


class CrossEntropyLoss:
    """Softmax and cross-entropy in one; see `fastnn.functional.softmax_cross_entropy`, also for the options.

    Args:
        weight: (C,), or None for ones.
        ignore_index: a label whose rows do not count.
        reduction: "mean" or "sum".
        label_smoothing: in [0, 1].

    Raises:
        ValueError: an option is out of range.
        TypeError: ignore_index is not an integer.
    """

    def __init__(
        self,
        weight: Array | None = None,
        ignore_index: int = -100,
        reduction: Literal["mean", "sum"] = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        if reduction not in ("mean", "sum"):
            raise ValueError(
                f"reduction: got {reduction!r}, want 'mean' or 'sum', since the gradient is that of one number"
            )
        self.weight = weight
        self.ignore_index = ignore_index
        self.reduction: Literal["mean", "sum"] = reduction
        self.label_smoothing = label_smoothing

    def __call__(self, logits: Array, labels: Labels | Array) -> tuple[float, Array]:
        """Return the loss and its gradient with respect to the logits.

        Args:
            logits: (N, C), float32 or float64.
            labels: (N,), integers in [0, C); or probabilities, (N, C).

        Returns:
            loss: a float; NaN for the mean if there are no rows that count.
            dlogits: (N, C), the argument of the model's backward.

        Raises:
            IndexError: a label is outside [0, C) and not `ignore_index`.
        """
        return F.softmax_cross_entropy(
            logits, labels, self.weight, self.ignore_index, self.reduction, self.label_smoothing
        )

    def each(self, logits: Array, labels: Labels | Array) -> tuple[Array, Array]:
        """Return the loss of every sample, (N,), and the gradient of their sum; arguments as for a call."""
        return F.softmax_cross_entropy(
            logits, labels, self.weight, self.ignore_index, reduction="none", label_smoothing=self.label_smoothing
        )

    def counts(self, labels: Labels | Array) -> npt.NDArray[np.float64] | None:
        """Return each sample's weight in the mean, (N,): its label's weight, or 0 for `ignore_index`; None for ones."""
        if labels.ndim != 1:
            return None
        ignored = labels == self.ignore_index
        if self.weight is None and not ignored.any():
            return None
        counts = np.ones(len(labels))
        if self.weight is not None:
            counts[~ignored] = self.weight[labels[~ignored]]
        counts[ignored] = 0
        return counts

    def __repr__(self) -> str:
        given = {
            "weight": self.weight,
            "ignore_index": self.ignore_index,
            "reduction": self.reduction,
            "label_smoothing": self.label_smoothing,
        }
        usual = {"weight": None, "ignore_index": -100, "reduction": "mean", "label_smoothing": 0.0}
        shown = [f"{k}={v!r}" for k, v in given.items() if v is not usual[k] and (k == "weight" or v != usual[k])]
        return f"CrossEntropyLoss({', '.join(shown)})"
