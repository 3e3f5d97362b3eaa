"""Checks before training: which samples, steps and rates they use, which losses they expect, what their texts say."""

import math

import numpy as np
import pytest
from training_tasks import CLASSES, DATA, RNG, Softmax, make_trainer, plain

from fastnn import nn, optim
from fastnn.diagnosis import GradientCheck
from fastnn.training import (
    Trainer,
    check_gradients,
    check_initial_loss,
    diagnose,
    learning_ladder,
    overfit_one_batch,
    overfit_one_sample,
)
from fastnn.training.history import History

MEAN = nn.CrossEntropyLoss()
SIX = DATA[0][:6], DATA[1][:6]


def square(z, y):
    return float(np.square(z - y).mean()), 2 * (z - y) / z.size


class Seen:
    """A loss with given values, the last one repeated, that notes the targets and the optimizer's rates."""

    def __init__(self, *losses):
        self.left, self.targets, self.rates = [*losses], [], []

    def __call__(self, z, y):
        self.targets.append(y.tolist())
        return (self.left.pop(0) if len(self.left) > 1 else self.left[0]), np.ones_like(z)

    def trainer(self, parameters=lambda model: model.parameters(), **options):
        """Return a trainer with this loss, of a linear model of two features."""
        model = nn.Sequential(nn.Linear(2, CLASSES))
        optimizer = optim.SGD([{"params": [p]} for p in parameters(model)], lr=1e-3)
        step = optimizer.step
        optimizer.step = lambda: (self.rates.append([group["lr"] for group in optimizer.param_groups]), step())
        return Trainer(model, self, optimizer, metrics=(), **options)


def rows(n):
    """Return n samples with the targets 0, 1, ... n - 1."""
    return np.ones((n, 2), np.float32), np.arange(n, dtype=np.float32)


@pytest.mark.parametrize("n", [1, 2, 3, 40])
@pytest.mark.parametrize("window", [1, 4])
def test_samples_of_a_batch(n, window):
    """Each step uses all samples, each once; only a single sample is passed twice."""
    loss = Seen(1.0)
    verdict = overfit_one_batch(loss.trainer(accumulate_grad_batches=window), rows(n), steps=3)
    assert verdict.steps == 3 and verdict.samples == n
    assert [sorted(targets) for targets in loss.targets] == [[0.0, 0.0] if n == 1 else rows(n)[1].tolist()] * 4


def test_one_sample_with_several_targets():
    loss = Seen(1.0)
    overfit_one_sample(loss.trainer(), (rows(2)[0], np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])), steps=1)
    assert loss.targets == [[[1.0, 2.0, 3.0]] * 2] * 2


def test_two_samples_have_a_variance():
    """Norms are in training mode from two samples on, in both checks."""
    x, y = RNG.normal(50, 9, (2, 3)).astype(np.float32), np.array([0, 1])
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, CLASSES))
    want = MEAN(model[1]((x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5))[0], y)[0]
    assert check_initial_loss(model, MEAN, (x, y)).loss == pytest.approx(want, rel=1e-4)
    assert overfit_one_batch(make_trainer(model), (x, y), steps=1).losses[0] == pytest.approx(want, rel=1e-4)
    alone = MEAN(model[1](x[:1])[0], y[:1])[0]  # with statistics of 0 and 1
    assert check_initial_loss(model, MEAN, (x[:1], y[:1])).loss == pytest.approx(alone, rel=1e-3)


CALLS = {
    "batch": (lambda trainer, **options: overfit_one_batch(trainer, rows(3), **options), [[0, 1, 2]]),
    "sample": (lambda trainer, **options: overfit_one_sample(trainer, rows(3), **options), [[0, 0]]),
    "ladder": (lambda trainer, **options: learning_ladder(trainer, rows(3), (3,), **options).rungs[0], [[0, 1, 2]]),
}


@pytest.mark.parametrize("name", CALLS)
def test_steps_target_and_rate_are_passed_on(name):
    """The numbers that are given are used, and the first sample; the rate applies to all groups, and only meanwhile."""
    call, targets = CALLS[name]
    loss = Seen(9.0, 8.5, 8.0, 7.0)
    trainer = loss.trainer()
    verdict = call(trainer, steps=4, target=7.5, lr=0.25)
    assert verdict.losses == (9.0, 8.5, 8.0, 7.0) and verdict.target == 7.5 and verdict.ok
    assert loss.rates == [[0.25, 0.25]] * 3 and [sorted(t) for t in loss.targets] == targets * 4
    assert [group["lr"] for group in trainer.optimizer.param_groups] == [1e-3, 1e-3]
    loss.left, loss.rates = [9.0], []
    assert call(trainer, steps=2, target=1.0).steps == 2 and loss.rates == [[1e-3, 1e-3]] * 2


def test_rungs():
    """Each rung contains the samples of the rung below, always the same; a size beyond the data is all of it."""
    loss = Seen(0.5)
    ladder = learning_ladder(loss.trainer(), rows(7), (2, 5, 9, 20), target=0.5)
    assert [rung.samples for rung in ladder.rungs] == [2, 5, 7] and [len(t) for t in loss.targets] == [2, 5, 7]
    assert set(loss.targets[0]) < set(loss.targets[1]) < set(loss.targets[2]) == set(range(7))
    again = Seen(0.5)
    learning_ladder(again.trainer(), rows(7), (2, 5, 7), target=0.5)
    assert again.targets == loss.targets
    assert str(ladder) == "ladder: up to 7 samples are learnt by heart"


def test_texts_of_a_ladder_that_fails():
    first = learning_ladder(Seen(2.0).trainer(), rows(9), (4, 8), steps=1, target=0.5)
    assert not first.ok and len(first.rungs) == 1
    assert str(first).startswith("ladder: of 4 samples: the loss went from 2 to 2 in 1 steps, the target is 0.5; it ")
    second = learning_ladder(Seen(0.5, 2.0).trainer(), rows(9), (4, 8), steps=1, target=0.5)
    assert str(second).startswith("ladder: 4 can be learnt by heart, but of 8 samples: the loss went from 2 to 2 in 1 ")


@pytest.mark.parametrize("target", [0.5, 0.0, -2.0])
def test_a_target_ends_the_steps(target):
    """The steps end with the first loss that is not above the target, 0 and negative ones included."""
    verdict = overfit_one_batch(Seen(target + 0.9, target + 0.2, target).trainer(), rows(3), steps=9, target=target)
    assert verdict.ok and verdict.steps == 2 and verdict.target == target
    verdict = overfit_one_batch(Seen(target + 0.9).trainer(), rows(3), steps=2, target=target)
    assert not verdict.ok and verdict.steps == 2 and verdict.target == target


@pytest.mark.parametrize(
    ("losses", "says"),
    [
        ((10.0, 9.0), "it falls and is not there yet"),
        ((-1.0, -1.05), "it hardly moves"),
        ((-1.0, -1.15), "it falls and is not there yet"),
        ((-1.0, -0.9), "diverges"),
    ],
)
def test_falls_of_the_loss(losses, says):
    """A fall is relative to the size of the first loss, which may be negative; a tenth of it is one."""
    assert says in overfit_one_batch(Seen(*losses).trainer(), rows(3), steps=3, target=-9.0).advice


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_parameters_that_the_optimizer_does_not_hold(steps):
    """They are idle although they have a gradient, after one step as well."""
    trainer = Seen(2.0).trainer(lambda model: [model[0].weight])
    verdict = overfit_one_batch(trainer, rows(3), steps=steps)
    assert verdict.idle == ("0.bias",) and "0.bias not at all" in verdict.advice
    assert overfit_one_batch(Seen(2.0).trainer(), rows(3), steps=steps).idle == ()


class Given(nn.Module):
    """Returns a given array for any input."""

    def __init__(self, y):
        self.y = y

    def __call__(self, x):
        return self.y, lambda dy, input_grad=True: None


COUNTS = np.array([3, 1, 2, 6])
EXPECTED = [
    # the model's result, labels or targets, the loss of a guess
    (np.full((4, 4), 0.5), np.arange(4), math.log(4)),
    (np.full((4, 2), 0.75), np.arange(4) % 2, math.log(2)),
    (np.full((4, 1), 0.5), COUNTS[:, None], 12.5),
    (np.full(4, 0.5), COUNTS, 12.5),
    (np.full((4, 3, 3), 0.5), COUNTS[:, None, None], 12.5),
    (np.full((4, 2), 0.5), np.full((4, 2), 3.0), 9.0),
]


@pytest.mark.parametrize(("result", "y", "expected"), EXPECTED)
def test_loss_of_a_guess(result, y, expected):
    """Log C for labels of at least two classes, otherwise the loss of zeros."""

    def loss(z, labels):
        return (MEAN if expected < 1.5 else square)(z, labels)

    verdict = check_initial_loss(Given(result), loss, (np.zeros((4, 1)), y))
    assert verdict.expected == pytest.approx(expected) and not verdict.softmax


def test_one_column_is_no_classification():
    """Integer targets for one column, or for one number per sample, are numbers and not classes."""
    for result, expected in ((np.zeros((4, 1)), 5), (np.zeros(4), 5), (np.zeros((4, 2)), math.log(2))):
        verdict = check_initial_loss(Given(result), lambda z, y: (5.0, z), (np.zeros((4, 1)), COUNTS))
        assert verdict.expected == expected and verdict.ok is (expected == 5)
    ones = np.ones((4, 1))
    assert not check_initial_loss(Given(ones), MEAN, (ones, np.zeros(4, np.int64))).softmax


def test_a_softmax_of_two_classes():
    model = nn.Sequential(nn.Linear(10, 2), Softmax())
    assert check_initial_loss(model, MEAN, (DATA[0], DATA[1] % 2)).softmax


@pytest.mark.parametrize(("loss", "ok"), [(0.5, True), (1.5, True), (0.499, False), (1.501, False)])
def test_tolerance_of_the_initial_loss(loss, ok):
    """A relative difference of just the tolerance is allowed."""
    assert check_initial_loss(plain(), lambda z, y: (loss, z), SIX, tolerance=0.5, expected=1.0).ok is ok


@pytest.mark.parametrize("layer", [nn.BatchNorm1d, nn.LayerNorm, lambda n: nn.Linear(n, n)])
def test_strided_samples(layer):
    """Every check takes strided samples, whatever the first layer is."""
    (x, y), results = SIX, []
    history = History()
    history.steps["loss"], history.steps["lr"] = [math.log(CLASSES)] * 40, [0.1] * 40
    for samples in (x, np.repeat(x, 2, axis=1)[:, ::2]):
        model = nn.Sequential(layer(10), *plain())
        for p in model[0].parameters():
            p.data[...] = np.linspace(0.5, 1, p.data.size).reshape(p.data.shape)
        trainer = make_trainer(model)
        results.append(
            (
                check_initial_loss(model, MEAN, (samples, y)).loss,
                check_gradients(model, MEAN, (samples, y), samples=2).errors,
                overfit_one_batch(trainer, (samples, y), steps=2).losses,
                [str(symptom) for symptom in diagnose(history, model=model, batch=(samples, y))],
            )
        )
    assert results[0] == results[1]


@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_relative_errors(factor):
    """Gradients of either sign that are twice too large, or too small, have an error of a half."""

    def loss(z, y):
        value, gradient = MEAN(z, y)
        return value, gradient * factor

    verdict = check_gradients(plain(), loss, SIX, samples=20)
    assert list(verdict.errors.values()) == pytest.approx([0.5] * 5, rel=1e-3)
    assert verdict.wrong == tuple(verdict.errors) and verdict.error == max(verdict.errors.values())


@pytest.mark.parametrize("samples", [1, 2, 4])
def test_number_of_entries(samples):
    """The model runs twice for every entry: the largest gradient of each array, and random ones."""
    calls = []

    def loss(z, y):
        calls.append((z.dtype, y.dtype))
        return MEAN(z, y)

    assert check_gradients(nn.Sequential(nn.Linear(10, CLASSES)), loss, SIX, samples=samples).ok
    assert len(calls) == 1 + 2 * samples * 3 and set(calls) == {(np.dtype(np.float64), SIX[1].dtype)}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_targets_of_a_gradient_check(dtype):
    """Targets that are floats become float64, as the model's result is."""
    seen = set()

    def loss(z, y):
        seen.add((z.dtype, y.dtype))
        return square(z, y)

    targets = np.full((6, CLASSES), 0.1, dtype)
    assert check_gradients(plain(), loss, (SIX[0], targets)).ok and seen == {(np.dtype(np.float64),) * 2}
    assert check_gradients(plain(), MEAN, (SIX[0], np.eye(CLASSES, dtype=dtype)[SIX[1]])).ok


class Deaf(nn.Linear):
    """A layer that never returns a gradient of its input."""

    def __call__(self, x):
        y, backward = super().__call__(x)
        return y, lambda dy, input_grad=True: backward(dy, False)


class Thrifty(nn.Module):
    """A tanh that keeps its results and gradients in the same array, which is not one of its buffers."""

    def __init__(self):
        self.rooms = {}

    def __call__(self, x):
        y = np.tanh(x)
        room = self.rooms.setdefault(x.shape, np.empty_like(y))
        room[...] = y

        def backward(dy, input_grad=True):
            room[...] = dy * (1 - y * y)
            return room

        return room, backward


def test_inputs_without_a_gradient_and_reused_memory():
    deaf = check_gradients(nn.Sequential(Deaf(10, CLASSES)), MEAN, SIX)
    assert deaf.ok and list(deaf.errors) == ["0.weight", "0.bias"]
    thrifty = check_gradients(nn.Sequential(Thrifty(), nn.Linear(10, CLASSES)), MEAN, SIX)
    assert thrifty.ok and list(thrifty.errors) == ["x", "1.weight", "1.bias"], str(thrifty)
    with pytest.raises(ValueError, match="without parameters and without a gradient of x"):
        check_gradients(Given(np.zeros((6, CLASSES))), MEAN, SIX)


@pytest.mark.parametrize("name", ["eps", "tolerance", "samples"])
@pytest.mark.parametrize("value", [0, -1, math.nan])
def test_refused_numbers(name, value):
    with pytest.raises(ValueError, match=f"^{name}: got {value}, want"):
        check_gradients(plain(), MEAN, SIX, **{name: value})


def test_an_error_of_just_the_tolerance_is_allowed():
    check = GradientCheck({"x": 0.25, "w": 0.5, "v": 0.75}, "v", 0.75, (1,), 4.0, 1.0, 0.5)
    assert check.wrong == ("v",) and not check.ok
    check = GradientCheck({"x": 0.25, "w": 0.5}, "w", 0.5, (0, 1), 2.0, 1.0, 0.5)
    assert check.wrong == () and check.ok
    assert str(check).endswith("0.5, at w[0, 1]: backward says 2, differences say 1; as it should be")
