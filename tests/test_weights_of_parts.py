"""Weights in the mean of the loss: those of validation samples, and those of each of several losses."""

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.training import Callback, Trainer, overfit_one_batch

RNG = np.random.default_rng(83)
X, Y = RNG.normal(size=(96, 6)).astype(np.float32), RNG.integers(0, 3, 96)
WEIGHTS = RNG.random(96) * (RNG.random(96) > 0.3)
IGNORED = Y.copy()
IGNORED[::3] = -100
IGNORED[16:34] = -100  # a whole batch of 16, and more


class Two(nn.Module):
    """Two outputs, as a dict or a tuple."""

    def __init__(self, as_dict: bool) -> None:
        self.a, self.b, self.as_dict = nn.Linear(6, 3), nn.Linear(6, 1), as_dict

    def __call__(self, x: Any) -> Any:
        (a, back_a), (b, back_b) = self.a(x), self.b(x)

        def backward(dy: Any, input_grad: bool = True) -> Any:
            da, db = (dy["a"], dy["b"]) if self.as_dict else dy
            back_a(da, input_grad)
            return back_b(db, input_grad)

        return {"a": a, "b": b} if self.as_dict else (a, b), backward


def form(as_dict: bool, a: Any, b: Any) -> Any:
    return {"a": a, "b": b} if as_dict else (a, b)


LOSSES = {
    "ignored labels": (nn.CrossEntropyLoss(), IGNORED),
    "weights of classes": (nn.CrossEntropyLoss(weight=np.array([1, 5, 0.1])), IGNORED),
    "a sum": (nn.CrossEntropyLoss(reduction="sum"), IGNORED),
}


def train(name: str, as_dict: bool, size: int, window: int, weights: Any = None, epochs: int = 1) -> Trainer:
    loss, y = LOSSES[name]
    fastnn.manual_seed(2)
    model = Two(as_dict)
    trainer = Trainer(model, form(as_dict, loss, nn.MSELoss()), optim.SGD(model.parameters(), lr=0.01),
                      seed=1, accumulate_grad_batches=window, detect_nan=True,
                      loss_weights=form(as_dict, 0.5, 3.0))  # fmt: skip
    trainer.fit((X, form(as_dict, y, X[:, :1])), (X, form(as_dict, y, X[:, :1])), epochs, size, weights, verbose=False)
    return trainer


@pytest.mark.parametrize("as_dict", [True, False])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("name", LOSSES)
def test_windows_of_several_losses(name: str, weights: Any, as_dict: bool) -> None:
    """A window trains like one large batch, each loss with the weights of its own samples."""
    whole, window = train(name, as_dict, 96, 1, weights), train(name, as_dict, 16, 6, weights)
    for key in ("loss", *(f"{part}_loss" for part in (("a", "b") if as_dict else (0, 1)))):
        np.testing.assert_allclose(whole.history[key], window.history[key], rtol=1e-6, err_msg=key)
        np.testing.assert_allclose(whole.history[f"val_{key}"], window.history[f"val_{key}"], rtol=1e-6, err_msg=key)
    np.testing.assert_allclose(whole.history.steps["loss"], window.history.steps["loss"], rtol=1e-6)
    for one, other in zip(whole.model.parameters(), window.model.parameters(), strict=True):
        np.testing.assert_allclose(one.data, other.data, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("name", LOSSES)
def test_each_of_several_losses_is_what_it_is_alone(name: str, weights: Any) -> None:
    """The same values, and the same gradients times its factor, as in a training of its own."""
    several, (loss, y) = train(name, True, 96, 1, weights), LOSSES[name]
    fastnn.manual_seed(2)
    alone = Two(True).a
    trainer = Trainer(alone, loss, optim.SGD(alone.parameters(), lr=0.005), seed=1, metrics=())
    history = trainer.fit((X, y), (X, y), 1, 96, weights, verbose=False)
    np.testing.assert_allclose(several.history["a_loss"], history["loss"], rtol=1e-6)
    np.testing.assert_allclose(several.history["val_a_loss"], history["val_loss"], rtol=1e-5)
    np.testing.assert_allclose(several.model.a.weight.data, alone.weight.data, rtol=1e-5, atol=1e-7)


def test_the_sum_of_the_parts() -> None:
    history = train("weights of classes", True, 16, 2, WEIGHTS, epochs=2).history
    for start in ("", "val_"):
        parts = 0.5 * np.array(history[f"{start}a_loss"]) + 3.0 * np.array(history[f"{start}b_loss"])
        np.testing.assert_allclose(history[f"{start}loss"], parts, rtol=1e-6)


def test_a_looking_callback_changes_no_part() -> None:
    class Look(Callback):
        def on_epoch_end(self, trainer: Any) -> None:
            found.append(trainer.evaluate((X, form(True, IGNORED, X[:, :1])), batch_size=7))

    found: list[Any] = []
    trainer = train("ignored labels", True, 16, 1)
    trainer.callbacks = (Look(),)
    trainer.fit((X, form(True, IGNORED, X[:, :1])), (X, form(True, IGNORED, X[:, :1])), verbose=False)
    for key, value in found[0].items():
        assert trainer.history[f"val_{key}"][-1] == pytest.approx(value, rel=1e-6)


def test_a_batch_of_several_losses_is_overfitted() -> None:
    trainer = train("ignored labels", True, 16, 1)
    losses = overfit_one_batch(trainer, (X[:4], form(True, IGNORED[:4], X[:4, :1])), steps=3).losses
    assert losses[-1] < losses[0]


def validations(weights: Any) -> list[Any]:
    class Indexed:
        def __len__(self) -> int:
            return 96

        def take(self, index: Any) -> Any:
            return X[index], IGNORED[index], weights[index]

    parts = [slice(0, 40), slice(40, 50), slice(50, 96)]
    return [(X, IGNORED, weights), Indexed(), [(X[n], IGNORED[n], weights[n]) for n in parts]]


@pytest.mark.parametrize("kind", [0, 1, 2])
@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), LOSSES["weights of classes"][0], LOSSES["a sum"][0]])
def test_weights_of_validation_samples_count(kind: int, loss: Any) -> None:
    """As those of training samples do, whatever the batches are; metrics are not weighted."""
    fastnn.manual_seed(2)
    model = nn.Sequential(nn.Linear(6, 3))
    trainer = Trainer(model, loss, optim.SGD(model.parameters(), lr=1e-3), seed=1)
    data = validations(WEIGHTS)[kind]
    history = trainer.fit((X, IGNORED), data, validation_batch_size=17, verbose=False)
    trainer.optimizer.param_groups[0]["lr"] = 0.0
    want = trainer.fit((X, IGNORED, WEIGHTS), batch_size=96, verbose=False)["loss"][-1]
    assert history["val_loss"][0] == pytest.approx(want, rel=1e-6)
    found = trainer.evaluate(data, batch_size=11)
    assert found["loss"] == pytest.approx(want, rel=1e-6)
    assert found["accuracy"] == trainer.evaluate((X, IGNORED))["accuracy"]


def test_weights_of_one_choose_nothing_else() -> None:
    trainer = train("ignored labels", True, 16, 1)
    data = X, form(True, IGNORED, X[:, :1])
    one, other = trainer.evaluate(data), trainer.evaluate((*data, np.ones(96)))
    assert one.keys() == other.keys() and all(one[key] == pytest.approx(other[key], rel=1e-6) for key in one)
