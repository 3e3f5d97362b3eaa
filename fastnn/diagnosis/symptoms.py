"""`diagnose`: finds problems of a training from its curves, its model and a batch."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from fastnn._checks import integer
from fastnn._trees import Tree, is_tree, map_leaves
from fastnn._types import Array, Float64
from fastnn.diagnosis import batch as signs
from fastnn.diagnosis.catalogue import NOT_FINITE, Symptom, symptom
from fastnn.diagnosis.curves import LEAST_STEPS, symptoms_of_curves
from fastnn.diagnosis.initial_loss import are_probabilities, is_classes
from fastnn.diagnosis.not_finite import source_afterwards
from fastnn.nn.module import Module
from fastnn.nn.report import report
from fastnn.nn.tracing import kept
from fastnn.training.checks import Data, checked
from fastnn.training.evaluation import in_mode
from fastnn.training.history import History

UNLEARNT = 0.5
"""If the result tells less than this share of what could be known about the targets, their scale and that of the inputs
may be why."""


def diagnose(
    history: History, *, classes: int | None = None, model: Module | None = None, batch: Data | None = None
) -> list[Symptom]:
    """Look for known problems of a training.

    Args:
        history: the history of one training; curves need more than 20 steps, or 3 epochs.
        classes: the number of classes C, to recognise log C as the loss of a guess; by default the number of columns
            in the model's result for `batch`.
        model, batch: both or neither: the trained model, and (x, y) with some dozen samples. They show faults that the
            curves do not, such as a result that does not depend on the input, and add detail to a symptom: the layer
            that NaN comes from if only one has it, dead units, a signal that vanishes, an input or targets of the wrong
            scale. The model's state is restored. A batch with NaN or infinity is a symptom too.

    Returns:
        The symptoms, those of the loss first; an empty list for a healthy training. Their names: NaN or infinity,
        diverging, plateau at log C, loss does not fall, slow convergence, spikes, overfitting, validation no better
        than a guess, validation better than training; and with a model softmax before the loss, no better than a guess,
        NaN in the data, constant input, constant result, unscaled input, unscaled targets, dead units, signal out of
        range. Labels that do not belong to their samples cannot be told from labels that the input does not tell.

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
    if wrong := list(signs.broken("batch", batch)):
        return [*symptoms_of_curves(history, loss, classes), *wrong]
    x, y = checked("batch", batch)
    x = map_leaves(np.ascontiguousarray, x)
    with kept(model), in_mode(model, training=False), np.errstate(all="ignore"):
        logits = model(x)[0]
        classes = logits.shape[1] if classes is None and is_classes(logits, y) else classes
        found = [*symptoms_of_curves(history, loss, classes), *_softmax(logits, loss)]
        if found and found[0].name == NOT_FINITE:
            found[0] = replace(found[0], cause=f"on this batch it comes from {source_afterwards(model, x)}")
            return [*found, *signs.input_scale(model, x), *signs.target_scale(logits, y)]
        if not found and len(loss) > LEAST_STEPS:
            found = [*signs.guesses(logits, y, float(np.nanmedian(np.array_split(loss, 3)[2])))]
        found += signs.constants(logits, x)
        trained = len(loss) > LEAST_STEPS
        if found or (trained and signs.share_unlearnt(logits, y) > UNLEARNT):
            found += signs.input_scale(model, x)
        if found or (trained and signs.share_of_square(logits, y) > UNLEARNT):
            found += signs.target_scale(logits, y)
        several = is_tree(x) or is_tree(logits)
        return [*found, *(() if several else _layers(model, x))] if found else []


def _softmax(logits: Tree, loss: Float64) -> Iterator[Symptom]:
    if not are_probabilities(logits):
        return
    least = math.log(math.e + logits.shape[-1] - 1) - 1
    if len(loss) and not np.nanmin(loss) < least * (1 - signs.AT_GUESS):
        yield symptom("softmax before the loss", "the model's results are probabilities, and the loss never was below "
                       f"{least:.4g}, the least cross-entropy with another softmax of them")  # fmt: skip


def _layers(model: Module, x: Array) -> Iterator[Symptom]:
    warnings = report(model, x).warnings
    dead = [warning for warning in warnings if warning.endswith("dead")]
    if dead:  # dead units also make the signal vanish
        yield symptom("dead units", "; ".join(dead))
    elif warnings:
        yield symptom("signal out of range", "; ".join(warnings))
