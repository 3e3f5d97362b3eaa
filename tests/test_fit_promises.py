"""What is refused has changed nothing, what is frozen stays, what is not trained is told, and a fit ends where it
should."""

import time
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.data import cross_validate
from fastnn.optim import lr_scheduler
from fastnn.training import Callback, EarlyStopping, Freeze, ModelCheckpoint, StopTraining, Trainer, latest

RNG = np.random.default_rng(62)
N = 40
X, Y = RNG.normal(size=(N, 5)).astype(np.float32), RNG.integers(0, 3, N)


def make_trainer(loss: Any = None, scheduler: Any = None, outputs: int = 3, **options: Any) -> Trainer:
    fastnn.manual_seed(4)
    model = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, outputs))
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    schedule = scheduler and scheduler(optimizer)
    return Trainer(model, loss or nn.CrossEntropyLoss(), optimizer, schedule, seed=5, **options)


def fit(trainer: Trainer, y: Any = Y, **options: Any) -> Any:
    return trainer.fit((X, y), (X, y), **({"epochs": 3, "batch_size": 8, "verbose": False} | options))


def weights(trainer: Trainer) -> Any:
    return np.concatenate([a.ravel().astype(np.float64) for a in trainer.model.state_dict().values()])


class Broken(nn.CrossEntropyLoss):
    """Fails in a training step."""

    def __call__(self, output: Any, target: Any) -> Any:
        raise ValueError("broken")


@pytest.mark.parametrize("hook", ["on_epoch_start", "on_batch_start", "on_backward_end", None])
def test_a_fit_refused_in_its_first_batch_has_changed_nothing(hook: str | None) -> None:
    """The corrected fit has the bits that it would have had alone."""
    want = make_trainer()
    fit(want)

    class Fails(Callback):
        pass

    def fail(trainer: Any) -> None:
        raise ValueError("broken")

    callback = Fails()
    if hook:
        setattr(callback, hook, fail)
    trainer = make_trainer(callbacks=[callback, EarlyStopping(patience=9)])
    good = trainer.loss
    trainer.loss = good if hook else Broken()
    with pytest.raises(ValueError, match=r"^broken$"):
        fit(trainer)
    assert (trainer.epoch, trainer.batch, trainer.step, dict(trainer.history)) == (0, 0, 0, {})
    trainer.callbacks, trainer.loss = (), good
    fit(trainer)
    assert (weights(trainer) == weights(want)).all()


def test_an_exception_after_a_step_keeps_the_steps() -> None:
    class Fails(Callback):
        def on_batch_end(self, trainer: Any) -> None:
            if trainer.step == 3:
                raise ValueError("broken")

    trainer = make_trainer(callbacks=[Fails()])
    with pytest.raises(ValueError, match="broken"):
        fit(trainer)
    assert trainer.step == 3 and trainer.epoch == 1 and len(trainer.history.steps["loss"]) == 3


@pytest.mark.parametrize(("limits", "steps", "epochs"), [
    ({"max_steps": 7}, 7, 2), ({"max_steps": 10}, 10, 2), ({"epochs": None, "max_steps": 12}, 12, 3),
    ({"max_steps": 99}, 15, 3), ({"epochs": None, "max_time": 1e-9}, 1, 1), ({"max_time": timedelta(seconds=99)}, 15,
    3),
])  # fmt: skip
def test_limits(limits: Any, steps: int, epochs: int) -> None:
    """A fit ends after its own steps or seconds; the epoch that it ends is recorded."""
    trainer = make_trainer()
    for i in (1, 2):
        history = fit(trainer, **limits)
        assert trainer.step == i * steps and len(history.get("loss", ())) == i * epochs
        assert bool(trainer.stopped) == (steps < 15)


def test_limits_are_checked() -> None:
    for options, sentence in (
        ({"epochs": None}, "epochs: got None without max_steps and max_time"),
        ({"max_steps": 0}, "max_steps: got 0, want a positive integer"),
        ({"max_time": 0}, "max_time: got 0, want seconds > 0"),
    ):
        with pytest.raises(ValueError, match=f"^{sentence}"):
            fit(make_trainer(), **options)


def test_ctrl_c_returns_the_history_and_the_best_weights() -> None:
    class Press(Callback):
        def on_epoch_end(self, trainer: Any) -> None:
            kept.append(weights(trainer))
            trainer.logs["val_loss"] = [1.0, 0.5, 2.0][trainer.epoch - 1]

        def on_batch_end(self, trainer: Any) -> None:
            if trainer.step == 14:
                raise KeyboardInterrupt

    kept: list[Any] = []
    trainer = make_trainer(callbacks=[Press(), EarlyStopping(patience=9)])
    history = fit(trainer)
    assert trainer.stopped == "KeyboardInterrupt" and len(history["loss"]) == 3
    assert (weights(trainer) == kept[1]).all()


def test_modules_in_evaluation_mode_stay_so() -> None:
    """A norm that the user has put into eval() keeps its statistics; after model.eval() all are trained."""
    trainer = make_trainer()
    trainer.model[1].eval()
    before = trainer.model[1].running_mean.copy()
    fit(trainer)
    assert (trainer.model[1].running_mean == before).all() and not trainer.model[1].training
    trainer.model.eval()
    fit(trainer)
    assert (trainer.model[1].running_mean != before).any() and not trainer.model.training


@pytest.mark.parametrize("eval_mode", [True, False])
def test_freeze(eval_mode: bool) -> None:
    """Frozen parameters do not move, nor do statistics unless asked for; lr_find leaves them too, and all is undone."""
    seen: list[Any] = []

    class Look(Callback):
        def on_batch_end(self, trainer: Any) -> None:
            seen.append((trainer.model[0].weight.data.copy(), trainer.model[1].running_mean.copy()))

    trainer = make_trainer(callbacks=[Freeze(["0", "1"], until=3, eval_mode=eval_mode), Look()])
    weight, mean = trainer.model[0].weight.data.copy(), trainer.model[1].running_mean.copy()
    step = trainer.optimizer.step
    trainer.optimizer.step = lambda: (step(), seen.append((trainer.model[0].weight.data.copy(), mean)))  # type: ignore[method-assign]
    trainer.lr_find((X, Y), num_it=5, batch_size=8)
    trainer.optimizer.step = step  # type: ignore[method-assign]
    assert len(seen) == 5 and all((w == weight).all() for w, _ in seen)
    seen.clear()
    fit(trainer, epochs=4)
    assert [(w == weight).all() for w, _ in seen] == [True] * 10 + [False] * 10
    assert [(m == mean).all() for _, m in seen[:10]] == [eval_mode] * 10 and (seen[-1][1] != mean).any()
    assert all(p.requires_grad for p in trainer.model.parameters()) and all(m.training for m in trainer.model.modules())


def test_an_exception_unfreezes() -> None:
    class Fails(Callback):
        def on_batch_end(self, trainer: Any) -> None:
            raise RuntimeError("broken")

    trainer = make_trainer(callbacks=[Freeze("0"), Fails()])
    with pytest.raises(RuntimeError, match="broken"):
        fit(trainer)
    assert all(p.requires_grad for p in trainer.model.parameters())


def test_what_is_not_trained_is_told() -> None:
    """A new head that the optimizer does not hold raises; a part left out warns, unless it is frozen."""
    trainer = make_trainer()
    trainer.model[3] = nn.Linear(8, 3)
    with pytest.raises(
        ValueError, match=r"^optimizer: got parameters that the model does not have, and not its 3.weight"
    ):
        fit(trainer)
    model = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3))
    part = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model[1].parameters(), lr=0.1))
    with pytest.warns(UserWarning, match=r"^optimizer: it does not hold 0.weight, 0.bias, which will not be trained"):
        fit(part)
    model[0].requires_grad_(False)
    fit(part)
    trainer.optimizer.add_param_group({"params": list(trainer.model[3].parameters())})
    before = trainer.model[3].weight.data.copy()
    fit(trainer)
    assert (trainer.model[3].weight.data != before).any()


def test_checkpoints_that_share_a_directory(tmp_path: Any) -> None:
    """Two callbacks keep their own files; ten fits leave as many files as one."""
    pytest.importorskip("safetensors")
    first, second = ModelCheckpoint(tmp_path, "val_loss", save_last=1), ModelCheckpoint(tmp_path, "loss", save_last=2)
    trainer = make_trainer(callbacks=[first, second])
    for _ in range(10):
        fit(trainer, epochs=1)
        kept = {first.best, first.last, second.best, second.last}
        assert all(path.exists() for path in kept if path)
    assert len(list(tmp_path.iterdir())) <= 5
    alone = ModelCheckpoint(tmp_path / "b", save_last=2)
    other = make_trainer(callbacks=[alone])
    for _ in range(10):
        fit(other, epochs=1)
    assert len(list((tmp_path / "b").iterdir())) == 2 and latest(tmp_path / "b") == alone.last


def test_too_many_parameters_for_a_checkpoint_are_told_before_training(tmp_path: Any) -> None:
    pytest.importorskip("safetensors")

    class Many(nn.Module):
        def __init__(self) -> None:
            self.parts = [nn.Parameter(np.zeros(1, np.float32)) for _ in range(8000)]

        def __call__(self, x: Any) -> Any:
            return np.zeros((len(x), 3), np.float32), lambda dy, input_grad=True: None

    model = Many()
    trainer = Trainer(
        model, nn.CrossEntropyLoss(), optim.AdamW(model.parameters()), callbacks=[ModelCheckpoint(tmp_path)]
    )
    with pytest.raises(ValueError, match=r"^state: got .* bytes of names and numbers"):
        fit(trainer)
    assert trainer.step == 0


def test_early_stopping_within_an_epoch() -> None:
    """Validations within an epoch count, and the best weights are those of the best validation."""
    kept: list[Any] = []

    class Script(Callback):
        def on_validation_end(self, trainer: Any) -> None:
            kept.append(weights(trainer))
            trainer.logs["val_loss"] = [3.0, 1.0, 2.0, 2.0, 2.0][len(kept) - 1]

    stopping = EarlyStopping(patience=2)
    trainer = make_trainer(callbacks=[Script(), stopping], val_check_interval=1)
    fit(trainer)
    assert trainer.stopped == "val_loss has not become better for 3 validations"
    assert (stopping.best, stopping.best_epoch, stopping.best_step, trainer.step) == (1.0, 1, 2, 5)
    assert (weights(trainer) == kept[1]).all()


def test_what_is_better_is_asked_before_training() -> None:
    def gain(outputs: Any, targets: Any) -> float:
        return 1.0

    for callback in (EarlyStopping("val_gain"), ModelCheckpoint("unused", "val_gain")):
        trainer = make_trainer(metrics=gain, callbacks=[callback])
        with pytest.raises(ValueError, match=r"^mode: got 'auto' for 'val_gain', .* want mode='min' or mode='max'"):
            fit(trainer)
        assert trainer.step == 0
    gain.better = "min"  # type: ignore[attr-defined]
    trainer = make_trainer(metrics=gain, callbacks=[EarlyStopping("val_gain", patience=0)])
    history = fit(trainer)
    assert trainer.epoch == 2 and history.best_epoch("val_gain") == 1
    history.directions.clear()
    with pytest.raises(ValueError, match=r"^mode: got 'auto' for 'val_gain'"):
        history.best_epoch("val_gain")


def test_a_plateau_of_any_monitor() -> None:
    """Each monitor has its mode; the wrong one is told before training."""

    def plateau(mode: str) -> Any:
        options = {"patience": 0, "threshold": 10.0, "threshold_mode": "abs"}
        return lambda o: lr_scheduler.ReduceLROnPlateau(o, mode, **options)

    trainer = make_trainer(scheduler=plateau("max"), monitor="val_accuracy")
    assert fit(trainer)["lr"] == [0.1, 0.1, pytest.approx(0.01)]
    for options, sentence in (
        (
            {"scheduler": plateau("max")},
            "scheduler: got ReduceLROnPlateau with mode='max' for 'val_loss', want mode='min'",
        ),
        (
            {"scheduler": plateau("min"), "monitor": "accuracy"},
            "scheduler: got ReduceLROnPlateau with mode='min' for 'acc",
        ),
        ({"scheduler": plateau("min"), "monitor": "val_f1"}, "monitor: got 'val_f1', want one of"),
    ):
        trainer = make_trainer(**options)
        with pytest.raises(ValueError, match=f"^{sentence}"):
            fit(trainer)
        assert trainer.step == 0


def test_schedules_are_checked_before_training() -> None:
    """A cycle within a sequence is too short; a schedule made for epochs steps by batches."""

    def sequence(o: Any) -> Any:
        parts = [lr_scheduler.LinearLR(o), lr_scheduler.OneCycleLR(o, 0.1, 4)]
        return lr_scheduler.SequentialLR(o, parts, [5])

    trainer = make_trainer(scheduler=sequence)
    with pytest.raises(ValueError, match=r"^scheduler: got total_steps = 4 with 0 of them done, want 10 more"):
        fit(trainer)
    assert trainer.step == 0
    for schedule in (lambda o: lr_scheduler.CosineAnnealingLR(o, 3), lambda o: lr_scheduler.StepLR(o, 5)):
        with pytest.warns(UserWarning, match="counts optimizer steps, .* pass scheduler_interval='epoch'"):
            fit(make_trainer(scheduler=schedule), batch_size=2)
        fit(make_trainer(scheduler=schedule, scheduler_interval="epoch"), batch_size=2)


def test_default_metrics_and_probabilities_come_from_the_loss() -> None:
    binary = make_trainer(nn.BCEWithLogitsLoss(), outputs=1)
    history = fit(binary, (Y > 0)[:, None])
    p, logits = binary.predict_proba(X), binary.predict(X)
    np.testing.assert_allclose(p, np.concatenate([1 / (1 + np.exp(logits)), 1 / (1 + np.exp(-logits))], 1), rtol=1e-5)
    assert history["val_accuracy"][-1] == ((logits[:, 0] > 0) == (Y > 0)).mean()
    several = make_trainer(nn.BCEWithLogitsLoss())
    assert "accuracy" not in fit(several, (Y[:, None] > [0, 1, 2]).astype(int))
    np.testing.assert_allclose(several.predict_proba(X), 1 / (1 + np.exp(-several.predict(X))), rtol=1e-5)
    numbers = make_trainer(nn.MSELoss(), outputs=2)
    assert list(fit(numbers, X[:, :2].astype(np.float64))) == ["loss", "val_loss", "lr", "seconds"]
    with pytest.raises(
        ValueError, match=r"^predict_proba: got a loss for regression, want a loss of classes; use predict"
    ):
        numbers.predict_proba(X)
    with pytest.raises(ValueError, match=r"^metrics: got 'accuracy' for a loss of the task 'regression'"):
        fit(make_trainer(nn.MSELoss(), outputs=2, metrics="accuracy"), X[:, :2].copy())


def test_losses_that_are_no_losses() -> None:
    for loss, sentence in (
        (nn.CrossEntropyLoss, r"loss: got the class CrossEntropyLoss, want an object; write CrossEntropyLoss\(\)"),
        (3, "loss: got int, want a loss such as"),
        (lambda o, t: 1.0, "loss: got float from <lambda>, want"),
        (lambda o, t: (1.0, None), "loss: got no gradient from <lambda>"),
        (lambda o, t: (np.ones(2), o), r"loss: got a loss of shape \(2,\)"),
    ):
        with pytest.raises(TypeError, match=f"^{sentence}"):
            fit(make_trainer(loss))


def test_clipping_by_value() -> None:
    seen: list[float] = []

    class Look(Callback):
        def on_batch_end(self, trainer: Any) -> None:
            seen.append(max(float(abs(p.grad).max()) for p in trainer.model.parameters()))

    fit(make_trainer(callbacks=[Look()], gradient_clip_val=1e-3, gradient_clip_algorithm="value"))
    assert max(seen) == np.float32(1e-3)
    with pytest.raises(ValueError, match="gradient_clip_algorithm: got 'both', want 'norm' or 'value'"):
        make_trainer(gradient_clip_algorithm="both")


def test_output_streams_that_lack_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training goes on without a console, and with streams that only write."""

    class Bare:
        def write(self, text: str) -> None:
            written.append(text)

    written: list[str] = []
    for stream in (None, Bare()):
        monkeypatch.setattr("sys.stderr", stream)
        monkeypatch.setattr("sys.stdout", stream)
        fit(make_trainer(), verbose=True)
    assert "epoch 3/3" in "".join(written)


def test_a_hook_may_stop_at_the_first_batch() -> None:
    class Stop(Callback):
        def on_batch_start(self, trainer: Any) -> None:
            raise StopTraining("enough")

    trainer, began = make_trainer(callbacks=[Stop()]), time.monotonic()
    fit(trainer)
    assert trainer.stopped == "enough" and trainer.step == 0 and time.monotonic() - began < 5


def test_ctrl_c_ends_a_cross_validation() -> None:
    """No further fold is trained after Ctrl-C."""

    class Press(Callback):
        def on_batch_end(self, trainer: Any) -> None:
            raise KeyboardInterrupt

    made = []
    with pytest.raises(KeyboardInterrupt):
        cross_validate(
            lambda fold: made.append(make_trainer(callbacks=[Press()])) or made[-1], (X, Y), 4, verbose=False
        )
    assert len(made) == 1
