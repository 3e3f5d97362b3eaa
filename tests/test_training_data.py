"""Data and parts that a Trainer accepts, and what it refuses before anything runs."""

import math
import time
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.functional import mse_loss
from fastnn.metrics import named
from fastnn.training import Callback, EarlyStopping, Trainer
from fastnn.training.metrics import Meter

RNG = np.random.default_rng(71)
X, Y = RNG.normal(size=(40, 5)).astype(np.float32), RNG.integers(0, 3, 40)


def make_trainer(loss: Any = None, outputs: int = 3, **options: Any) -> Trainer:
    fastnn.manual_seed(4)
    model = nn.Sequential(nn.Linear(5, outputs))
    return Trainer(model, loss or nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1), **options)


def fit(trainer: Trainer, y: Any = Y, x: Any = X, **options: Any) -> Any:
    return trainer.fit((x, y), **({"batch_size": 8, "verbose": False} | options))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_accuracy_of_probabilities_but_not_of_numbers(dtype: Any) -> None:
    """Targets (N, C) have an accuracy, that of their largest entries; targets (N,) that are not labels have none."""
    sure = np.eye(3, dtype=np.float32)[Y]
    probabilities, labels = (fit(make_trainer(), y) for y in (sure, Y))
    assert probabilities["accuracy"] == labels["accuracy"]
    numbers = X[:, :1].astype(dtype)
    with pytest.raises(ValueError, match=r"^metrics: got 'accuracy' for a loss of the task 'regression'"):
        fit(make_trainer(mse_loss, 1, metrics="accuracy"), numbers)
    assert list(fit(make_trainer(mse_loss, 1), numbers)) == ["loss", "lr", "seconds"]
    assert list(fit(make_trainer(mse_loss, 1, metrics=()), numbers)) == ["loss", "lr", "seconds"]


@pytest.mark.parametrize(
    ("data", "error", "sentence"),
    [
        ((X, np.where(Y == 1, 3, Y)), IndexError, r"data y: got label 3 at row \d+, want one in \[0, 3\)"),
        ((X, np.where(np.arange(40) == 7, -1, Y)), IndexError, r"data y: got label -1 at row 7, want one in \[0, 3\)"),
        ((X, Y[:, None]), ValueError, r"data y: got shape \(40, 1\), want \(40,\), one label for each sample"),
        ((X, Y > 0), TypeError, "data y: got bool, want integer labels; pass y.astype"),
        ((X, Y.tolist()), TypeError, "data y: got list, want an array; convert it with np.array"),
        ((X, Y.astype(np.float16)), TypeError, "data y: got float16, want integer labels"),
        ((X.astype("U9"), Y), TypeError, "data x: got <U9, want numbers; convert it with .astype"),
        ((np.where(np.arange(5) == 2, np.float32(np.inf), X), Y), ValueError, "data x: got inf at row 0, column 2"),
        ((X, np.full(40, np.nan)), ValueError, "data y: got nan"),
        (X, TypeError, r"data: got ndarray, want a tuple \(x, y\)"),
    ],
)
def test_evaluation_refuses(data: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=f"^{sentence}"):
        make_trainer().evaluate(data)


def test_labels_that_a_loss_ignores_are_no_mistake() -> None:
    """A label of ignore_index is accepted, and no other label outside the classes."""
    some = np.where(np.arange(40) % 4 == 0, -7, Y)
    trainer = make_trainer(nn.CrossEntropyLoss(ignore_index=-7))
    fit(trainer, some, validation=(X, some))
    counted = some != -7
    want = nn.CrossEntropyLoss()(trainer.predict(X[counted]), some[counted])[0]
    assert trainer.evaluate((X, some))["loss"] == pytest.approx(want, rel=1e-6)
    with pytest.raises(IndexError, match=r"^train y: got label -100 at row 0, want one in \[0, 3\)"):
        fit(trainer, np.where(counted, Y, -100))


def test_predictions_of_any_float_array() -> None:
    """x of `predict` may contain NaN, which stays in its row; other dtypes and lists are refused."""
    trainer = make_trainer()
    x = X.copy()
    x[3, 1] = np.nan
    logits, whole = trainer.predict(x), trainer.predict(X)
    assert np.isnan(logits[3]).all() and (np.delete(logits, 3, 0) == np.delete(whole, 3, 0)).all()
    shares = np.exp(whole.astype(np.float64))
    np.testing.assert_allclose(trainer.predict_proba(X, 7), shares / shares.sum(1, keepdims=True), rtol=1e-5)
    for call in (trainer.predict, trainer.predict_proba):
        with pytest.raises(TypeError, match=r"^x: got int64 \(40, 5\), .* convert integers with .astype"):
            call((X * 9).astype(int))
        with pytest.raises(TypeError, match=r"^x: got list, want an array; convert it with np.array"):
            call(X.tolist())


def test_the_last_sample_of_a_strided_array() -> None:
    """A batch of one sample is accepted if the model takes it, in any layout."""
    strided, histories = np.repeat(X, 2, axis=1)[:, ::2], []
    for x in (X, strided):
        trainer = make_trainer()
        trainer.model = nn.Sequential(nn.ReLU(), trainer.model)  # a layer that takes no strided memory
        histories.append(fit(trainer, x=x, batch_size=13))
    assert histories[0]["loss"] == histories[1]["loss"] and math.isfinite(histories[0]["loss"][0])


@pytest.mark.parametrize(
    ("monitor", "validation", "needs"),
    [("f1", None, ""), ("val_f1", (X, Y), ""), ("val_loss", None, "; give fit a validation"), ("val_f1", None, "")],
)
def test_a_monitor_that_a_validation_would_not_record_either(monitor: str, validation: Any, needs: str) -> None:
    """The remedy is a validation only where that records the monitor."""
    with pytest.raises(ValueError, match=rf"^monitor: got '{monitor}', want one of \[.*\]{needs}$"):
        fit(make_trainer(callbacks=[EarlyStopping(monitor)]), validation=validation)


def test_a_model_without_parameters() -> None:
    """A model without parameters can be evaluated with any optimizer."""
    trainer = Trainer(nn.Sequential(nn.ReLU()), mse_loss, optim.SGD(nn.Linear(2, 2).parameters()), metrics=())
    x = np.array([[-1, 2]], np.float32)
    assert trainer.predict(x).tolist() == [[0, 2]] and trainer.evaluate((x, x)) == {"loss": 0.5}


def test_labels_of_a_model_without_classes() -> None:
    """Integer targets may have any value where the model's result is not (N, C)."""

    class Count(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(5, 1)

        def __call__(self, x: Any) -> Any:
            y, backward = self.layer(x)
            return y[:, 0], lambda dy, input_grad=True: backward(dy[:, None].copy(), input_grad)

    def squares(y: Any, labels: Any) -> tuple[float, Any]:
        return float(((y - labels) ** 2).mean()), (2 * (y - labels) / len(y)).astype(y.dtype)

    model = Count()
    trainer = Trainer(model, squares, optim.SGD(model.parameters(), lr=0.01), metrics=())
    fit(trainer, Y - 7)
    assert trainer.evaluate((X, Y - 7)) == {"loss": pytest.approx(float(((trainer.predict(X) - Y + 7) ** 2).mean()))}


def test_a_batch_larger_than_the_data_takes_no_more_memory() -> None:
    history = fit(make_trainer(), batch_size=2**50)
    assert len(history.steps["loss"]) == 1 and history["loss"] == fit(make_trainer(), batch_size=40)["loss"]


def test_one_metric_by_its_name() -> None:
    assert list(make_trainer(metrics="accuracy").metrics) == ["accuracy"]
    with pytest.raises(ValueError, match=r"^metrics: got 'gini', want one of \['accuracy', 'average_precision'"):
        make_trainer(metrics="gini")


def test_the_clipping_of_the_optimizer_is_kept() -> None:
    """`gradient_clip_val` replaces the optimizer's own limit during a fit alone; None and 0 leave it."""
    for value, want in ((None, 0.5), (2.0, 2.0), (0.0, 0.5)):
        model, seen = nn.Sequential(nn.Linear(5, 3)), []
        optimizer = optim.SGD(model.parameters(), lr=0.1, clip_grad_norm=0.5)

        class Look(Callback):
            def on_batch_end(self, trainer: Any, seen: Any = seen) -> None:
                seen.append(trainer.optimizer.clip_grad_norm)

        fit(Trainer(model, nn.CrossEntropyLoss(), optimizer, callbacks=[Look()], gradient_clip_val=value))
        assert set(seen) == {want} and optimizer.clip_grad_norm == 0.5


def test_a_window_that_was_interrupted_does_not_count() -> None:
    """The next fit's first loss is that of its own batches; an epoch's seconds are those that it took."""

    class Interrupt(Callback):
        def on_batch_end(self, trainer: Trainer) -> None:
            if trainer.batch == 1:
                raise KeyboardInterrupt

    trainer = make_trainer(callbacks=[Interrupt()], accumulate_grad_batches=5, seed=1)
    fit(trainer)
    assert trainer.stopped == "KeyboardInterrupt"
    trainer.callbacks = ()
    want, began = trainer.evaluate((X, Y))["loss"], time.perf_counter()
    history = fit(trainer)
    assert history.steps["loss"] == [pytest.approx(want, rel=1e-5)]
    assert 0 < history["seconds"][0] < time.perf_counter() - began


@pytest.mark.parametrize("interval", ["step", "epoch"])
def test_an_interval_without_a_scheduler(interval: Any) -> None:
    """Without a scheduler either interval trains at the constant rate."""
    history = fit(make_trainer(scheduler_interval=interval), epochs=2)
    assert history["lr"] == [0.1, 0.1] and history.steps["lr"] == [0.1] * 10


def test_a_sum_over_nothing_is_nan() -> None:
    """The mean over samples of which none counts is NaN also of a loss that is a sum, and the training goes on."""
    trainer = make_trainer(nn.CrossEntropyLoss(reduction="sum"))
    nothing = np.full(40, -100)
    assert math.isnan(trainer.evaluate((X, nothing))["loss"])
    before = trainer.predict(X)
    history = fit(trainer, nothing)
    assert math.isnan(history["loss"][0]) and np.isnan(history.steps["loss"]).all() and trainer.step == 5
    assert (trainer.predict(X) == before).all()


def test_attributes_are_put_back_when_a_callback_refuses() -> None:
    """What a callback set on the trainer before another one raises is undone, since nothing has then been changed."""

    class Set(Callback):
        def on_fit_start(self, trainer: Trainer) -> None:
            trainer.scheduler, trainer.loss = optim.lr_scheduler.StepLR(trainer.optimizer, 1), mse_loss

    trainer = make_trainer(callbacks=[Set(), EarlyStopping("f1")])
    loss = trainer.loss
    with pytest.raises(ValueError, match=r"^monitor: got 'f1'"):
        fit(trainer)
    assert trainer.scheduler is None and trainer.loss is loss


@pytest.mark.parametrize("share", [1.0, -0.1, 1.5, math.nan])
def test_a_share_that_smooths_to_nothing_is_refused(share: float) -> None:
    trainer = make_trainer()
    fit(trainer)
    with pytest.raises(ValueError, match=f"^share: got {share}, want a number in "):
        trainer.history.smoothed("loss", share)


def test_smoothed_curves() -> None:
    """The average of a constant is the constant, a share of 0 smooths nothing, and NaN does not enter."""
    history = make_trainer().history
    history.steps["loss"] = [4.0, 8.0, math.nan, 2.0]
    np.testing.assert_allclose(history.smoothed("loss", 0), history.steps["loss"])
    # 4; (4 / 4 + 8 / 2) / (3 / 4); (4 / 8 + 8 / 4 + 2 / 2) / (7 / 8)
    np.testing.assert_allclose(history.smoothed("loss", 0.5), [4, 20 / 3, math.nan, 4], rtol=1e-14)
    history.steps["lr"] = [3.0] * 5
    np.testing.assert_allclose(history.smoothed("lr"), [3.0] * 5, rtol=1e-13)


def mean(outputs: Any, targets: Any) -> float:
    return float(targets.mean())


def test_meter() -> None:
    """The loss is averaged by weights, metrics by samples, and neither state shares its sums with the meter."""
    meter = Meter(named([mean]))
    assert all(map(math.isnan, meter.logs().values())) and list(meter.logs()) == ["loss", "mean"]
    meter.add(2.0, 4.0, np.zeros(2), np.array([1, 3]))
    meter.add(math.nan, 0.0, np.zeros(1), np.array([5]))  # no sample counts, so the loss does not
    state = meter.state_dict()
    assert {name: state[name] for name in ("loss", "weight", "samples")} == {"loss": 8.0, "weight": 4.0, "samples": 3}
    assert meter.logs() == {"loss": 2.0, "mean": 3.0} and meter.mean == 2.0
    other = Meter(named([mean]))
    other.load_state_dict(state)
    other.add(12.0, 1.0, np.zeros(1), np.array([0]))
    assert other.logs() == {"loss": 4.0, "mean": 2.25} and meter.logs() == {"loss": 2.0, "mean": 3.0}
    meter.add(1.0, 1.0, np.zeros(1), np.array([1]))
    assert len(state["metrics"]["mean"]["_outputs"]) == 2


def test_names_of_the_package() -> None:
    """The names of `fastnn.diagnosis` are imported on first access, but only those that are listed."""
    assert {"diagnose", "Ladder", "Trainer"} <= set(dir(fastnn.training))
    assert fastnn.training.diagnose is fastnn.diagnosis.diagnose
    for name in ("nothing", "overfit"):
        with pytest.raises(AttributeError, match=f"^module 'fastnn.training' has no attribute '{name}'$"):
            getattr(fastnn.training, name)
