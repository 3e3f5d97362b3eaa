"""Arguments of a wrong kind, which Python would take or refuse without a word of which argument it is."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import metrics, nn, optim
from fastnn.metrics.named import NAMED, named
from fastnn.training import (
    Callback,
    CSVLogger,
    ModelCheckpoint,
    TensorBoard,
    Trainer,
    load_checkpoint,
    save_checkpoint,
)

X = np.random.default_rng(0).standard_normal((32, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0)


def trainer(**options: Any) -> Trainer:
    """Return a trainer of one layer."""
    model = nn.Sequential(nn.Linear(4, 3))
    return Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1), **options)


def test_words_and_numbers_are_no_flags():
    for make, name in (
        (lambda v: nn.Linear(4, 3, v), "bias"),  # as with Keras, whose third argument is the activation
        (lambda v: nn.BatchNorm1d(4, affine=v), "affine"),
        (lambda v: nn.BatchNorm1d(4, track_running_stats=v), "track_running_stats"),
        (lambda v: nn.LayerNorm(4, elementwise_affine=v), "elementwise_affine"),
        (lambda v: nn.LayerNorm(4, bias=v), "bias"),
    ):
        for value in ("relu", "no", 0, None):
            with pytest.raises(TypeError, match=rf"^{name}: got {value!r}, want True or False"):
                make(value)
        make(True), make(False)


def test_paths():
    for call, name in (
        (lambda v: trainer().save(v), "path"),
        (lambda v: fastnn.save(nn.Linear(2, 2), v), "path"),
        (Trainer.load, "path"),
        (fastnn.load, "path"),
        (load_checkpoint, "path"),
        (lambda v: save_checkpoint(v, {}), "path"),
        (ModelCheckpoint, "directory"),
        (CSVLogger, "path"),
        (TensorBoard, "log_dir"),
    ):
        for value in (3, None):
            with pytest.raises(TypeError, match=rf"^{name}: got {value!r}, want a path, a str or a pathlib\.Path$"):
                call(value)
        with pytest.raises(TypeError, match=rf"^{name}: got b'a', want a path, .*; pass os\.fsdecode\(it\)"):
            call(b"a")


def test_states_of_modules():
    layer = nn.Linear(2, 2)
    for value, sentence in (
        ("a.safetensors", "got str, .*read the file first"),
        (Path("a"), "got PosixPath, .*read the file first"),
        (nn.Linear(2, 2), r"got Linear, .*pass its state_dict\(\)"),
        (list(layer.state_dict().items()), r"got list, .*pass dict\(it\)"),
        (None, "got NoneType, want a dict"),
    ):
        with pytest.raises(TypeError, match=f"^state: {sentence}"):
            layer.load_state_dict(value)
    doubles = {name: array.astype(np.float64) for name, array in layer.state_dict().items()}
    with pytest.raises(TypeError, match=r"^weight: got float64, .*convert it with np\.asarray\(weight, np\.float32\)$"):
        layer.load_state_dict(doubles)
    layer.load_state_dict({name: np.asarray(value, np.float32) for name, value in doubles.items()})
    layer.load_state_dict(dict(list(layer.state_dict().items())))


def test_parameters_of_optimizers():
    model = nn.Sequential(nn.Linear(2, 2))
    for params, sentence in (
        (model, r"params: got the model, Sequential, want its parameters; pass model\.parameters\(\)"),
        (model.parameters, r"params: got a function, .*call it, as in model\.parameters\(\)"),
        (
            model.state_dict(),
            r"params: got a dict of \['0\.weight', '0\.bias'\] among groups, .*pass model\.parameters",
        ),
        ([], r"params: got an empty list, .*only once, and an array in a layer is trained only as a fastnn\.nn\.Param"),
    ):
        with pytest.raises((TypeError, ValueError), match=f"^{sentence}"):
            optim.SGD(params, lr=0.1)
    for kind, given, want in ((optim.SGD, "learning_rate", "lr"), (optim.AdamW, "decay", "weight_decay")):
        with pytest.raises(TypeError, match=rf"got unknown arguments \['{given}'\], want {want}, see help"):
            kind(model.parameters(), **{given: 0.1})


class Epochs(Callback):
    """A callback as with Keras."""

    def on_epoch_end(self, epoch, logs=None):
        pass


class Fewer(Callback):
    def on_batch_end(self):
        pass


class More(Callback):
    def on_epoch_end(self, trainer, logs):
        pass


class Unknown(Callback):
    def on_train_begin(self, trainer):
        pass


class Far(Callback):
    def on_zzz(self, trainer):
        pass


class Own(Callback):
    on_target = 3  # no method

    def on_epoch_end(self, *trainer, **options):
        pass


def test_hooks():
    for kind, hook in ((Fewer, "on_batch_end"), (More, "on_epoch_end")):
        with pytest.raises(
            TypeError, match=rf"^callbacks: got {kind.__name__}\.{hook}\(.*define it as def {hook}\(self"
        ):
            trainer(callbacks=[kind()])
    with pytest.warns(UserWarning, match=r"^callbacks: Unknown\.on_train_begin is no hook .*; call it on_fit_start"):
        trainer(callbacks=[Unknown()])
    with pytest.warns(UserWarning, match=r"^callbacks: Far\.on_zzz is no hook .*; the hooks are on_fit_start, "):
        trainer(callbacks=[Far()])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer(callbacks=[Own(), Epochs()])  # can be called with the trainer


def value_of(name: str, output: Any, target: Any) -> float:
    """Return a metric of one batch."""
    metric = NAMED[name]()
    metric.update(output, target)
    return metric.compute()


@pytest.mark.parametrize("name", ["mse", "mae", "rmse", "r2"])
def test_metrics_of_numbers_broadcast_nothing(name):
    column = X[:, :1]
    right = value_of(name, column, column + 1)
    assert right == value_of(name, column[:, 0], column[:, 0] + 1)
    assert right == value_of(name, column, column[:, 0] + 1) == value_of(name, column[:, 0], column + 1)
    assert right == value_of(name, column.tolist(), (column + 1).tolist())
    for output, target in ((X[:, :2], column), (column, X[:, :2]), (column, column[:5]), (column[:, 0], column[:1])):
        with pytest.raises(
            ValueError, match=r"^target: got shape .*, want .* like the outputs, since nothing is broad"
        ):
            value_of(name, output, target)


@pytest.mark.parametrize("name", [name for name in NAMED if name not in ("mse", "mae", "rmse", "r2")])
def test_metrics_of_classes_take_lists_and_no_other_shapes(name):
    logits = X[:, :3].copy()
    assert value_of(name, logits.tolist(), Y.tolist()) == pytest.approx(value_of(name, logits, Y), rel=1e-6)
    for output, target in ((logits, Y[:, None]), (logits, Y[:5]), (Y, logits), (logits[:5], Y)):
        with pytest.raises(ValueError, match=r"^target: got shape .* for outputs of .*, want a label for each row"):
            value_of(name, output, target)
    assert isinstance(named(name)[name], metrics.Metric)
