"""Functions of scikit-learn under other names, and those that cannot measure a loss's task."""

import functools
from typing import Any

import numpy as np
import pytest
from training_tasks import DATA, VALIDATION, make_trainer, plain

from fastnn import nn
from fastnn.metrics import FunctionMetric

sk = pytest.importorskip("sklearn.metrics")
AUC = functools.partial(sk.roc_auc_score, multi_class="ovr")


def renamed(function: Any, name: str) -> Any:
    copy = functools.partial(function)
    copy.__name__ = name  # type: ignore[attr-defined]
    return copy


@pytest.mark.parametrize("metrics", [{"auc": AUC}, [renamed(AUC, "auc")]])
def test_probabilities_whatever_it_is_called(metrics: Any) -> None:
    trainer = make_trainer(plain(), metrics=metrics)
    history = trainer.fit(DATA, VALIDATION, verbose=False)
    want = sk.roc_auc_score(VALIDATION[1], trainer.predict_proba(VALIDATION[0]), multi_class="ovr")
    assert history["val_auc"][-1] == pytest.approx(want, abs=1e-6)
    assert history.best_epoch("val_auc") == 1


@pytest.mark.parametrize(("function", "better"), [(sk.f1_score, "max"), (sk.max_error, "min"), (sk.log_loss, "min")])
def test_the_direction_stays(function: Any, better: str) -> None:
    assert FunctionMetric(renamed(function, "mine")).better == better


@pytest.mark.parametrize(
    ("function", "loss", "outputs", "y", "sentence"),
    [
        (sk.precision_score, nn.CrossEntropyLoss(), 4, DATA[1], "average='binary'.*functools.partial"),
        (sk.roc_auc_score, nn.CrossEntropyLoss(), 4, DATA[1], "multi_class must be in.*functools.partial"),
        (sk.accuracy_score, nn.MSELoss(), 1, DATA[0][:, :1], "continuous is not supported; .*another metric"),
        (sk.mean_gamma_deviance, nn.BCEWithLogitsLoss(), 1, DATA[1][:, None] % 2, "strictly positive"),
    ],
)
def test_what_fits_no_samples_is_refused_at_once(function: Any, loss: Any, outputs: int, y: Any, sentence: str) -> None:
    model = nn.Sequential(nn.Linear(10, outputs))
    trainer = make_trainer(model, loss=loss, metrics=[function])
    with pytest.raises(ValueError, match=rf"^metrics: got '{function.__name__}' for a loss of the task .*{sentence}"):
        trainer.fit((DATA[0], np.ascontiguousarray(y, np.float32 if outputs == 1 else np.int64)), verbose=False)
    assert trainer.step == 0


def test_the_remedy_works() -> None:
    precision = functools.partial(sk.precision_score, average="macro", zero_division=0)
    history = make_trainer(plain(), metrics=[precision, AUC]).fit(DATA, verbose=False)
    assert history["precision_score"][0] > 0.2 and history["roc_auc_score"][0] > 0.2


def test_a_first_batch_without_every_class() -> None:
    """What only needs more samples is not refused."""
    order = DATA[1].argsort(kind="stable")
    history = make_trainer(plain(), metrics=[AUC]).fit((DATA[0][order], DATA[1][order]), verbose=False)
    assert history["roc_auc_score"][0] > 0.2
