"""What one set of data says of metrics and classes is not taken for the next."""

from typing import Any

import numpy as np
import pytest
from training_tasks import DATA, VALIDATION, make_trainer, plain

from fastnn import nn, optim
from fastnn.training import Callback


def own(output: Any, target: Any) -> tuple[float, Any]:
    """A loss that names no task, for labels or one-hot rows."""
    labels = target if target.ndim == 1 else target.argmax(axis=1)
    return nn.CrossEntropyLoss()(output, labels)


HOT = DATA[0], np.eye(5, dtype=np.float32)[DATA[1]]
"""Rows of another width than the outputs, which no accuracy fits."""


@pytest.mark.parametrize("how", ["evaluate", "fit", "refused"])
def test_an_automatic_metric_that_did_not_fit_other_data(how: str) -> None:
    trainer = make_trainer(plain(), loss=own)
    if how == "evaluate":
        assert list(trainer.evaluate(HOT)) == ["loss"]
    elif how == "fit":
        assert "accuracy" not in trainer.fit(HOT, verbose=False)
    else:
        with pytest.raises(ValueError, match=r"^validation x"):
            trainer.fit(HOT, (DATA[0][:, :3], DATA[1]))
    assert {"accuracy", "val_accuracy"} <= trainer.fit(DATA, VALIDATION, verbose=False).keys()


def test_other_data_within_a_fit() -> None:
    class Look(Callback):
        def on_batch_end(self, trainer: Any) -> None:
            assert list(trainer.evaluate((DATA[0][:8], DATA[1][:8]))) == ["loss"]

    trainer = make_trainer(plain(), loss=own, callbacks=[Look()])
    assert "accuracy" not in trainer.fit((HOT[0][:64], HOT[1][:64]), verbose=False)
    trainer.callbacks = ()
    assert "accuracy" in trainer.fit(DATA, verbose=False)


def test_a_metric_that_was_taken_away_stays_away() -> None:
    trainer = make_trainer(plain(), loss=own)
    trainer.evaluate(HOT)
    trainer.metrics = ()
    assert "accuracy" not in trainer.fit(DATA, verbose=False)


@pytest.mark.parametrize("weights", ["balanced", [1.0, 2.0, 3.0, 4.0]])
@pytest.mark.parametrize("ignored", [-100, 255])
def test_ignored_labels_are_of_no_class(ignored: int, weights: Any) -> None:
    """Neither for balanced weights nor for the number of classes."""
    y = DATA[1].copy()
    y[:200:2] = ignored
    counted = y[y != ignored]
    want = dict(enumerate(len(counted) / (4 * np.bincount(counted)) if weights == "balanced" else weights))
    left = []
    for given in (weights, want):
        model = plain()
        loss = nn.CrossEntropyLoss(reduction="sum", ignore_index=ignored)
        trainer = make_trainer(model, loss=loss, optimizer=optim.SGD, lr=1e-3)
        trainer.fit((DATA[0], y), class_weight=given, verbose=False)
        left.append(model[0].weight.data)
    np.testing.assert_array_equal(*left)
