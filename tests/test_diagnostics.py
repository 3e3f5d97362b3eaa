"""Checks before training find every fault built here, and change nothing."""

import math

import numpy as np
import pytest
from training_tasks import CLASSES, DATA, RNG, Softmax, make_model, make_trainer, no_bias, plain

import fastnn
from fastnn import functional as F
from fastnn import nn, optim
from fastnn.training import (
    History,
    check_gradients,
    check_initial_loss,
    diagnose,
    learning_ladder,
    overfit_one_batch,
    overfit_one_sample,
)


class LogSoftmax(nn.Module):
    def __call__(self, x):
        y = F.log_softmax(x)
        return y, lambda dy, input_grad=True: F.log_softmax_backward(dy, y) if input_grad else None


def everything(trainer):
    """Return everything that must stay the same, as bytes."""
    state = trainer.optimizer.state_dict()
    return (
        {name: array.tobytes() for name, array in trainer.model.state_dict().items()},
        {i: {k: np.asarray(v).tobytes() for k, v in entry.items()} for i, entry in state["state"].items()},
        str(state["param_groups"]),
        [None if p.grad is None else p.grad.tobytes() for p in trainer.model.parameters()],
        [module.training for module in trainer.model.modules()],
        fastnn.random.default_generator.state,
        [module.generator.state for module in trainer.model.modules() if getattr(module, "generator", None)],
        {name: list(values) for name, values in (trainer.history | trainer.history.steps).items()},
        (trainer.epoch, trainer.step, trainer.detect_nan),
    )


CHECKS = {
    "initial loss": lambda t: check_initial_loss(t.model, t.loss, DATA),
    "gradients": lambda t: check_gradients(t.model, t.loss, (DATA[0][:8], DATA[1][:8]), samples=2),
    "one sample": lambda t: overfit_one_sample(t, DATA, steps=5),
    "one batch": lambda t: overfit_one_batch(t, DATA, steps=5, lr=0.5),
    "ladder": lambda t: learning_ladder(t, DATA, (1, 8), steps=5),
    "diverging": lambda t: overfit_one_batch(t, DATA, steps=20, lr=1e30),
    "diagnosis": lambda t: diagnose(HEALTHY_AT_LOG_C, model=t.model, batch=DATA),
    "rate": lambda t: t.lr_find(DATA, num_it=5),
}
HEALTHY_AT_LOG_C = History()
HEALTHY_AT_LOG_C.steps["loss"], HEALTHY_AT_LOG_C.steps["lr"] = [math.log(CLASSES)] * 40, [0.1] * 40


@pytest.mark.parametrize("name", CHECKS)
def test_nothing_is_changed(name):
    fastnn.manual_seed(9)
    model = nn.Sequential(*make_model(p=0.3), nn.Dropout(0.1, generator=4))
    trainer = make_trainer(model, detect_nan=True)
    trainer.fit(DATA, epochs=1, verbose=False)
    model[1].eval()
    before = everything(trainer)
    CHECKS[name](trainer)
    assert everything(trainer) == before


def scaled(model, layer, factor):
    model[layer].weight.data *= factor
    return model


HEAVY = np.array([1, 2, 3, 4], np.float32)
MEAN = nn.CrossEntropyLoss()
INITIAL = [
    # model, loss, y, ok, a part of the message
    (lambda: make_model(), MEAN, DATA[1], True, "as it should be"),
    (lambda: plain(), nn.CrossEntropyLoss(label_smoothing=0.2), DATA[1], True, "as it should be"),
    (lambda: plain(), nn.CrossEntropyLoss(reduction="sum"), DATA[1], True, "as it should be"),
    (lambda: plain(), nn.CrossEntropyLoss(HEAVY), DATA[1], True, "as it should be"),
    (lambda: plain(), nn.CrossEntropyLoss(HEAVY, reduction="sum"), DATA[1], True, "as it should be"),
    (lambda: plain(LogSoftmax()), MEAN, DATA[1], True, "as it should be"),
    (lambda: scaled(plain(), 2, 30), MEAN, DATA[1], False, "last layer's weights smaller"),
    (lambda: plain(), lambda z, y: nn.CrossEntropyLoss(reduction="sum")(z, y), DATA[1], False, "mean over samples"),
    (lambda: plain(), lambda z, y: (MEAN(z, y)[0] / CLASSES, z), DATA[1], False, "divide too often"),
    (lambda: plain(Softmax()), MEAN, DATA[1], False, "remove the softmax"),
    (lambda: plain(Softmax()), lambda p, y: (-np.log(p[np.arange(len(y)), y]).mean(), p), DATA[1], True, "as it"),
    (lambda: scaled(plain(), 0, np.nan), MEAN, DATA[1], False, "NaN"),
    (lambda: plain(), MEAN, np.eye(4, dtype=np.float32)[DATA[1]], True, "guess costs 1.386"),
]


@pytest.mark.parametrize(("make", "loss", "y", "ok", "says"), INITIAL)
def test_initial_loss(make, loss, y, ok, says):
    verdict = check_initial_loss(make(), loss, (DATA[0], y))
    assert verdict.ok is ok and says in str(verdict), str(verdict)
    assert verdict.expected == pytest.approx(math.log(CLASSES))
    assert verdict.softmax is ("remove" in str(verdict))


def test_initial_loss_of_one_sample_and_of_what_is_given():
    assert check_initial_loss(make_model(), MEAN, (DATA[0][:1], DATA[1][:1]), tolerance=1.0).ok
    assert not check_initial_loss(make_model(), MEAN, DATA, expected=0.5).ok
    with pytest.raises(ValueError, match="tolerance: got nan"):
        check_initial_loss(make_model(), MEAN, DATA, tolerance=math.nan)


def test_one_batch_is_learnt_with_dropout_in_the_model():
    trainer = make_trainer(make_model(p=0.9))
    verdict = overfit_one_batch(trainer, (DATA[0][:32], DATA[1][:32]))
    assert verdict.ok and verdict.losses[-1] <= verdict.target == pytest.approx(0.05 * math.log(CLASSES))
    assert verdict.steps < 200 and verdict.losses[0] > 1 and not verdict.idle
    assert "learnt by heart" in str(verdict)


def test_a_batch_that_is_known_already():
    """Without a step, no parameter counts as one that does not move."""
    trainer = make_trainer(plain())
    batch = DATA[0][:32], DATA[1][:32]
    trainer.fit(batch, epochs=400, batch_size=32, verbose=False)
    verdict = overfit_one_batch(trainer, batch)
    assert verdict.steps == 0 and verdict.ok and verdict.idle == ()


def test_a_batch_whose_loss_becomes_nan():
    """The steps end with the first loss that is NaN."""
    losses = iter([2.0, 1.9, float("nan"), 1.8])
    trainer = make_trainer(plain(), loss=lambda z, y: (next(losses), np.zeros_like(z)))
    verdict = overfit_one_batch(trainer, (DATA[0][:32], DATA[1][:32]))
    assert len(verdict.losses) == 3 and math.isnan(verdict.losses[-1]) and not verdict.ok


class Forgets(nn.Linear):
    """A layer whose weight gets no gradient."""

    def __call__(self, x):
        y, backward = super().__call__(x)

        def without(dy, input_grad=True):
            dx = backward(dy, input_grad)
            self.weight.grad = None
            return dx

        return y, without


NOISE = np.zeros((8, 10), np.float32), np.arange(8) % CLASSES  # equal samples with different labels
FAILS = [
    (lambda: make_trainer(plain(), lr=1e-5), DATA, "hardly moves; raise the learning rate"),
    (lambda: make_trainer(plain(), lr=1e4, optimizer=optim.SGD), DATA, "diverges"),
    (lambda: make_trainer(nn.Sequential(Forgets(10, 4)), lr=1e-6), DATA, "0.weight not at all"),
    (lambda: make_trainer(no_bias(plain())), DATA, "0.weight, 0.bias"),
    (lambda: make_trainer(plain(), lr=1e-2, optimizer=optim.SGD), DATA, "not there yet"),
    (lambda: make_trainer(make_model()), NOISE, "hardly moves"),
]


@pytest.mark.parametrize(("make", "data", "says"), FAILS)
def test_reasons_why_a_batch_is_not_learnt(make, data, says):
    verdict = overfit_one_batch(make(), data, steps=60)
    assert not verdict.ok and says in str(verdict), str(verdict)
    assert verdict.steps == 60 or not math.isfinite(verdict.losses[-1])


def test_smoothed_labels_sums_and_other_targets_have_targets_of_their_own():
    few = DATA[0][:16], DATA[1][:16]
    for loss in (nn.CrossEntropyLoss(label_smoothing=0.1), nn.CrossEntropyLoss(reduction="sum")):
        verdict = overfit_one_batch(make_trainer(make_model(), loss=loss), few)
        assert verdict.ok, str(verdict)

    def square(z, y):
        return float(np.square(z - y).mean()), 2 * (z - y) / z.size

    trainer = make_trainer(plain(), loss=square, metrics=())
    targets = RNG.normal(size=(16, CLASSES)).astype(np.float32)
    verdict = overfit_one_batch(trainer, (few[0], targets))
    assert verdict.ok and verdict.target == pytest.approx(0.05 * verdict.losses[0])
    assert overfit_one_batch(trainer, (few[0], targets), target=1e9).steps == 0


def test_ladder_climbs_and_names_the_rung_that_fails():
    ladder = learning_ladder(make_trainer(make_model()), DATA, (1, 4, 16, 10**6))
    assert ladder.ok is ladder.rungs[-1].ok and [rung.samples for rung in ladder.rungs] == [1, 4, 16, 640]
    assert len(learning_ladder(make_trainer(make_model()), DATA, (1, 4, 16), lr=1e-9).rungs) == 1
    few = DATA[0][:16], RNG.integers(0, CLASSES, 16)
    narrow = learning_ladder(make_trainer(nn.Sequential(nn.Linear(10, 1), nn.Linear(1, CLASSES))), few, (1, 2, 16))
    assert not narrow.ok and narrow.rungs[-1].samples == 16 and narrow.rungs[-2].ok
    assert "2 can be learnt by heart, but of 16 samples" in str(narrow), str(narrow)


def test_the_first_rung_precedes_batch_norm_and_sorted_labels_are_shuffled():
    trainer = make_trainer(make_model())
    one = overfit_one_sample(trainer, DATA)
    assert one.ok and one.samples == 1 and not one.idle
    no_statistics = nn.Sequential(nn.Linear(10, 8), nn.BatchNorm1d(8, track_running_stats=False), nn.Linear(8, 4))
    assert overfit_one_sample(make_trainer(no_statistics), DATA).ok
    same = np.zeros((64, 10), np.float32), np.repeat(np.arange(CLASSES), 16)  # the first 16 have the same label
    assert not learning_ladder(trainer, same, (1, 16)).ok


@pytest.mark.parametrize("sizes", [(), (4, 1), (2, 2)])
def test_sizes_that_are_no_ladder(sizes):
    with pytest.raises(ValueError, match="sizes: got"):
        learning_ladder(make_trainer(plain()), DATA, sizes)


LAYERS = [
    *(f() for f in (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.Softplus)),
    nn.GELU("tanh"),
    nn.Dropout(0.4),
    nn.Dropout(0.4, generator=7),
    nn.Linear(10, 10),
    nn.Linear(10, 10, bias=False, dtype=np.float64),
    nn.LayerNorm(10),
    nn.LayerNorm(10, bias=False),
    nn.BatchNorm1d(10),
    nn.BatchNorm1d(10).eval(),
    nn.BatchNorm1d(10, momentum=None, affine=False),
    *(f() for f in (nn.Softmax, nn.LogSoftmax, nn.Flatten, nn.Identity)),
    nn.Residual(nn.Linear(10, 10), nn.Tanh()),
    nn.Sequential(nn.Linear(10, 5), nn.ReLU(), nn.Dropout(0.5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 7)),
]


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_gradients_of_every_layer(layer):
    weighted = nn.CrossEntropyLoss(np.linspace(1, 2, 7 if layer is LAYERS[-1] else 10).astype(np.float32))
    verdict = check_gradients(layer, weighted, (DATA[0][:6], DATA[1][:6]))
    assert verdict.ok and verdict.error < 1e-5 and not verdict.wrong, str(verdict)
    assert [*verdict.errors] == ["x", *(name for name, _ in layer.named_parameters())]


def test_every_layer_of_the_package_is_among_them():
    images = {nn.BatchNorm2d, nn.MaxPool2d}  # they have gradient tests elsewhere
    others = images | {nn.Module, nn.ModuleList, nn.ModuleDict}
    kinds = {type(layer) for layer in LAYERS} | others
    public = {getattr(nn, name) for name in nn.__all__}
    assert {kind for kind in public if isinstance(kind, type) and issubclass(kind, nn.Module)} <= kinds


def test_kinks_are_no_errors():
    model = nn.Sequential(nn.Linear(10, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, CLASSES))
    for layer in model:
        for p in layer.parameters():
            if p.data.ndim == 1:
                p.data[...] = 0
    x = DATA[0].copy()[:40]
    x[:5] = 0  # ReLU's input is exactly 0
    assert check_gradients(model, MEAN, (x, DATA[1][:40]), samples=10, eps=1e-3).ok


class Wrong(nn.Linear):
    """A layer with one fault in its backward."""

    def __init__(self, fault):
        super().__init__(10, 10)
        self.fault = fault

    def __call__(self, x):
        y, backward = super().__call__(x)

        def wrong(dy, input_grad=True):
            dx = backward(dy, input_grad)
            if self.fault == "x":
                return dx * dx.dtype.type(1.01)
            getattr(self, self.fault).grad.flat[0] += 0.01
            return dx

        return y, wrong


@pytest.mark.parametrize("fault", ["weight", "bias", "x"])
def test_broken_backward_is_named(fault):
    model = nn.Sequential(nn.Linear(10, 10), nn.Tanh(), Wrong(fault), nn.Tanh(), nn.Linear(10, CLASSES))
    verdict = check_gradients(model, MEAN, (DATA[0][:6], DATA[1][:6]), samples=100)
    assert not verdict.ok and verdict.errors["4.weight"] < 1e-5, str(verdict)
    assert verdict.wrong == (("x", "0.weight", "0.bias") if fault == "x" else (f"2.{fault}",))
    assert verdict.error > 1e-3 and verdict.worst in verdict.wrong and verdict.worst in str(verdict)
    if fault != "x":
        assert set(verdict.place) == {0} and verdict.computed - verdict.measured == pytest.approx(0.01, rel=1e-3)


def test_samples_of_any_layout():
    """The user's samples are copied before they are shifted: they may be read-only or strided, and do not change."""
    x, y = DATA[0][:6].astype(np.float64), DATA[1][:6]
    model = nn.Sequential(nn.Linear(10, 8, dtype=np.float64), nn.Tanh(), nn.Linear(8, CLASSES, dtype=np.float64))
    fixed = x.copy()
    fixed.flags.writeable = False
    strided = np.repeat(x, 2, axis=1)[:, ::2]
    verdicts = [check_gradients(model, MEAN, (samples, y)) for samples in (x.copy(), fixed, strided)]
    assert verdicts[0].ok and verdicts[0] == verdicts[1] == verdicts[2] and (strided == x).all()


class Skewed(nn.Linear):
    """A layer in whose gradient one entry is wrong: the largest, which is negative."""

    def __call__(self, x):
        y, backward = super().__call__(x)

        def wrong(dy, input_grad=True):
            dx = backward(dy, input_grad)
            self.weight.grad[2, 3] = -100
            return dx

        return y, wrong


def test_the_largest_entry_is_always_tried():
    """Also if it is negative, and only one entry of each parameter is tried."""
    model = nn.Sequential(Skewed(10, 60), nn.Tanh(), nn.Linear(60, CLASSES))
    verdict = check_gradients(model, MEAN, (DATA[0][:6], DATA[1][:6]), samples=1)
    assert verdict.wrong == ("0.weight",) and verdict.place == (2, 3) and verdict.computed == -100


class Poisoned(nn.Linear):
    """A layer whose bias gets a gradient with NaN."""

    def __call__(self, x):
        y, backward = super().__call__(x)

        def spoilt(dy, input_grad=True):
            dx = backward(dy, input_grad)
            self.bias.grad[-1] = np.nan
            return dx

        return y, spoilt


@pytest.mark.parametrize("place", [0, 2])
def test_a_gradient_with_nan_is_wrong(place):
    """NaN in one gradient is found, whichever parameters come before and after it."""
    layers = [nn.Linear(10, 8), nn.Tanh(), nn.Linear(8, CLASSES)]
    layers[place] = Poisoned(10, 8) if place == 0 else Poisoned(8, CLASSES)
    verdict = check_gradients(nn.Sequential(*layers), MEAN, (DATA[0][:6], DATA[1][:6]), samples=100)
    assert not verdict.ok and verdict.wrong == (f"{place}.bias",) and verdict.worst == f"{place}.bias"


def test_broken_loss_and_missing_gradient():
    doubled = check_gradients(plain(), lambda z, y: (MEAN(z, y)[0], 2 * MEAN(z, y)[1]), (DATA[0][:6], DATA[1][:6]))
    assert len(doubled.wrong) == 5
    missing = check_gradients(nn.Sequential(Forgets(10, 4)), MEAN, (DATA[0][:6], DATA[1][:6]))
    assert missing.wrong == ("0.weight",) and missing.computed == 0.0
