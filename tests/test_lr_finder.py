"""lr_find and fit_one_cycle: their suggestions are right, and they leave nothing changed."""

import copy
import math

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.data.sampler import ORDER_STREAM
from fastnn.training import EarlyStopping, Trainer
from fastnn.training.history import smoothed
from fastnn.training.lr_finder import found

LR = optim.lr_scheduler
RNG = np.random.default_rng(61)
X = RNG.normal(size=(60, 5)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)
NAN, INF = math.nan, math.inf
RATES = 10.0 ** np.arange(-7, 2)


def make_trainer(make=optim.AdamW, loss=None, scheduler=None, **options):
    fastnn.manual_seed(8)
    model = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))
    optimizer = make(model.parameters(), lr=0.01)
    return Trainer(model, loss or nn.CrossEntropyLoss(), optimizer, scheduler and scheduler(optimizer), **options)


def unsmoothed(curve, share=0.9):
    """Return the losses that have this smoothed curve."""
    mean, losses = 0.0, []
    for i, value in enumerate(curve):
        after = value * (1 - share ** (i + 1))
        losses.append((after - share * mean) / (1 - share))
        mean = after
    return np.array(losses)


CURVES = {  # a smoothed loss over RATES, and the exponents of steepest, valley, minimum / 10
    "fall, then rise": ([9, 8, 7, 6, 2, 1.5, 3, 5, 9], (-4, -4, -3)),
    "steepest is no edge": ([9, 8.9, 8.8, 8, 4, 3.9, 3.8, 5, 9], (-4, -3, -2)),
    "rises behind": ([9, 8, 7, 6, 5, 4, 3, 9, 1e9], (-2, -3, -2)),
    "to the end": ([9, 7, 6, 5, 4, 3, 2, 1.5, 1], (-7, -2, 0)),
    "a bump in the fall": ([9, 8, 7.5, 7.8, 6, 5, 4, 8, 9], (-3, -3, -2)),
    "NaN behind": ([9, 8, 7, 6, 2, 1.5, NAN, NAN, NAN], (-4, -4, -3)),
    "infinity behind": ([9, 8, 7, 6, 2, 1.5, INF, INF, INF], (-4, -4, -3)),
    "negative": ([-1, -2, -3, -4, -8, -8.5, -7, -5, 0], (-4, -4, -3)),
    "falls again behind the minimum": ([9, 8, 6, 5.5, 5, 20, 8, 9, 9], (-6, -5, -4)),
    "rises, then falls": ([5, 9, 8, 7, 6, 4, 3.5, 2.8, 2.2], (-3, -2, 0)),
    "falls only at first": ([9, 1, 2, 3, 4, 5, 6, 7, 8], (-7, -7, -7)),
    "three rates": ([3, 2.5, 1, *[NAN] * 6], (-5, -6, -6)),
    "flat at 0": ([0] * 9, (NAN,) * 3),
    "flat below 0": ([-1] * 9, (NAN,) * 3),
    "only rises": ([1, 2, 3, 4, 5, 6, 7, 8, 9], (NAN,) * 3),
    "flat": ([1] * 9, (NAN,) * 3),
    "NaN at once": ([NAN] * 9, (NAN,) * 3),
    "NaN at the third": ([2, 1, *[NAN] * 7], (NAN,) * 3),
}


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("name", CURVES)
def test_suggestions_of_known_curves(name):
    curve, exponents = CURVES[name]
    losses = np.array(curve, float) if not np.isfinite(curve).all() else unsmoothed(curve)
    if not np.isfinite(curve).all():
        good = int(np.isfinite(curve).sum())
        losses[:good] = unsmoothed(curve[:good])
    result = found(RATES, losses)
    want = dict(zip(("steepest", "valley", "minimum / 10"), 10.0 ** np.array(exponents), strict=True))
    assert result.suggestions == pytest.approx(want, rel=1e-9, nan_ok=True)
    assert result.rates is RATES and result.losses is losses
    assert np.array_equal(result.smoothed, smoothed(losses, 0.9), equal_nan=True)


def everything(trainer):
    groups = [{k: v for k, v in group.items() if k != "params"} for group in trainer.optimizer.param_groups]
    return copy.deepcopy([trainer.capture(), groups, [m.training for m in trainer.model.modules()], trainer.logs,
                          trainer.detect_nan, fastnn.random.default_generator.state])  # fmt: skip


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return a == b or (a != a and b != b)


class Breaking(nn.CrossEntropyLoss):
    """A loss that is interrupted, or is NaN, at one of its calls."""

    def __init__(self, at, what):
        super().__init__()
        self.at, self.what, self.calls = at, what, 0

    def __call__(self, logits, labels):
        self.calls += 1
        loss, dlogits = super().__call__(logits, labels)
        if self.calls == self.at and self.what is not None:
            raise self.what
        return (NAN if self.calls == self.at else loss), dlogits


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("make", [optim.AdamW, lambda p, lr: optim.SGD(p, lr=lr, momentum=0.9)])
@pytest.mark.parametrize("what", [None, "NaN", KeyboardInterrupt(), "weights"])
def test_nothing_is_left_behind(make, what, trained):
    trainer = make_trainer(make, scheduler=lambda o: LR.StepLR(o, 3), callbacks=[EarlyStopping("loss")],
                           detect_nan=what == "NaN", gradient_clip_val=None if what == "weights" else 1.0)  # fmt: skip
    if trained:
        trainer.fit((X, Y), epochs=2, batch_size=16, verbose=False)
    trainer.model[1].eval()
    before, ids = everything(trainer), [id(p.data) for p in trainer.model.parameters()]
    grads = [None if p.grad is None else p.grad.copy() for p in trainer.model.parameters()]
    skipped = trainer.optimizer.skipped_steps
    if what == "NaN":
        trainer.loss = Breaking(7, None)
    if what == "weights":

        class Poison(Breaking):
            def __call__(self, logits, labels):
                loss, dlogits = super().__call__(logits, labels)
                return loss, dlogits * np.float32(NAN)

        trainer.loss = Poison(7, None)
    if isinstance(what, KeyboardInterrupt):
        trainer.loss = Breaking(7, what)
        with pytest.raises(KeyboardInterrupt):
            trainer.lr_find((X, Y), batch_size=16)
    else:
        result = trainer.lr_find((X, Y), batch_size=16)
        assert len(result.losses) < 100 if what else len(result.losses) > 60
        assert len(result.rates) == len(result.losses) == len(result.smoothed)
        assert what != "NaN" or (len(result.losses) == 7 and math.isnan(result.losses[-1]))
    trainer.loss = nn.CrossEntropyLoss()
    assert same(before, everything(trainer)) and ids == [id(p.data) for p in trainer.model.parameters()]
    assert trainer.optimizer.skipped_steps == skipped
    assert all(np.array_equal(p.grad, g) for p, g in zip(trainer.model.parameters(), grads, strict=True))


def test_steps_without_weights_are_nan_and_do_not_count():
    """The first epoch has samples without weight first and last; the test goes on, with the suggestions of the rest."""
    weights = np.zeros(60)
    weights[12:36] = 1
    result = make_trainer(seed=0).lr_find((X, Y), batch_size=6, num_it=60, sample_weight=weights, shuffle=False)
    missing = np.isnan(result.losses)
    assert missing[:10].tolist() == [True] * 2 + [False] * 4 + [True] * 4 and len(result.losses) > 20
    assert np.array_equal(missing, np.isnan(result.smoothed))
    rest = found(result.rates[~missing], result.losses[~missing])
    assert rest.suggestions == result.suggestions and not math.isnan(rest.suggestions["valley"])


def test_what_follows_has_the_same_bits():
    runs = []
    for finds in (False, True):
        trainer = make_trainer(scheduler=lambda o: LR.StepLR(o, 3))
        if finds:
            trainer.lr_find((X, Y), batch_size=16)
        trainer.fit((X, Y), epochs=2, batch_size=16, verbose=False)
        runs.append((trainer.history.steps, trainer.model.state_dict()))
    assert same(*runs)


@pytest.mark.parametrize(("size", "window"), [(16, 1), (4, 4), (7, 2)])
def test_it_trains_and_accumulates_as_fit_does(size, window):
    """With rates that hardly grow, the losses equal those of fit, epoch after epoch."""
    options = {"accumulate_grad_batches": window, "seed": 3}
    result = make_trainer(**options).lr_find((X, Y), 0.01, 0.01 * (1 + 1e-9), num_it=13, batch_size=size)
    trainer = make_trainer(**options)
    trainer.fit((X, Y), epochs=4, batch_size=size, verbose=False)
    np.testing.assert_allclose(result.losses, trainer.history.steps["loss"][:13], rtol=1e-5)
    assert result.losses[0] == trainer.history.steps["loss"][0]


@pytest.mark.parametrize("window", [2, 3, 6])
def test_a_batch_of_no_weight_is_passed_over(window):
    """The loss of a window is the mean over its samples that count, as in fit."""
    y = Y.copy()
    y[fastnn.random.permutation(60, fastnn.Generator(3, ORDER_STREAM + 1))[:10]] = -100  # the first of six batches
    options, n = {"accumulate_grad_batches": window, "seed": 3}, 6 // window + 1
    result = make_trainer(**options).lr_find((X, y), 0.01, 0.01 * (1 + 1e-9), num_it=n, batch_size=10)
    trainer = make_trainer(**options)
    trainer.fit((X, y), epochs=2, batch_size=10, verbose=False)
    np.testing.assert_allclose(result.losses, trainer.history.steps["loss"][:n], rtol=1e-5)


def test_rates_and_when_it_ends():
    trainer = make_trainer(optim.SGD)
    result = trainer.lr_find((X, Y), 1e-4, 1.0, num_it=9, batch_size=16)
    np.testing.assert_allclose(result.rates, np.logspace(-4, 0, 9), rtol=1e-12)
    assert all(array.dtype == np.float64 for array in (result.rates, result.losses, result.smoothed))
    for sign, levels, steps in (
        (1, [1] * 5 + [1e3] * 9, 6),
        (1, [1] * 14, 14),
        (1, [0] * 14, 14),
        (1, [1] * 5 + [11] * 9, 7),  # smoothed 1, 3.1, 4.6
        (-1, [1] * 14, 14),
        (-1, [1e3, *[-1e3] * 13], 14),
    ):
        values = iter(levels)
        trainer.loss = lambda logits, labels, s=sign, v=values: (float(s * next(v)), np.zeros_like(logits))
        assert len(trainer.lr_find((X, Y), num_it=14, batch_size=16).losses) == steps, (sign, levels)


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"start_lr": 0.0}, ValueError, r"start_lr, end_lr: got 0.0, 10.0, want 0 < start_lr < end_lr < infinity"),
        ({"start_lr": NAN}, ValueError, "start_lr, end_lr: got nan"),
        ({"start_lr": -1.0}, ValueError, "start_lr, end_lr: got -1.0"),
        ({"end_lr": INF}, ValueError, "start_lr, end_lr: got 1e-07, inf"),
        ({"start_lr": 1.0, "end_lr": 1.0}, ValueError, "start_lr, end_lr: got 1.0, 1.0"),
        ({"num_it": 1}, ValueError, "num_it: got 1, want an integer >= 2"),
        ({"num_it": 2.5}, ValueError, "num_it: got 2.5, want an integer >= 2"),
        ({"batch_size": 0}, ValueError, "batch_size: got 0, want a positive integer"),
    ],
)
def test_lr_find_refuses(options, error, sentence):
    trainer = make_trainer()
    before = everything(trainer)
    with pytest.raises(error, match=f"^{sentence}"):
        trainer.lr_find((X, Y), **options)
    assert same(before, everything(trainer))


def test_an_optimizer_that_cannot_be_put_back_is_refused():
    class Foreign:
        param_groups = ({"lr": 0.1},)
        step = zero_grad = lambda self: None

    trainer = Trainer(make_trainer().model, nn.CrossEntropyLoss(), Foreign())
    with pytest.raises(TypeError, match=r"^optimizer: got Foreign without state_dict, want it"):
        trainer.lr_find((X, Y))


@pytest.mark.parametrize("make", [optim.AdamW, lambda p, lr: optim.SGD(p, lr=lr, momentum=0.9), optim.Adagrad])
@pytest.mark.parametrize(
    ("window", "options"),
    [
        (1, {}),
        (3, {}),
        (1, {"scheduler_interval": "epoch"}),
        (1, {"scheduler": LR.ReduceLROnPlateau}),
        (2, {"scheduler": lambda o: LR.StepLR(o, 1)}),
    ],
)
def test_one_cycle(make, window, options):
    trainer = make_trainer(make, accumulate_grad_batches=window, **options)
    scheduler, before = trainer.scheduler, everything(trainer)
    optimizer = make_trainer(make).optimizer
    steps = 3 * -(-8 // window)
    rates = LR.OneCycleLR(optimizer, 0.5, steps, cycle_momentum=make is not optim.Adagrad).preview(steps)
    momenta, step = [], trainer.optimizer.step
    trainer.optimizer.step = lambda: (momenta.append(momentum(trainer)), step())
    history = trainer.fit_one_cycle((X, Y), (X, Y), 3, max_lr=0.5, batch_size=8, verbose=False)
    assert history.steps["lr"] == rates[:, 0].tolist() and max(history.steps["lr"]) == pytest.approx(0.5, rel=0.1)
    after = everything(trainer)
    assert trainer.scheduler is scheduler and same(before[1], after[1])
    assert same(before[0]["scheduler"], after[0]["scheduler"])
    assert trainer.scheduler_interval == options.get("scheduler_interval", "step")
    assert make is optim.Adagrad or momenta[0] == 0.95 > min(momenta)
    trainer.optimizer.param_groups[0]["lr"] = 3.0
    assert LR.ExponentialLR(trainer.optimizer, 0.5).base_lrs == [before[1][0].get("initial_lr", 3.0)]


def momentum(trainer):
    group = trainer.optimizer.param_groups[0]
    return group.get("betas", [group.get("momentum", 0)])[0]


def test_one_cycle_takes_the_valley():
    valley = make_trainer().lr_find((X, Y), batch_size=8).suggestions["valley"]
    trainer = make_trainer()
    trainer.fit_one_cycle((X, Y), epochs=9, batch_size=8, verbose=False)
    assert 1e-6 < valley < 10 and max(trainer.history.steps["lr"]) == pytest.approx(valley, rel=0.01)
    trainer.loss = lambda logits, labels: (1.0, np.zeros_like(logits))
    with pytest.raises(ValueError, match=r"^max_lr: got None and no rate at which the loss falls"):
        trainer.fit_one_cycle((X, Y))


@pytest.mark.parametrize(
    ("data", "options", "error", "sentence"),
    [
        ((X, Y), {"batch_size": 0}, ValueError, "batch_size: got 0, want a positive integer"),
        ((X, Y), {"epochs": 0}, ValueError, "epochs: got 0, want a positive integer"),
        (X, {}, TypeError, r"train: got ndarray, want a tuple \(x, y\)"),
        ((X, Y[:-1]), {}, ValueError, r"train y: got shape \(59,\)"),
        ((X, Y), {"max_lr": -1.0}, ValueError, "max_lr: got -1.0, want"),
        ((X, Y), {"max_lr": NAN}, ValueError, "max_lr: got nan, want"),
        ((X, Y + 9), {}, IndexError, "train y: got label"),
        ((X, Y), {"sample_weight": -Y}, ValueError, "sample_weight: got NaN"),
        ((X, Y), {"validation": (X, Y + 9), "max_lr": None}, IndexError, "validation y: got label"),
        ((X, Y), {"sample_weight": -Y, "max_lr": None}, ValueError, "sample_weight: got NaN"),
    ],
)
def test_one_cycle_refuses_and_leaves_all_as_it_was(data, options, error, sentence):
    trainer = make_trainer(scheduler=lambda o: LR.StepLR(o, 3))
    trainer.lr_find = None
    scheduler, before = trainer.scheduler, everything(trainer)
    with pytest.raises(error, match=f"^{sentence}"):
        trainer.fit_one_cycle(data, **({"max_lr": 0.1} | options))
    assert trainer.scheduler is scheduler and same(before[1], everything(trainer)[1])


def test_an_iterator_is_used_up():
    batches = [(X[i : i + 10], Y[i : i + 10]) for i in range(0, 60, 10)]
    with pytest.warns(UserWarning, match=r"^train: got an iterator, whose batches lr_find uses up; pass a list, "):
        make_trainer().lr_find(iter(batches), num_it=5)
    assert len(make_trainer().lr_find(lambda: iter(batches), num_it=5).losses) == 5
