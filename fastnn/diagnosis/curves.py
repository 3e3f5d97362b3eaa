"""Symptoms that the curves of a training show.

Sources: A. Ng, "Machine learning yearning", 2018, chapters 20 to 32 (bias and variance); A. Karpathy, "A recipe for
training neural networks", 2019; V. Godbole et al., "Deep learning tuning playbook", 2023.
"""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from fastnn._types import Float64
from fastnn.diagnosis.catalogue import NOT_FINITE, Symptom, symptom
from fastnn.diagnosis.not_finite import first_not_finite
from fastnn.training.history import History

Steps = npt.NDArray[np.intp]

LEAST_STEPS = 20
"""A curve needs more steps than this."""
LEAST_EPOCHS = 3
"""In the first epochs the training's mean, measured along the way, lags far behind the validation at their ends."""
DIVERGED = 1.5
"""A loss has diverged if it rose to this many times its start, beyond the spread of batches, and did not come back."""
LOST = 0.5
"""It has also diverged if it lost this fraction of its improvement."""
FALLEN = 0.05
"""A loss that fell by less than this fraction of its start has not fallen: the labels' frequencies give as much."""
BURST = 10.0
"""A loss that rose to this many times its start in the first steps has diverged unless it fell far below it later."""
AT_GUESS = 0.03
"""A loss this close to that of a guess, as a fraction of it, counts as a guess; learning soon leads further away."""
STILL_FALLING = 0.2
"""The fraction of the whole fall between the middle and the last third: a line has 0.4, a curve near its end 0.1."""
CHANCE = 8.0
"""Two thirds of a flat curve differ by this many median deviations over the root of their steps once in 200 cases."""
HIGH = 0.5
"""A loss above this fraction of its start can still fall a lot; below it, falling is only thoroughness."""
SPIKE, LONE_SPIKE = 1.0, 3.0
"""A spike rises by this multiple of the start: in two of three steps, or alone, since one batch may be hard."""
DEVIATIONS = 10.0
"""It also rises by this many median deviations of the steps before; noise reaches 5 in thousands of steps."""
GAP = 0.1
"""Ten points of accuracy between training and validation are more than chance among several hundred samples."""
LOSS_GAP = 0.25
"""The same for the loss, as a fraction of its start."""
KNOWN = 0.95
"""With this accuracy the loss need not fall any more."""
GUESSES = 0.5
"""A guess has the accuracy g = 1 / C, with the variance g (1 - g). Several hundred samples may be this multiple
of the variance above g by chance: 1.5 / C for many classes, and not 0.75 but 0.625 for two."""
RISEN = 0.1
"""A validation loss that rose by this fraction of the start after its minimum is past its best."""


def symptoms_of_curves(history: History, loss: Float64, classes: int | None) -> list[Symptom]:
    """Return the symptoms of a training.

    Args:
        history: its history.
        loss: its loss by step.
        classes: the number of classes, so that the loss of a guess is log C; None if it is unknown.
    """
    if (wrong := first_not_finite(history, loss)) is not None:
        return [symptom(NOT_FINITE, wrong)]
    steps = np.flatnonzero(~np.isnan(loss))  # in the other steps no sample has a weight
    return [*_path(loss[steps], steps, history, classes), *_epochs(history, loss[steps], classes)]


def _path(loss: Float64, steps: Steps, history: History, classes: int | None) -> Iterator[Symptom]:
    """Look for symptoms in the training loss by step."""
    if len(loss) <= LEAST_STEPS or _start(loss) <= 0:
        return
    start, tenths = _start(loss), [float(np.median(part)) for part in np.array_split(loss, 10)]
    end, best, worst = tenths[-1], min(tenths), max(tenths)
    guess = math.log(classes) if classes is not None else math.nan
    path = f"the loss went from {start:.4g} to {end:.4g} in {len(loss)} steps at lr {history.steps['lr'][-1]:.3g}"
    burst = float(loss[:LEAST_STEPS].max())
    is_above = worst > DIVERGED * start and start - end < FALLEN * start
    if burst > BURST * start and end > HIGH * start:
        is_above, worst = True, max(worst, burst)
    if is_above or (start - best > LOST * start and end - best > LOST * (start - best)):
        yield symptom("diverging", f"{path}, by way of {worst if is_above else best:.4g}")
        return
    thirds = np.array_split(loss, 3)
    middle, last = (float(np.median(part)) for part in thirds[1:])
    chance = CHANCE * float(np.median(np.abs(thirds[2] - last))) / math.sqrt(len(thirds[2]))
    fallen = max(start, tenths[0]) - last  # the batch of the first step alone may be easy
    if abs(last - guess) <= AT_GUESS * guess and middle - last <= max(chance, FALLEN * guess / 2):
        yield symptom("plateau at log C", f"{path}; a guess among {classes} classes costs {guess:.4g}")
    elif fallen < FALLEN * start and not _knows(history, end, guess):
        yield symptom("loss does not fall", path)
    elif end > HIGH * start and middle - last > max(STILL_FALLING * fallen, chance):
        yield symptom("slow convergence", f"{path}, {(middle - last) / fallen:.0%} of that in the last third")
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
        yield symptom("spikes", f"the loss leaps at {len(at)} of {len(loss)} steps, first at {first}; most at {most}, "
                       f"from about {level[highest]:.4g} to {loss[highest + LEAST_STEPS]:.4g}")  # fmt: skip


def _epochs(history: History, loss: Float64, classes: int | None) -> Iterator[Symptom]:
    """Compare validation with training, up to the last epoch that had a validation."""
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
        yield symptom("validation no better than a guess" if guesses else "overfitting", numbers)
    # Validation came before this epoch's training, so training's mean, which is met on the way, is not behind it.
    elif lead > allowed:
        yield symptom("validation better than training", numbers)


def _start(loss: Float64) -> float:
    """Return the loss before anything was learnt; a learning rate that is too high spoils all but the first."""
    return float(min(loss[0], np.median(loss[:3])))


def _knows(history: History, end: float, guess: float) -> bool:
    """Return whether the model already knows its task, as when the training of a trained model is continued."""
    return history.get("accuracy", [0.0])[-1] > KNOWN or end < (1 - KNOWN) * guess
