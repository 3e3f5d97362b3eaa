"""One optimizer step: forward and backward over the batches of its window, then the update."""

import math
import time

from fastnn._types import Array
from fastnn.optim.clip import clip_grad_norm_
from fastnn.training.batches import Batch, Batches
from fastnn.training.debugging import explain_gradients, explain_loss
from fastnn.training.losses import batch_loss
from fastnn.training.protocols import Training


def forward_backward(trainer: Training, batches: Batches, number: int) -> tuple[float, Array, Batch]:
    """Gather a batch, run it forward and backward, and return its mean loss, the logits and the batch.

    The gradients are the batch's part of the mean over its window; they are added to those of the window's earlier
    batches.
    """
    state = trainer.state
    started = time.perf_counter()
    batch = batches.take(number)
    gathered, state.inputs = time.perf_counter(), batch.x
    logits, backward = trainer.model(batch.x)
    loss, dlogits = batch_loss(trainer.loss, logits, batch)
    forward = time.perf_counter()
    if trainer.detect_nan and batch.weight and not math.isfinite(loss):
        explain_loss(trainer.model, batch.x, loss, state.step)
    if batch.begins:
        trainer.optimizer.zero_grad()
    backward(dlogits, input_grad=False)
    done = time.perf_counter()
    state.times = (started, gathered, forward, done, done)
    return loss, logits, batch


def update(trainer: Training) -> None:
    """Clip the gradients of a whole window and step the optimizer; skip the step if their norm is not finite."""
    if trainer.detect_nan:
        explain_gradients(trainer.model, trainer.state.step)
    limit = trainer.clip_norm
    if limit is None or math.isfinite(clip_grad_norm_(trainer.model.parameters(), limit)):
        trainer.optimizer.step()
