"""Every integer argument accepts NumPy's integers and all objects with `__index__`, but not bools."""

import importlib
import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import data, init, nn, optim, random
from fastnn import functional as F
from fastnn.optim import lr_scheduler as lr
from fastnn.training import (
    EMA,
    SWA,
    EarlyStopping,
    Freeze,
    ModelCheckpoint,
    TensorBoard,
    TimingMonitor,
    Trainer,
    check_gradients,
    diagnose,
    learning_ladder,
    overfit_one_batch,
    overfit_one_sample,
    progressive_unfreezing,
)

Call = Callable[[Any], Any]


class Index:
    """An object with `__index__` and nothing else."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


KINDS = {"int64": np.int64, "int16": np.int16, "uint64": np.uint64, "index": Index}

X = np.random.default_rng(0).standard_normal((6, 8)).astype(np.float32)
IMAGES = np.random.default_rng(1).standard_normal((2, 4, 6, 6)).astype(np.float32)
LABELS = np.arange(6) % 2
POOLED, PLACES = F.max_pool2d(IMAGES, 2, return_indices=True)
GROUPED, MEAN, RSTD = F.group_norm(IMAGES, 2, return_stats=True)
DIRECTION, NORM = F.weight_norm(X, np.ones((6, 1), np.float32), 0, return_norm=True)


def sgd() -> optim.SGD:
    """Return an optimizer for schedules."""
    return optim.SGD([np.ones(2, np.float32)], lr=0.1, momentum=0.9)


def resumed(make: Callable[[optim.SGD], Any]) -> Any:
    """Return a schedule on groups that have had a schedule before."""
    optimizer = sgd()
    lr.StepLR(optimizer, 1)
    return make(optimizer)


def trainer(**options: Any) -> Trainer:
    """Return a trainer of a small network."""
    model = nn.Sequential(nn.Linear(8, 2, generator=0))
    return Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters()), **{"seed": 0, **options})


HISTORY = trainer().fit((X, LABELS), epochs=1, verbose=False)


def fitted(**options: Any) -> Any:
    """Return the predictions and the configuration after a short training run."""
    made = trainer(**{key: options.pop(key) for key in {*options} - {"epochs", "batch_size"}})
    made.fit((X, LABELS), (X, LABELS), verbose=False, **{"epochs": 1, "batch_size": 2, **options})
    return [made.predict(X), made.capture()["configuration"]]


class Learner:
    """A learner for cross_validate."""

    def fit(self, *_: Any) -> None:
        """Do nothing."""

    def evaluate(self, _: Any) -> dict[str, float]:
        """Return a score."""
        return {"score": 1.0}


def drawing(function: Callable[..., Any]) -> tuple[Call, int]:
    """Return a call of a fill with a seed, and a seed."""
    return lambda i: function(np.ones((4, 3), np.float32), generator=i), 3


def integer_arguments(function: Callable[..., Any]) -> list[str]:
    """Return the arguments that may be integers, by their annotations."""
    parameters = inspect.signature(function).parameters.values()
    kinds = {p.name: str(p.annotation) for p in parameters}
    return [
        name
        for name, kind in kinds.items()
        if re.search(r"\bint\b|SupportsIndex", kind) and not re.search("Callable|Mapping|ndarray", kind)
    ]


SCHEDULES: dict[str, dict[str, Any]] = {
    "ConstantLR": {},
    "CosineAnnealingLR": {"T_max": 4},
    "CosineAnnealingWarmRestarts": {"T_0": 4},
    "CyclicLR": {"base_lr": 0.1, "max_lr": 0.2},
    "ExponentialLR": {"gamma": 0.9},
    "InverseSqrtLR": {"warmup_steps": 4},
    "InverseTimeLR": {"rate": 0.1},
    "LambdaLR": {"lr_lambda": lambda _: 1.0},
    "LinearLR": {},
    "ManualLR": {"table": {1: 0.1}},
    "MultiStepLR": {"milestones": [2]},
    "OneCycleLR": {"max_lr": 0.1, "epochs": 3, "steps_per_epoch": 3},
    "PolynomialLR": {},
    "ReduceLROnPlateau": {},
    "StepLR": {"step_size": 2},
    "warmup_cosine": {"warmup_steps": 2, "total_steps": 5},
}
"""The required arguments of each schedule besides the optimizer."""


def scheduled(name: str, argument: str) -> tuple[Call, int]:
    """Return a call that makes a schedule with one of its arguments, and a value."""
    make, needed = getattr(lr, name), SCHEDULES[name]
    many = argument == "milestones"
    return lambda i: resumed(lambda o: make(o, **{**needed, argument: [i, i] if many else i})), 3


def sequential(optimizer: optim.SGD, milestone: Any = 2, last_epoch: Any = -1) -> lr.LRScheduler:
    """Return two schedules, one after the other."""
    parts = [lr.StepLR(optimizer, 2), lr.ExponentialLR(optimizer, 0.5)]
    return lr.SequentialLR(optimizer, parts, [milestone], last_epoch)


# The table: "module.function": {argument: (call, value)}. Functions and classes must be listed, methods may be.
TABLE: dict[str, dict[str, tuple[Call, int]]] = {
    "fastnn.Generator": {
        "seed": (lambda i: random.Generator(i).state, 3),
        "stream": (lambda i: random.Generator(1, i).state, 3),
    },
    "fastnn.Generator.advance": {"n": (lambda i: random.Generator(1).advance(i).state, 3)},
    "fastnn.Generator.random_raw": {"n": (lambda i: random.Generator(1).random_raw(i), 3)},
    "fastnn.Generator.reserve": {
        "words": (lambda i: random.Generator(1).reserve(i), 3),
        "align": (lambda i: random.Generator(1).reserve(3, i), 3),
    },
    "fastnn.Generator.spawn": {"n": (lambda i: [g.state for g in random.Generator(1).spawn(i)], 3)},
    "fastnn.manual_seed": {"seed": (lambda i: random.manual_seed(i).state, 3)},
    "fastnn.set_cache_limit": {"bytes": (lambda i: fastnn.set_cache_limit(i), 2**14)},
    "fastnn.set_num_threads": {"n": (lambda i: fastnn.set_num_threads(i), 2)},
    "functional.alpha_dropout": {"generator": (lambda i: F.alpha_dropout(X, generator=i), 3)},
    "functional.linear": {"generator": (lambda i: F.linear(X, X, None, "relu", p=0.5, generator=i), 3)},
    "functional.bias_activation": {"generator": (lambda i: F.bias_activation(X, None, "relu", p=0.5, generator=i), 3)},
    "functional.dropout": {"generator": (lambda i: F.dropout(X, generator=i), 3)},
    "functional.dropout2d": {"generator": (lambda i: F.dropout2d(IMAGES, generator=i), 3)},
    "functional.dropout_add_layer_norm": {
        "normalized_shape": (lambda i: F.dropout_add_layer_norm(X, X, i), 8),
        "generator": (lambda i: F.dropout_add_layer_norm(X, X, 8, p=0.5, generator=i), 3),
    },
    "functional.group_norm": {"num_groups": (lambda i: F.group_norm(IMAGES, i), 2)},
    "functional.group_norm_backward": {
        "num_groups": (lambda i: F.group_norm_backward(IMAGES, IMAGES, i, None, MEAN, RSTD), 2)
    },
    "functional.layer_norm": {"normalized_shape": (lambda i: [F.layer_norm(X, i), F.layer_norm(X, (i,))], 8)},
    "functional.rms_norm": {"normalized_shape": (lambda i: [F.rms_norm(X, i), F.rms_norm(X, [i])], 8)},
    "functional.softmax": {"dim": (lambda i: F.softmax(X, i), 0)},
    "functional.softmax_backward": {"dim": (lambda i: F.softmax_backward(X, X, i), -2)},
    "functional.log_softmax": {"dim": (lambda i: F.log_softmax(X, i), 0)},
    "functional.log_softmax_backward": {"dim": (lambda i: F.log_softmax_backward(X, X, i), 0)},
    "functional.max_pool2d": {
        "kernel_size": (lambda i: F.max_pool2d(IMAGES, i), 2),
        "stride": (lambda i: F.max_pool2d(IMAGES, 2, (i, i)), 2),
        "padding": (lambda i: F.max_pool2d(IMAGES, 2, padding=i), 1),
    },
    "functional.max_pool2d_backward": {
        "input_size": (lambda i: F.max_pool2d_backward(POOLED, PLACES, (2, 4, i, i), 2), 6),
        "kernel_size": (lambda i: F.max_pool2d_backward(POOLED, PLACES, IMAGES.shape, i), 2),
        "stride": (lambda i: F.max_pool2d_backward(POOLED, PLACES, IMAGES.shape, 2, i), 2),
        "padding": (lambda i: F.max_pool2d_backward(POOLED, PLACES, IMAGES.shape, 2, padding=i), 0),
    },
    "functional.nll_loss": {"ignore_index": (lambda i: F.nll_loss(X, LABELS, ignore_index=i), 1)},
    "functional.softmax_cross_entropy": {
        "ignore_index": (lambda i: F.softmax_cross_entropy(X, LABELS, ignore_index=i), 1)
    },
    "functional.weight_norm": {"dim": (lambda i: F.weight_norm(X, np.ones((6, 1), np.float32), i), 0)},
    "functional.weight_norm_backward": {
        "dim": (lambda i: F.weight_norm_backward(X, X, np.ones((6, 1), np.float32), NORM, i), 0)
    },
    "random.as_generator": {"generator": (lambda i: random.as_generator(i).state, 3)},
    "random.integers_": {
        "low": (lambda i: random.integers_(np.empty(9, np.int64), i, 9, generator=1), -3),
        "high": (lambda i: random.integers_(np.empty(9, np.int64), 0, i, generator=1), 3),
        "generator": (lambda i: random.integers_(np.empty(9, np.int64), 9, generator=i), 3),
    },
    "random.permutation": {
        "n": (lambda i: random.permutation(i, 1), 9),
        "generator": (lambda i: random.permutation(9, i), 3),
    },
    "init.dirac_": {"groups": (lambda i: init.dirac_(np.empty((4, 2, 3)), i), 2)},
    "init.initialize": {"seed": (lambda i: list(init.initialize(nn.Linear(2, 2), seed=i).state_dict().values()), 3)},
    "init.sparse_": {"generator": (lambda i: init.sparse_(np.empty((4, 3)), 0.5, generator=i), 3)},
    **{
        f"{module.__name__.removeprefix('fastnn.')}.{name}": {"generator": drawing(getattr(module, name))}
        for module in (random, init)
        for name in module.__all__
        if name.endswith("_") and name not in ("integers_", "sparse_", "dirac_", "constant_", "eye_", "ones_", "zeros_")
    },
    "nn.BatchNorm1d": {"num_features": (nn.BatchNorm1d, 3)},
    "nn.BatchNorm2d": {"num_features": (nn.BatchNorm2d, 3)},
    "nn.CrossEntropyLoss": {"ignore_index": (lambda i: nn.CrossEntropyLoss(ignore_index=i)(X, LABELS), 1)},
    "nn.NLLLoss": {"ignore_index": (lambda i: nn.NLLLoss(ignore_index=i)(X, LABELS), 1)},
    "nn.Dropout": {"generator": (lambda i: nn.Dropout(generator=i)(X)[0], 3)},
    "nn.Flatten": {
        "start_dim": (lambda i: [nn.Flatten(i)(IMAGES)[0], nn.Flatten(i).start_dim], 2),
        "end_dim": (lambda i: [nn.Flatten(1, i)(IMAGES)[0], nn.Flatten(1, i).end_dim], 2),
    },
    "nn.Softmax": {"dim": (lambda i: nn.Softmax(i)(X)[0], 1)},
    "nn.LogSoftmax": {"dim": (lambda i: nn.LogSoftmax(i)(X)[0], 1)},
    "nn.LayerNorm": {"normalized_shape": (lambda i: [nn.LayerNorm(i), nn.LayerNorm((i, i))], 3)},
    "nn.Linear": {
        "in_features": (lambda i: nn.Linear(i, 2, generator=1), 3),
        "out_features": (lambda i: nn.Linear(2, i, generator=1), 3),
        "generator": (lambda i: nn.Linear(2, 2, generator=i), 3),
    },
    "nn.MaxPool2d": {
        "kernel_size": (nn.MaxPool2d, 3),
        "stride": (lambda i: nn.MaxPool2d(2, i), 3),
        "padding": (lambda i: nn.MaxPool2d(2, padding=i), 1),
    },
    **{
        f"optim.lr_scheduler.{name}": {key: scheduled(name, key) for key in integer_arguments(getattr(lr, name))}
        for name in SCHEDULES
    },
    "optim.lr_scheduler.SequentialLR": {
        "milestones": (lambda i: resumed(lambda o: sequential(o, i)), 3),
        "last_epoch": (lambda i: resumed(lambda o: sequential(o, last_epoch=i)), 3),
    },
    "optim.lr_scheduler.StepLR.preview": {"n": (lambda i: lr.StepLR(sgd(), 2).preview(i), 3)},
    "optim.lr_scheduler.SequentialLR.preview": {"n": (lambda i: sequential(sgd()).preview(i), 3)},
    "data.KFold": {
        "n_splits": (lambda i: list(data.KFold(i, seed=1).split(X)), 3),
        "seed": (lambda i: list(data.KFold(3, seed=i).split(X)), 3),
    },
    "data.RandomSampler": {"n": (lambda i: data.RandomSampler(i).order(1, 1), 3)},
    "data.SequentialSampler": {"n": (lambda i: data.SequentialSampler(i).order(1, 1), 3)},
    "data.WeightedRandomSampler": {
        "num_samples": (lambda i: data.WeightedRandomSampler(np.ones(9), i).order(1, 1), 3),
    },
    "data.StratifiedKFold": {
        "n_splits": (lambda i: list(data.StratifiedKFold(i, seed=1).split(X, LABELS)), 3),
        "seed": (lambda i: list(data.StratifiedKFold(3, seed=i).split(X, LABELS)), 3),
    },
    "data.Normalize": {"shape": (lambda i: [data.Normalize(i), data.Normalize((i, i))], 3)},
    "data.cross_validate": {
        "k": (lambda i: data.cross_validate(lambda _: Learner(), (X, LABELS), i).scores, 3),
        "seed": (lambda i: data.cross_validate(lambda _: Learner(), (X, LABELS), 2, seed=i).scores, 3),
    },
    "data.train_test_split": {"seed": (lambda i: data.train_test_split(X, LABELS, 0.5, seed=i), 3)},
    "data.train_validation_test_split": {"seed": (lambda i: data.train_validation_test_split(X, LABELS, seed=i), 3)},
    "training.EMA": {
        "update_every": (lambda i: EMA(update_every=i), 3),
        "update_after_step": (lambda i: EMA(update_after_step=i), 3),
    },
    "training.SWA": {
        "swa_epoch_start": (lambda i: SWA(0.1, i), 3),
        "anneal_epochs": (lambda i: SWA(0.1, anneal_epochs=i), 3),
    },
    "training.EarlyStopping": {"patience": (lambda i: EarlyStopping(patience=i), 3)},
    "training.Freeze": {"until": (lambda i: Freeze("0", i), 3)},
    "training.ModelCheckpoint": {
        "save_top_k": (lambda i: ModelCheckpoint("runs", save_top_k=i), 3),
        "save_last": (lambda i: ModelCheckpoint("runs", save_last=i), 3),
        "every_n_steps": (lambda i: ModelCheckpoint("runs", every_n_steps=i), 3),
    },
    "training.TensorBoard": {"histograms_every": (lambda i: TensorBoard("runs", i), 3)},
    "training.TimingMonitor": {"estimate_after": (TimingMonitor, 3)},
    "training.Trainer": {
        "accumulate_grad_batches": (lambda i: fitted(accumulate_grad_batches=i), 2),
        "val_check_interval": (lambda i: fitted(val_check_interval=i), 2),
        "seed": (lambda i: fitted(seed=i), 3),
    },
    "training.Trainer.fit": {
        "epochs": (lambda i: fitted(epochs=i), 2),
        "batch_size": (lambda i: fitted(batch_size=i), 3),
    },
    "training.Trainer.fit_one_cycle": {
        "epochs": (lambda i: trainer().fit_one_cycle((X, LABELS), epochs=i, max_lr=0.1, verbose=False)["loss"], 2),
        "batch_size": (
            lambda i: trainer().fit_one_cycle((X, LABELS), max_lr=0.1, batch_size=i, verbose=False)["loss"],
            2,
        ),
    },
    "training.Trainer.evaluate": {"batch_size": (lambda i: trainer().evaluate((X, LABELS), i), 2)},
    "training.Trainer.predict": {"batch_size": (lambda i: trainer().predict(X, i), 2)},
    "training.Trainer.predict_classes": {"batch_size": (lambda i: trainer().predict_classes(X, i), 2)},
    "training.Trainer.predict_proba": {"batch_size": (lambda i: trainer().predict_proba(X, i), 2)},
    "training.Trainer.lr_find": {
        "num_it": (lambda i: trainer().lr_find((X, LABELS), num_it=i, batch_size=3).losses, 4),
        "batch_size": (lambda i: trainer().lr_find((X, LABELS), num_it=4, batch_size=i).losses, 3),
    },
    "training.check_gradients": {
        "samples": (lambda i: check_gradients(trainer().model, nn.CrossEntropyLoss(), (X, LABELS), i).errors, 3)
    },
    "training.diagnose": {"classes": (lambda i: diagnose(HISTORY, classes=i), 3)},
    "training.learning_ladder": {
        "sizes": (lambda i: learning_ladder(trainer(), (X, LABELS), [1, i], 2).rungs, 3),
        "steps": (lambda i: learning_ladder(trainer(), (X, LABELS), [1, 2], i).rungs, 3),
    },
    "training.overfit_one_batch": {"steps": (lambda i: overfit_one_batch(trainer(), (X, LABELS), i), 3)},
    "training.overfit_one_sample": {"steps": (lambda i: overfit_one_sample(trainer(), (X, LABELS), i), 3)},
    "training.progressive_unfreezing": {"every": (lambda i: progressive_unfreezing(trainer().model, i), 3)},
}
ROWS = [(f"{name}({argument})", *row) for name, rows in TABLE.items() for argument, row in rows.items()]

PARTS = ("functional", "random", "init", "nn", "optim", "optim.lr_scheduler", "data", "training")
MODULES = ("fastnn", *(f"fastnn.{part}" for part in PARTS))
NOT_GIVEN = {"DropoutMask", "GradientCheck", "Overfit", "LRScheduler"}
"""Classes that only the package itself instantiates, and a base class."""

NUMBERS = {"optim.lr_scheduler.CyclicLR(step_size_up)", "optim.lr_scheduler.CyclicLR(step_size_down)"}
"""Arguments that may also be real numbers."""


def told(value: Any) -> Any:
    """Convert a result to values that can be compared and that differ for NumPy's and Python's integers."""
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tobytes()
    if isinstance(value, list | tuple):
        return [told(part) for part in value]
    if isinstance(value, dict):
        return {key: told(part) for key, part in value.items()}
    if isinstance(value, int | float | str | np.generic | None):
        return repr(value)
    kept = {key: part for key, part in getattr(value, "__dict__", {}).items() if key[0] != "_"}
    return repr(type(value)), {key: told(part) for key, part in kept.items() if not hasattr(part, "__dict__")}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "call", "value"), ROWS, ids=[name for name, *_ in ROWS])
def test_every_integer(name: str, call: Call, value: int, kind: str) -> None:
    """The result is the same as with an int, and stored integers are ints."""
    if value < 0 and kind == "uint64":
        pytest.skip("negative")
    threads, limit = fastnn.get_num_threads(), fastnn.memory_stats()["limit_bytes"]
    try:
        results = []
        for number in (value, KINDS[kind](value)):
            fastnn.manual_seed(0)
            results.append(told(call(number)))
    finally:
        fastnn.set_num_threads(threads)
        fastnn.set_cache_limit(limit)
    assert results[0] == results[1]


@pytest.mark.parametrize("bad", [True, 2.5, "3"])
@pytest.mark.parametrize(("name", "call"), [row[:2] for row in ROWS])
def test_values_that_are_not_integers(name: str, call: Call, bad: Any) -> None:
    """For a value that is not an integer, the message names the argument, the value and what is wanted."""
    if name in NUMBERS and bad == 2.5:
        pytest.skip("a number of any kind will do")
    argument = name[:-1].partition("(")[2]
    with pytest.raises((TypeError, ValueError), match=rf"^({argument}\b.*|generator|seed): got .*, want ") as caught:
        call(bad)
    assert repr(bad) in str(caught.value) or type(bad).__name__ in str(caught.value)


@pytest.mark.parametrize("module", MODULES)
def test_the_table_has_every_function(module: str) -> None:
    """Every argument of a public function or class that may be an integer has a row."""
    package = importlib.import_module(module)
    rows = {key.rpartition(".")[2]: row for key, row in TABLE.items()}  # some names exist in two modules
    for name in package.__all__:
        function = getattr(package, name)
        made = inspect.isclass(function) and not issubclass(function, Exception) and name not in NOT_GIVEN
        if made or inspect.isfunction(function):
            assert set(integer_arguments(function)) <= rows.get(name, {}).keys(), name
