"""Diagnoses of curves that are exactly at a threshold, of the last steps and epochs, and what their evidence says."""

import math

import numpy as np
import pytest
from drawn_curves import accurate, drawn, leaps, tenths, thirds, validated
from training_tasks import CLASSES, DATA, Softmax, plain

from fastnn import nn
from fastnn.training import History, diagnose

NAN = math.nan
FLAT, PLATEAU, SPIKES, OVERFITTING = "loss does not fall", "plateau at log C", "spikes", "overfitting"
BETTER, GUESS, BROKEN = "validation better than training", "validation no better than a guess", "NaN or infinity"
LOG4 = math.log(CLASSES)


def named(history, **options):
    return [symptom.name for symptom in diagnose(history, **({"classes": CLASSES} | options))]


def last(*values, start=2.0):
    """Return 200 steps that fall from `start` to half of it at once and end with these values."""
    return drawn([*[start] * 10, *[start / 2] * (190 - len(values)), *values])


NOISY_THIRDS = drawn([*[2.0] * 16, *[1.625] * 16, *[1.5, 1.25] * 8])
# All numbers are exact in binary. Curve, and its symptom or None.
EXACT = {
    "from 0": (drawn([*[0.0] * 30, *[1.0] * 10]), None),
    "1.5 of the start": (tenths(3.0, 1.95), FLAT),
    "up, and a twentieth down": (drawn([*[20.0] * 10, *[31.0] * 10, *[19.0] * 80]), None),
    "half of the improvement lost": (tenths(0.5, 1.25), None),
    "an improvement by half": (tenths(1.0, 1.8), None),
    "a twentieth fallen": (drawn([*[20.0] * 7, *[19.0] * 93]), None),
    "at a guess, falling as much as by chance": (NOISY_THIRDS, PLATEAU),
    "a fifth of the fall in the last third": (drawn(np.repeat([20.0, 16.0, 15.0], 33)), None),
    "half of the start left": (thirds(1.3, 1.0), None),
    "two of three, the start": (leaps(3.0, 1, 3.0), None),
    "one, three times the start": (leaps(7.0), None),
    "10 deviations": (leaps(6.0, 1, 6.0, noise=0.5), None),
    "a quarter of the start more": (validated([1, 0.5, 0.25], [1, 0.8, 0.75]), None),
    "a quarter of the start less": (validated([1, 1, 1], [1, 0.5, 0.5]), None),
    "risen, an eighth of the start more": (validated([1, 0.5, 0.25], [1, 0.25, 0.5]), None),
    "risen by a tenth of the start": (validated([10, 5, 2], [10, 3, 5], start=20.0), None),
    "ten points": (accurate(0.1, 0.0, before=0.0), None),
    "half a variance above a guess": (accurate(0.95, 0.34375), OVERFITTING),
}


@pytest.mark.parametrize("case", EXACT)
def test_exactly_at_a_threshold(case):
    history, name = EXACT[case]
    assert named(history) == ([name] if name else [])


LASTS = {
    # One hard batch is no spike, not even as the very last step; two of three steps are one.
    "one hard batch at the end": (last(4.0), None),
    "one hard batch before the end": (last(4.0, 1.0), None),
    "two at the end": (last(4.0, 4.0), SPIKES),
    "two of the last three": (last(4.0, 1.0, 4.0), SPIKES),
    "a lone spike at the end": (last(7.5), SPIKES),
    "noise long ago": (drawn([2.0] * 3 + [1.75, 0.25] * 63 + [1.0] * 40 + [4.0] * 2 + [1.0] * 29), SPIKES),
    # Only the last epoch counts, and for what is better than training the validation before it.
    "loss, less": (validated([1, 0.5, 0.2], [1, 0.9, 0.6]), None),
    "loss, more": (validated([2, 1.5, 0.2], [1, 0.8, 0.75]), OVERFITTING),
    "loss, a lead of once": (validated([1.5, 1.2, 0.9], [0.2, 0.45, 0.9]), None),
    "loss, a lead": (validated([0.5, 0.5, 0.9], [0.9, 0.3, 0.9]), BETTER),
    "accuracy, less": (accurate(0.95, 0.9, before=0.3), None),
    "accuracy, a guess": (accurate(0.95, 0.3, before=0.5), GUESS),
    "accuracy, no guess any more": (accurate(0.95, 0.5, before=0.3), OVERFITTING),
    "accuracy, a lead": (accurate(0.7, 0.7, before=0.85), BETTER),
    "accuracy, no lead": (accurate(0.85, 0.95, before=0.9), None),
    # Without steps, the first epoch's loss is the size of all.
    "of epochs alone, less": (drawn(loss=[2, 1, 0.5], val_loss=[2, 1, 0.95]), None),
    "of epochs alone, more": (drawn(loss=[2, 1, 0.5], val_loss=[2, 1, 1.05]), OVERFITTING),
    "of negative epochs, less": (drawn(loss=[-2, -3, -3.5], val_loss=[-2, -3, -3.05]), None),
    "of negative epochs, more": (drawn(loss=[-2, -3, -3.5], val_loss=[-2, -3, -2.95]), OVERFITTING),
    "curves of different lengths": (validated([1, 0.5, 0.2, 0.1], [1, 0.9, 0.8]), None),
    "accuracies of fewer epochs": (validated([1, 0.5, 0.2], [1, 0.7, 0.6], accuracy=[1], val_accuracy=[0.5]), None),
    "accuracies of the training alone": (validated([1, 0.5, 0.2], [1, 0.9, 0.8], accuracy=[0.9] * 3), OVERFITTING),
}


@pytest.mark.parametrize("case", LASTS)
def test_last_steps_and_epochs(case):
    history, name = LASTS[case]
    assert named(history) == ([name] if name else [])


RATES = np.linspace(0.5, 0.025, 300)
PATH, EPOCHS = "the loss went from 2 to {} in {} steps at lr 0.025", "loss {} in training and {} in validation"
EVIDENCE = {
    "by its highest": (tenths(3.05, 1.95), PATH.format(1.95, 100) + ", by way of 3.05"),
    "by its lowest": (tenths(0.75, 1.5), PATH.format(1.5, 100) + ", by way of 0.75"),
    "flat": (drawn([2.0] * 21), PATH.format(2, 21)),
    "first three": (drawn([2.0, 1.0, 2.0, 1.0] + [2.0] * 40), PATH.format(2, 44)),
    "guess": (drawn([2.0] * 7 + [LOG4] * 33), PATH.format(1.386, 40) + "; a guess among 4 classes costs 1.386"),
    "slow": (thirds(1.37, 1.2), PATH.format(1.2, 99) + ", 21% of that in the last third"),
    "spike": (
        leaps(3.0625, 1, 3.0625),
        "the loss leaps at 1 of 200 steps, first at 151; most at 151, from about 1 to 3.062",
    ),
    "spikes": (
        leaps(8.0, 1, 9.5, 1, 8.5),
        "the loss leaps at 3 of 200 steps, first at 151; most at 153, from about 1 to 9.5",
    ),
    "variance and its best epoch": (
        validated([1, 0.3, 0.2], [0.9, 0.2, 0.8]),
        EPOCHS.format(0.2, 0.8)
        + "; training loss 0.2 (bias), 0.6 more in validation (variance); val_loss was best in epoch 2 with 0.2",
    ),
    "variance": (
        validated([1, 0.5, 0.2], [1, 0.9, 0.8]),
        EPOCHS.format(0.2, 0.8) + "; training loss 0.2 (bias), 0.6 more in validation (variance)",
    ),
    "accuracies": (
        accurate(0.95, 0.84),
        EPOCHS.format(0.1, 0.4) + "; training error 5.0% (bias), 11.0% more in validation (variance)",
    ),
    "better": (validated([1, 0.9, 0.9], [1, 0.38, 0.4]), EPOCHS.format(0.9, 0.4)),
    "better and equal": (
        validated([2, 1.5, 1], [1, 0.4, 1]),
        EPOCHS.format(1, 1) + "; val_loss was best in epoch 2 with 0.4",
    ),
}


@pytest.mark.parametrize("case", EVIDENCE)
def test_evidence(case):
    """The evidence tells the numbers of its symptom, the last learning rate among them, and no others."""
    history, evidence = EVIDENCE[case]
    history.steps["lr"] = RATES[-len(history.steps["loss"]) :].tolist()
    (found,) = diagnose(history, classes=CLASSES)
    assert found.evidence == evidence


def test_a_training_whose_steps_are_all_nan():
    assert "step 1 of 5 is nan" in diagnose(drawn([NAN] * 5, loss=[NAN]))[0].evidence
    assert named(drawn([NAN] * 5)) == [BROKEN]


def test_steps_without_weight_before_the_nan():
    """Steps without a weighted sample, in an epoch with a loss, are not the first NaN of a training that broke off."""
    steps = np.linspace(2, 0.1, 211)
    steps[5], steps[200:] = NAN, NAN
    (found,) = diagnose(drawn(steps, loss=[1, 1]))
    assert "step 201 of 211 is nan" in found.evidence


def test_results_without_classes_have_no_guess():
    """Log C is the loss of a guess only for integer labels of several classes, given the model and a batch."""
    flat, x = drawn([LOG4] * 40), DATA[0][:8]
    targets = np.ones((8, CLASSES), np.float32)
    assert named(flat, classes=None) == named(flat, classes=None, model=plain(), batch=(x, targets)) == [FLAT]
    assert named(flat, classes=None, model=plain(), batch=(x, np.arange(8) % CLASSES)) == [PLATEAU]
    single = nn.Sequential(nn.Linear(10, 1))
    assert named(drawn([0.02] * 40), classes=None, model=single, batch=(x, np.ones(8, np.int64))) == [FLAT]
    assert named(drawn([math.log(2)] * 40), classes=2) == [PLATEAU]


def test_models_without_a_history():
    """A model whose training made no step yet has no symptoms."""
    assert diagnose(History(), model=plain(Softmax()), batch=DATA) == []
    assert diagnose(History()) == []


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_healthy_model_adds_nothing(dtype):
    """The model adds a symptom only if there is something to say, and an input of deviation 10 is still usual."""
    x = np.resize([10.0, -10.0], (8, 10)).astype(dtype) * np.resize([1, -1], (8, 1)).astype(dtype)
    model = nn.Sequential(nn.Linear(10, CLASSES, dtype=dtype))
    batch = (x, np.arange(8) % CLASSES)
    assert named(drawn([LOG4] * 40), model=model, batch=batch) == [PLATEAU]
    assert named(drawn([LOG4] * 40), model=model, batch=(np.repeat(x, 2, axis=1)[:, ::2], batch[1])) == [PLATEAU]


def test_scale_of_a_huge_input():
    x = np.full((8, 10), 1e30, np.float32)
    found = diagnose(drawn([LOG4] * 40), model=plain(), batch=(x, np.arange(8) % CLASSES))
    assert any(symptom.evidence.startswith("its root mean square is 1e+30, want about 1;") for symptom in found)
