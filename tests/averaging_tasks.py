"""Tasks for the tests of averages of weights: data, a model with batch norm, a trainer, a record of its weights."""

from typing import Any

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.training import Callback, Trainer

RNG = np.random.default_rng(7)
X, Y = RNG.normal(size=(42, 5)).astype(np.float32), RNG.integers(0, 3, 42)
TRAIN, VALIDATION = (X[:30], Y[:30]), (X[30:], Y[30:])


def make_model(norm: Any = nn.BatchNorm1d, dtype: Any = np.float32) -> Any:
    fastnn.manual_seed(2)
    between = [norm(6, dtype=dtype)] if norm else []
    return nn.Sequential(
        nn.Linear(5, 6, dtype=dtype), *between, nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, 3, dtype=dtype)
    )


def make_trainer(*callbacks: Any, model: Any = None, lr: float = 0.3, schedule: Any = None, **options: Any) -> Trainer:
    model = model or make_model()
    optimizer = optim.SGD(model.parameters(), lr=lr, momentum=0.5)
    scheduler = schedule and schedule(optimizer)
    return Trainer(model, nn.CrossEntropyLoss(), optimizer, scheduler, callbacks=callbacks, **options)


def fit(trainer: Trainer, epochs: int | None = 3, validation: Any = VALIDATION, **options: Any) -> Any:
    return trainer.fit(TRAIN, validation, epochs, 8, verbose=False, **options)


def copied(model: Any) -> dict[str, Any]:
    return {name: array.copy() for name, array in model.state_dict().items()}


def same(one: Any, other: Any) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


class Recorder(Callback):
    """Keeps the weights after every step, and those of every epoch."""

    runs_last = True

    def __init__(self) -> None:
        self.steps: list[Any] = []
        self.epochs: list[Any] = []

    def on_step_end(self, trainer: Any) -> None:
        self.steps.append(copied(trainer.model))

    def on_epoch_end(self, trainer: Any) -> None:
        self.epochs.append(copied(trainer.model))


def floats(state: Any) -> dict[str, Any]:
    return {name: a for name, a in state.items() if a.dtype.kind == "f" and "running" not in name}


def stream(n: int = 3) -> Any:
    """Return a function that returns an iterator over batches."""
    return lambda: iter([(X[i : i + 10], Y[i : i + 10]) for i in range(0, 10 * n, 10)])
