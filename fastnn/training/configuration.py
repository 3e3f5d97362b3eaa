"""Describes a training in words, for checkpoints, which compare the description on resuming, and for reports."""

import re
import warnings
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from fastnn.data.source import Arrays
from fastnn.training.losses import name_of
from fastnn.training.preparing import whole
from fastnn.training.protocols import Training
from fastnn.training.state import COUNTERS

SAME = ("seed", "samples", "batch_size", "accumulate_grad_batches", "val_check_interval")
"""The numbers of a fit that must not change when it is resumed."""

KEYS = ("model", "optimizer", "scheduler", "loss", "metrics")


FINGERPRINT = "fastnn.fingerprint"
"""The key of the fingerprint of arrays in a checkpoint, where an iterable of batches has its own state."""


def configuration(trainer: Training) -> dict[str, Any]:
    """Return the model's repr, the classes of optimizer and scheduler, and the names of loss and metrics."""
    parts = {name: type(getattr(trainer, name)).__name__ for name in ("optimizer", "scheduler")}
    loss = name_of(trainer.criterion)
    return {"model": repr(whole(trainer)), **parts, "loss": loss, "metrics": list(trainer.metrics)}


def described(trainer: Training) -> dict[str, Any]:
    """Return `configuration`, the numbers of the current or last fit, and as "groups" the optimizer's options."""
    groups = [_options(group) for group in trainer.optimizer.param_groups]
    return configuration(trainer) | trainer.state.data | {"groups": groups}


def compare(saved: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Compare the configurations of a checkpoint and of the trainer that resumes it.

    Layers, losses and metrics must be the same. Their options may differ, which can be intended; the first difference
    causes a warning.

    Raises:
        ValueError: a layer, the loss or a metric differs.
    """
    warned = False
    for part in ("model", "loss", "metrics"):
        for lines in zip_longest(_lines(saved[part]), _lines(own[part]), fillvalue="nothing"):
            got, want = (re.sub(r"(?<=[\w>])\(.*", "", line) for line in lines)
            if got != want:
                raise ValueError(f"{part}: got {got} in the checkpoint, want {want}; build the saved one")
            if lines[0] != lines[1] and not warned:
                warned = True
                text = f"{part}: got {lines[0]} in the checkpoint, going on with {lines[1]}"
                warnings.warn(text, stacklevel=4)


def source_state(trainer: Training) -> Any:
    """Return the state of an iterable of batches, or the fingerprint of arrays."""
    if trainer.state.source is not None:
        return trainer.state.source.state_dict()
    fingerprint = _fingerprint(trainer)
    return None if fingerprint is None else {FINGERPRINT: fingerprint}


def _fingerprint(trainer: Training) -> str | None:
    """Return the fingerprint of the samples of the current fit; None if they are not in arrays."""
    source = None if trainer.state.fit_batches is None else trainer.state.fit_batches.source
    return source.fingerprint() if isinstance(source, Arrays) else None


def warn_of_others(trainer: Training, path: Path, state: Mapping[str, Any]) -> None:
    """Warn if the samples are not those of the checkpoint, and if a learning rate that was given is not used."""
    got, source = _fingerprint(trainer), state["source"]
    want = source.get(FINGERPRINT) if isinstance(source, dict) else None
    if got is not None and want is not None and got != want:
        warnings.warn(f"train: got other samples than in {path}, want the same for the same bits; going on with these",
                      stacklevel=5)  # fmt: skip
    rates = [[group["lr"] for group in groups] for groups in (state["optimizer"]["param_groups"],
                                                              trainer.optimizer.param_groups)]  # fmt: skip
    is_constant = trainer.scheduler is None and len({*state["history"]["steps"].get("lr", ())}) == 1
    if is_constant and rates[0] != rates[1]:
        warnings.warn(f"lr: got {rates[1][0]:g}, going on with {rates[0][0]:g} of the checkpoint; to change it, set "
                      "the optimizer's in on_fit_start of a callback", stacklevel=5)  # fmt: skip


def _options(group: Mapping[str, Any]) -> dict[str, Any]:
    """Return a group's options without its parameters; values that JSON does not have become text."""
    plain = {name: list(v) if isinstance(v, tuple) else v for name, v in group.items() if name != "params"}
    return {name: v if isinstance(v, list | str | bool | int | float | None) else str(v) for name, v in plain.items()}


def _lines(part: Any) -> list[str]:
    """Return a line for each layer, without the addresses and modules of objects that have no repr of their own."""
    text = re.sub(r"<(?:function )?(?:[\w.<>]+\.)?([\w<>]+)(?: object)? at 0x[0-9a-f]+>", r"\1", str(part))
    lines = re.sub(r"\n\s*(?![\s()])", " ", text).splitlines()  # further lines of an array are not layers
    return [line.strip() for line in lines if line.strip() != ")"]


def is_training(state: Mapping[str, Any]) -> bool:
    """Return whether a state has the parts that `capture` returns, and counters that are in range."""
    parts = {"configuration", "loop", "data", "model", "optimizer", "scheduler", "generators", "meter", "history",
             "source", "callbacks"}  # fmt: skip
    dicts = ("configuration", "loop", "data", "model", "callbacks")
    if state.keys() != parts or not all(isinstance(state[name], dict) for name in dicts):
        return False
    loop, model = state["loop"], state["model"].values()
    return (
        loop.keys() == set(COUNTERS)
        and state["data"].keys() == set(SAME)
        and state["configuration"].keys() >= set(KEYS)
        and type(state["data"]["seed"]) is int and 0 <= state["data"]["seed"] < 2**64
        and all(type(loop[name]) is int and 0 <= loop[name] < 2**63 for name in COUNTERS if name != "stopped")
        and isinstance(loop["stopped"], str | None)
        and isinstance(state["generators"], list)
        and all(isinstance(array, np.ndarray) for array in model)
        and all(isinstance(part, dict) for part in state["callbacks"].values())
    )  # fmt: skip


def compare_entries(saved: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Raise ValueError unless two state dicts of a model have the same names, dtypes and shapes."""
    entries = [[(name, array.dtype.name, array.shape) for name, array in side.items()] for side in (saved, own)]
    for got, want in zip(*entries, strict=False):
        if got != want:
            one, other = (f"{name} of {dtype} {shape}" for name, dtype, shape in (got, want))
            raise ValueError(f"model: got {one} in the checkpoint, want {other}; build the saved model")
    if len(saved) != len(own):
        name = next(iter(own.keys() ^ saved.keys()))
        raise ValueError(f"model: got {len(saved)} entries in the checkpoint, want {len(own)}; one has no {name}")
