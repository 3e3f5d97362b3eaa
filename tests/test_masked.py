"""Masked arrays are refused wherever an array is taken, before anything has changed; other subclasses are accepted.

tests/calls.py has masked arrays among its wrong ones, for all functions of fastnn.functional.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import data, diagnosis, init, metrics, nn, optim, plot, random, training
from fastnn import functional as F
from fastnn.checkpoint import file, packing
from fastnn.training import inspection

X = np.arange(1, 41, dtype=np.float32).reshape(10, 4) / 40
Y = np.arange(10) % 2
WEIGHTS = np.ones(2, np.float32)


def masked(array: Any) -> Any:
    """Return an array with the same memory and its first element masked."""
    array = np.asarray(array)
    mask = np.zeros(array.shape, bool)
    mask.flat[0] = True
    return np.ma.masked_array(array, mask)


MX, MY = masked(X.copy()), masked(Y.copy())


def parameter() -> nn.Parameter:
    """Return a parameter with a gradient."""
    p = nn.Parameter(np.ones(3, np.float32))
    p.grad = np.ones(3, np.float32)
    return p


def trainer() -> fastnn.Trainer:
    """Return a trainer of a small classifier."""
    model = nn.Sequential(nn.Linear(4, 2))
    return fastnn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters()))


def set_grad(grad: Any) -> None:
    """Assign a gradient."""
    parameter().grad = grad


def backward(layer: Any, x: Any = X) -> None:
    """Run a layer's closure on a masked gradient."""
    y, closure = layer(x)
    closure(masked(y))


def load_optimizer(value: Any) -> None:
    """Load a state dict with this exp_avg."""
    optimizer = optim.AdamW([np.ones(3, np.float32)])
    state = optimizer.state_dict()
    state["state"][0]["exp_avg"] = value
    optimizer.load_state_dict(state)


ONES = np.ones(3, np.float32)
DOORS: dict[str, tuple[str, Callable[[], Any]]] = {
    "Parameter": ("data", lambda: nn.Parameter(masked(ONES))),
    "Parameter.grad": ("grad", lambda: set_grad(masked(ONES))),
    "load_state_dict": ("bias", lambda: nn.Linear(4, 2).load_state_dict({"bias": masked(WEIGHTS)}, strict=False)),
    "Linear": ("x", lambda: nn.Linear(4, 2)(MX)),
    "Linear backward": ("dy", lambda: backward(nn.Linear(4, 2))),
    "BatchNorm1d": ("x", lambda: nn.BatchNorm1d(4)(MX)),
    "BatchNorm1d backward": ("dy", lambda: backward(nn.BatchNorm1d(4))),
    "LayerNorm": ("x", lambda: nn.LayerNorm(4)(MX)),
    "Dropout": ("x", lambda: nn.Dropout()(MX)),
    "Dropout in evaluation": ("x", lambda: nn.Dropout().eval()(MX)),
    "ReLU": ("x", lambda: nn.ReLU()(MX)),
    "Softmax": ("x", lambda: nn.Softmax()(MX)),
    "MaxPool2d": ("x", lambda: nn.MaxPool2d(2)(MX)),
    "Identity": ("x", lambda: nn.Identity()(MX)),
    "Flatten": ("x", lambda: nn.Flatten()(MX)),
    "Flatten backward": ("dy", lambda: backward(nn.Flatten())),
    "Sequential": (r"model\[0\] Linear\(.*\): x", lambda: nn.Sequential(nn.Linear(4, 2))(MX)),
    "CrossEntropyLoss weight": ("weight", lambda: nn.CrossEntropyLoss(masked(WEIGHTS))),
    "CrossEntropyLoss labels": ("labels", lambda: nn.CrossEntropyLoss()(X, MY)),
    "CrossEntropyLoss int32 labels": ("labels", lambda: nn.CrossEntropyLoss()(X, masked(Y.astype(np.int32)))),
    "CrossEntropyLoss counts": ("labels", lambda: nn.CrossEntropyLoss().counts(MY)),
    "nll_loss labels": ("target", lambda: F.nll_loss(X, masked(Y.astype(np.uint8)))),
    "optimizer parameters": (r"params\[0\]", lambda: optim.SGD([masked(ONES)])),
    "optimizer gradients": (r"params\[0\]\.grad", lambda: optim.SGD([ONES.copy()]).step([masked(ONES)])),
    "optimizer state": (r"exp_avg of params\[0\]", lambda: load_optimizer(masked(ONES))),
    "clip_grad_norm_": (r"parameters\[0\]", lambda: optim.clip_grad_norm_([masked(ONES)], 1.0)),
    "clip_grad_norm_, p = 1": (r"parameters\[0\]", lambda: optim.clip_grad_norm_([masked(ONES)], 1.0, 1)),
    "clip_grad_value_": (r"parameters\[0\]", lambda: optim.clip_grad_value_([masked(ONES)], 1.0)),
    "fit x": ("train x", lambda: trainer().fit((MX, Y))),
    "fit y": ("train y", lambda: trainer().fit((X, MY))),
    "fit validation": ("validation x", lambda: trainer().fit((X, Y), (MX, Y))),
    "fit sample_weight": ("sample_weight", lambda: trainer().fit((X, Y), sample_weight=masked(np.ones(10)))),
    "fit class_weight": ("class_weight", lambda: trainer().fit((X, Y), class_weight=masked(WEIGHTS))),
    "lr_find": ("train x", lambda: trainer().lr_find((MX, Y))),
    "evaluate": ("data y", lambda: trainer().evaluate((X, MY))),
    "predict": ("x", lambda: trainer().predict(MX)),
    "metric output": ("output", lambda: metrics.Accuracy().update(masked(X), Y)),
    "metric target": ("target", lambda: metrics.Accuracy().update(X, MY)),
    "Normalize.fit": ("x", lambda: data.Normalize(4).fit(MX)),
    "Normalize.transform": ("x", lambda: data.Normalize(4).fit(X).transform(MX)),
    "Normalize.inverse_transform": ("x", lambda: data.Normalize(4).fit(X).inverse_transform(MX)),
    "Normalize backward": ("dy", lambda: backward(data.Normalize(4).fit(X))),
    "train_test_split x": ("x", lambda: data.train_test_split(MX, Y)),
    "train_test_split y": ("y", lambda: data.train_test_split(X, MY)),
    "train_validation_test_split": ("x", lambda: data.train_validation_test_split(MX, Y)),
    "KFold": ("x", lambda: data.KFold().split(MX)),
    "StratifiedKFold": ("y", lambda: data.StratifiedKFold().split(X, MY)),
    "cross_validate": ("x", lambda: data.cross_validate(lambda fold: trainer(), (MX, Y))),
    "overfit_one_batch": ("batch x", lambda: diagnosis.overfit_one_batch(trainer(), (MX, Y))),
    "check_gradients": ("batch x", lambda: diagnosis.check_gradients(nn.Linear(4, 2), nn.CrossEntropyLoss(), (MX, Y))),
    "histogram": ("values", lambda: inspection.histogram(MX)),
    "largest_errors": ("labels", lambda: inspection.largest_errors(MY, X, 2)),
    "init.report": ("batch", lambda: init.report(nn.Sequential(nn.Linear(4, 2)), MX)),
    "init.report dy": ("dy", lambda: init.report(nn.Sequential(nn.Identity()), X, MX)),
    "random.integers_": ("tensor", lambda: random.integers_(MY, 5)),
    "plot.confusion_matrix": ("labels", lambda: plot.confusion_matrix(MY, Y)),
    "plot.confusion_matrix, predictions": ("predictions", lambda: plot.confusion_matrix(Y, MY)),
    "plot.predictions": ("x", lambda: plot.predictions(MX, Y, X)),
    "plot.predictions, probabilities": ("probabilities", lambda: plot.predictions(X, Y, MX)),
    "plot.learning_curves": ("loss", lambda: plot.learning_curves({"loss": masked(np.ones(5))})),
    "plot.schedule": ("scheduler_or_history", lambda: plot.schedule(MX)),
    "largest_errors, probabilities": ("probabilities", lambda: inspection.largest_errors(Y, MX, 2)),
    "pack": ("a/b", lambda: packing.pack({"a": {"b": MX}})),
    "in_c_order": ("a", lambda: file.in_c_order({"a": MX})),
    "save_checkpoint": ("a/b", lambda: training.save_checkpoint("unused.safetensors", {"a": {"b": MX}})),
} | {
    f"init.{name}": ("tensor", lambda name=name, more=more: getattr(init, name)(masked(X), *more))
    for name in init.__all__
    if name.endswith("_")
    for more in [{"constant_": (1.0,), "sparse_": (0.5,)}.get(name, ())]
} | {
    f"random.{name}": ("tensor", lambda name=name: getattr(random, name)(masked(X)))
    for name in ("uniform_", "normal_", "trunc_normal_", "bernoulli_", "exponential_")
}  # fmt: skip


@pytest.mark.parametrize("door", DOORS)
def test_masked_arrays_are_refused(door: str) -> None:
    """The error names the argument and the remedy; the array and the random stream are as before."""
    name, call = DOORS[door]
    before, state = X.copy(), random.default_generator.state
    remedy = r"pass its \.filled\(value\) or, for the valid elements, \.compressed\(\)"
    with pytest.raises(TypeError, match=f"^({name}): got a masked array, want an array without a mask; {remedy}"):
        call()
    assert (before == X).all() and (ONES == 1).all()
    if door.startswith(("init.", "random.")) and door.endswith("_"):
        assert random.default_generator.state == state


def test_a_mask_that_comes_later_is_seen() -> None:
    """A masked gradient over the memory of the last step's gradient is refused, too."""
    param, grad = np.ones(3, np.float32), np.ones(3, np.float32)
    optimizer = optim.SGD([param], lr=0.5)
    optimizer.step([grad])
    with pytest.raises(TypeError, match="got a masked array"):
        optimizer.step([masked(grad)])
    assert (param == 0.5).all()


def test_the_remedies_work() -> None:
    """Both remedies give arrays that are taken."""
    assert F.relu(MX.filled(0)).shape == (10, 4)
    assert F.relu(MX.compressed()).shape == (39,)


class Tagged(np.ndarray):
    """A subclass of ndarray with no mask."""


@pytest.mark.parametrize("kind", ["memmap", "subclass"])
def test_other_subclasses_are_accepted(kind: str, room: Path) -> None:
    """Memory maps and other subclasses are used in place."""
    if kind == "memmap":
        w: Any = np.memmap(room / "w", np.float32, "w+", shape=(3,))
    else:
        w = np.zeros(3, np.float32).view(Tagged)
    w[:] = 1
    parameter = nn.Parameter(w)
    optimizer = optim.SGD([parameter, x := X.copy().view(type(w))], lr=0.5)
    for _ in range(2):
        optimizer.step([w.copy(), x.copy()])
    assert parameter.data is w and (w == 0.25).all() and (x == X / 4).all()
    assert nn.Linear(4, 2)(x)[0].shape == (10, 2) and init.ones_(w) is w
