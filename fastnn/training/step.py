"""One optimizer step: forward and backward over the batches of its window, then the update."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastnn._checks import not_negative
from fastnn._trees import Tree
from fastnn.nn.module import call
from fastnn.optim.clip import clip_grad_norm_, clip_grad_value_
from fastnn.optim.optimizer import Optimizer as FusedOptimizer
from fastnn.training.debugging import explain_gradients, explain_loss
from fastnn.training.losses import batch_loss, in_window
from fastnn.training.protocols import Training
from fastnn.training.windows import Batch


def forward_backward(trainer: Training, batch: Batch) -> tuple[Any, Tree]:
    """Run a batch forward and backward, and return its mean loss, as `batch_loss` does, and the model's result.

    The gradients are the batch's part of the mean over its window; they are added to those of the window's earlier
    batches.
    """
    state = trainer.state
    state.inputs, started = batch.x, time.perf_counter()
    outputs, backward = call(trainer.model, batch.x)
    loss, gradient = batch_loss(trainer.criterion, outputs, batch)
    forward = time.perf_counter()
    if trainer.detect_nan and not math.isfinite(part := in_window(loss, batch)[0]):
        explain_loss(trainer.model, batch.x, part, state.step)
    if batch.begins:
        trainer.optimizer.zero_grad()
    backward(gradient, input_grad=False)
    done = time.perf_counter()
    state.times = (state.times[0], started, forward, done, done)
    return loss, outputs


class Clipping:
    """How gradients are clipped at every step.

    Args:
        limit: the largest norm or magnitude; None or 0 for none.
        algorithm: "norm" or "value".

    Raises:
        TypeError, ValueError: the limit is not a finite number >= 0, or the algorithm is another.
    """

    def __init__(self, limit: float | None, algorithm: str) -> None:
        if algorithm not in ("norm", "value"):
            raise ValueError(f"gradient_clip_algorithm: got {algorithm!r}, want 'norm' or 'value'")
        self.limit = None if limit is None else not_negative("gradient_clip_val", limit) or None
        self.by_value = algorithm == "value"

    def apply(self, trainer: Training) -> bool:
        """Clip to the limit, unless the optimizer does so itself; return whether the norm allows a step."""
        assert self.limit is not None
        if isinstance(trainer.optimizer, FusedOptimizer) and not self.by_value:
            return True
        if self.by_value:
            clip_grad_value_(trainer.model.parameters(), self.limit)
            return True
        return math.isfinite(clip_grad_norm_(trainer.model.parameters(), self.limit))


@contextmanager
def clipped(trainer: Training) -> Iterator[None]:
    """Let an optimizer of this package clip the norm within its own pass inside the block."""
    optimizer, clipping = trainer.optimizer, trainer.clipping
    if clipping.limit is None or clipping.by_value or not isinstance(optimizer, FusedOptimizer):
        yield
        return
    before, optimizer.clip_grad_norm = optimizer.clip_grad_norm, clipping.limit
    try:
        yield
    finally:
        optimizer.clip_grad_norm = before


def update(trainer: Training) -> None:
    """Clip the gradients of a whole window and step the optimizer; skip the step if their norm is not finite."""
    if trainer.detect_nan:
        explain_gradients(trainer.model, trainer.state.step)
    if trainer.clipping.limit is None or trainer.clipping.apply(trainer):
        trainer.optimizer.step()
