"""The keys of each section, and the classes and functions that a file may name."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

from fastnn import nn, optim
from fastnn._options import Key, is_complete, keys
from fastnn.metrics.named import NAMED
from fastnn.optim import lr_scheduler
from fastnn.training.callbacks.saving import ModelCheckpoint
from fastnn.training.callbacks.stopping import EarlyStopping
from fastnn.training.trainer import Trainer

SECTIONS = ("data", "network", "optimizer", "scheduler", "loss", "training")
FILLED = ("total_steps", "T_max", "max_lr")
"""Options of schedulers that may be left out: the steps of the whole training, and the optimizer's learning rate."""
FIND = "find"
UNLIMITED = "unlimited"
BALANCED = "balanced"
TASKS = ("classes", "binary", "regression", "distribution")

OPTIMIZERS = {name: item for name in optim.__all__ if isinstance(item := getattr(optim, name), type)
              and issubclass(item, optim.Optimizer) and item is not optim.Optimizer}  # fmt: skip
SCHEDULERS = {name: item for name in lr_scheduler.__all__ if not inspect.isabstract(item := getattr(lr_scheduler, name))
              and is_complete(item, "optimizer")}  # fmt: skip
LOSSES = {name: item for name in nn.__all__ if name.endswith("Loss") and is_complete(item := getattr(nn, name))
          and getattr(item, "task", None) in TASKS}  # fmt: skip
METRICS = {name: name for name in NAMED} | {made.__name__: name for name, made in NAMED.items()
                                            if isinstance(made, type) and made.__name__ not in NAMED}  # fmt: skip
"""The metrics by their names and by the names of their classes."""

FIT = ("epochs", "batch_size", "max_steps", "max_time", "class_weight", "shuffle", "drop_last",
       "validation_batch_size", "verbose")  # fmt: skip
"""The arguments of `Trainer.fit` that a file may have."""


def training_keys() -> dict[str, Key]:
    """Return the keys of the section [training], without its tables."""
    weight = keys(_class_weight)["class_weight"]
    found = keys(Trainer.fit, epochs=int | Literal["unlimited"], max_time=float)
    found["class_weight"] = weight._replace(want=weight.want.replace("by step", "by label"), required=False)
    return {name: found[name] for name in FIT} | keys(Trainer, "optimizer", "scheduler", "loss_weights", seed=int)


def _class_weight(class_weight: Literal["balanced"] | list[float] | Mapping[int, float]) -> None:
    """Have the types that `Trainer.fit` takes as weights of classes."""


def callback_keys() -> dict[str, tuple[Any, dict[str, Key]]]:
    """Return the tables of the section [training], with the class and the keys of each."""
    classes = {"early_stopping": EarlyStopping, "checkpoint": ModelCheckpoint}
    return {name: (made, keys(made, "directory")) for name, made in classes.items()}


def optimizer_keys(made: Callable[..., Any]) -> dict[str, Key]:
    """Return the keys of the section [optimizer] for a class, besides name."""
    return keys(made, "params", "generator", lr=float | Literal["find"])


def scheduler_keys(made: Callable[..., Any]) -> dict[str, Key]:
    """Return the keys of the section [scheduler] for a class, besides name."""
    found = keys(made, "optimizer", "last_epoch", "epochs", "steps_per_epoch")
    return {name: key._replace(required=key.required and name not in FILLED) for name, key in found.items()}
