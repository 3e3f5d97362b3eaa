"""What one call of `fit` trains on, checked before anything is trained."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn._checks import positive_integer
from fastnn._types import FLOATS
from fastnn.nn.module import Module
from fastnn.nn.tracing import kept
from fastnn.random import Generator, default_generator
from fastnn.training.batches import Batches, sample_weights
from fastnn.training.checks import Data, check_labels, checked
from fastnn.training.evaluation import in_mode
from fastnn.training.losses import Loss, counts


@dataclass(frozen=True)
class Fit:
    """Batches of the training data, validation data, and the seed of the order."""

    batches: Batches
    validation: Data | None
    batch_size: int
    seed: int


def prepare(
    model: Module,
    loss: Loss,
    metrics: Mapping[str, Any],
    train: Data,
    validation: Data | None,
    batch_size: int,
    window: int,
    seed: int | None,
    sample_weight: Any = None,
    class_weight: Mapping[int, float] | Any = None,
) -> Fit:
    """See `Trainer.fit`, for the errors too."""
    x, y = checked("train", train)
    if validation is not None:
        validation = checked("validation", validation)
    batch_size = positive_integer("batch_size", batch_size)
    check_metrics(metrics, y)
    seed = Generator(default_generator.seed if seed is None else seed).seed
    weights = sample_weights(y, sample_weight, class_weight)
    if weights is not None and not hasattr(loss, "each"):
        raise TypeError("sample_weight, class_weight: got them with a loss that has no `each(logits, labels)`, want "
                        "fastnn.nn.CrossEntropyLoss or one that has")  # fmt: skip
    check_classes("train", model, loss, (x, y))
    if validation is not None:
        check_classes("validation", model, loss, validation)
    return Fit(Batches(x, y, batch_size, window, weights, counts(loss, y)), validation, batch_size, seed)


def check_classes(name: str, model: Module, loss: Loss, data: Data) -> None:
    """Refuse labels that are none of the model's classes, and samples that it does not take."""
    x, y = data
    with in_mode(model, training=False):
        logits, _ = model(np.ascontiguousarray(x[:2]))
    check_labels(f"{name} y", y, logits, getattr(loss, "ignore_index", None))


def check_least_batch(model: Module, x: Any, batch_size: int) -> None:
    """Refuse a last batch of one sample where the model, as it is, cannot take it, as batch norm cannot."""
    if (len(x) - 1) % batch_size:
        return
    with kept(model), np.errstate(all="ignore"):
        try:
            model(np.ascontiguousarray(x[:1]))
        except ValueError as error:
            raise ValueError(f"batch_size: got {batch_size} for {len(x)} samples, want one that does not leave a last "
                             f"batch of one sample: {error}") from None  # fmt: skip


def check_metrics(metrics: Mapping[str, Any], y: Any) -> None:
    """Refuse an accuracy of what is no label."""
    if "accuracy" in metrics and y.dtype in FLOATS and np.ndim(y) < 2:
        raise ValueError(f"metrics: got 'accuracy' for targets of {y.dtype}, want it for labels; pass metrics=()")
