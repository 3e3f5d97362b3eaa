"""Says which argument of a `Trainer` a value belongs to, if it was given as another one."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from fastnn import nn, optim
from fastnn._checks import is_ours
from fastnn._words import nearest, spelt
from fastnn.metrics.base import Metric
from fastnn.metrics.named import NAMED
from fastnn.nn.loss.base import Loss
from fastnn.nn.module import Module
from fastnn.optim import lr_scheduler
from fastnn.training.callbacks.base import Callback

ORDER = "Trainer(model, loss, optimizer, scheduler, metrics, callbacks)"
PLACES: dict[str, tuple[str, Any, str]] = {
    "loss": ("fastnn.nn", nn.loss, ""),
    "optimizer": ("fastnn.optim", optim, "model.parameters()"),
    "scheduler": ("fastnn.optim.lr_scheduler", lr_scheduler, "optimizer, ..."),
}
"""Where the classes of an argument are: the module's name, the module, and what their constructors take first."""


def check_roles(**arguments: Any) -> None:
    """Raise TypeError for an argument that is a class, a name, or what belongs to another argument."""
    for name, value in arguments.items():
        if isinstance(value, type) or (isinstance(value, partial) and name in ("optimizer", "scheduler")):
            raise TypeError(f"{name}: got {_described(value)}, want an object; {_made(name, value)}")
        if isinstance(value, str) and name in PLACES:
            raise TypeError(f"{name}: got {value!r}, want an object; {remedy_of_name(name, value)}")
        own = role(value)
        if own not in (name, "") and not (own == "loss" and name == "metrics"):
            if name == "loss" and own in ("model", "metrics") and not is_ours(value):
                continue  # a loss of one's own may derive from nn.Module; a dict of names has an error of its own
            place = "callbacks=[it]" if isinstance(value, Callback) else f"{own}="
            raise TypeError(f"{name}: got {_described(value)}, which belongs to another argument, {own}; pass it as "
                            f"{place}, or in its place in {ORDER}")  # fmt: skip


def role(value: Any) -> str:
    """Return the name of the argument that a value belongs to, by what it can do; "" if that is not known."""
    kinds = {"callbacks": Callback, "loss": Loss, "model": Module, "metrics": Metric}
    for name, kind in kinds.items():
        if isinstance(value, kind):
            return name
    if isinstance(value, str):
        return "metrics" if value in NAMED else ""
    if isinstance(value, Mapping | list | tuple):
        parts = value.values() if isinstance(value, Mapping) else value
        return next((found for part in parts if (found := role(part)) and found != "model"), "")
    if hasattr(value, "step") and not isinstance(value, type):
        if hasattr(value, "zero_grad") and hasattr(value, "param_groups"):
            return "optimizer"
        return "scheduler" if hasattr(value, "optimizer") else ""
    return ""


def remedy_of_name(name: str, word: str) -> str:
    """Return what to write instead of the name of a loss, an optimizer or a schedule, as Keras has them."""
    if name == "scheduler" and word in NAMED:
        return f"for metrics pass metrics={word!r}"
    place, module, first = PLACES[name]
    known = [entry for entry in module.__all__ if entry[0].isupper() and entry not in ("Loss", "Optimizer")]
    found = spelt(word, known) or nearest(word, known)
    return f"write {place}.{found}({first})" if found in known else f"write an object of {place}, {found}"


def _described(value: Any) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"an object of {type(value).__name__}"


def _made(name: str, value: Any) -> str:
    """Return how to make an object of a class or a partial function."""
    first = PLACES[name][2] if name in PLACES else "..."
    if isinstance(value, partial):
        return f"call it: {name}({first})"
    return f"write {value.__name__}({first})"
