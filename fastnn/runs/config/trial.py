"""Builds all that a file describes in a small size, to find every mistake before anything is loaded."""

import inspect
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn import nn, optim
from fastnn._better import direction
from fastnn._checks import positive_integer
from fastnn._options import Part
from fastnn._problems import Problems, attempt
from fastnn._words import nearest, spelt
from fastnn.metrics.named import NAMED, named
from fastnn.optim import lr_scheduler
from fastnn.random import Generator
from fastnn.runs.config.heads import LOGARITHMS
from fastnn.runs.config.network import build_layers
from fastnn.runs.config.sections import BALANCED, METRICS
from fastnn.training.callbacks.saving import ModelCheckpoint
from fastnn.training.loop import Limits
from fastnn.training.trainer import Trainer
from fastnn.training.weighing import class_weights

STEPS = 2**31
"""The steps of a schedule whose length the data decides."""


def check_metrics(trainer: dict[str, Any], loss: Any, problems: Problems) -> dict[str, Any]:
    """Return the arguments of a trainer with the metrics' own names; wrong ones are left out and told.

    Args:
        loss: the class of the loss, or None if it is not known.
    """
    given = trainer.get("metrics", "auto")
    if given == "auto":
        return trainer
    found: list[str] = []
    for i, word in enumerate([given] if isinstance(given, str) else given):
        place = "training.metrics" if isinstance(given, str) else f"training.metrics[{i}]"
        is_top = re.fullmatch(r"top_[1-9][0-9]*_accuracy", word)
        name = word if is_top else METRICS.get(spelt(word, METRICS) or "")
        fitting = [other for other, made in NAMED.items() if loss is None or loss.task in made().tasks]
        if name is None:
            problems.add(place, f"got {word!r}, want {nearest(word, fitting)}")
        elif loss is not None and loss.task not in next(iter(named(name).values())).tasks:
            want = f"one of {', '.join(fitting)}" if fitting else "none"
            problems.add(place, f"got {word!r} for {loss.__name__}, want {want}")
        elif name in found:
            problems.add(place, f"got {word!r} twice, want each metric once; remove one of them")
        else:
            found.append(name)
    return trainer | {"metrics": found}


def try_parts(config: Any, is_long: bool, problems: Problems) -> None:
    """Add the mistakes that the classes find in their options, and those between sections."""
    build_layers(config.layers, 1, 2, problems)
    loss = _loss(config, is_long, problems)
    optimizer = _optimizer(config, problems)
    scheduler = _scheduler(config, optimizer, problems)
    attempt(problems, "training", lambda seed: Generator(seed), {"seed": config.trainer["seed"]})
    metrics = config.trainer.get("metrics", "auto")
    if metrics == "auto":
        metrics = ["accuracy"] if loss is None or loss.task in ("classes", "binary") else []
    options = {name: value for name, value in config.trainer.items() if name not in ("metrics", "seed")}
    attempt(problems, "training", Trainer, options, *_spare(), metrics=())
    _fit(config, problems)
    monitors = ["loss", *metrics, "val_loss", *(f"val_{name}" for name in metrics)]
    _monitors(config, scheduler, monitors, problems)


def _spare() -> tuple[nn.Module, nn.Loss, optim.Optimizer]:
    model = nn.Sequential(nn.Linear(1, 1))
    return model, nn.MSELoss(), optim.SGD(model.parameters())


def _loss(config: Any, is_long: bool, problems: Problems) -> nn.Loss | None:
    """Build the loss, and compare it with the data and the layers."""
    part: Part = config.loss
    if part.make is None:
        return None
    loss: nn.Loss | None = attempt(problems, "loss", part.make, part.options)
    if loss is None:
        return None
    if loss.task == "classes":  # needs at least two weights
        logits = np.zeros((2, max(2, np.size(part.options.get("weight", ())))), np.float32)
        attempt(problems, "loss", loss, {}, logits, np.zeros(2, np.int64))
    name = part.make.__name__
    if isinstance(loss, LOGARITHMS) and is_long and not problems.is_below("network"):
        last = config.layers[-1].make if config.layers else None
        if last is not nn.LogSoftmax:
            other = "; or take CrossEntropyLoss" if loss.task == "classes" else ""
            problems.add("network.layers", f"got {getattr(last, '__name__', 'nothing')} at the end for {name}, want "
                         f'{{type = "LogSoftmax"}} as the last layer{other}')  # fmt: skip
    if config.data is not None and config.data.stratify and loss.task not in ("classes", "binary"):
        problems.add("data.stratify", f"got true for {name}, want false, since there are no classes")
    return loss


def _optimizer(config: Any, problems: Problems) -> Any:
    """Return an optimizer with the options that are right; the default of another one without a class."""
    array = [np.zeros(1, np.float32)]
    if config.optimizer.make is None:
        return optim.AdamW(array)
    return attempt(problems, "optimizer", config.optimizer.make, config.optimizer.options, array)


def _scheduler(config: Any, optimizer: Any, problems: Problems) -> Any:
    part = config.scheduler
    if part is None or part.make is None or optimizer is None:
        return None
    known = inspect.signature(part.make).parameters
    given = {"total_steps": STEPS, "T_max": STEPS, "max_lr": optimizer.param_groups[0]["lr"]}
    given = {name: value for name, value in given.items() if name in known}
    return attempt(problems, "scheduler", part.make, part.options, optimizer, **given)


def _fit(config: Any, problems: Problems) -> None:
    fit: Mapping[str, Any] = config.fit
    for name in ("batch_size", "validation_batch_size"):
        if name in fit:
            attempt(problems, "training", lambda name, value: positive_integer(name, value), {}, name, fit[name])
    limits = {name: fit[name] for name in ("epochs", "max_steps", "max_time") if name in fit}
    if "epochs" in fit and fit["epochs"] is None and len(limits) == 1:
        problems.add("training.epochs", "got 'unlimited' without max_steps and max_time, want one of them or a number")
    else:
        attempt(problems, "training", _limits, limits)
    weight = fit.get("class_weight")
    if weight is None:
        return
    task = None if config.loss.make is None else config.loss.make.task
    if task not in ("classes", None):
        remedy = "set loss.pos_weight" if task == "binary" else "leave it out"
        problems.add(
            "training.class_weight", f"got it for {config.loss.make.__name__}, want a loss over classes; {remedy}"
        )
    elif weight != BALANCED:
        attempt(problems, "training", lambda class_weight: class_weights(None, class_weight), {"class_weight": weight})


def _limits(epochs: Any = 1, max_steps: Any = None, max_time: Any = None) -> Limits:
    return Limits.of(epochs, max_steps, max_time)


def _monitors(config: Any, scheduler: Any, monitors: list[str], problems: Problems) -> None:
    """Check every monitor: each must be a name that an epoch records."""
    for part in config.callbacks:
        given = {"directory": "."} if part.make is ModelCheckpoint else {}
        callback = attempt(problems, part.place, part.make, part.options, **given)
        if callback is not None and callback.monitor is not None:
            _monitor(f"{part.place}.monitor", callback.monitor, monitors, problems)
    monitor = config.trainer.get("monitor")
    is_plateau = isinstance(scheduler, lr_scheduler.ReduceLROnPlateau)
    if monitor is not None:
        if (scheduler is not None and not is_plateau) or (config.scheduler is None):
            problems.add("training.monitor", 'got it without a scheduler that takes it, want scheduler.name = '
                         '"ReduceLROnPlateau", or no monitor')  # fmt: skip
        _monitor("training.monitor", monitor, monitors, problems)
    wanted = direction(monitor or "val_loss")
    if is_plateau and wanted not in (None, scheduler.mode) and not problems.has("training.monitor"):
        problems.add("scheduler.mode", f"got {scheduler.mode!r} for {monitor or 'val_loss'!r}, want {wanted!r}")


def _monitor(place: str, monitor: str, monitors: list[str], problems: Problems) -> None:
    if monitor in monitors:
        return
    plain = monitor.removeprefix("val_")
    if problems.is_below("training.metrics") and plain in METRICS.values():
        return  # it may be what the wrong metrics were to be
    more = ""
    if plain in NAMED:
        names = [name for name in monitors if name != "loss" and not name.startswith("val_")]
        listed = ", ".join(f'"{name}"' for name in [*names, plain])
        more = f"; or set training.metrics = [{listed}]"
    problems.add(place, f"got {monitor!r}, want {nearest(monitor, monitors)}{more}")
