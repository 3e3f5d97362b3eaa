"""Epochs that end before their last batch are recorded, and continue with the same bits."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_tasks import DATA, VALIDATION, make_model, make_trainer

from fastnn import nn
from fastnn.training import Callback, EarlyStopping, StopTraining, Trainer, save_checkpoint

EPOCH = 20
"""Optimizer steps of an epoch with batches of 32."""


class At(Callback):
    """Calls a function at a hook, once."""

    def __init__(self, hook: str, function: Any, step: int) -> None:
        self.function, self.step = function, step
        setattr(self, hook, self.meet)

    def meet(self, trainer: Any) -> None:
        if trainer.step >= self.step:
            self.step = 10**9
            self.function()


def throw(error: BaseException) -> Any:
    def function() -> None:
        raise error

    return function


def endless() -> Any:
    order = np.random.default_rng(1)
    while True:
        index = order.integers(0, len(DATA[0]), 32)
        yield DATA[0][index], DATA[1][index]


def trained(**options: Any) -> Trainer:
    return make_trainer(make_model(p=0.2), **options)


def test_steps_of_an_endless_stream() -> None:
    trainer = trained()
    history = trainer.fit(endless(), epochs=None, max_steps=5, verbose=False)
    assert list(history) == ["loss", "accuracy", "lr", "seconds"] and {len(v) for v in history.values()} == {1}
    assert (
        history["loss"][0] == pytest.approx(np.mean(history.steps["loss"]))
        and trainer.logs["loss"] == history["loss"][0]
    )
    assert 0 < history["accuracy"][0] < 1 and history["lr"] == [1e-2] and trainer.epoch == 1


@pytest.mark.parametrize("error", [StopTraining("x"), KeyboardInterrupt(), RuntimeError("x")])
@pytest.mark.parametrize(("hook", "step", "epoch"), [
    ("on_batch_end", 7, 1), ("on_batches_end", EPOCH, 1), ("on_batch_start", EPOCH + 3, 2),
    ("on_epoch_start", EPOCH, 1), ("on_backward_end", EPOCH, 1), ("on_epoch_end", 2 * EPOCH, 2),
])  # fmt: skip
def test_epochs_are_numbered_as_records_are(hook: str, step: int, epoch: int, error: BaseException) -> None:
    """However an epoch ends; one that has no batch is none."""
    stopping = EarlyStopping(patience=99)
    trainer = trained(callbacks=[At(hook, throw(error), step), stopping])
    try:
        trainer.fit(DATA, VALIDATION, epochs=3, verbose=False)
    except RuntimeError as raised:
        assert raised is error
    assert trainer.epoch == len(trainer.history["loss"]) == epoch
    trainer.fit(DATA, VALIDATION, epochs=2, verbose=False)
    assert trainer.epoch == epoch + 2 and {len(v) for v in trainer.history.values()} == {epoch + 2}
    losses = trainer.history["val_loss"]
    assert losses[stopping.best_epoch - 1] == stopping.best == min(losses[epoch:])


def test_the_last_validation_within_the_epoch() -> None:
    trainer = trained(val_check_interval=3, accumulate_grad_batches=2)
    history = trainer.fit(DATA, VALIDATION, epochs=None, max_steps=5, verbose=False)
    assert history["val_loss"] == history.validations["val_loss"][-1:] and len(history.validations["step"]) > 1
    trainer.fit(DATA, VALIDATION, epochs=None, max_steps=1, verbose=False)
    assert np.isnan(history["val_loss"][1]) and np.isfinite(history["loss"][1])


def test_a_window_that_has_not_ended() -> None:
    trainer = trained(accumulate_grad_batches=8, callbacks=[At("on_batch_end", throw(StopTraining()), 0)])
    history = trainer.fit(DATA, verbose=False)
    assert trainer.step == 0 and history["lr"] == [1e-2] and np.isfinite(history["loss"][0])


def test_a_metric_that_needs_more_samples_ends_no_fit() -> None:
    def picky(output: Any, target: Any) -> float:
        if 32 < len(output) < len(DATA[0]):
            raise ValueError("want all samples")
        return 1.0

    trainer = trained(metrics=[picky])
    history = trainer.fit(DATA, max_steps=5, verbose=False)
    assert history["loss"] and np.isnan(history["picky"]).tolist() == [True]


@pytest.mark.parametrize("step", [3, EPOCH, EPOCH + 1])
@pytest.mark.parametrize("limit", ["max_steps", "Ctrl-C"])
@pytest.mark.parametrize("validation", [None, VALIDATION])
def test_a_fit_that_was_limited_continues(step: int, limit: str, validation: Any, tmp_path: Path) -> None:
    """From the state after it, with the bits of one that was not."""
    whole, path = trained(), tmp_path / "c.safetensors"
    whole.fit(DATA, validation, epochs=3, verbose=False)
    first = trained(callbacks=[At("on_batch_end", throw(KeyboardInterrupt()), step)] if limit == "Ctrl-C" else [])
    first.fit(DATA, validation, epochs=3, max_steps=step if limit == "max_steps" else None, verbose=False)
    assert first.stopped and len(first.history["loss"]) == -(-step // EPOCH)
    save_checkpoint(path, first.capture())
    again = trained()
    again.fit(DATA, validation, epochs=3, resume=path, verbose=False)
    assert again.stopped is None and list(again.history) == list(whole.history)
    one, other = ({k: v for k, v in t.history.items() if k != "seconds"} for t in (whole, again))
    assert one == other and whole.history.steps == again.history.steps and again.epoch == 3
    for name, array in whole.model.state_dict().items():
        assert (array == again.model.state_dict()[name]).all()


def test_a_refused_fit_after_a_partial_one_changes_nothing() -> None:
    trainer = trained()
    trainer.fit(DATA, max_steps=3, verbose=False)
    before, epoch = trainer.history.state_dict()["epochs"], trainer.epoch
    trainer.loss = lambda output, target: nn.CrossEntropyLoss()(output, target)[0]
    for _ in range(2):
        with pytest.raises(TypeError, match=r"want .loss, gradient"):
            trainer.fit(DATA, verbose=False)
        after = trainer.history.state_dict()["epochs"]
        assert {k: v.tolist() for k, v in before.items()} == {k: v.tolist() for k, v in after.items()}
        assert trainer.epoch == epoch
