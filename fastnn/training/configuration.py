"""Describes a training in words, for checkpoints, which compare the description on resuming, and for reports."""

import re
import warnings
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

from fastnn.training.losses import name_of
from fastnn.training.protocols import Training

KEYS = ("model", "optimizer", "scheduler", "loss", "metrics")


def configuration(trainer: Training) -> dict[str, Any]:
    """Return the model's repr, the classes of optimizer and scheduler, and the names of loss and metrics."""
    parts = {name: type(getattr(trainer, name)).__name__ for name in ("optimizer", "scheduler")}
    loss = name_of(trainer.criterion)
    return {"model": repr(trainer.model), **parts, "loss": loss, "metrics": list(trainer.metrics)}


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


def _options(group: Mapping[str, Any]) -> dict[str, Any]:
    """Return a group's options without its parameters; values that JSON does not have become text."""
    plain = {name: list(v) if isinstance(v, tuple) else v for name, v in group.items() if name != "params"}
    return {name: v if isinstance(v, list | str | bool | int | float | None) else str(v) for name, v in plain.items()}


def _lines(part: Any) -> list[str]:
    """Return a line for each layer, without the addresses and modules of objects that have no repr of their own."""
    text = re.sub(r"<(?:function )?(?:[\w.<>]+\.)?([\w<>]+)(?: object)? at 0x[0-9a-f]+>", r"\1", str(part))
    lines = re.sub(r"\n\s*(?![\s()])", " ", text).splitlines()  # further lines of an array are not layers
    return [line.strip() for line in lines if line.strip() != ")"]
