"""Trainings of every kind that are interrupted after each step and resumed.

    python resume_trainings.py NAME DIRECTORY PLACE SEED

trains, from the directory's checkpoint if there is one, kills itself at a place such as "step 3", and prints a digest
of everything that the training leaves.
"""

import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from resume_jobs import left

import fastnn
from fastnn import nn, optim
from fastnn.data import WeightedRandomSampler
from fastnn.optim import lr_scheduler as schedules
from fastnn.random import Generator, uniform_
from fastnn.training import (
    EMA,
    SWA,
    Callback,
    CSVLogger,
    EarlyStopping,
    Freeze,
    LearningRateMonitor,
    ModelCheckpoint,
    Trainer,
)

RNG = np.random.default_rng(8)
N = 22
X, Y = RNG.normal(size=(N, 4)).astype(np.float32), RNG.integers(0, 3, N)
VALIDATION = RNG.normal(size=(9, 4)).astype(np.float32), RNG.integers(0, 3, 9)


def jitter(x: Any, y: Any, generator: Any) -> Any:
    return x + uniform_(np.empty_like(x), generator=generator), y


class Indexed:
    """Samples for an array of indices."""

    def __len__(self) -> int:
        return N

    def __getitem__(self, index: Any) -> Any:
        return X[index], Y[index]


def batches(order: Any = range(N)) -> list[Any]:
    order = np.array(order)
    return [(X[order[i : i + 6]], Y[order[i : i + 6]]) for i in range(0, N, 6)]


class Placed:
    """A stream that shuffles with its own generator, and knows its place.

    Its state after the last batch ends the iteration at once, as with torchdata's StatefulDataLoader.
    """

    last = 5  # the place after which an epoch begins

    def __init__(self) -> None:
        self.rng, self.order, self.next = Generator(3), np.arange(N), 0

    def __iter__(self) -> Any:
        if self.next == 0:
            self.order = fastnn.random.permutation(N, self.rng)
        for batch in batches(self.order)[self.next :]:
            self.next = (self.next + 1) % self.last
            yield batch
        self.next = 0

    def state_dict(self) -> dict[str, Any]:
        return {"rng": self.rng.state, "order": self.order.copy(), "next": self.next}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rng.state, self.order, self.next = state["rng"], state["order"].copy(), state["next"]


class Sized(Placed):
    def __len__(self) -> int:
        return 4


class Next(Sized):
    """The state after the last batch begins the next epoch."""

    last = 4


class Two(nn.Module):
    """A dict of two inputs to a dict of two outputs."""

    def __init__(self) -> None:
        self.a, self.b, self.drop = nn.Linear(4, 3), nn.Linear(4, 1), nn.Dropout(0.2)

    def __call__(self, x: Any) -> Any:
        dropped, back = self.drop(x["a"])
        (a, back_a), (b, back_b) = self.a(dropped), self.b(x["b"])

        def backward(dy: Any, input_grad: bool = True) -> Any:
            da = back_a(dy["label"], input_grad)
            return {"a": back(da), "b": back_b(dy["value"], True)} if input_grad else back_b(dy["value"], False)

        return {"label": a, "value": b}, backward


def two(n: slice) -> Any:
    return {"a": X[n], "b": X[n] ** 2}, {"label": Y[n], "value": X[n, :1]}


def adam(model: Any) -> Any:
    return optim.AdamW(model.parameters(), lr=2e-2)


def sgd(model: Any) -> Any:
    return optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def net() -> Any:
    own = nn.Dropout(0.2, generator=Generator(fastnn.random.default_generator.seed))
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(0.2), own, nn.Linear(5, 3))


def plateau(optimizer: Any) -> Any:
    return schedules.ReduceLROnPlateau(optimizer, patience=0, threshold=0.3)


def one_cycle(optimizer: Any) -> Any:
    return schedules.OneCycleLR(optimizer, 0.1, 12)


SUM = {"loss": {"label": nn.CrossEntropyLoss(), "value": nn.MSELoss()}, "loss_weights": {"label": 1.0, "value": 0.3}}
WEIGHTS = RNG.random(N)
BY_EPOCH = {"scheduler_interval": "epoch"}

TRAININGS: dict[str, dict[str, Any]] = {
    "arrays": {},
    "transform": {"fit": {"transform": jitter}},
    "transform, windows": {"fit": {"transform": jitter}, "trainer": {"accumulate_grad_batches": 3}},
    "object with indices": {"train": lambda: Indexed(), "fit": {"sample_weight": WEIGHTS, "transform": jitter}},
    "stream with a place": {"train": Sized},
    "stream with a place, begins the next": {"train": Next},
    "stream with a place, windows": {"train": Sized, "trainer": {"accumulate_grad_batches": 3}},
    "stream with a place, of unknown length": {"train": Placed, "trainer": {"val_check_interval": 2}},
    "stream": {"train": batches},
    "stream of unknown length": {"train": lambda: lambda: iter(batches()), "trainer": {"val_check_interval": 2},
                                 "callbacks": lambda: [EarlyStopping(patience=3, min_delta=0.5)]},
    "several inputs": {"model": Two, "train": lambda: two(slice(16)), "validation": two(slice(16, N)), "trainer": SUM},
    "EMA": {"callbacks": lambda: [EMA(0.8)]},
    "EMA of buffers": {"callbacks": lambda: [EMA(0.9, True, use_warmup=True, update_every=2, update_after_step=3)],
                       "trainer": {"val_check_interval": 2}},
    "EMA, best weights": {"callbacks": lambda: [EarlyStopping(patience=0, min_delta=0.1), EMA(0.5)]},
    "EMA, raw weights": {"callbacks": lambda: [EMA(0.8, validate=False, keep_averaged=False)]},
    "SWA": {"callbacks": lambda: [SWA(0.3, 2, 1)], "schedule": one_cycle, "trainer": {"val_check_interval": 2}},
    "SWA of windows": {"callbacks": lambda: [SWA(0.3, 0.5, 2, "linear"), EarlyStopping(patience=5)],
                       "trainer": {"accumulate_grad_batches": 3}, "fit": {"transform": jitter}},
    "SWA of a stream": {"callbacks": lambda: [SWA(None, 1, validate=False)], "train": Next},
    "weighted sampler": {"fit": {"sampler": WeightedRandomSampler(WEIGHTS, 20)}},
    "drop_last": {"fit": {"drop_last": True}, "trainer": {"accumulate_grad_batches": 2}},
    "windows": {"trainer": {"accumulate_grad_batches": 3, "gradient_clip_val": 0.1}, "optimizer": sgd},
    "validation within": {"schedule": plateau, "callbacks": lambda: [EarlyStopping(patience=4, min_delta=0.2)],
                          "trainer": {"val_check_interval": 1}},
    "classes": {"fit": {"class_weight": "balanced", "sample_weight": WEIGHTS}},
    "clip by value": {"trainer": {"gradient_clip_val": 1e-3, "gradient_clip_algorithm": "value"}, "optimizer": sgd},
    "schedule by epoch": {"schedule": lambda o: schedules.CosineAnnealingLR(o, 3), "trainer": BY_EPOCH},
    "schedule by step": {"schedule": one_cycle},
    "max_steps": {"fit": {"epochs": None, "max_steps": 10}, "callbacks": lambda: [EMA(0.7)]},
    "logs": {"callbacks": lambda: [LearningRateMonitor(), Freeze("0", 2)], "optimizer": sgd},
    "no order": {"fit": {"shuffle": False}},
}  # fmt: skip


class Stop(BaseException):
    """Ends a process, as far as a test can."""


class End(Callback):
    """Calls a function behind the checkpoint after every step, and after every epoch."""

    runs_last = True

    def __init__(self, function: Any) -> None:
        self.function = function

    def on_batch_end(self, trainer: Any) -> None:
        if trainer.has_stepped:
            self.function(f"step {trainer.step}")

    def on_epoch_end(self, trainer: Any) -> None:
        self.function(f"epoch {trainer.epoch}")


def stop_at(place: str, signal: int = 0) -> Any:
    """Return a function for `train` that ends the training at a place, by a signal to the process if one is given."""

    def function(at: str) -> None:
        if at == place and signal:
            os.kill(os.getpid(), signal)
        if at == place:
            raise Stop

    return function


def train(name: str, directory: Path, function: Any = str, seed: int = 1) -> Trainer:
    """Make everything new, and train from the directory's checkpoint, if there is one."""
    made = TRAININGS[name]
    fastnn.manual_seed(seed)
    model = made.get("model", net)()
    optimizer = made.get("optimizer", adam)(model)
    scheduler = made["schedule"](optimizer) if "schedule" in made else None
    callbacks = [*made.get("callbacks", list)(), CSVLogger(directory / "log.csv"),
                 ModelCheckpoint(directory / "c", "val_loss", every_n_steps=1), End(function)]  # fmt: skip
    trainer = Trainer(model, **({"loss": nn.CrossEntropyLoss(), "optimizer": optimizer, "scheduler": scheduler,
                                 "callbacks": callbacks} | made.get("trainer", {})))  # fmt: skip
    data = made.get("train", lambda: (X, Y))()
    options = {"epochs": 3, "batch_size": 6, "verbose": False, "resume": "latest"} | made.get("fit", {})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "train: the iterable has no load_state_dict")
        trainer.fit(data, made.get("validation", VALIDATION), **options)
    return trainer


def log(directory: Path) -> str:
    """Return the rows of the log without times."""
    rows = (directory / "log.csv").read_text().splitlines()
    at = rows[0].split(",").index("seconds")
    return "\n".join(",".join(cell for i, cell in enumerate(row.split(",")) if i != at) for row in rows)


if __name__ == "__main__":
    name, where, place, seed = sys.argv[1:]
    print(left(train(name, Path(where), stop_at(place, signal.SIGKILL), int(seed))))
