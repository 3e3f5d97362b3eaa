"""What the curves of a training say.

Sources: A. Ng, "Machine learning yearning", 2018, chapters 20 to 32 (bias and variance); A. Karpathy, "A recipe for
training neural networks", 2019; V. Godbole et al., "Deep learning tuning playbook", 2023.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fastnn._checks import integer
from fastnn._types import Array, Float64
from fastnn.diagnosis.initial_loss import are_probabilities, is_classes
from fastnn.diagnosis.not_finite import first_not_finite, source_afterwards
from fastnn.nn.module import Module
from fastnn.nn.norm import Norm
from fastnn.nn.report import report
from fastnn.nn.tracing import kept, leaves
from fastnn.training.checks import Data, checked
from fastnn.training.evaluation import in_mode
from fastnn.training.history import History

Steps = npt.NDArray[np.intp]

LEAST_STEPS = 20
"""So few steps are no curve."""
LEAST_EPOCHS = 3
"""In the first epochs training's mean, met on the way, is far behind validation, which comes after."""
DIVERGED = 1.5
"""A loss that rose to this many times its beginning, beyond what batches differ by, and did not come back below it."""
LOST = 0.5
"""A loss that lost this share of what it had gained."""
FALLEN = 0.05
"""A loss that fell by less than this share of its beginning has not fallen: labels' shares alone may give as much."""
AT_GUESS = 0.03
"""Within this share of what a guess costs the loss counts as that; what is learnt takes it further away soon."""
STILL_FALLING = 0.2
"""The share of the whole fall that lies between the middle and the last third: 0.4 of a line, 0.1 of a curve that is
nearly there."""
CHANCE = 8.0
"""Two thirds of a flat curve differ by this many median deviations over the root of their steps once in 200 times."""
HIGH = 0.5
"""A loss above this share of its beginning has a way to go; one that still falls below it is only thorough."""
SPIKE, LONE_SPIKE = 1.0, 3.0
"""How far a loss rises, in shares of its beginning: two steps of three, or one alone, since one batch may be hard."""
DEVIATIONS = 10.0
"""And in median deviations of the steps before it, of which noise has 5 in thousands of steps."""
GAP = 0.1
"""Ten points of accuracy between training and validation are more than chance among some hundred samples."""
LOSS_GAP = 0.25
"""The same of the loss, in shares of its beginning."""
KNOWN = 0.95
"""An accuracy from which on a loss need not fall."""
GUESSES = 0.5
"""An accuracy up to this share of its variance, g (1 - g), above that of a guess, g = 1 / C, is one that some hundred
samples may have by chance: 1.5 / C for many classes, and not 0.75 but 0.625 for two."""
RISEN = 0.1
"""A validation loss that rose by this share of the loss's beginning after its best is past it."""
NOT_FINITE = "NaN or infinity"
SCALE = (0.01, 10.0)
"""The root mean square of an input that layers are initialised for is 1; pixels in [0, 1] have 0.3, those to 255 80."""


TEXTS = {
    NOT_FINITE: (
        "a step that was too large, or a number that was 0 or huge in a quotient, a root or a logarithm",
        "lower the learning rate, clip gradients, look at the data; train with detect_nan=True to see it happen",
    ),
    "diverging": (
        "the learning rate is too high",
        "lower it, see Trainer.lr_find; clip gradients; warm up",
    ),
    "plateau at log C": (
        "the result does not depend on the input: labels that do not belong to their samples, dead units, a gradient "
        "that does not arrive, or a rate far too high or too low",
        "try overfit_one_batch and check_gradients; look at samples and labels as they enter the model; then "
        "Trainer.lr_find",
    ),
    "loss does not fall": (
        "the learning rate is far too low or too high, a gradient does not arrive, or labels and loss are not what "
        "they should be",
        "try Trainer.lr_find, then overfit_one_batch and check_gradients",
    ),
    "slow convergence": (
        "the learning rate is too low, the input is not scaled, or the initialisation does not suit",
        "raise the rate, see Trainer.lr_find; scale the input; look at fastnn.init.report; train longer",
    ),
    "spikes": (
        "outliers in the data, or a learning rate at the edge of what is stable",
        "look at the batch of that step; clip gradients; lower the rate, or warm up",
    ),
    "overfitting": (
        "the model learns its samples by heart",
        "more data or augmentation; dropout and weight decay; EarlyStopping; a smaller model",
    ),
    "validation no better than a guess": (
        "labels that do not belong to their samples, or that the input does not tell",
        "look at samples and labels as they enter the model",
    ),
    "validation better than training": (
        "dropout, augmentation or batch norm of few samples, which make training harder; easier samples in "
        "validation, or a leak",
        "compare with Trainer.evaluate of the training data; if validation is still better, look at how the data was "
        "split, and for samples that are in both",
    ),
    "softmax before the loss": (
        "the loss takes a softmax of a softmax",
        "remove the softmax from the model; Trainer.predict_proba takes it",
    ),
    "unscaled input": (
        "layers are initialised for an input of mean 0 and deviation 1",
        "subtract the mean of every feature over the training data, and divide by its deviation",
    ),
    "dead units": (
        "a step that was too large, or biases that are too low",
        "lower the rate and start anew; LeakyReLU; fastnn.init.initialize",
    ),
    "signal out of range": (
        "weights that were too small or too large at the beginning, or have become so",
        "fastnn.init.initialize, or a norm between the layers",
    ),
}
"""For each symptom its likely cause and the remedy."""


@dataclass(frozen=True)
class Symptom:
    """Something wrong with a training.

    Attributes:
        name: what one would call it.
        evidence: the numbers it was read from.
        cause: what is likely behind it.
        remedy: what to try, the first thing first.
    """

    name: str
    evidence: str
    cause: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.name}: {self.evidence}. Likely cause: {self.cause}. Remedy: {self.remedy}."


def diagnose(
    history: History, *, classes: int | None = None, model: Module | None = None, batch: Data | None = None
) -> list[Symptom]:
    """Look for what is known to go wrong; an empty list for a healthy training.

    Args:
        history: of one training; curves are read from more than 20 steps, or 3 epochs, on.
        classes: C, so that a loss of log C is known for a guess; by default that of the model's result for `batch`.
        model, batch: both or neither: the model now, and (x, y). They tell more about a symptom: which layer NaN came
            from if one alone has it, units that are dead, a signal that vanishes, an input of the wrong size. The model
            is as before then.

    Returns:
        The symptoms, those of the loss first. Their names: NaN or infinity, diverging, plateau at log C, loss does not
        fall, slow convergence, spikes, overfitting, validation no better than a guess, validation better than
        training; and with a model softmax before the loss, unscaled input, dead units, signal out of range.

    Raises:
        ValueError: model without batch, or the other way round; fewer than two classes.
        TypeError, ValueError: batch is none that the model can be trained on.
    """
    if (model is None) != (batch is None):
        raise ValueError("model, batch: got one without the other, want both or neither; pass some samples (x, y)")
    if classes is not None:
        classes = integer("classes", classes, 2, want="an integer >= 2, or None for a result without classes")
    loss = np.array(history.steps["loss"], np.float64)
    if model is None or batch is None:
        return _curves(history, loss, classes)
    x, y = checked("batch", batch)
    x = np.ascontiguousarray(x)
    with kept(model), in_mode(model, training=False), np.errstate(all="ignore"):
        logits = model(x)[0]
        classes = logits.shape[1] if classes is None and is_classes(logits, y) else classes
        found = [*_curves(history, loss, classes), *_softmax(logits, loss)]
        if not found:
            return []
        if found[0].name != NOT_FINITE:
            return [*found, *_scale(model, x), *_layers(model, x)]
        found[0] = replace(found[0], cause=f"on this batch it comes from {source_afterwards(model, x)}")
        return [*found, *_scale(model, x)]


def _symptom(name: str, evidence: str) -> Symptom:
    return Symptom(name, evidence, *TEXTS[name])


def _curves(history: History, loss: Float64, classes: int | None) -> list[Symptom]:
    if (wrong := first_not_finite(history, loss)) is not None:
        return [_symptom(NOT_FINITE, wrong)]
    steps = np.flatnonzero(~np.isnan(loss))  # nothing of the others has a weight
    return [*_path(loss[steps], steps, history, classes), *_epochs(history, loss[steps], classes)]


def _path(loss: Float64, steps: Steps, history: History, classes: int | None) -> Iterator[Symptom]:
    """The training loss by step."""
    if len(loss) <= LEAST_STEPS or _start(loss) <= 0:
        return
    start, tenths = _start(loss), [float(np.median(part)) for part in np.array_split(loss, 10)]
    end, best, worst = tenths[-1], min(tenths), max(tenths)
    guess = math.log(classes) if classes is not None else math.nan
    path = f"the loss went from {start:.4g} to {end:.4g} in {len(loss)} steps at lr {history.steps['lr'][-1]:.3g}"
    is_above = worst > DIVERGED * start and start - end < FALLEN * start
    if is_above or (start - best > LOST * start and end - best > LOST * (start - best)):
        yield _symptom("diverging", f"{path}, by way of {worst if is_above else best:.4g}")
        return
    thirds = np.array_split(loss, 3)
    middle, last = (float(np.median(part)) for part in thirds[1:])
    chance = CHANCE * float(np.median(np.abs(thirds[2] - last))) / math.sqrt(len(thirds[2]))
    fallen = max(start, tenths[0]) - last  # the first step's batch alone may be an easy one
    if abs(last - guess) <= AT_GUESS * guess and middle - last <= max(chance, FALLEN * guess / 2):
        yield _symptom("plateau at log C", f"{path}; a guess among {classes} classes costs {guess:.4g}")
    elif fallen < FALLEN * start and not _knows(history, end, guess):
        yield _symptom("loss does not fall", path)
    elif end > HIGH * start and middle - last > max(STILL_FALLING * fallen, chance):
        yield _symptom("slow convergence", f"{path}, {(middle - last) / fallen:.0%} of that in the last third")
    yield from _spikes(loss, steps, start)


def _spikes(loss: Float64, steps: Steps, start: float) -> Iterator[Symptom]:
    before = np.lib.stride_tricks.sliding_window_view(loss, LEAST_STEPS)[:-1]
    level = np.median(before, axis=1)
    rise = loss[LEAST_STEPS:] - level
    noise = DEVIATIONS * np.median(np.abs(before - level[:, None]), axis=1)
    three = np.lib.stride_tricks.sliding_window_view(np.append(loss[LEAST_STEPS:], [-np.inf] * 2), 3)
    sustained = np.minimum(rise, np.median(three, axis=1) - level)
    at = np.flatnonzero((rise > noise) & ((rise > LONE_SPIKE * start) | (sustained > SPIKE * start)))
    if len(at):
        highest = int(at[rise[at].argmax()])
        first, most = (steps[i + LEAST_STEPS] + 1 for i in (at[0], highest))
        yield _symptom("spikes", f"the loss leaps at {len(at)} of {len(loss)} steps, first at {first}; most at {most}, "
                       f"from about {level[highest]:.4g} to {loss[highest + LEAST_STEPS]:.4g}")  # fmt: skip


def _epochs(history: History, loss: Float64, classes: int | None) -> Iterator[Symptom]:
    """Validation against training, up to the last epoch that had one."""
    names = ("loss", "val_loss", "accuracy", "val_accuracy")
    curves = [np.array(history.get(name, ()), np.float64) for name in names]
    epochs = int(np.flatnonzero(np.isfinite(curves[1])).max(initial=-1)) + 1
    if epochs < LEAST_EPOCHS or len(curves[0]) != len(curves[1]):
        return
    train, valid, right, val_right = (curve[:epochs] for curve in curves)
    size = abs(_start(loss)) if len(loss) else abs(train[0])
    numbers = f"loss {train[-1]:.4g} in training and {valid[-1]:.4g} in validation"
    known = len(right) == len(val_right) == len(train)
    if known:
        variance, allowed, lead = right[-1] - val_right[-1], GAP, val_right[-2] - right[-1]
        numbers += f"; training error {1 - right[-1]:.1%} (bias), {variance:.1%} more in validation (variance)"
    else:
        variance, allowed, lead = valid[-1] - train[-1], LOSS_GAP * size, train[-1] - valid[-2]
        if variance > 0:
            numbers += f"; training loss {train[-1]:.4g} (bias), {variance:.4g} more in validation (variance)"
    best = int(np.nanargmin(valid))
    past = valid[-1] - valid[best] > RISEN * size and train[-1] < train[best]
    if past:
        numbers += f"; val_loss was best in epoch {best + 1} with {valid[best]:.4g}"
    if variance > allowed or (past and variance > allowed / 2):
        guess = math.nan if classes is None else 1 / classes
        guesses = known and val_right[-1] < guess + GUESSES * guess * (1 - guess)
        yield _symptom("validation no better than a guess" if guesses else "overfitting", numbers)
    # Validation came before this epoch's training, so training's mean, which is met on the way, is not behind it.
    elif lead > allowed:
        yield _symptom("validation better than training", numbers)


def _softmax(logits: Array, loss: Float64) -> Iterator[Symptom]:
    least = math.log(math.e + logits.shape[-1] - 1) - 1
    if are_probabilities(logits) and len(loss) and not np.nanmin(loss) < least * (1 - AT_GUESS):
        yield _symptom("softmax before the loss", "the model's results are probabilities, and the loss never was below "
                       f"{least:.4g}, the least cross-entropy with another softmax of them")  # fmt: skip


def _scale(model: Module, x: Array) -> Iterator[Symptom]:
    scale = math.sqrt(float(np.mean(np.square(x, dtype=np.float64))))
    if not SCALE[0] <= scale <= SCALE[1] and not isinstance(next(leaves(model), ("", model))[1], Norm):
        yield _symptom("unscaled input", f"its root mean square is {scale:.3g}, want about 1")


def _layers(model: Module, x: Array) -> Iterator[Symptom]:
    warnings = report(model, x).warnings
    dead = [warning for warning in warnings if warning.endswith("dead")]
    if dead:  # which is why a signal vanishes, too
        yield _symptom("dead units", "; ".join(dead))
    elif warnings:
        yield _symptom("signal out of range", "; ".join(warnings))


def _start(loss: Float64) -> float:
    """The loss before anything was learnt; a rate that is too high spoils all but the first."""
    return float(min(loss[0], np.median(loss[:3])))


def _knows(history: History, end: float, guess: float) -> bool:
    """Whether there is nothing left to fall for, as where a trained model is trained on."""
    return history.get("accuracy", [0.0])[-1] > KNOWN or end < (1 - KNOWN) * guess
