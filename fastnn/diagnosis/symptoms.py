"""`diagnose`: finds problems of a training from its curves, its model and a batch."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from fastnn._checks import integer
from fastnn._types import Array, Float64
from fastnn.diagnosis.catalogue import NOT_FINITE, Symptom, symptom
from fastnn.diagnosis.curves import AT_GUESS, symptoms_of_curves
from fastnn.diagnosis.initial_loss import are_probabilities, is_classes
from fastnn.diagnosis.not_finite import source_afterwards
from fastnn.nn.module import Module
from fastnn.nn.norm import Norm
from fastnn.nn.report import report
from fastnn.nn.tracing import kept, leaves
from fastnn.training.checks import Data, checked
from fastnn.training.evaluation import in_mode
from fastnn.training.history import History

SCALE = (0.01, 10.0)
"""The usual root mean square of an input. Layers are initialised for 1; pixels in [0, 1] have 0.3, those to 255 80."""


def diagnose(
    history: History, *, classes: int | None = None, model: Module | None = None, batch: Data | None = None
) -> list[Symptom]:
    """Look for known problems of a training.

    Args:
        history: the history of one training; curves need more than 20 steps, or 3 epochs.
        classes: the number of classes C, to recognise log C as the loss of a guess; by default the number of columns
            in the model's result for `batch`.
        model, batch: both or neither: the trained model, and (x, y). They add detail to a symptom: the layer that NaN
            comes from if only one has it, dead units, a signal that vanishes, an input of the wrong scale. The model's
            state is restored.

    Returns:
        The symptoms, those of the loss first; an empty list for a healthy training. Their names: NaN or infinity,
        diverging, plateau at log C, loss does not fall, slow convergence, spikes, overfitting, validation no better
        than a guess, validation better than training; and with a model softmax before the loss, unscaled input, dead
        units, signal out of range.

    Raises:
        ValueError: there is a model without a batch, or a batch without a model; there are fewer than two classes.
        TypeError, ValueError: the model cannot be trained on the batch.
    """
    if (model is None) != (batch is None):
        raise ValueError("model, batch: got one without the other, want both or neither; pass some samples (x, y)")
    if classes is not None:
        classes = integer("classes", classes, 2, want="an integer >= 2, or None for a result without classes")
    loss = np.array(history.steps["loss"], np.float64)
    if model is None or batch is None:
        return symptoms_of_curves(history, loss, classes)
    x, y = checked("batch", batch)
    x = np.ascontiguousarray(x)
    with kept(model), in_mode(model, training=False), np.errstate(all="ignore"):
        logits = model(x)[0]
        classes = logits.shape[1] if classes is None and is_classes(logits, y) else classes
        found = [*symptoms_of_curves(history, loss, classes), *_softmax(logits, loss)]
        if not found:
            return []
        if found[0].name != NOT_FINITE:
            return [*found, *_scale(model, x), *_layers(model, x)]
        found[0] = replace(found[0], cause=f"on this batch it comes from {source_afterwards(model, x)}")
        return [*found, *_scale(model, x)]


def _softmax(logits: Array, loss: Float64) -> Iterator[Symptom]:
    least = math.log(math.e + logits.shape[-1] - 1) - 1
    if are_probabilities(logits) and len(loss) and not np.nanmin(loss) < least * (1 - AT_GUESS):
        yield symptom("softmax before the loss", "the model's results are probabilities, and the loss never was below "
                       f"{least:.4g}, the least cross-entropy with another softmax of them")  # fmt: skip


def _scale(model: Module, x: Array) -> Iterator[Symptom]:
    scale = math.sqrt(float(np.mean(np.square(x, dtype=np.float64))))
    if not SCALE[0] <= scale <= SCALE[1] and not isinstance(next(leaves(model), ("", model))[1], Norm):
        yield symptom("unscaled input", f"its root mean square is {scale:.3g}, want about 1")


def _layers(model: Module, x: Array) -> Iterator[Symptom]:
    warnings = report(model, x).warnings
    dead = [warning for warning in warnings if warning.endswith("dead")]
    if dead:  # dead units also make the signal vanish
        yield symptom("dead units", "; ".join(dead))
    elif warnings:
        yield symptom("signal out of range", "; ".join(warnings))
