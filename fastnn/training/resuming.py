"""The state of a whole training: captured, restored, and loaded from a checkpoint."""

import copy
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fastnn.checkpoint.file import CheckpointError, latest, load, steps_of
from fastnn.data.source import Stream
from fastnn.nn.module import Module
from fastnn.nn.tracing import kept
from fastnn.optim.lr_scheduler.base import have_stepped, note_steps
from fastnn.random import Generator, default_generator
from fastnn.training.batches import Batches
from fastnn.training.callbacks.averaging import WeightAverage
from fastnn.training.callbacks.base import Callback, StopTraining
from fastnn.training.callbacks.csv_logger import CSVLogger
from fastnn.training.callbacks.saving import ModelCheckpoint
from fastnn.training.configuration import (
    FINGERPRINT,
    SAME,
    compare,
    compare_entries,
    configuration,
    is_training,
    source_state,
    warn_of_others,
)
from fastnn.training.metrics import Meter
from fastnn.training.preparing import whole
from fastnn.training.protocols import Training
from fastnn.training.state import COUNTERS, LIMITS


def capture(trainer: Training) -> dict[str, Any]:
    """Return the state of a trainer between two optimizer steps; the arrays are not copies.

    Raises:
        TypeError: the optimizer or the scheduler has no `state_dict`.
    """
    optimizer: Any = trainer.optimizer
    scheduler: Any = trainer.scheduler
    for name, part in (("optimizer", optimizer), ("scheduler", scheduler)):
        if part is not None and not hasattr(part, "state_dict"):
            raise TypeError(f"{name}: got {type(part).__name__} without state_dict, want it for a checkpoint")
    return {
        "configuration": configuration(trainer),
        "loop": trainer.state.counters,
        "data": dict(trainer.state.data),
        "model": whole(trainer).state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": None if scheduler is None else scheduler.state_dict(),
        "generators": [generator.state for generator in _generators(trainer.model)],
        "meter": trainer.state.meter.state_dict(),
        "history": trainer.state.history.state_dict(),
        "source": source_state(trainer),
        "callbacks": {name: c.state_dict() for name, c in _named(trainer)},
    }


def restore(trainer: Training, state: Mapping[str, Any]) -> None:
    """Restore a state: all of it, or nothing if it raises.

    Raises:
        ValueError, TypeError, KeyError: the trainer consists of other parts; the message names the first.
    """
    _compare(trainer, state)
    with until_first_step(trainer) as before:
        before.states.append(copy.deepcopy(capture(trainer)))
        before.step = None
        _put(trainer, state)
    trainer.model.zero_grad()


@dataclass
class Before:
    """The state before a fit.

    Attributes:
        states: what `capture` returned before anything of it changed, if anything has.
        step: the step at which the fit begins; None while a state is being restored.
    """

    states: list[dict[str, Any]]
    step: int | None


@contextmanager
def until_first_step(trainer: Training) -> Iterator[Before]:
    """If the block raises before the optimizer has made a step, restore everything that it has changed.

    `StopTraining` and Ctrl-C are no failures. Parameters and the optimizer's state need no copy, since only steps, and
    resuming, change them.
    """
    attributes, loop, before = dict(vars(trainer)), copy.copy(trainer.state), Before([], trainer.state.step)
    light = copy.deepcopy(_changing(trainer))
    without = [parameter for parameter in trainer.model.parameters() if parameter.grad is None]
    try:
        yield before
    except (StopTraining, KeyboardInterrupt):
        raise
    except BaseException:
        if before.step is None or trainer.state.step == before.step:
            for state in before.states:
                _put(trainer, state)
            _put_changing(trainer, light)
            vars(trainer).update(attributes)
            trainer.state.assign(loop)
            for parameter in without:
                parameter.zero_grad()
        raise


def _changing(trainer: Training) -> dict[str, Any]:
    """Return the parts of a trainer's state that change before its first step."""
    trained = {id(p.data) for p in trainer.model.parameters()}
    return {
        "buffers": {name: a for name, a in trainer.model.state_dict().items() if id(a) not in trained},
        "generators": [generator.state for generator in _generators(trainer.model)],
        "history": trainer.state.history.state_dict(),
        "meter": trainer.state.meter.state_dict(),
        "callbacks": [callback.state_dict() for callback in trainer.callbacks],
    }


def _put_changing(trainer: Training, state: dict[str, Any]) -> None:
    own = trainer.model.state_dict()
    for name, array in state["buffers"].items():
        np.copyto(own[name], array)
    for generator, saved in zip(_generators(trainer.model), state["generators"], strict=True):
        generator.state = saved
    trainer.state.history.load_state_dict(state["history"])
    trainer.state.meter = Meter(trainer.metrics)
    trainer.state.meter.load_state_dict(state["meter"])
    for callback, saved in zip(trainer.callbacks, state["callbacks"], strict=True):
        callback.load_state_dict(saved)


@contextmanager
def untouched(trainer: Training) -> Iterator[None]:
    """Restore the state that training inside the block changes: all that `capture` returns, gradients and modes.

    NaN and infinity do not raise inside the block, since divergence is a valid outcome.
    """
    before, detects, stepped = copy.deepcopy(capture(trainer)), trainer.detect_nan, have_stepped(trainer.optimizer)
    with kept(trainer.model), np.errstate(all="ignore"):
        try:
            trainer.detect_nan = False
            yield
        finally:
            trainer.detect_nan = detects
            _put(trainer, before)
            note_steps(trainer.optimizer, stepped)


def resume(trainer: Training, source: str | Path, before: Before, batches: Batches) -> bool:
    """Restore a trainer from a checkpoint, and return whether there is one.

    Args:
        source: a file; a directory, for its last; or "latest", for the directory of the `ModelCheckpoint` among
            the callbacks.
        before: the trainer's state is appended before anything of it changes.
        batches: those of the fit; an iterable is placed where the checkpoint was written.

    Raises:
        ValueError: the checkpoint is of another training; the message names the first difference.
        CheckpointError, OSError: the file cannot be read, or is not a checkpoint of a training.
    """
    path = _find(trainer, source)
    if path is None:
        return False
    state = load(path)
    if not is_training(state):
        raise CheckpointError(f"{path}: got a state that is not a training's, want ModelCheckpoint's; use another file")
    wanted = dict(trainer.state.data)
    if trainer.seed is None:
        wanted["seed"] = state["data"]["seed"]
    for name in SAME:
        got, want = wanted[name], state["data"][name]
        if got != want:
            raise ValueError(f"{name}: got {got}, want {want}, with which the training in {path} began; fit without "
                             "resume to continue differently")  # fmt: skip
    _compare(trainer, state)
    compare(state["configuration"], configuration(trainer))
    warn_of_others(trainer, path, state)
    before.states.append(copy.deepcopy(capture(trainer)))
    before.step = None
    _put(trainer, state)
    _reset_new(trainer, state)
    trainer.state.data = wanted
    if (trainer.state.stopped or "").startswith(LIMITS):
        trainer.state.stopped = None
    _place(batches, state)
    return True


def _reset_new(trainer: Training, state: Mapping[str, Any]) -> None:
    """Reset the averages and logs that the checkpoint does not know; warn that an average begins there."""
    for name, callback in _named(trainer):
        if name in state["callbacks"] or not isinstance(callback, WeightAverage | CSVLogger):
            continue
        callback.reset()
        if isinstance(callback, WeightAverage):
            warnings.warn(f"callbacks: got no state of {name} in the checkpoint, so its average begins at step "
                          f"{trainer.state.step}; fit without resume to average all", stacklevel=4)  # fmt: skip


def _place(batches: Batches, state: Mapping[str, Any]) -> None:
    """Continue an iterable of batches from its saved state, or warn that the batches before are read again."""
    done, saved = state["loop"]["batch"], state["source"]
    if isinstance(saved, dict) and FINGERPRINT in saved:
        saved = None
    if isinstance(batches.source, Stream) and not batches.source.load_state_dict(saved, done) and done:
        warnings.warn(f"train: the iterable has no load_state_dict, so {done} batches are read and "
                      "skipped; they must be the same as before", stacklevel=4)  # fmt: skip


def _find(trainer: Training, source: str | Path) -> Path | None:
    if source == "latest":
        places = [callback.directory for callback in trainer.callbacks if isinstance(callback, ModelCheckpoint)]
        if not places:
            raise ValueError("resume: got 'latest' without a ModelCheckpoint among the callbacks, want one, or a path")
        found = [path for place in dict.fromkeys(places) if place.is_dir() and (path := latest(place)) is not None]
        return max(found, key=lambda path: steps_of(path.name), default=None)
    return latest(source) if Path(source).is_dir() else Path(source)


def _compare(trainer: Training, state: Mapping[str, Any]) -> None:
    """Raise ValueError unless the state is that of a trainer with the same parts."""
    compare_entries(state["model"], whole(trainer).state_dict())
    for name in ("optimizer", "scheduler"):
        got, want = state["configuration"][name], type(getattr(trainer, name)).__name__
        if got != want:
            raise ValueError(f"{name}: got {got} in the checkpoint, want {want}; build the saved one")
    lost = {name for name, part in state["callbacks"].items() if part} - {name for name, _ in _named(trainer)}
    if lost:
        raise ValueError(
            f"callbacks: got the state of {sorted(lost)} in the checkpoint, want those among the callbacks"
        )
    if len(state["generators"]) != len(_generators(trainer.model)):
        raise ValueError("generators: got another number of them in the checkpoint than in the model, want as many")


def _put(trainer: Training, state: Mapping[str, Any]) -> None:
    optimizer: Any = trainer.optimizer
    scheduler: Any = trainer.scheduler
    whole(trainer).load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    if scheduler is not None:
        scheduler.load_state_dict(state["scheduler"])
    for generator, saved in zip(_generators(trainer.model), state["generators"], strict=True):
        generator.state = saved
    trainer.state.history.load_state_dict(state["history"])
    trainer.state.meter = Meter(trainer.metrics)
    trainer.state.meter.load_state_dict(state["meter"])
    for name, callback in _named(trainer):
        if name in state["callbacks"]:
            callback.load_state_dict(state["callbacks"][name])
    for name in COUNTERS:
        setattr(trainer.state, name, state["loop"][name])


def _generators(model: Module) -> list[Generator]:
    """Return the default generator and those of the model, once each."""
    found = {id(default_generator): default_generator}
    for module in model.modules():
        found |= {id(value): value for value in vars(module).values() if isinstance(value, Generator)}
    return list(found.values())


def _named(trainer: Training) -> Iterator[tuple[str, Callback]]:
    """Yield the callbacks, each with a name made of its class and its number among those of that class."""
    counts: dict[str, int] = {}
    for callback in trainer.callbacks:
        name = type(callback).__name__
        counts[name] = counts.get(name, -1) + 1
        yield f"{name}.{counts[name]}", callback
