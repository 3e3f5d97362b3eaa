"""Parts of a Trainer in each other's places, classes, names and functions in the place of objects."""

from functools import partial
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.metrics import Accuracy
from fastnn.optim import lr_scheduler
from fastnn.training import EarlyStopping, Trainer

X = np.random.default_rng(0).standard_normal((16, 4)).astype(np.float32)
Y = np.arange(16) % 3


def parts() -> dict[str, Any]:
    """Return good arguments of a Trainer by name."""
    model = nn.Sequential(nn.Linear(4, 3))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    return {"model": model, "loss": nn.CrossEntropyLoss(), "optimizer": optimizer}


def test_a_part_in_the_place_of_another():
    good = parts()
    schedule, stop = lr_scheduler.StepLR(good["optimizer"], 3), EarlyStopping()
    for name, value, own in (
        ("model", good["loss"], "loss"),
        ("model", good["optimizer"], "optimizer"),
        ("loss", good["model"], "model"),
        ("loss", good["optimizer"], "optimizer"),
        ("loss", schedule, "scheduler"),
        ("optimizer", good["loss"], "loss"),
        ("optimizer", good["model"], "model"),
        ("scheduler", {"kind": "accuracy"}, "metrics"),
        ("scheduler", ["accuracy", "f1"], "metrics"),
        ("scheduler", Accuracy(), "metrics"),
        ("scheduler", [stop], "callbacks"),
        ("metrics", schedule, "scheduler"),
        ("metrics", [stop], "callbacks"),
        ("metrics", stop, "callbacks"),
        ("callbacks", ["accuracy"], "metrics"),
        ("callbacks", schedule, "scheduler"),
    ):
        sentence = rf"^{name}: got .*, which belongs to another argument, {own}; pass it as {own}="
        with pytest.raises(TypeError, match=sentence):
            Trainer(**good | {name: value})
        if own not in good:
            Trainer(**good | {own: [value] if value is stop else value})  # as the remedy says


CODE: tuple[tuple[str, Any, str], ...] = (
    ("optimizer", "adam", "fastnn.optim.Adam(model.parameters())"),
    ("optimizer", "RMSprop", "fastnn.optim.RMSprop(model.parameters())"),
    ("optimizer", optim.SGD, "SGD(model.parameters())"),
    ("optimizer", partial(optim.SGD, lr=0.5), "call it: optimizer(model.parameters())"),
    ("loss", "mse", "fastnn.nn.MSELoss()"),
    ("loss", "categorical_crossentropy", "fastnn.nn.CrossEntropyLoss()"),
    ("loss", "sparse_categorical_crossentropy", "fastnn.nn.CrossEntropyLoss()"),
    ("loss", "binary_crossentropy", "fastnn.nn.BCEWithLogitsLoss()"),
    ("loss", nn.CrossEntropyLoss, "CrossEntropyLoss()"),
)


@pytest.mark.parametrize(("name", "value", "code"), CODE)
def test_names_and_classes_have_a_remedy_that_runs(name, value, code):
    good = parts()
    with pytest.raises(TypeError, match=rf"^{name}: got ") as caught:
        Trainer(**good | {name: value})
    assert str(caught.value).endswith(code)
    names = {**vars(nn), **vars(optim), "fastnn": fastnn, "optimizer": value, "model": good["model"]}
    Trainer(**good | {name: eval(code.removeprefix("call it: "), names)})


def test_schedules_metrics_and_models_of_other_kinds():
    good = parts()
    for name, value, sentence in (
        ("scheduler", "cosine", r"got 'cosine', .*write fastnn\.optim\.lr_scheduler\.CosineAnnealingLR\(optimizer"),
        ("scheduler", "accuracy", r"got 'accuracy', want an object; for metrics pass metrics='accuracy'"),
        ("scheduler", lr_scheduler.StepLR, r"got the class StepLR, want an object; write StepLR\(optimizer, \.\.\.\)"),
        (
            "scheduler",
            partial(lr_scheduler.StepLR, step_size=3),
            r"got an object of partial, .*call it: scheduler\(",
        ),
        ("model", nn.Sequential, r"got the class Sequential, want an object; write Sequential\("),
        ("model", [nn.Linear(4, 3)], r"got list, want a fastnn\.nn\.Module; write fastnn\.nn\.Sequential\(\*layers\)"),
        ("model", None, r"got NoneType, want a fastnn\.nn\.Module"),
        ("model", lambda x: x, r"got function, want a fastnn\.nn\.Module"),
        ("metrics", 3, "got int, want names, metrics or functions"),
        ("metrics", {"accuracy", "f1"}, "got a set, want an ordered collection.*pass a list"),
        ("metrics", "acc", "got 'acc', want one of .*; write 'accuracy'$"),
        ("callbacks", 3, "got int, want a list of Callback objects"),
        ("callbacks", [EarlyStopping], r"got something else.*the class EarlyStopping.*write EarlyStopping\(\)"),
        ("loss", {"a": "mse"}, r"got 'mse', want an object; write fastnn\.nn\.MSELoss\(\)"),
    ):
        with pytest.raises((TypeError, ValueError), match=rf"^{name}: {sentence}"):
            Trainer(**good | {name: value})


def test_none_stands_for_no_callbacks():
    assert Trainer(**parts(), callbacks=None).callbacks == ()


def test_a_loss_of_ones_own_may_be_a_module():
    class Own(nn.Module):
        def __call__(self, output, target):  # type: ignore[override]
            return nn.CrossEntropyLoss()(output, target)

    trainer = Trainer(**parts() | {"loss": Own()})
    assert np.isfinite(trainer.fit((X, Y), verbose=False)["loss"]).all()


def test_parts_of_torch():
    torch = pytest.importorskip("torch")
    good, layer = parts(), torch.nn.Linear(4, 3)
    for name, value, error, sentence in (
        ("model", layer, TypeError, "model: got Linear, want a fastnn.nn.Module; a model of torch is trained in"),
        ("loss", torch.nn.MSELoss(), TypeError, r"loss: got torch's MSELoss, .*write fastnn\.nn\.MSELoss\(\)"),
        ("optimizer", torch.optim.SGD(layer.parameters(), lr=0.1), ValueError, "optimizer: got none of the model's"),
        ("optimizer", optim.SGD(layer.parameters(), lr=0.1), ValueError, "optimizer: got none of the model's"),
    ):
        with pytest.raises(error, match=f"^{sentence}"):
            Trainer(**good | {name: value})


def test_an_optimizer_of_the_models_arrays_trains_nothing_and_is_refused():
    good = parts()
    arrays = optim.SGD(good["model"].state_dict().values(), lr=0.1)
    with pytest.raises(ValueError, match=r"^optimizer: got none of the model's parameters, .*model\.parameters\(\)"):
        Trainer(**good | {"optimizer": arrays})
