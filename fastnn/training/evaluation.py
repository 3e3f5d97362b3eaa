"""Runs a model on data without training it."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from fastnn._types import Array
from fastnn.nn.module import Module
from fastnn.training.checks import Data
from fastnn.training.losses import Loss, counts, mean_loss
from fastnn.training.metrics import Meter, Metric


@contextmanager
def in_mode(model: Module, training: bool) -> Iterator[None]:
    """Put every module into training or evaluation mode inside the block, and back into its own mode afterwards."""
    before = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode


def run_batches(model: Module, x: Array, batch_size: int) -> Iterator[tuple[slice, Array]]:
    """Yield the rows of each batch, and the model's result for them."""
    for start in range(0, len(x), batch_size):
        rows = slice(start, start + batch_size)
        yield rows, model(np.ascontiguousarray(x[rows]))[0]


def measure(model: Module, loss: Loss, metrics: dict[str, Metric], data: Data, batch_size: int) -> dict[str, float]:
    """Return loss and metrics on data, as means over the samples, with the model in evaluation mode."""
    x, y = data
    weights = counts(loss, y)
    meter = Meter(metrics)
    with in_mode(model, training=False):
        for rows, logits in run_batches(model, x, batch_size):
            labels = y[rows]
            total = float(len(labels) if weights is None else weights[rows].sum())
            meter.add(mean_loss(loss, logits, labels, total)[0], total, logits, labels)
    return meter.logs()
