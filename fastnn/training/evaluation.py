"""Runs a model on data without training it."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastnn._trees import Tree, leaves, length, rows
from fastnn._types import Array
from fastnn.data.source import Arrays, Indexed, Samples, Source, Stream
from fastnn.metrics.base import Metric
from fastnn.metrics.outputs import probabilities
from fastnn.nn.module import Module, call
from fastnn.training.losses import batch_value, total_weight
from fastnn.training.metrics import Meter
from fastnn.training.windows import Batch


@contextmanager
def in_mode(model: Module, training: bool) -> Iterator[None]:
    """Put the model into training or evaluation mode inside the block, and every module back into its own afterwards.

    A model that is in training mode already keeps the modules that are in evaluation mode, as a frozen norm is.
    """
    before = [(module, module.training) for module in model.modules()]
    if not (training and model.training):
        model.train(training)
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode


def slices(source: Source, batch_size: int) -> Iterator[Samples]:
    """Yield all samples of a source in its own order, in batches of this size; a `Stream` has batches of its own."""
    if isinstance(source, Stream):
        yield from source.iterate()
        return
    for start in range(0, len(source), batch_size):
        stop = min(start + batch_size, len(source))
        if isinstance(source, Arrays):
            yield source.slice(slice(start, stop))
        else:
            assert isinstance(source, Indexed)
            yield source.take(np.arange(start, stop))


def run_batches(
    model: Module, x: Tree, batch_size: int, convert: Callable[[Tree], Tree] = lambda x: x
) -> Iterator[tuple[slice, Any]]:
    """Yield the rows of each batch, and the model's result for them."""
    for start in range(0, length(x), batch_size):
        batch = slice(start, start + batch_size)
        taken = rows(x, batch)
        yield batch, with_rows(call(model, convert(taken))[0], taken)


def with_rows(outputs: Tree, x: Tree) -> Tree:
    """Return a model's result; raise ValueError unless axis 0 counts samples, or parts of them, as that of x does."""
    n = length(x)
    for leaf in leaves(outputs):
        if np.ndim(leaf) == 0 or len(leaf) % n or not len(leaf):
            remedy = "; for a single sample pass x[None]" if np.ndim(x) == 1 else ""
            raise ValueError(f"model: got a result of shape {np.shape(leaf)} for {n} samples, want ({n}, ...), a row "
                             f"for each; let no layer take or drop rows{remedy}")  # fmt: skip
    return outputs


def measure(
    model: Module,
    loss: Any,
    metrics: dict[str, Metric],
    source: Source,
    batch_size: int,
    convert: Callable[[Tree], Tree] = lambda x: x,
) -> dict[str, float]:
    """Return loss and metrics over all samples of a source, with the model in evaluation mode.

    Weights of samples count in the mean of the loss, as in a fit.
    """
    meter = Meter(copy.deepcopy(metrics))
    with in_mode(model, training=False):
        for samples in slices(source, batch_size):
            outputs = model(convert(samples.x))[0]
            total = total_weight(loss, samples)
            batch = Batch(samples.x, samples.y, samples.weights, total, 1.0, True, True)
            meter.add(batch_value(loss, outputs, batch), total, outputs, samples.y)
    return meter.logs()


def predicted_probabilities(loss: Any, outputs: Array) -> Array:
    """Return the probabilities of a model's outputs; see `Trainer.predict_proba`."""
    task = getattr(loss, "task", None)
    if task in ("regression", "distribution") or (task is None and (outputs.ndim < 2 or outputs.shape[-1] < 2)):
        got = "a loss for regression" if task else f"outputs of shape {outputs.shape} and a loss that names no task"
        raise ValueError(f"predict_proba: got {got}, want a loss of classes; use predict")
    found = probabilities(outputs, task)
    if task == "binary" and outputs.size == len(outputs):
        found = found.reshape(-1)
        return np.stack([1 - found, found], axis=1)
    return found
