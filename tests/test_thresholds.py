"""Verdicts just below and just above their thresholds: diagnoses, reports, overfitting checks."""

import math

import numpy as np
import pytest
from drawn_curves import accurate, drawn, leaps, tenths, thirds, validated
from training_tasks import CLASSES, DATA, Softmax, make_trainer, plain

import fastnn
from fastnn import init, nn, optim
from fastnn.training import (
    Trainer,
    check_gradients,
    check_initial_loss,
    diagnose,
    overfit_one_batch,
)

LOG4 = math.log(CLASSES)
DIVERGING, FLAT, PLATEAU, SLOW = "diverging", "loss does not fall", "plateau at log C", "slow convergence"
SPIKES, OVERFITTING, BETTER = "spikes", "overfitting", "validation better than training"


G = LOG4
# Curve, and its symptom or None.
CURVES = {
    "20 steps": (drawn([2.0] * 20), None),
    "21 steps": (drawn([2.0] * 21), FLAT),
    "1.525 of the start": (tenths(3.05, 1.95), DIVERGING),
    "1.475 of the start": (tenths(2.95, 1.95), FLAT),
    "up, and 0.045 down": (tenths(3.05, 1.91), DIVERGING),
    "up, and 0.055 down": (tenths(3.05, 1.89), None),
    "lost 0.51": (tenths(0.98, 1.5), DIVERGING),
    "lost 0.49": (tenths(0.98, 1.48), None),
    "lost after less than half": (tenths(1.02, 1.99), FLAT),
    "0.045 fallen": (drawn([*[2.0] * 7, *[1.91] * 93]), FLAT),
    "0.055 fallen": (drawn([*[2.0] * 7, *[1.89] * 93]), None),
    "0.029 above a guess": (drawn([G * 1.029] * 40), PLATEAU),
    "0.029 below a guess": (drawn([G * 0.971] * 40), PLATEAU),
    "0.031 above a guess": (drawn([G * 1.031] * 40), FLAT),
    "0.031 below a guess": (drawn([G * 0.969] * 40), FLAT),
    "at a guess, falling by 0.024": (drawn(np.repeat([G * 1.1, G * 1.024, G], 33)), PLATEAU),
    "at a guess, falling by 0.026": (drawn(np.repeat([G * 1.1, G * 1.026, G], 33)), SLOW),
    "0.21 in the last third": (thirds(1.37, 1.2), SLOW),
    "0.19 in the last third": (thirds(1.35, 1.2), None),
    "0.505 left": (thirds(1.3, 1.01), SLOW),
    "0.495 left": (thirds(1.3, 0.99), None),
    "noise of a third": (thirds(1.4, 1.2, 0.13), SLOW),
    "more noise": (thirds(1.4, 1.2, 0.155), None),
    "two of three, 1.03": (leaps(3.06, 1, 3.06), SPIKES),
    "two of three, 0.97": (leaps(2.94, 1, 2.94), None),
    "one, 3.03": (leaps(7.06), SPIKES),
    "one, 2.97": (leaps(6.94), None),
    "10.1 deviations": (leaps(8.07, noise=0.7), SPIKES),
    "9.9 deviations": (leaps(7.93, noise=0.7), None),
    "accuracy 0.95": (drawn([1.0] * 40, accuracy=[0.951]), None),
    "accuracy less": (drawn([1.0] * 40, accuracy=[0.949]), FLAT),
    "a twentieth of a guess": (drawn([0.049 * G] * 40), None),
    "more than that": (drawn([0.051 * G] * 40), FLAT),
    "0.26 of the start more": (validated([1, 0.5, 0.2], [1, 0.8, 0.72]), OVERFITTING),
    "0.24 of the start more": (validated([1, 0.5, 0.2], [1, 0.8, 0.68]), None),
    "0.26 less": (validated([1, 0.9, 0.9], [1, 0.38, 0.4]), BETTER),
    "0.24 less": (validated([1, 0.9, 0.9], [1, 0.42, 0.4]), None),
    "risen by 0.105, 0.13 more": (validated([1, 0.5, 0.3], [1, 0.35, 0.56]), OVERFITTING),
    "risen by 0.095, 0.13 more": (validated([1, 0.5, 0.3], [1, 0.37, 0.56]), None),
    "risen by 0.105, 0.12 more": (validated([1, 0.5, 0.32], [1, 0.35, 0.56]), None),
    "risen, training as well": (validated([1, 0.3, 0.3], [1, 0.35, 0.56]), None),
    "11 points": (accurate(0.95, 0.84), OVERFITTING),
    "9 points": (accurate(0.95, 0.86), None),
    "11 points the other way": (accurate(0.8, 0.9, before=0.91), BETTER),
    "9 points the other way": (accurate(0.8, 0.9, before=0.89), None),
}


@pytest.mark.parametrize("case", CURVES)
def test_diagnoses(case):
    history, name = CURVES[case]
    assert [symptom.name for symptom in diagnose(history, classes=CLASSES)] == ([name] if name else [])


@pytest.mark.parametrize(("scale", "is_said"), [(0.0099, True), (0.0101, False), (9.9, False), (10.1, True)])
def test_scale_of_the_input(scale, is_said):
    x = np.resize([scale, -scale], (8, 10)).astype(np.float32)
    found = diagnose(drawn([LOG4] * 40), model=plain(), batch=(x, np.arange(8) % CLASSES))
    assert ("unscaled input" in [symptom.name for symptom in found]) == is_said


@pytest.mark.parametrize(("share", "is_said"), [(0.965, False), (0.975, True)])
def test_least_loss_of_two_softmaxes(share, is_said):
    """The threshold is the smallest possible loss, log(e + C - 1) - 1, minus three hundredths."""
    least = math.log(math.e + 3) - 1
    found = diagnose(drawn([2.0] * 10 + [share * least] * 90), model=plain(Softmax()), batch=DATA)
    assert [symptom.name for symptom in found][:1] == (["softmax before the loss"] if is_said else [])


@pytest.mark.parametrize(
    ("factor", "says"),
    [(101, "explodes"), (99, ""), (1, ""), (1 / 99, ""), (1 / 101, "vanishes"), (np.nan, "not finite")],
)
def test_reported_signals(factor, says):
    """A warning appears if results or gradients deviate 100 times more or less than the batch, once per verdict."""
    layers = [nn.Linear(4, 4, bias=False, dtype=np.float64) for _ in range(2)]
    layers[0].weight.data[...] = factor * np.eye(4)
    layers[1].weight.data[...] = np.eye(4)
    x = np.random.default_rng(1).normal(size=(40, 4))
    for model, of in ((layers, "activation"), (layers[::-1], "gradient")):
        warnings = init.report(nn.Sequential(*model), x, dy=x).warnings
        mine = [w for w in warnings if f"the {of} " in w]
        assert len(mine) == bool(says) and all(says in w for w in mine), warnings
        assert not mine or mine[0].startswith("0  Linear(4, 4")


@pytest.mark.parametrize(("dead", "is_said"), [(4, False), (5, True), (10, True)])
def test_reported_dead_units(dead, is_said):
    """A warning appears if at least half of the units are dead."""
    linear = nn.Linear(10, 10, bias=True, dtype=np.float64)
    linear.weight.data[...] = np.eye(10)
    linear.bias.data[:dead] = -100
    x = np.abs(np.random.default_rng(2).normal(size=(30, 10)))
    report = init.report(nn.Sequential(linear, nn.ReLU()), x)
    assert any(f"{dead}0% of its units are dead" in w for w in report.warnings) == is_said
    assert [layer.activation.dead for layer in report] == [0.0, dead / 10]


@pytest.mark.parametrize(("share", "ok"), [(1.29, True), (1.31, False), (0.71, True), (0.69, False)])
def test_initial_loss(share, ok):
    def loss(logits, labels):
        return share * LOG4, np.zeros_like(logits)

    verdict = check_initial_loss(plain(), loss, DATA)
    assert verdict.ok is ok and verdict.expected == pytest.approx(LOG4)
    assert check_initial_loss(plain(), loss, DATA, tolerance=0.305, expected=LOG4 * share / 1.3).ok


class Given(nn.Module):
    """Returns a given array for any input."""

    def __init__(self, y):
        self.y = y

    def __call__(self, x):
        return self.y, lambda dy, input_grad=True: None


@pytest.mark.parametrize(("sum_", "is_softmax"), [(1.00009, True), (1.00011, False), (0.99991, True), (0.99989, False)])
def test_what_counts_as_probabilities(sum_, is_softmax):
    p = np.full((4, 4), 0.25) * sum_
    labels = np.arange(4)
    assert check_initial_loss(Given(p), nn.CrossEntropyLoss(), (np.zeros((4, 1)), labels)).softmax is is_softmax
    p[1] = [0, 0, 0, sum_]
    assert check_initial_loss(Given(p), nn.CrossEntropyLoss(), (np.zeros((4, 1)), labels)).softmax is is_softmax
    p[2, 0], p[2, 1] = -0.001, 0.501
    assert not check_initial_loss(Given(p), nn.CrossEntropyLoss(), (np.zeros((4, 1)), labels)).softmax


def scripted(*losses, classes=CLASSES):
    """Return a trainer with these losses, one after the other; the last one is repeated."""
    left = [*losses]
    model = nn.Sequential(nn.Linear(2, classes))

    def loss(logits, labels):
        value = left.pop(0) if len(left) > 1 else left[0]
        return value, np.ones_like(logits)

    return Trainer(model, loss, optim.SGD(model.parameters(), lr=1e-3), metrics=())


FEW = np.ones((3, 2), np.float32), np.arange(3) % 2


@pytest.mark.parametrize(
    ("losses", "says"),
    [
        ([1.0, 0.0501 * LOG4, 0.0499 * LOG4], ""),
        ([1.0, 0.0501 * LOG4], "not there yet"),
        ([1.0, 0.89], "it falls and is not there yet"),
        ([1.0, 0.91], "it hardly moves; raise"),
        ([1.0, 1.0], "it hardly moves"),
        ([1.0, 1.001], "it diverges"),
        ([2.0, 1.79], "it falls and is not there yet"),
        ([2.0, 1.81], "it hardly moves; raise"),
    ],
)
def test_what_is_learnt(losses, says):
    verdict = overfit_one_batch(scripted(*losses), FEW, steps=4)
    assert verdict.target == pytest.approx(0.05 * LOG4) and says in verdict.advice
    assert verdict.ok is not bool(says) and verdict.steps == (4 if says else 2)
    assert overfit_one_batch(scripted(1.0, 0.5), FEW, steps=4, target=0.5).ok  # reaching the target is enough


def test_one_sample_or_several():
    """The verdict states the number of samples, and unchanged parameters as a tuple."""
    one, three = (overfit_one_batch(scripted(1.0), (FEW[0][:n], FEW[1][:n]), steps=1) for n in (1, 3))
    assert str(one).startswith("1 sample: the loss") and str(three).startswith("3 samples: the loss")
    assert one.idle == () and one.samples == 1


def test_norms_take_the_batchs_statistics():
    """Norms use the statistics of a batch of several samples, as in training; dropout is in evaluation mode."""
    x = 50 + 9 * np.random.default_rng(3).normal(size=(16, 4)).astype(np.float32)
    y = np.arange(16) % 3
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.9), nn.Linear(4, 3))
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=1e-3))
    normed = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)
    want = nn.CrossEntropyLoss()(model[2](normed)[0], y)[0]
    assert overfit_one_batch(trainer, (x, y), steps=1).losses[0] == pytest.approx(want, rel=1e-4)
    alone = nn.CrossEntropyLoss()(model[2](x[:1])[0], y[:1])[0]  # with statistics of 0 and 1
    assert overfit_one_batch(trainer, (x[:1], y[:1]), steps=1).losses[0] == pytest.approx(alone, rel=1e-3)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_steps_of_a_verdict(steps):
    """Exactly the allowed number of steps is taken, with a loss before each and after the last."""
    verdict = overfit_one_batch(scripted(9.0), FEW, steps=steps)
    assert verdict.steps == steps and len(verdict.losses) == steps + 1
    trainer = make_trainer(plain(), lr=1e-2)
    assert overfit_one_batch(trainer, (DATA[0][:4], DATA[1][:4]), steps, target=0.0).losses[0] > 0


def test_smoothed_target():
    """The target is a twentieth of the way from the smallest smoothed loss to that of a guess."""
    trainer = make_trainer(plain(), loss=nn.CrossEntropyLoss(label_smoothing=0.2))
    verdict = overfit_one_batch(trainer, (DATA[0][:4], DATA[1][:4]), steps=1)
    least = -(0.85 * math.log(0.85) + 3 * 0.05 * math.log(0.05))
    assert verdict.target == pytest.approx(least + 0.05 * (LOG4 - least), rel=1e-12)


@pytest.mark.parametrize(("off", "ok"), [(0.9e-4, True), (1.1e-4, False)])
def test_gradients_off_by_a_share(off, ok):
    """The default tolerance is 1e-4, and a given one replaces it."""
    criterion = nn.CrossEntropyLoss()

    def loss(logits, labels):
        value, gradient = criterion(logits, labels)
        return value, gradient * (1 + off)

    batch = DATA[0][:6], DATA[1][:6]
    verdict = check_gradients(plain(), loss, batch)
    assert verdict.ok is ok and verdict.error == pytest.approx(off, rel=0.05) and verdict.tolerance == 1e-4
    assert check_gradients(plain(), loss, batch, tolerance=0.9 * off).ok is False
    assert check_gradients(plain(), loss, batch, tolerance=1.2 * off).ok


class Chosen:
    """The cross-entropy of some of the samples, plus a constant."""

    def __init__(self, constant=0.0):
        self.rows, self.weight, self.constant = np.array([3, 1, 0]), np.ones(CLASSES, np.float32), constant

    def __call__(self, logits, labels):
        loss, some = nn.CrossEntropyLoss(self.weight)(logits[self.rows], labels[self.rows])
        gradient = np.zeros_like(logits)
        gradient[self.rows] = some
        return loss + self.constant, gradient


@pytest.mark.parametrize("constant", [0.0, 1e8, -1e8])
def test_gradients_beside_a_large_loss(constant):
    """Differences caused by rounding of the loss are not errors, and integer arrays do not change."""
    verdict = check_gradients(plain(), Chosen(constant), (DATA[0][:6], DATA[1][:6]))
    assert verdict.ok, str(verdict)


class Losses:
    """A loss with given values, and a list of rates."""

    def __init__(self, losses):
        self.left, self.rates = [*losses], []

    def trainer(self):
        model = nn.Sequential(nn.Linear(2, 3))
        fastnn.manual_seed(1)
        return Trainer(model, self, optim.SGD(model.parameters(), lr=0.1), metrics=())

    def __call__(self, logits, labels):
        value = self.left.pop(0) if len(self.left) > 1 else self.left[0]
        return value, np.zeros_like(logits)


@pytest.mark.parametrize(("off", "ends"), [(-0.01, False), (0.01, True)])
@pytest.mark.parametrize(("first", "bound"), [(1.0, 4.0), (-1.0, 2.0)])
def test_when_a_test_of_rates_ends(first, bound, off, ends):
    """The search ends if the smoothed loss is above four times its minimum, or as far above a negative one."""
    second = ((bound + off) * (1 - 0.9**2) - 0.9 * 0.1 * first) / 0.1
    found = Losses([first, second, first]).trainer().lr_find(FEW, num_it=5)
    np.testing.assert_allclose(found.smoothed[:2], [first, bound + off], rtol=1e-12)
    assert len(found.losses) == (2 if ends else 5)


def test_rates_of_a_test():
    """Rates go from start_lr to end_lr by equal factors, including the last one."""
    seen = []
    trainer = Losses([1.0]).trainer()
    step = trainer.optimizer.step
    trainer.optimizer.step = lambda: (seen.append(trainer.optimizer.param_groups[0]["lr"]), step())
    found = trainer.lr_find(FEW, start_lr=1e-3, end_lr=10.0, num_it=5)
    np.testing.assert_allclose(found.rates, [1e-3, 1e-2, 1e-1, 1, 10], rtol=1e-12)
    np.testing.assert_allclose(seen, found.rates, rtol=1e-15)
    assert all(map(math.isnan, found.suggestions.values()))  # the loss never falls
    assert len(trainer.lr_find(FEW, num_it=2).rates) == 2
