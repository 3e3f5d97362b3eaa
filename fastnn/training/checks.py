"""Checks of the trainer's arguments, made before anything is trained."""

import inspect
import warnings
from collections.abc import Iterable
from difflib import get_close_matches
from os import PathLike
from typing import Any

import numpy as np

from fastnn._checks import integer, ordered, positive_integer
from fastnn._parameter import Parameter
from fastnn._trees import Tree
from fastnn.data.source import Arrays, as_source
from fastnn.nn.module import Module
from fastnn.optim.lr_scheduler.plateau import ReduceLROnPlateau
from fastnn.training.callbacks.base import Callback
from fastnn.training.roles import check_roles

Data = tuple[Tree, Tree]


def checked(name: str, data: Data) -> Data:
    """Return `data`; raise unless it is (x, y) with one label or target for every sample, all finite."""
    if not isinstance(data, tuple) or len(data) != 2:
        got = f"a tuple of {len(data)}" if isinstance(data, tuple) else type(data).__name__
        raise TypeError(f"{name}: got {got}, want a tuple (x, y) of two arrays; pass (x, y)")
    source = as_source(name, data)
    assert isinstance(source, Arrays)
    return source.x, source.y


def evaluation_size(value: Any) -> int:
    """Return a batch size; raise TypeError for targets in its place, given as a second argument after x."""
    if hasattr(value, "__len__") and not isinstance(value, str):
        raise TypeError("data: got x and y as two arguments, want one, a tuple (x, y); write evaluate((x, y))")
    return positive_integer("batch_size", value)


def validation_interval(value: float | int, batches: int | None) -> int:
    """Return the number of batches between validations: `value` batches, or that fraction of an epoch.

    Raises:
        ValueError: `value` is neither an integer >= 1 nor a float in (0, 1], or a fraction of an unknown number.
    """
    if isinstance(value, float | np.floating) and 0 < value <= 1:
        if batches is None and value < 1:
            raise ValueError(f"val_check_interval: got {value!r} for an iterable of unknown length, want a number of "
                             "batches, an integer >= 1")  # fmt: skip
        if batches is None:
            return 2**62
        return max(1, int(round(batches * value, 9)))  # 0.29 of 100 are 29
    want = "a share of an epoch, a float in (0, 1], or a number of batches, an integer >= 1"
    return integer("val_check_interval", value, 1, want=want)


def check_choices(verbose: Any, resume: Any) -> None:
    """Raise unless `verbose` is "auto" or a truth value, and `resume` a path or None."""
    if isinstance(verbose, str) and verbose != "auto":
        raise ValueError(f"verbose: got {verbose!r}, want 'auto', True or False")
    if resume is not None and not isinstance(resume, str | PathLike):
        raise TypeError(f"resume: got {resume!r}, want 'latest', a path or None")


def check_parts(
    model: Any, loss: Any, optimizer: Any, scheduler: Any, interval: str, metrics: Any, callbacks: Any
) -> None:
    """Raise unless each argument is in its place, the optimizer belongs to the model, the scheduler to the optimizer,
    and the interval is known."""
    check_roles(model=model, loss=loss, optimizer=optimizer, scheduler=scheduler, metrics=metrics, callbacks=callbacks)
    if not isinstance(model, Module):
        raise TypeError(f"model: got {type(model).__name__}, want a fastnn.nn.Module; {_as_module(model)}")
    for name in ("step", "zero_grad", "param_groups"):
        if not hasattr(optimizer, name):
            raise TypeError(f"optimizer: got {type(optimizer).__name__} without {name}, want an optimizer")
    own, held = _parameters(model, optimizer)
    if held and own and own.keys().isdisjoint(held):
        raise ValueError("optimizer: got none of the model's parameters, want them; build it with model.parameters()")
    if scheduler is not None and not hasattr(scheduler, "step"):
        raise TypeError(f"scheduler: got {type(scheduler).__name__} without step, want a schedule or None")
    if getattr(scheduler, "optimizer", optimizer) is not optimizer:
        raise ValueError("scheduler: got one of another optimizer, want one of the trainer's; build it with that")
    if any(isinstance(member, ReduceLROnPlateau) for member in getattr(scheduler, "schedulers", ())):
        raise ValueError(f"scheduler: got {type(scheduler).__name__} with a ReduceLROnPlateau in it, want that by "
                         "itself, since it would get no metric here")  # fmt: skip
    if interval not in ("step", "epoch"):
        raise ValueError(f"scheduler_interval: got {interval!r}, want 'step' or 'epoch'")


def _as_module(model: Any) -> str:
    if isinstance(model, list | tuple):
        return "write fastnn.nn.Sequential(*layers)"
    if hasattr(model, "named_parameters"):
        return "a model of torch is trained in a loop of its own, with fastnn.torch"
    return "build it of fastnn.nn, or derive its class from fastnn.nn.Module"


def check_trained(model: Module, optimizer: Any) -> None:
    """Tell which parameters of the model the optimizer does not hold.

    Raises:
        ValueError: it also holds parameters that the model does not have, as after a layer was replaced.

    Warns:
        UserWarning: otherwise.
    """
    own, held = _parameters(model, optimizer)
    missing = [name for key, (name, p) in own.items() if key not in held and p.requires_grad]
    if not held or not missing:
        return
    shown = ", ".join(missing[:4]) + (f" and {len(missing) - 4} more" if len(missing) > 4 else "")
    if held - own.keys():
        raise ValueError(f"optimizer: got parameters that the model does not have, and not its {shown}, want the "
                         "model's own; build it after the model is complete, or call add_param_group")  # fmt: skip
    warnings.warn(f"optimizer: it does not hold {shown}, which will not be trained; if that is meant, call "
                  "requires_grad_(False) on their modules", stacklevel=3)  # fmt: skip


def _parameters(model: Module, optimizer: Any) -> tuple[dict[int, tuple[str, Parameter]], set[int]]:
    """Return the model's parameters by id, and the ids of those that the optimizer holds."""
    own = {id(parameter): (name, parameter) for name, parameter in model.named_parameters()}
    held = {id(p) for g in optimizer.param_groups for p in g.get("params", ())}
    return own, held


def checked_callbacks(callbacks: Iterable[Callback] | None) -> tuple[Callback, ...]:
    """Return the callbacks as a tuple, empty for None; raise TypeError if one of them is not a `Callback`."""
    if callbacks is None:
        return ()
    if isinstance(callbacks, Callback):
        raise TypeError(f"callbacks: got one {type(callbacks).__name__}, want a list of them; write [it]")
    ordered("callbacks", callbacks)
    if not isinstance(callbacks, Iterable):
        raise TypeError(
            f"callbacks: got {type(callbacks).__name__}, want a list of Callback objects; write [] for none"
        )
    callbacks = tuple(callbacks)
    if not all(isinstance(callback, Callback) for callback in callbacks):
        other = next(callback for callback in callbacks if not isinstance(callback, Callback))
        remedy = f"write {other.__name__}()" if isinstance(other, type) else "see fastnn.training.Callback"
        got = f"the class {other.__name__}" if isinstance(other, type) else type(other).__name__
        raise TypeError(f"callbacks: got something else than a Callback, {got}, want objects of classes derived from "
                        f"it; {remedy}")  # fmt: skip
    for callback in callbacks:
        _check_hooks(callback)
    return callbacks


HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))
ELSEWHERE = {
    "on_train_begin": "on_fit_start",
    "on_train_start": "on_fit_start",
    "on_train_end": "on_fit_end",
    "on_epoch_begin": "on_epoch_start",
    "on_train_epoch_start": "on_epoch_start",
    "on_train_epoch_end": "on_epoch_end",
    "on_train_batch_begin": "on_batch_start",
    "on_train_batch_start": "on_batch_start",
    "on_train_batch_end": "on_batch_end",
    "on_step_begin": "on_batch_start",
}
"""Hooks of other libraries, and those of this one at the same place."""


def _check_hooks(callback: Callback) -> None:
    """Raise TypeError for a hook that does not take the trainer alone; warn of methods that look like hooks."""
    kind = type(callback).__name__
    for name in dir(type(callback)):
        method = getattr(callback, name) if name.startswith("on_") else None
        if not callable(method):
            continue
        if name not in HOOKS:
            near = ELSEWHERE.get(name) or next(iter(get_close_matches(name, HOOKS, 1)), "")
            remedy = f"call it {near}" if near else f"the hooks are {', '.join(HOOKS)}"
            warnings.warn(f"callbacks: {kind}.{name} is no hook and is never called; {remedy}", stacklevel=4)
            continue
        signature = inspect.signature(method)
        try:
            signature.bind(None)
        except TypeError:
            raise TypeError(f"callbacks: got {kind}.{name}{signature}, want it to take the trainer alone; define it as "
                            f"def {name}(self, trainer), and read trainer.logs") from None  # fmt: skip


def check_monitor(monitor: str, names: list[str]) -> None:
    """Raise ValueError unless `monitor` is one of the metrics that an epoch records."""
    if monitor not in names:
        needs = "; give fit a validation" if monitor.removeprefix("val_") in names else ""
        raise ValueError(f"monitor: got {monitor!r}, want one of {names}{needs}")
