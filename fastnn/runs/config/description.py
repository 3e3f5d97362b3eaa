"""Reads a file that describes a training, and finds all mistakes before anything is loaded."""

import inspect
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fastnn import nn, optim
from fastnn._checks import positive_integer
from fastnn.optim import lr_scheduler
from fastnn.random import Generator, default_generator
from fastnn.runs.config.data import Data
from fastnn.runs.config.network import Network, build_layers, read_network
from fastnn.runs.config.options import ConfigError, Key, Part, Table, checked, chosen, is_complete, keys, nearest
from fastnn.training.callbacks.saving import ModelCheckpoint
from fastnn.training.callbacks.stopping import EarlyStopping
from fastnn.training.checks import check_monitor
from fastnn.training.trainer import Trainer

SECTIONS = ("data", "network", "optimizer", "scheduler", "loss", "training")
FILLED = ("total_steps", "T_max", "max_lr")
"""Options of schedulers that may be left out: the steps of the whole training, and the optimizer's learning rate."""
FIND = "find"

OPTIMIZERS = {name: item for name in optim.__all__ if isinstance(item := getattr(optim, name), type)
              and issubclass(item, optim.Optimizer) and item is not optim.Optimizer}  # fmt: skip
SCHEDULERS = {name: item for name in lr_scheduler.__all__ if not inspect.isabstract(item := getattr(lr_scheduler, name))
              and is_complete(item, "optimizer")}  # fmt: skip
LOSSES = {name: item for name in nn.__all__ if name.endswith("Loss") and is_complete(item := getattr(nn, name))
          and getattr(item, "task", "") == "classes"}  # fmt: skip
FIT = ("epochs", "batch_size")


@dataclass(frozen=True)
class Config:
    """A training as a file describes it.

    Attributes:
        text: the text of the file.
        data: the data, not loaded yet.
        network: the rule and seed of the initial weights.
        layers, optimizer, loss: parts to build.
        scheduler: the same, or None.
        finds_lr: whether the learning rate is the one that `Trainer.lr_find` suggests.
        callbacks: EarlyStopping, if the file has its table, and ModelCheckpoint, whose directory is given later.
        trainer: arguments of `Trainer`.
        fit: arguments of `Trainer.fit`.
    """

    text: str
    data: Data
    network: Network
    layers: list[Part]
    optimizer: Part
    finds_lr: bool
    scheduler: Part | None
    loss: Part
    callbacks: list[Part]
    trainer: dict[str, Any]
    fit: dict[str, Any]

    def steps(self, samples: int) -> int:
        """Return how often the scheduler steps in the whole training."""
        epochs = int(self.fit.get("epochs", 1))
        batches = -(-samples // self.fit.get("batch_size", 32))
        windows = -(-batches // self.trainer.get("accumulate_grad_batches", 1))
        return epochs if self.trainer.get("scheduler_interval") == "epoch" else epochs * windows

    def check_schedule(self, samples: int) -> None:
        """Raise ConfigError if the scheduler ends before the training."""
        if self.scheduler is None or self.scheduler.make is not lr_scheduler.OneCycleLR:  # other schedules have no end
            return
        steps = self.steps(samples)
        if (total := self.scheduler.options.get("total_steps", steps)) < steps:
            raise ConfigError([f"scheduler.total_steps: got {total}, want at least {steps}, the steps of the training; "
                               "leave it out and it is that"])  # fmt: skip

    def check_weight(self, classes: int) -> None:
        """Raise ConfigError unless the loss has a weight for each class of the model, or no weights."""
        weight = self.loss.options.get("weight")
        if weight is not None and len(weight) != classes:
            raise ConfigError([f"loss.weight: got {len(weight)} weights, want {classes}, one for each class"])

    def build_scheduler(self, optimizer: Any, steps: int) -> Any:
        """Build the scheduler, or return None without one; the optimizer must have its final learning rate."""
        if self.scheduler is None:
            return None
        known = inspect.signature(self.scheduler.make).parameters
        given = {"total_steps": steps, "T_max": steps, "max_lr": optimizer.param_groups[0]["lr"]}
        return self.scheduler.build(optimizer, **{name: value for name, value in given.items() if name in known})


def read(path: str | Path) -> Config:
    """Read the TOML file that describes a training.

    Raises:
        ConfigError: the file cannot be read, or does not describe a training; it lists all mistakes that were found.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8"
        raise ConfigError([f"{path}: got no text ({reason}), want a file in TOML"]) from None
    try:
        return parse(text)
    except ConfigError as error:
        raise ConfigError(f"{path}: {problem}" for problem in error.problems) from None


def parse(text: str) -> Config:
    """Parse a text in TOML that describes a training; errors as in `read`."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"got no TOML, want it: {error}"]) from None
    problems: list[str] = []
    for name in sorted(tables.keys() - set(SECTIONS)):
        problems.append(f"{name}: got an unknown section, want {nearest(name, SECTIONS)}")
    sections = {name: tables.get(name, {}) for name in SECTIONS}
    for name, table in sections.items():
        if not isinstance(table, dict):
            problems.append(f"{name}: got {table!r}, want a section, [{name}]")
            sections[name] = {}
    with _generator_kept():
        config = _described(text, sections, problems)
        if problems:
            raise ConfigError(problems)
        _try(config)
    return config


def training_keys() -> dict[str, Key]:
    """Return the keys of the section [training], without its tables."""
    fit = {name: key for name, key in keys(Trainer.fit).items() if name in FIT}
    return fit | keys(Trainer, "optimizer", "scheduler", seed=int)


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


def _described(text: str, sections: Mapping[str, Table], problems: list[str]) -> Config:
    data_options = checked(sections["data"], "data", keys(Data), problems)
    data: Any = None
    if "source" in data_options:
        try:
            data = Part("data", Data, data_options).build()
        except ConfigError as error:
            problems += error.problems
    layers, network = read_network(sections["network"], problems)
    optimizer = _named("optimizer", sections["optimizer"], OPTIMIZERS, optimizer_keys, problems)
    finds_lr = optimizer.options.get("lr") == FIND
    if finds_lr:
        del optimizer.options["lr"]
    scheduler = None
    if sections["scheduler"]:
        scheduler = _named("scheduler", sections["scheduler"], SCHEDULERS, scheduler_keys, problems)
    loss = _named("loss", {"name": "CrossEntropyLoss", **sections["loss"]}, LOSSES, keys, problems)
    tables = callback_keys()
    callbacks = []
    rest = dict(sections["training"])
    for name, (made, known) in tables.items():
        if name in rest or name == "checkpoint":
            place = f"training.{name}"
            callbacks.append(Part(place, made, checked(rest.pop(name, {}), place, known, problems)))
    # The tables are known keys too, so that a misspelt name of one gets the right suggestion.
    known = training_keys() | {name: Key("a table", dict) for name in tables}
    trainer = {"seed": 0} | checked(rest, "training", known, problems)
    fit = {name: trainer.pop(name) for name in FIT if name in trainer}
    return Config(text, data, network, layers, optimizer, finds_lr, scheduler, loss, callbacks, trainer, fit)


def _named(place: str, table: Table, names: Mapping[str, Any], known: Callable[[Any], Mapping[str, Key]],
           problems: list[str]) -> Part:  # fmt: skip
    made: Any = chosen(table, place, "name", names, problems)
    options = {name: value for name, value in table.items() if name != "name"}
    return Part(place, made, {} if made is None else checked(options, place, known(made), problems))


def _try(config: Config) -> None:
    """Build everything in a small size, and raise ConfigError with the first mistake of each part."""
    problems: list[str] = []

    def tried(build: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        try:
            return build(*arguments, **options)
        except ConfigError as error:
            problems.extend(error.problems)

    tried(build_layers, config.layers, 1, 2)
    optimizer = tried(config.optimizer.build, [np.zeros(1, np.float32)])
    if optimizer is not None:
        tried(config.build_scheduler, optimizer, 2**31)
    loss = tried(config.loss.build)
    if loss is not None:
        logits = np.zeros((2, max(2, np.size(config.loss.options.get("weight", ())))), np.float32)
        tried(Part("loss", loss, {}).build, logits, np.zeros(2, np.int64))
    model = nn.Sequential(nn.Linear(1, 1))
    spare = optim.SGD(model.parameters())
    tried(Part("training", Generator, {}).build, config.trainer["seed"])
    trainer = tried(Part("training", Trainer, config.trainer).build, model, nn.CrossEntropyLoss(), spare)
    tried(Part("training", _check_fit, config.fit).build)
    for part in config.callbacks:
        given = {"directory": "."} if part.make is ModelCheckpoint else {}
        callback = tried(part.build, **given)
        if callback is not None and trainer is not None and callback.monitor is not None:
            names = [*trainer.monitors, *(f"val_{name}" for name in trainer.monitors)]
            tried(Part(part.place, check_monitor, {}).build, callback.monitor, names)
    if problems:
        raise ConfigError(problems)


def _check_fit(**options: int) -> None:
    for name, value in options.items():
        positive_integer(name, value)


@contextmanager
def _generator_kept() -> Iterator[None]:
    before = default_generator.state
    try:
        yield
    finally:
        default_generator.state = before
