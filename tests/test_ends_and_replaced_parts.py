"""What a limited fit leaves within an epoch; parts that are replaced between fits; directions that are none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_tasks import DATA, VALIDATION, make_model, make_trainer, plain

from fastnn import metrics, nn, optim
from fastnn.optim.lr_scheduler import StepLR
from fastnn.training import EMA, EarlyStopping, ModelCheckpoint, Trainer, load_checkpoint


def kept(directory: Path) -> Trainer:
    callbacks = [EMA(0.9), EarlyStopping("loss", patience=9), ModelCheckpoint(directory)]
    return make_trainer(make_model(p=0.2), callbacks=callbacks)


def weights(trainer: Trainer) -> Any:
    return np.concatenate([p.data.ravel() for p in trainer.model.parameters()])


@pytest.mark.parametrize(("limit", "step"), [({"max_steps": 23}, 23), ({"max_time": 1e-9}, 1)])
def test_a_limit_within_an_epoch_leaves_a_checkpoint(limit: Any, step: int, tmp_path: Path) -> None:
    """It has the trained weights, and the fit continues from it with the same bits."""
    pytest.importorskip("safetensors")
    whole = kept(tmp_path / "whole")
    whole.fit(DATA, VALIDATION, epochs=3, verbose=False)
    first = kept(tmp_path / "parts")
    first.fit(DATA, VALIDATION, epochs=3, verbose=False, **limit)
    last = first.callbacks[-1].last  # type: ignore[attr-defined]
    assert last.name == f"step-{step:08}.safetensors" and load_checkpoint(last)["loop"]["stopped"] is None
    again = kept(tmp_path / "parts")
    again.fit(DATA, VALIDATION, epochs=3, resume="latest", verbose=False)
    assert again.step == whole.step == 60 and (weights(again) == weights(whole)).all()
    assert again.history["val_loss"] == whole.history["val_loss"]


def test_the_line_of_an_epoch_that_ended_early(capsys: pytest.CaptureFixture[str]) -> None:
    trainer = make_trainer(plain())
    trainer.fit(DATA, epochs=9, max_steps=23)
    lines = capsys.readouterr().out.splitlines()
    assert [line[:9] for line in lines] == ["epoch 1/9", "epoch 2/9"]
    assert f"loss {trainer.history['loss'][1]:.4f}" in lines[1]


def test_a_schedule_of_an_optimizer_that_was_replaced() -> None:
    model = plain()
    first = optim.SGD(model.parameters(), lr=0.1)
    trainer = Trainer(model, nn.CrossEntropyLoss(), first, StepLR(first, 50))
    trainer.optimizer = optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"^scheduler: got one of another optimizer.*build it with that"):
        trainer.fit(DATA, verbose=False)
    trainer.scheduler = StepLR(trainer.optimizer, 50)
    trainer.fit(DATA, max_steps=1, verbose=False)


@pytest.mark.parametrize(
    ("callbacks", "sentence"), [([EarlyStopping], "got something else than a Callback"), (EMA(), "write .it.")]
)
def test_callbacks_that_are_set_are_checked(callbacks: Any, sentence: str) -> None:
    trainer = make_trainer(plain())
    trainer.callbacks = callbacks
    with pytest.raises(TypeError, match=rf"^callbacks: .*{sentence}"):
        trainer.fit(DATA, verbose=False)
    trainer.callbacks = [EarlyStopping("loss")]  # type: ignore[assignment]
    trainer.fit(DATA, verbose=False)


def function(output: Any, target: Any) -> float:
    return 0.0


class Own(metrics.Accuracy):
    better: Any = "minimize"


class Foreign:
    name, better = "foreign", "min "

    def update(self, output: Any, target: Any) -> None: ...
    def compute(self) -> float: ...
    def reset(self) -> None: ...


@pytest.mark.parametrize("metric", [function, Own(), Foreign()])
def test_a_direction_is_min_or_max(metric: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other word was taken for max."""
    monkeypatch.setattr(function, "better", "lower", raising=False)
    with pytest.raises(ValueError, match=r"^metrics: got '\w+' with better = '.*', want 'min', 'max' or None"):
        make_trainer(plain(), metrics=[metric])


def test_a_scorer_is_refused() -> None:
    sk = pytest.importorskip("sklearn.metrics")
    for scorer in (sk.get_scorer("f1_macro"), sk.make_scorer(sk.log_loss, greater_is_better=False)):
        with pytest.raises(TypeError, match=r"^metrics: got the scorer .*pass one of sklearn.metrics"):
            make_trainer(plain(), metrics=[scorer])
