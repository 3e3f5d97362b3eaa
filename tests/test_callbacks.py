"""Callbacks: early stopping, learning rates, times and frozen parameters."""

import math

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn._better import Better
from fastnn.training import (
    Callback,
    EarlyStopping,
    Freeze,
    LearningRateMonitor,
    ModelCheckpoint,
    ProgressBar,
    StopTraining,
    TimingMonitor,
    Trainer,
    progressive_unfreezing,
)

RNG = np.random.default_rng(41)
X = RNG.normal(size=(40, 5)).astype(np.float32)
Y = RNG.integers(0, 3, 40)
NAN, INF = math.nan, math.inf


def make_model():
    fastnn.manual_seed(6)
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def make_trainer(callbacks=(), model=None, **options):
    model = model or make_model()
    options = {"optimizer": optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)} | options
    return Trainer(model, nn.CrossEntropyLoss(), callbacks=callbacks, **options)


def fit(trainer, validation=(X, Y), **options):
    return trainer.fit((X, Y), validation, **({"epochs": 6, "batch_size": 8, "verbose": False} | options))


def copy(state):
    return {name: array.copy() for name, array in state.items()}


def equal(first, second):
    return first.keys() == second.keys() and all((first[name] == second[name]).all() for name in first)


class Script(Callback):
    """Sets a metric to given values, epoch by epoch, and keeps the weights of each epoch."""

    def __init__(self, values, name="val_loss"):
        self.values, self.name, self.states = iter(values), name, {}

    def on_epoch_end(self, trainer):
        trainer.logs[self.name] = next(self.values)
        self.states[trainer.epoch] = copy(trainer.model.state_dict())


FALLING = [5, 4, 3, 2, 1, 0]
EARLY = {  # options, values, last epoch, best epoch, message
    "patience 0": ({"patience": 0}, [3, 2, 2, 1, 0, 0], 3, 2, "val_loss has not become better for 1 epochs"),
    "patience 1": ({"patience": 1}, [3, 4, 2, 3, 2, 0], 5, 3, "val_loss has not become better for 2 epochs"),
    "patience 3": ({"patience": 3}, [1, 2, 3, 4, 5, 0], 5, 1, "val_loss has not become better for 4 epochs"),
    "a wait begun anew": ({"patience": 1}, [3, 4, 2, 3, 1, 2], 6, 5, None),
    "to the end": ({"patience": 0}, FALLING, 6, 6, None),
    "best not last": ({"patience": 9}, [3, 2, 1, 2, 3, 4], 6, 3, None),
    "min_delta": ({"patience": 1, "min_delta": 0.5}, [3, 2.6, 2.5, 2, 0, 0], 3, 1, "for 2 epochs"),
    "min_delta, by drops": ({"patience": 1, "min_delta": 0.5}, [3, 2.6, 2.4, 2.2, 1.8, 1], 6, 6, None),
    "max": ({"patience": 0, "mode": "max"}, FALLING, 2, 1, "for 1 epochs"),
    "max, min_delta": ({"patience": 1, "mode": "max", "min_delta": 1}, [0, 1, 2, 2, 4, 9], 6, 6, None),
    "auto max": ({"patience": 0, "monitor": "val_accuracy"}, FALLING, 2, 1, "val_accuracy has not become better"),
    "auto min": ({"patience": 0, "monitor": "loss"}, FALLING, 6, 6, None),
    "min by name": ({"patience": 0, "monitor": "val_accuracy", "mode": "min"}, FALLING, 6, 6, None),
    "baseline not met": ({"patience": 2, "baseline": 1.0}, FALLING, 3, 3, "for 3 epochs"),
    "baseline met": ({"patience": 2, "baseline": 3.5}, [5, 4, 3, 3, 3, 2], 6, 6, None),
    "baseline, max": ({"patience": 1, "mode": "max", "baseline": 3}, [1, 2, 4, 5, 5, 9], 2, 2, "for 2 epochs"),
    "NaN": ({"patience": 3}, [3, 2, NAN, 1, 0, 0], 3, 2, "val_loss is nan after epoch 3"),
    "NaN at first": ({"patience": 3}, [NAN, 2, 1, 1, 0, 0], 1, 0, "val_loss is nan after epoch 1"),
    "NaN passed": ({"patience": 1, "check_finite": False}, [NAN, 3, NAN, 2, NAN, NAN], 6, 4, "for 2 epochs"),
    "infinity": ({"patience": 3}, [3, INF, 2, 1, 0, 0], 2, 1, "val_loss is inf after epoch 2"),
    "-infinity is no best": ({"patience": 1, "check_finite": False}, [3, -INF, 2, 1, 0, -1], 6, 6, None),
    "infinity, max": ({"patience": 0, "mode": "max", "check_finite": False}, [3, INF, 4, 4, 0, 0], 2, 1, "for 1"),
    "negative": ({"patience": 0}, [-1, -2, -1.5, -3, 0, 0], 3, 2, "for 1 epochs"),
}


def test_what_is_better_is_known_and_never_guessed():
    less = ["loss", "val_loss", "val_mse", "rmse", "val_mae", "perplexity", "val_log_loss"]
    more = ["accuracy", "val_accuracy", "f1", "val_roc_auc", "recall_macro"]
    assert [Better(name).sign for name in less + more] == [-1] * len(less) + [1] * len(more)
    for name in ("error_rate", "val_mape", "brier", "gain", "my_loss"):
        with pytest.raises(ValueError, match=rf"^mode: got 'auto' for '{name}', .* want mode='min' or mode='max'"):
            Better(name)
        assert Better(name, "max").sign == 1 and Better(f"val_{name}", known={name: "min"}).sign == -1


@pytest.mark.parametrize("restore", [True, False])
@pytest.mark.parametrize("name", EARLY)
def test_early_stopping(name, restore):
    options, values, end, best, says = EARLY[name]
    script = Script(values, options.get("monitor", "val_loss"))
    stopping = EarlyStopping(**options, restore_best_weights=restore)
    trainer = make_trainer([script, stopping])
    history = fit(trainer)
    assert (trainer.epoch, stopping.best_epoch) == (end, best)
    assert stopping.best == (values[best - 1] if best else None) and len(history["loss"]) == end
    assert trainer.stopped is None if says is None else says in trainer.stopped
    assert equal(trainer.model.state_dict(), script.states[best if restore and best else end])
    # the weights differ between epochs, so equal bits mean something
    assert not equal(script.states[1], script.states.get(2, {}))
    assert script.states[end]["1.num_batches_tracked"] == 5 * end


def test_before_the_first_epoch():
    stopping = EarlyStopping()
    assert (stopping.best, stopping.best_epoch, stopping.wait) == (None, 0, 0)
    numbers = {"best": None, "best_epoch": 0, "best_step": 0, "wait": 0, "compared": -1, "counted": "epochs"}
    assert stopping.state_dict() == numbers | {"weights": {}}


def test_a_second_fit_begins_anew():
    stopping = EarlyStopping(patience=1)
    trainer = make_trainer([Script([1, 2, 3, 8, 9, 7, 9, 9]), stopping])
    fit(trainer)
    assert (stopping.best, stopping.best_epoch, trainer.epoch) == (1, 1, 3)
    fit(trainer)
    assert (stopping.best, stopping.best_epoch, trainer.epoch) == (7, 6, 8) and trainer.stopped


def test_the_best_weights_come_back_when_another_stops_within_an_epoch():
    class Stop(Callback):
        def on_batch_end(self, trainer):
            if trainer.step == 12:
                raise StopTraining

    script = Script([1, 2, 3, 4])
    trainer = make_trainer([script, EarlyStopping(), Stop()])
    fit(trainer)
    assert trainer.epoch == 3 and trainer.stopped == "StopTraining"
    assert equal(trainer.model.state_dict(), script.states[1])


@pytest.mark.parametrize(
    ("options", "validation", "sentence"),
    [
        (
            {"monitor": "val_f1"},
            (X, Y),
            r"monitor: got 'val_f1', want one of \['loss', 'accuracy', 'val_loss', 'val_ac",
        ),
        ({}, None, r"monitor: got 'val_loss', want one of \['loss', 'accuracy'\]; give fit a validation"),
        ({"patience": -1}, None, "patience: got -1, want an integer >= 0"),
        ({"patience": 1.0}, None, "patience: got 1.0, want an integer >= 0"),
        ({"patience": True}, None, "patience: got True"),
        ({"min_delta": -0.1}, None, "min_delta: got -0.1, want a finite number >= 0"),
        ({"min_delta": NAN}, None, "min_delta: got nan"),
        ({"mode": "least"}, None, "mode: got 'least', want 'auto', 'min' or 'max'"),
        ({"baseline": NAN}, None, "baseline: got nan, want a finite number or None"),
    ],
)
def test_early_stopping_refuses(options, validation, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        fit(make_trainer([EarlyStopping(**options)]), validation)


@pytest.mark.parametrize("window", [1, 2])
def test_learning_rates_are_those_of_the_steps(window):
    model = make_model()
    model[1].requires_grad_(False)
    groups = [{"params": list(model[0].parameters())}, {"params": list(model[3].parameters()), "lr": 0.5}]
    optimizer = optim.SGD(groups, lr=1.0, momentum=0.5)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, [2.0, 4.0], 10)
    rates, seen = schedule.preview(10), []
    trainer = make_trainer([LearningRateMonitor()], model, optimizer=optimizer, scheduler=schedule,
                           accumulate_grad_batches=window)  # fmt: skip

    step = optimizer.step
    optimizer.step = lambda: (seen.append([group["momentum"] for group in optimizer.param_groups]), step())
    steps = fit(trainer, epochs=2).steps
    n = trainer.step
    assert n == {1: 10, 2: 6}[window] and steps["lr-0"] == steps["lr"]
    assert np.array_equal(np.array([steps["lr-0"], steps["lr-1"]]).T, rates[:n])
    assert np.array_equal(np.array([steps["momentum-0"], steps["momentum-1"]]).T, seen)
    model = make_model()
    trainer = make_trainer([LearningRateMonitor()], model, optimizer=optim.Adagrad(model.parameters(), lr=0.5))
    assert set(fit(trainer, epochs=1).steps) == {"loss", "lr", "lr-0"}


def test_times_sum_to_the_whole(capsys):
    class Slow(Callback):
        def on_backward_end(self, trainer):
            sum(range(100_000))  # this runs between backward and the optimizer's step

    monitor = TimingMonitor(estimate_after=4)
    trainer = make_trainer([Slow(), monitor])
    began = fastnn.training.callbacks.monitors.time.perf_counter()
    for _ in range(2):
        fit(trainer, epochs=2)
        out, err = capsys.readouterr()
        assert out == "" and err.count("4 iterations: data ") == 1 and err.count("s in all") == 1
    took = fastnn.training.callbacks.monitors.time.perf_counter() - began
    assert set(monitor.seconds) == {"data", "forward", "backward", "optimizer", "other"}
    assert min(monitor.seconds.values()) > 0 and monitor.iterations == 10
    assert monitor.largest == "optimizer" and str(monitor).endswith("optimizer takes most")
    assert 0.2 * took < sum(monitor.seconds.values()) < took
    assert sum(monitor.per_iteration.values()) == pytest.approx(sum(monitor.seconds.values()) / 10)
    fit(make_trainer([TimingMonitor(None)]))
    assert capsys.readouterr().err == ""


class Watch(Callback):
    """Records which parameters changed in each epoch."""

    def on_fit_start(self, trainer):
        self.before, self.changed = copy(trainer.model.state_dict()), []

    def on_epoch_end(self, trainer):
        now = copy(trainer.model.state_dict())
        parameters = dict(trainer.model.named_parameters())
        self.changed.append([name for name in parameters if not (now[name] == self.before[name]).all()])
        self.before = now


ALL = ["0.weight", "0.bias", "1.weight", "1.bias", "3.weight", "3.bias"]


@pytest.mark.parametrize("window", [1, 2])
@pytest.mark.parametrize(
    ("names", "until", "frozen"),
    [("0", 3, ALL[:2]), (["0", "3.bias"], None, [*ALL[:2], "3.bias"]), (("1.weight",), 2, ["1.weight"]), ("3", 1, [])],
)
def test_frozen_parameters_keep_every_bit(names, until, frozen, window):
    watch = Watch()
    freeze = Freeze(names, until)
    trainer = make_trainer([freeze, watch], accumulate_grad_batches=window, gradient_clip_val=1.0)
    fit(trainer, epochs=4)
    rest = [name for name in ALL if name not in frozen]
    assert watch.changed == [rest if until is None or epoch < until else ALL for epoch in range(1, 5)]
    state = trainer.optimizer.state_of(trainer.model[0].weight)
    per_epoch = 5 if window == 1 else 3
    assert state["step"] == per_epoch * (4 if "0.weight" not in frozen else 0 if until is None else 5 - until)


def test_a_shared_parameter_is_frozen_by_any_of_its_names():
    model = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 5))
    model[2].weight = model[0].weight
    watch = Watch()
    fit(make_trainer([Freeze("2"), watch], model), epochs=1)
    assert watch.changed == [["0.bias"]]


def test_freezing_refuses():
    for nothing in ([], (), (name for name in ())):
        with pytest.raises(ValueError, match=r"^names: got none, want at least one name; a generator"):
            Freeze(nothing)
    for names in ("4", "0.w", "", ["0", "fc"]):
        with pytest.raises(ValueError, match=r"^names: got .*, want modules or parameters among \['0.weight', "):
            fit(make_trainer([Freeze(names)]))
    for call, name in (
        (lambda v: Freeze("0", v), "until"),
        (lambda v: progressive_unfreezing(make_model(), v), "every"),
    ):
        for bad in (0, -1, 1.5, "2", True):
            with pytest.raises(ValueError, match=f"^{name}: got {bad!r}, want a positive integer"):
                call(bad)


@pytest.mark.parametrize("every", [1, 2])
def test_progressive_unfreezing(every):
    watch, model = Watch(), make_model()
    freezes = progressive_unfreezing(model, every)
    assert [(freeze.names, freeze.until) for freeze in freezes] == [(("1",), 1 + every), (("0",), 1 + 2 * every)]
    fit(make_trainer([*freezes, watch], model))
    stages = [ALL[4:], ALL[2:], ALL, ALL, ALL, ALL]
    assert watch.changed == [stages[i // every] for i in range(6)]


class Break(Callback):
    def on_batch_end(self, trainer):
        if trainer.step == 8:
            raise RuntimeError("broken")


def test_a_bar_that_an_exception_left_is_closed(monkeypatch, capsys):
    tqdm = pytest.importorskip("tqdm")
    bars = []
    monkeypatch.setattr(tqdm, "tqdm", lambda f=tqdm.tqdm, **options: bars.append(f(**options)) or bars[-1])
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    trainer = make_trainer([ProgressBar(), Break()])
    with pytest.raises(RuntimeError, match="broken"):
        fit(trainer)
    fit(trainer)
    assert [(bar.n, bar.total, bar.disable) for bar in bars] == [(8, 30, True), (30, 30, True)]
    assert "batch" in capsys.readouterr().err


def test_what_is_ahead_of_a_resumed_fit(tmp_path):
    pytest.importorskip("safetensors")
    ahead = []

    class Look(Callback):
        def on_fit_start(self, trainer):
            ahead.append((trainer.ahead, trainer.batch))

    with pytest.raises(RuntimeError, match="broken"):
        fit(make_trainer([Look(), ModelCheckpoint(tmp_path, every_n_steps=7), Break()]), epochs=2)
    fit(make_trainer([Look(), ModelCheckpoint(tmp_path, every_n_steps=7)]), epochs=2, resume="latest")
    assert ahead == [(10, 0), (3, 2)]


@pytest.mark.parametrize("names", ["0", ["0.0", "0.2"]])
def test_a_frozen_module_is_frozen_with_all_within_it(names):
    """Norms and dropout without parameters of their own are in evaluation mode too, wherever they are nested."""
    fastnn.manual_seed(1)
    inner = nn.Sequential(nn.BatchNorm1d(8, affine=False), nn.Dropout(0.5))
    body = nn.Sequential(nn.Linear(5, 8), inner, nn.Linear(8, 8), nn.Dropout(0.5))
    model, modes = nn.Sequential(body, nn.Dropout(0.1), nn.Linear(8, 3)), []
    before = inner[0].running_mean.copy()

    class Look(Callback):
        def on_backward_end(self, trainer):
            modes.append([module.training for module in (*body.modules(), model[1], model[2])])

    Trainer(
        model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1), callbacks=[Freeze(names, until=2), Look()]
    ).fit((X, Y), verbose=False)
    assert modes[0][-2:] == [True, True] and not any(modes[0][:-2])
    assert (inner[0].running_mean == before).all() and all(module.training for module in model.modules())
