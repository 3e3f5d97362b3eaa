"""Reads a file that describes a training, and finds all mistakes before anything is loaded."""

import inspect
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastnn._options import Key, Part, Table, checked, chosen, keys
from fastnn._problems import ConfigError, Problems, attempt
from fastnn._words import nearest
from fastnn.optim import lr_scheduler
from fastnn.random import default_generator
from fastnn.runs.config.data import Data
from fastnn.runs.config.network import Network, read_network
from fastnn.runs.config.sections import (
    FIND,
    FIT,
    LOSSES,
    OPTIMIZERS,
    SCHEDULERS,
    SECTIONS,
    UNLIMITED,
    callback_keys,
    optimizer_keys,
    scheduler_keys,
    training_keys,
)
from fastnn.runs.config.trial import check_metrics, try_parts


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

    def steps(self, samples: int) -> int | None:
        """Return how often the scheduler steps in the whole training; None if only time ends it."""
        epochs, most, size = self.fit.get("epochs", 1), self.fit.get("max_steps"), self.fit.get("batch_size", 32)
        batches = samples // size if self.fit.get("drop_last") else -(-samples // size)
        windows = max(1, -(-batches // self.trainer.get("accumulate_grad_batches", 1)))
        limits = [*([] if epochs is None else [epochs * windows]), *([] if most is None else [most])]
        if not limits:
            return None
        return -(-min(limits) // windows) if self.trainer.get("scheduler_interval") == "epoch" else int(min(limits))

    def check_schedule(self, samples: int) -> None:
        """Raise ConfigError if the scheduler ends before the training."""
        if self.scheduler is None:
            return
        steps = self.steps(samples)
        missing = [n for n in ("total_steps", "T_max") if n in _required(self.scheduler) - {*self.scheduler.options}]
        if steps is None and missing:
            raise ConfigError([f"scheduler.{missing[0]}: got nothing in a training that only max_time ends, want the "
                               "number of steps; or set training.epochs or training.max_steps"])  # fmt: skip
        if self.scheduler.make is not lr_scheduler.OneCycleLR or steps is None:  # other schedules have no end
            return
        if (total := self.scheduler.options.get("total_steps", steps)) < steps:
            raise ConfigError([f"scheduler.total_steps: got {total}, want at least {steps}, the steps of the training; "
                               "leave it out and it is that"])  # fmt: skip

    def check_weight(self, outputs: int) -> None:
        """Raise ConfigError unless the loss has a weight for each class or output of the model, or no weights."""
        for name in ("weight", "pos_weight"):
            weight = self.loss.options.get(name)
            if weight is not None and len(weight) != outputs:
                each = "class" if self.loss.make.task == "classes" else "output"  # type: ignore[attr-defined]
                raise ConfigError([f"loss.{name}: got {len(weight)} weights, want {outputs}, one for each {each}"])

    def build_scheduler(self, optimizer: Any, steps: int | None) -> Any:
        """Build the scheduler, or return None without one; the optimizer must have its final learning rate."""
        if self.scheduler is None:
            return None
        return self.scheduler.build(optimizer, **_filled(self.scheduler, optimizer, steps))


def _required(scheduler: Part) -> set[str]:
    parameters = inspect.signature(scheduler.make).parameters.values()
    return {p.name for p in parameters if p.default is p.empty or p.name == "total_steps"}


def _filled(scheduler: Part, optimizer: Any, steps: int | None) -> dict[str, Any]:
    """Return the options of a scheduler that a file may leave out."""
    known = inspect.signature(scheduler.make).parameters
    given = {"total_steps": steps, "T_max": steps, "max_lr": optimizer.param_groups[0]["lr"]}
    return {name: value for name, value in given.items() if name in known and value is not None}


def read(path: str | Path) -> Config:
    """Read the TOML file that describes a training.

    Raises:
        ConfigError: the file cannot be read, or does not describe a training; it lists all mistakes.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
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
        remedy = "; write paths in single quotes, as in 'C:\\data.csv'" if "\\" in str(error) else ""
        raise ConfigError([f"got no TOML, want it: {error}{remedy}"]) from None
    if not tables:
        raise ConfigError(["got no section, want [data], [network] and [optimizer]"])
    problems = Problems()
    sections: dict[str, Any] = {name: tables.get(name, {}) for name in SECTIONS}
    for name in sorted(tables.keys() - set(SECTIONS)):
        near = nearest(name, SECTIONS)
        is_key = name in training_keys() or name in callback_keys()
        problems.add(name, f"got an unknown section, want {f'training.{name}' if is_key else near}")
        if near in SECTIONS and near not in tables:  # what it lacks stands in the other one
            sections[near] = tables[name]
    for name, table in sections.items():
        if not isinstance(table, dict):
            problems.add(name, f"got {table!r}, want a section, [{name}]")
            sections[name] = {}
    before = default_generator.state
    try:
        config = _described(text, sections, problems)
    finally:
        default_generator.state = before
    if sentences := problems.sentences(SECTIONS):
        raise ConfigError(sentences)
    return config


def _described(text: str, sections: Mapping[str, Table], problems: Problems) -> Config:
    options = checked(sections["data"], "data", keys(Data), problems)
    data: Any = attempt(problems, "data", Data, options)
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
    trainer = check_metrics(trainer, loss.make, problems)
    fit = {name: trainer.pop(name) for name in FIT if name in trainer}
    if fit.get("epochs") == UNLIMITED:
        fit["epochs"] = None
    config = Config(text, data, network, layers, optimizer, finds_lr, scheduler, loss, callbacks, trainer, fit)
    try_parts(config, "layers" in sections["network"], problems)
    return config


def _named(place: str, table: Table, names: Mapping[str, Any], known: Callable[[Any], Mapping[str, Key]],
           problems: Problems) -> Part:  # fmt: skip
    made: Any = chosen(table, place, "name", names, problems)
    options = {name: value for name, value in table.items() if name != "name"}
    return Part(place, made, {} if made is None else checked(options, place, known(made), problems))
