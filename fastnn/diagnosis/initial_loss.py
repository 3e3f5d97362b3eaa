"""Compares the loss of an untrained model with that of a guess."""

import math
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np

from fastnn._checks import positive
from fastnn._trees import Tree, length, map_leaves
from fastnn._types import Array
from fastnn.nn.module import Module
from fastnn.nn.tracing import kept
from fastnn.training.checks import Data, checked
from fastnn.training.evaluation import in_mode
from fastnn.training.losses import as_loss, counts, mean_loss


@dataclass(frozen=True)
class InitialLoss:
    """The loss of an untrained model, compared with that of a guess.

    Attributes:
        loss: the loss of the model.
        expected: the loss of a guess.
        softmax: whether the model ends with a softmax, and the loss applies another one.
        advice: the problem and its remedy; empty if there is no problem.
    """

    loss: float
    expected: float
    softmax: bool
    advice: str

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.advice

    def __str__(self) -> str:
        return f"initial loss: {self.loss:.4g}, a guess costs {self.expected:.4g}; {self.advice or 'as it should be'}"


def check_initial_loss(
    model: Module, loss: Any, batch: Data, tolerance: float = 0.3, expected: float | None = None
) -> InitialLoss:
    """Compare the loss of an untrained model with that of a guess, which is log C for C classes.

    The model runs in training mode, as in the first step: in evaluation mode batch norm would use running statistics
    that it does not have yet. A single sample runs in evaluation mode, since it has no variance for batch norm.

    Args:
        model, loss: as for `Trainer`; its `criterion` is a loss that also has its `loss_weights`.
        batch: (x, y), with about ten samples of every class if possible.
        tolerance: the relative difference from `expected` that is allowed. Logits of variance v add about v / 2 to the
            loss.
        expected: the loss of a guess; by default log C for labels, otherwise the loss of a result of zeros.

    Raises:
        TypeError, ValueError: batch is not such a pair or contains NaN or infinity, or the tolerance is not positive.
    """
    x, y = checked("batch", batch)
    positive("tolerance", tolerance, "a finite number > 0; 0.3 allows 30 %")
    loss = as_loss(loss)
    weights = counts(loss, y)
    total = float(length(y) if weights is None else weights.sum())

    def cost(logits: Tree) -> float:
        return mean_loss(loss, logits, y, total)[0]

    with kept(model), in_mode(model, training=length(x) > 1), np.errstate(all="ignore"):
        logits = model(map_leaves(np.ascontiguousarray, x))[0]
        found = cost(logits)
        if expected is None:
            expected = math.log(logits.shape[1]) if is_classes(logits, y) else cost(map_leaves(np.zeros_like, logits))
        # A loss that does not change when a constant is added to all logits contains a softmax.
        softmax = are_probabilities(logits) and math.isclose(found, cost(logits + 1), rel_tol=1e-4)
    return InitialLoss(found, expected, softmax, _initial_advice(found, expected, softmax, tolerance))


def _initial_advice(loss: float, expected: float, softmax: bool, tolerance: float) -> str:
    if softmax:
        return "the model's result is a softmax, of which the loss takes another one; remove the softmax from the model"
    if not math.isfinite(loss):
        return "look for NaN or infinity in the parameters, and at the size of the input with fastnn.init.report"
    if loss > expected * (1 + tolerance):
        return ("the model is too confident; make the last layer's weights smaller, scale the input to "
                "mean 0 and deviation 1, or check that the loss is a mean over samples")  # fmt: skip
    if loss < expected * (1 - tolerance):
        return ("the model is better than a guess; check that the labels are not part of the input, that the loss "
                "does not divide too often, and that the model is untrained")  # fmt: skip
    return ""


def is_classes(logits: Tree, y: Tree) -> bool:
    """Return whether logits (N, C) and y (N,) are those of a classification."""
    return _is_table(logits) and isinstance(y, np.ndarray) and y.dtype.kind in "iu"


def are_probabilities(logits: Tree) -> bool:
    """Return whether every row of (N, C) is >= 0 with the sum 1, as the rows of a softmax are."""
    return (
        _is_table(logits)
        and bool((logits >= 0).all())
        and bool((np.abs(logits.sum(axis=1, dtype=np.float64) - 1) < 1e-4).all())
    )


def _is_table(logits: Tree) -> TypeGuard[Array]:
    """Return whether logits are an array (N, C) with at least two columns."""
    return isinstance(logits, np.ndarray) and logits.ndim == 2 and logits.shape[1] > 1
