"""Two of what is usually one: parameter groups, callbacks of one class, metrics, models; none is taken for another."""

from functools import partial
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.training import Callback, EarlyStopping, LearningRateMonitor, Trainer, load_checkpoint, save_checkpoint

RNG = np.random.default_rng(61)
X, Y = RNG.normal(size=(48, 5)).astype(np.float32), RNG.integers(0, 3, 48)


def make_trainer(*callbacks: Callback, groups: int = 1, **options: Any) -> Trainer:
    """Return a trainer whose parameters are in one group or in two with their own rates."""
    fastnn.manual_seed(3)
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    params = [p for _, p in model.named_parameters()]
    parted = [{"params": params}] if groups == 1 else [{"params": params[:1], "lr": 0.5}, {"params": params[1:]}]
    return Trainer(model, nn.CrossEntropyLoss(), optim.SGD(parted, lr=0.1), callbacks=callbacks, **options)


def fit(trainer: Trainer, **options: Any) -> Any:
    return trainer.fit((X, Y), (X, Y), **({"epochs": 3, "batch_size": 16, "verbose": False} | options))


def test_lr_find_keeps_the_proportions_of_the_groups() -> None:
    """The rates found are the first group's, the second has a fifth of them, and their own rates come back."""
    seen = []
    trainer = make_trainer(groups=2)
    step, groups = trainer.optimizer.step, trainer.optimizer.param_groups
    trainer.optimizer.step = lambda: (seen.append([group["lr"] for group in groups]), step())  # type: ignore[method-assign]
    found = trainer.lr_find((X, Y), num_it=30, batch_size=16)
    np.testing.assert_allclose(np.array(seen)[:, 0], found.rates, rtol=1e-12)
    np.testing.assert_allclose(np.array(seen)[:, 1], found.rates / 5, rtol=1e-12)
    assert [group["lr"] for group in groups] == [0.5, 0.1]


def test_one_cycle_keeps_the_proportions_of_the_groups() -> None:
    """A single max_lr, given or found, is the first group's; a list has one for each."""
    for max_lr, share in ((0.2, 5), (None, 5), ([0.2, 0.1], 2)):
        trainer = make_trainer(LearningRateMonitor(), groups=2)
        trainer.fit_one_cycle((X, Y), epochs=3, max_lr=max_lr, batch_size=16, verbose=False)
        rates = trainer.history.steps
        np.testing.assert_allclose(rates["lr-0"], np.array(rates["lr-1"]) * share, rtol=1e-9)
        assert [group["lr"] for group in trainer.optimizer.param_groups] == [0.5, 0.1]


def test_callbacks_of_one_class_keep_their_own_state(tmp_path: Any) -> None:
    """Each of two callbacks continues with its own state from a checkpoint."""

    def stops() -> list[EarlyStopping]:
        return [EarlyStopping("val_loss", patience=50), EarlyStopping("val_accuracy", patience=60, mode="max")]

    first = stops()
    trainer = make_trainer(*first)
    fit(trainer)
    save_checkpoint(tmp_path / "a.safetensors", trainer.capture())
    assert {"EarlyStopping.0", "EarlyStopping.1"} == load_checkpoint(tmp_path / "a.safetensors")["callbacks"].keys()
    second = stops()
    resumed = make_trainer(*second)
    resumed.restore(load_checkpoint(tmp_path / "a.safetensors"))
    assert [stop.best for stop in second] == [stop.best for stop in first]
    assert second[0].best == pytest.approx(min(trainer.history["val_loss"]))
    assert second[1].best == pytest.approx(max(trainer.history["val_accuracy"]))


def share_of(logits: Any, labels: Any, of: int) -> float:
    return float((labels == of).mean())


class Spread:
    """A metric that is an object."""

    def __call__(self, logits: Any, labels: Any) -> float:
        return float(np.ptp(logits))


def test_metrics_that_are_no_functions() -> None:
    """A partial and an object are metrics by the names of the function and the class, each with its own values."""
    trainer = make_trainer(metrics=[partial(share_of, of=1), Spread()])
    history = fit(trainer)
    assert list(trainer.metrics) == ["share_of", "Spread"]
    assert history["val_share_of"] == [pytest.approx((Y == 1).mean())] * 3
    assert history["val_Spread"][-1] > 0 and history["Spread"] != history["share_of"]
    with pytest.raises(ValueError, match="metrics: got 'share_of' twice"):
        make_trainer(metrics=[partial(share_of, of=1), partial(share_of, of=2)])


def test_trainers_share_nothing() -> None:
    """Trainers made by the same code have curves, states and results of their own."""
    first, second = make_trainer(), make_trainer()
    fit(first, epochs=2)
    assert second.step == second.epoch == 0 and not any(second.history.values())
    weights = [p.data.copy() for p in second.model.parameters()]
    fit(first, epochs=1)
    assert all((p.data == w).all() for p, w in zip(second.model.parameters(), weights, strict=True))
    fit(second, epochs=2)
    assert second.history["loss"] == first.history["loss"][:2]
