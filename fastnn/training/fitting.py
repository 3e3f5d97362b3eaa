"""Prepares the data of one call of `fit`, and checks it before anything is trained."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn._checks import positive_integer
from fastnn._types import FLOATS
from fastnn.nn.module import Module
from fastnn.nn.tracing import kept
from fastnn.random.generator import Generator, default_generator
from fastnn.training.batches import Batches, sample_weights
from fastnn.training.checks import Data, check_labels, checked
from fastnn.training.evaluation import in_mode
from fastnn.training.losses import Loss, counts
from fastnn.training.protocols import Training


@dataclass(frozen=True)
class Fit:
    """The batches of the training data, the validation data, and the seed of the order of samples."""

    batches: Batches
    validation: Data | None
    batch_size: int
    seed: int


def prepare(
    trainer: Training,
    train: Data,
    validation: Data | None = None,
    batch_size: int = 32,
    sample_weight: Any = None,
    class_weight: Mapping[int, float] | Any = None,
    window: int | None = None,
) -> Fit:
    """Check the data of a fit and cut it into batches; arguments and errors as in `Trainer.fit`.

    Args:
        window: batches of an optimizer step; None for the trainer's `accumulate_grad_batches`.
    """
    model, loss = trainer.model, trainer.loss
    x, y = checked("train", train)
    if validation is not None:
        validation = checked("validation", validation)
    batch_size = positive_integer("batch_size", batch_size)
    _check_metrics(trainer.metrics, y)
    seed = Generator(default_generator.seed if trainer.seed is None else trainer.seed).seed
    weights = sample_weights(y, sample_weight, class_weight)
    if weights is not None and not hasattr(loss, "each"):
        raise TypeError("sample_weight, class_weight: got them with a loss that has no `each(logits, labels)`, want "
                        "fastnn.nn.CrossEntropyLoss or one that has")  # fmt: skip
    check_classes("train", model, loss, (x, y))
    if validation is not None:
        check_classes("validation", model, loss, validation)
    window = trainer.accumulate_grad_batches if window is None else window
    return Fit(Batches(x, y, batch_size, window, weights, counts(loss, y)), validation, batch_size, seed)


def check_classes(name: str, model: Module, loss: Loss, data: Data) -> None:
    """Raise if a label is not one of the model's classes, or the model does not accept the samples."""
    x, y = data
    with in_mode(model, training=False):
        logits, _ = model(np.ascontiguousarray(x[:2]))
    check_labels(f"{name} y", y, logits, getattr(loss, "ignore_index", None))


def check_least_batch(model: Module, x: Any, batch_size: int) -> None:
    """Raise ValueError if the last batch has one sample and the model cannot take it, as batch norm cannot."""
    if (len(x) - 1) % batch_size:
        return
    with kept(model), np.errstate(all="ignore"):
        try:
            model(np.ascontiguousarray(x[:1]))
        except ValueError as error:
            raise ValueError(f"batch_size: got {batch_size} for {len(x)} samples, want one that does not leave a last "
                             f"batch of one sample: {error}") from None  # fmt: skip


def _check_metrics(metrics: Mapping[str, Any], y: Any) -> None:
    """Raise ValueError if the accuracy is to be measured on targets that are not labels."""
    if "accuracy" in metrics and y.dtype in FLOATS and np.ndim(y) < 2:
        raise ValueError(f"metrics: got 'accuracy' for targets of {y.dtype}, want it for labels; pass metrics=()")
