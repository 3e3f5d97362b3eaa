"""A second fit with the same callbacks: each callback starts anew, and the first fit's results do not count."""

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.training import (
    Callback,
    EarlyStopping,
    Freeze,
    LearningRateMonitor,
    ModelCheckpoint,
    ProgressBar,
    StopTraining,
    TensorBoard,
    TimingMonitor,
    Trainer,
    load_checkpoint,
)

RNG = np.random.default_rng(51)
X, Y = RNG.normal(size=(40, 5)).astype(np.float32), RNG.integers(0, 3, 40)


def make_trainer(*callbacks, **options):
    fastnn.manual_seed(8)
    model = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
    return Trainer(model, nn.CrossEntropyLoss(), optimizer, callbacks=callbacks, **options)


def fit(trainer, validation=(X, Y), **options):
    return trainer.fit((X, Y), validation, **({"epochs": 3, "batch_size": 8, "verbose": False} | options))


def copy(model):
    return {name: array.copy() for name, array in model.state_dict().items()}


def equal(first, second):
    return first.keys() == second.keys() and all((first[name] == second[name]).all() for name in first)


class Script(Callback):
    """Sets val_loss to given values, epoch by epoch, and keeps the weights of each epoch."""

    def __init__(self, *values):
        self.values, self.weights = iter(values), {}

    def on_epoch_end(self, trainer):
        trainer.logs["val_loss"] = next(self.values)
        self.weights[trainer.epoch] = copy(trainer.model)


@pytest.mark.parametrize("better", [True, False])
def test_early_stopping(better):
    """The best weights are those of the current fit, whether the earlier fit's value was better or worse."""
    script = Script(3, 1, 2, *((0.5, 0.6, 0.7) if better else (9, 8, 8.5)))
    stopping = EarlyStopping(patience=5)
    trainer = make_trainer(script, stopping)
    for best in (2, 4 if better else 5):
        fit(trainer)
        assert stopping.best_epoch == best and stopping.wait == trainer.epoch - best
        assert equal(trainer.model.state_dict(), script.weights[best])


def test_early_stopping_without_a_best():
    """A fit that never finds a best value leaves its own weights, not the earlier fit's best."""
    script = Script(3, 1, 2, np.nan, np.nan, np.nan)
    stopping = EarlyStopping(patience=5, check_finite=False)
    trainer = make_trainer(script, stopping)
    fit(trainer)
    fit(trainer)
    assert stopping.best is None and stopping.best_epoch == 0 and stopping.wait == 3
    assert equal(trainer.model.state_dict(), script.weights[6])


def test_the_best_weights_are_copies(tmp_path):
    """Neither training nor changes to the model between fits reach the kept weights."""
    script, stopping = Script(1, 2, 3), EarlyStopping(patience=5)
    trainer = make_trainer(script, stopping)
    fit(trainer)
    kept = {name: array.copy() for name, array in stopping.state_dict()["weights"].items()}
    trainer.model[0].weight.data[...] = 7
    assert equal(kept, stopping.state_dict()["weights"]) and equal(kept, script.weights[1])
    state = stopping.state_dict()
    other = EarlyStopping()
    other.load_state_dict(state)
    state["weights"]["0.weight"][...] = 5
    assert equal(kept, other.state_dict()["weights"])


def test_best_file(tmp_path):
    """The best and last files are those of the current fit, and no more files stay than are asked for."""
    pytest.importorskip("safetensors")
    checkpoint = ModelCheckpoint(tmp_path, "val_loss", save_top_k=1, save_last=1)
    trainer = make_trainer(Script(1, 2, 3, 9, 8, 8.5), checkpoint)
    names = {i: f"step-{5 * i:08}.safetensors" for i in range(1, 7)}
    fit(trainer)
    assert (checkpoint.best.name, checkpoint.last.name) == (names[1], names[3])
    fit(trainer)
    assert (checkpoint.best.name, checkpoint.last.name) == (names[5], names[6])
    assert {path.name for path in tmp_path.iterdir()} == {names[i] for i in (5, 6)}
    assert load_checkpoint(checkpoint.best)["loop"]["epoch"] == 5


@pytest.mark.parametrize(("every", "steps"), [(None, {5, 10, 15}), (4, {4, 5, 8, 10, 12, 15})])
def test_every_n_steps(tmp_path, every, steps):
    """Steps are counted over the trainer's life, and only when the optimizer has stepped."""
    pytest.importorskip("safetensors")
    checkpoint = ModelCheckpoint(tmp_path, save_last=99, every_n_steps=every)
    trainer = make_trainer(checkpoint)
    fit(trainer, epochs=2)
    fit(trainer, epochs=1)
    assert {int(path.name[5:13]) for path in tmp_path.iterdir()} == steps
    written = []
    checkpoint = ModelCheckpoint(tmp_path, save_last=99, every_n_steps=1)
    checkpoint._write = lambda trainer, score: written.append((trainer.step, trainer.batch))
    fit(make_trainer(checkpoint, accumulate_grad_batches=2), epochs=1)
    assert written == [(1, 2), (2, 4), (3, 5), (3, 0)]


def test_rates_of_groups(tmp_path):
    """Curves that a monitor adds have full length, with NaN for the steps that it did not see."""
    trainer = make_trainer()
    fit(trainer, epochs=1)
    monitor = LearningRateMonitor()
    trainer.callbacks = (monitor,)
    trainer.optimizer.param_groups[0]["lr"] = 0.25
    steps = fit(trainer, epochs=1).steps
    trainer.callbacks = ()
    fit(trainer, epochs=1)
    trainer.callbacks = (monitor,)
    trainer.optimizer.add_param_group({"params": [np.zeros(1, np.float32)]})
    trainer.optimizer.step = lambda: None  # the new parameter gets no gradient
    fit(trainer, epochs=1)
    nan = [np.nan] * 5
    np.testing.assert_array_equal(steps["lr-0"], [*nan, *[0.25] * 5, *nan, *[0.25] * 5])
    np.testing.assert_array_equal(steps["momentum-0"], [*nan, *[0.5] * 5, *nan, *[0.5] * 5])
    np.testing.assert_array_equal(steps["lr-1"], [*nan * 3, *[0.1] * 5])
    assert [len(curve) for curve in steps.values()] == [20] * 6


def test_a_group_that_is_gone(tmp_path):
    """The curve of a group that no longer exists continues with NaN, not with its last rate."""
    monitor = LearningRateMonitor()
    trainer = make_trainer(monitor)
    trainer.optimizer.add_param_group({"params": [np.zeros(1, np.float32)]})
    trainer.optimizer.step = lambda: None
    fit(trainer, epochs=1)
    trainer.optimizer = optim.SGD(trainer.model.parameters(), lr=0.5)
    steps = fit(trainer, epochs=1).steps
    assert steps["lr-1"] == [0.1] * 5 and steps["lr-0"] == [0.1] * 5 + [0.5] * 5


def test_times(capsys):
    """The estimate and the seconds are those of the current fit's batches, and the estimate is printed once per fit."""

    class Clock(Callback):
        def on_batch_start(self, trainer):
            now[0] += 1.0

    now = [0.0]
    monitor = TimingMonitor(estimate_after=2)
    clock = fastnn.training.callbacks.monitors.time
    trainer = make_trainer(Clock(), monitor)
    real, clock_of = clock.perf_counter, type("time", (), {"perf_counter": staticmethod(lambda: now[0])})
    fastnn.training.callbacks.monitors.time = clock_of
    try:
        for epochs, batches in ((2, 10), (4, 20)):
            fit(trainer, epochs=epochs)
            assert f"about {batches} s in all" in capsys.readouterr().err
            assert monitor.iterations == batches and sum(monitor.seconds.values()) == pytest.approx(batches)
    finally:
        fastnn.training.callbacks.monitors.time = clock
    assert clock.perf_counter is real and TimingMonitor().per_iteration == dict.fromkeys(monitor.seconds, 0.0)


def test_bar(monkeypatch, capsys):
    """The bar covers the current fit's batches, and is omitted if the error output is no longer a terminal."""
    tqdm = pytest.importorskip("tqdm")
    totals = []
    monkeypatch.setattr(tqdm, "tqdm", lambda f=tqdm.tqdm, **o: totals.append((o["total"], o["leave"])) or f(**o))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    trainer = make_trainer(ProgressBar())
    fit(trainer, epochs=2)
    fit(trainer, epochs=1)
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    fit(trainer, epochs=1)
    assert totals == [(10, False), (5, False)]  # a closed bar leaves no line
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_board(tmp_path):
    """A second fit continues in its run's directory, with a new file."""
    pytest.importorskip("tensorboardX")
    board = TensorBoard(tmp_path)
    trainer = make_trainer(board)
    fit(trainer, epochs=1)
    fit(trainer, epochs=1)
    (run,) = tmp_path.iterdir()
    assert run.name == board.run and len([*run.iterdir()]) == 2


def test_frozen_parameters():
    """Freezing applies to the trainer's current model, and counts the epochs of the trainer's life."""
    freeze = Freeze("0", until=3)
    trainer = make_trainer(freeze)
    before = copy(trainer.model)
    fit(trainer, epochs=1)
    assert (trainer.model.state_dict()["0.weight"] == before["0.weight"]).all()
    other = make_trainer()
    trainer.model, trainer.optimizer = other.model, other.optimizer
    fit(trainer, epochs=1)
    assert (trainer.model.state_dict()["0.weight"] == before["0.weight"]).all()
    fit(trainer, epochs=1)
    assert (trainer.model.state_dict()["0.weight"] != before["0.weight"]).any()


def test_an_unfinished_window():
    """Sums of a fit that was stopped within a window or an epoch are not part of the next fit."""

    class Stop(Callback):
        def on_backward_end(self, trainer):
            if trainer.step == 1 and trainer.batch == 2:
                raise StopTraining

    first = make_trainer(Stop(), accumulate_grad_batches=2)
    fit(first, epochs=1)
    assert first.stopped == "StopTraining" and first.batch == 2 and first.step == 1
    first.callbacks = ()
    history = fit(first, epochs=1)
    assert first.stopped is None and first.epoch == 2 and first.step == 4
    assert len(history.steps["loss"]) == 4 and len(history["loss"]) == 2
    assert all(0 < loss < 5 for loss in history.steps["loss"])
    means = np.average(history.steps["loss"][1:], weights=[16, 16, 8])
    assert history["loss"][1:] == pytest.approx([means], rel=1e-6)


def test_curves_are_padded():
    """Every curve is as long as the epochs or steps, even if a metric or a validation starts later or ends."""

    def half(logits, labels):
        return 0.5

    trainer = make_trainer()
    fit(trainer, None, epochs=2)
    trainer.metrics = {**trainer.metrics, "half": half}
    fit(trainer, epochs=1)
    del trainer.metrics["half"]
    history = fit(trainer, None, epochs=1)
    assert {len(curve) for curve in history.values()} == {4}
    np.testing.assert_array_equal(history["half"], [np.nan, np.nan, 0.5, np.nan])
    np.testing.assert_array_equal(np.isnan(history["val_half"]), [True, True, False, True])
    assert history.validations["step"] == [15.0] and {len(c) for c in history.validations.values()} == {1}
