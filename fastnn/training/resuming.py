"""All that a training is made of, taken out and put back."""

import copy
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.checkpoint.file import CheckpointError, latest, load
from fastnn.init.report import kept
from fastnn.nn.module import Module
from fastnn.random import Generator, default_generator
from fastnn.training.callbacks import Callback, ModelCheckpoint, StopTraining
from fastnn.training.metrics import Meter

if TYPE_CHECKING:
    from fastnn.training.trainer import Trainer

MADE_OF = ("model", "optimizer", "scheduler", "loss", "metrics")
LOOP = ("epoch", "batch", "step", "first_epoch", "stopped")
SAME = ("seed", "samples", "batch_size", "accumulate_grad_batches", "val_check_interval")


def capture(trainer: "Trainer") -> dict[str, Any]:
    """The state of a trainer between two optimizer steps; its arrays are the live ones.

    Raises:
        TypeError: an optimizer or a schedule without `state_dict`.
    """
    for name in ("optimizer", "scheduler"):
        part = getattr(trainer, name)
        if part is not None and not hasattr(part, "state_dict"):
            raise TypeError(f"{name}: got {type(part).__name__} without state_dict, want it for a checkpoint")
    return {
        "configuration": configuration(trainer),
        "loop": {name: getattr(trainer, name) for name in LOOP},
        "data": dict(trainer.data),
        "model": trainer.model.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),  # type: ignore[attr-defined]
        "scheduler": None if trainer.scheduler is None else trainer.scheduler.state_dict(),  # type: ignore[attr-defined]
        "generators": [generator.state for generator in _generators(trainer.model)],
        "meter": trainer.meter.state_dict(),
        "history": trainer.history.state_dict(),
        "callbacks": {name: c.state_dict() for name, c in _named(trainer)},
    }


def restore(trainer: "Trainer", state: Mapping[str, Any]) -> None:
    """Put all of a state back, or nothing of it.

    Raises:
        ValueError, TypeError, KeyError: the trainer is made of other parts; the first that differs is named.
    """
    _compare(trainer, state)
    with all_or_nothing(trainer) as before:
        before.append(copy.deepcopy(capture(trainer)))
        _put(trainer, state)
    trainer.model.zero_grad()


@contextmanager
def all_or_nothing(trainer: "Trainer") -> Iterator[list[dict[str, Any]]]:
    """Where the block is refused, the trainer has its attributes again, and its parts the states in this list."""
    attributes, before = dict(vars(trainer)), list[dict[str, Any]]()
    try:
        yield before
    except StopTraining:
        raise
    except BaseException:
        for state in before:
            _put(trainer, state)
        vars(trainer).update(attributes)
        raise


@contextmanager
def untouched(trainer: "Trainer") -> Iterator[None]:
    """Put back what training inside the block changes: all that `capture` takes, gradients and modes too.

    NaN and infinity are let through there, since to diverge is an answer.
    """
    before, detects = copy.deepcopy(capture(trainer)), trainer.detect_nan
    with kept(trainer.model), np.errstate(all="ignore"):
        try:
            trainer.detect_nan = False
            yield
        finally:
            trainer.detect_nan = detects
            _put(trainer, before)


def resume(trainer: "Trainer", source: str | Path, before: list[dict[str, Any]]) -> bool:
    """Restore a trainer from a file, a directory's newest one, or, for "latest", that of its `ModelCheckpoint`.

    Args:
        before: is given the trainer's state before something is put into it.

    Returns:
        False where a directory has no checkpoint yet.
    """
    path = _find(trainer, source)
    if path is None:
        return False
    state = load(path)
    if not _is_whole(state):
        raise CheckpointError(f"{path}: got a state of no training, want one of ModelCheckpoint; use another file")
    wanted = dict(trainer.data)
    if trainer.seed is None:
        wanted["seed"] = state["data"]["seed"]
    for name in SAME:
        got, want = wanted[name], state["data"][name]
        if got != want:
            raise ValueError(f"{name}: got {got}, want {want}, with which the training in {path} began; fit without "
                             "resume to go on otherwise")  # fmt: skip
    _compare(trainer, state)
    _compare_configurations(state["configuration"], configuration(trainer))
    before.append(copy.deepcopy(capture(trainer)))
    _put(trainer, state)
    trainer.data = wanted
    return True


def _is_whole(state: Mapping[str, Any]) -> bool:
    """Whether a state has the parts of `capture`, and numbers where the loop counts."""
    parts = {"configuration", "loop", "data", "model", "optimizer", "scheduler", "generators", "meter", "history"}
    dicts = ("configuration", "loop", "data", "model", "callbacks")
    if state.keys() != parts | {"callbacks"} or not all(isinstance(state[name], dict) for name in dicts):
        return False
    loop, model = state["loop"], state["model"].values()
    return (
        loop.keys() == set(LOOP)
        and state["data"].keys() == set(SAME)
        and state["configuration"].keys() >= set(MADE_OF)
        and all(type(n) is int and 0 <= n < 2**63 for n in [loop[name] for name in LOOP[:-1]] + [state["data"]["seed"]])
        and isinstance(loop["stopped"], str | None)
        and isinstance(state["generators"], list)
        and all(isinstance(array, np.ndarray) for array in model)
        and all(isinstance(part, dict) for part in state["callbacks"].values())
    )


def _find(trainer: "Trainer", source: str | Path) -> Path | None:
    if source == "latest":
        found = [callback for callback in trainer.callbacks if isinstance(callback, ModelCheckpoint)]
        if not found:
            raise ValueError("resume: got 'latest' without a ModelCheckpoint among the callbacks, want one, or a path")
        source = found[0].directory
        return latest(source) if source.is_dir() else None
    return latest(source) if Path(source).is_dir() else Path(source)


def configuration(trainer: "Trainer") -> dict[str, Any]:
    """What a trainer is made of, for who reads it, and to compare."""
    parts = {name: type(getattr(trainer, name)).__name__ for name in ("optimizer", "scheduler")}
    loss = getattr(trainer.loss, "__name__", repr(trainer.loss))
    return {"model": repr(trainer.model), **parts, "loss": loss, "metrics": list(trainer.metrics)}


def described(trainer: "Trainer") -> dict[str, Any]:
    """The same with the current or last fit's numbers, and "groups": the options of the optimizer's, also as text."""

    def options(group: Mapping[str, Any]) -> dict[str, Any]:
        plain = {name: list(v) if isinstance(v, tuple) else v for name, v in group.items() if name != "params"}
        return {
            name: v if isinstance(v, list | str | bool | int | float | None) else str(v) for name, v in plain.items()
        }

    return (
        configuration(trainer) | trainer.data | {"groups": [options(group) for group in trainer.optimizer.param_groups]}
    )


def _compare(trainer: "Trainer", state: Mapping[str, Any]) -> None:
    own, saved = trainer.model.state_dict(), state["model"]
    described = [[(name, array.dtype.name, array.shape) for name, array in side.items()] for side in (saved, own)]
    for got, want in zip(*described, strict=False):
        if got != want:
            raise ValueError(f"model: got {_entry(got)} in the checkpoint, want {_entry(want)}; build the saved model")
    if len(saved) != len(own):
        name = next(iter(own.keys() ^ saved.keys()))
        raise ValueError(f"model: got {len(saved)} entries in the checkpoint, want {len(own)}; one has no {name}")
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


def _compare_configurations(saved: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Refuse other layers, losses and metrics, and warn of the first that has other options, which may be meant."""
    warned = False
    for part in ("model", "loss", "metrics"):
        for lines in zip_longest(_lines(saved[part]), _lines(own[part]), fillvalue="nothing"):
            got, want = (re.sub(r"(?<=\w)\(.*", "", line) for line in lines)
            if got != want:
                raise ValueError(f"{part}: got {got} in the checkpoint, want {want}; build the saved one")
            if lines[0] != lines[1] and not warned:
                warned = True
                text = f"{part}: got {lines[0]} in the checkpoint, going on with {lines[1]}"
                warnings.warn(text, stacklevel=4)


def _lines(part: Any) -> list[str]:
    """A line for every layer, wherever an object without a repr of its own lies in memory and was imported from."""
    text = re.sub(r"<(?:[\w.<>]+\.)?(\w+) object at 0x[0-9a-f]+>", r"\1", str(part))
    lines = re.sub(r"\n\s*(?![\s()])", " ", text).splitlines()  # an array's next line is no layer
    return [line.strip() for line in lines if line.strip() != ")"]


def _entry(entry: tuple[str, str, tuple[int, ...]]) -> str:
    name, dtype, shape = entry
    return f"{name} of {dtype} {shape}"


def _put(trainer: "Trainer", state: Mapping[str, Any]) -> None:
    trainer.model.load_state_dict(state["model"])
    trainer.optimizer.load_state_dict(state["optimizer"])  # type: ignore[attr-defined]
    if trainer.scheduler is not None:
        trainer.scheduler.load_state_dict(state["scheduler"])  # type: ignore[attr-defined]
    for generator, saved in zip(_generators(trainer.model), state["generators"], strict=True):
        generator.state = saved
    trainer.history.load_state_dict(state["history"])
    trainer.meter = Meter(trainer.metrics)
    trainer.meter.load_state_dict(state["meter"])
    for name, callback in _named(trainer):
        if name in state["callbacks"]:
            callback.load_state_dict(state["callbacks"][name])
    for name in LOOP:
        setattr(trainer, name, state["loop"][name])


def _generators(model: Module) -> list[Generator]:
    """The default one and the model's own, once each."""
    found = {id(default_generator): default_generator}
    for module in model.modules():
        found |= {id(value): value for value in vars(module).values() if isinstance(value, Generator)}
    return list(found.values())


def _named(trainer: "Trainer") -> Iterator[tuple[str, Callback]]:
    """Callbacks by class, and number within the class."""
    counts: dict[str, int] = {}
    for callback in trainer.callbacks:
        name = type(callback).__name__
        counts[name] = counts.get(name, -1) + 1
        yield f"{name}.{counts[name]}", callback
