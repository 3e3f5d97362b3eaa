"""Checks of the trainer's arguments, made before anything is trained."""

from collections.abc import Iterable
from os import PathLike
from typing import Any

import numpy as np

from fastnn._checks import finite, integer, not_array, pair, samples
from fastnn._parameter import Parameter
from fastnn._types import FLOATS, Array
from fastnn.nn.module import Module
from fastnn.optim.lr_scheduler.plateau import ReduceLROnPlateau
from fastnn.training.callbacks.base import Callback

Data = tuple[Array, Any]


def check_samples(name: str, x: Array) -> None:
    """Raise unless x is a float array with at least one sample."""
    if not isinstance(x, np.ndarray) or x.dtype not in FLOATS:
        raise not_array(name, x, "float32 or float64")
    samples(name, x)


def checked(name: str, data: Data) -> Data:
    """Return `data`; raise unless it is (x, y) with one label or target for every sample, all finite."""
    x, y = pair(name, data)
    check_samples(f"{name} x", x)
    if not isinstance(y, np.ndarray) or not (np.issubdtype(y.dtype, np.integer) or y.dtype in FLOATS):
        got = y.dtype if isinstance(y, np.ndarray) else type(y).__name__
        raise TypeError(f"{name} y: got {got}, want an array of integers, or of float32 or float64; use np.asarray")
    if y.ndim == 0 or len(y) != len(x):
        raise ValueError(f"{name} y: got shape {y.shape}, want ({len(x)},), one for each sample of x; add the others")
    finite(f"{name} x", x)
    finite(f"{name} y", y)
    return x, y


def check_labels(name: str, y: Any, logits: Array, ignore_index: int | None) -> None:
    """Raise IndexError if an integer label is not one of the classes of logits (N, C)."""
    if not np.issubdtype(y.dtype, np.integer):
        return
    if y.ndim != 1:
        raise ValueError(f"{name}: got shape {y.shape}, want ({len(y)},), one label for each sample of x")
    if logits.ndim != 2:
        return
    classes = logits.shape[1]
    wrong = (y < 0) | (y >= classes)
    if ignore_index is not None:
        wrong &= y != ignore_index
    if wrong.any():
        row = int(wrong.argmax())
        raise IndexError(f"{name}: got label {y[row]} at row {row}, want one in [0, {classes}): the model's result has "
                         f"{classes} classes")  # fmt: skip


def validation_interval(value: float | int, batches: int) -> int:
    """Return the number of batches between validations: `value` batches, or that fraction of an epoch.

    Raises:
        ValueError: `value` is neither an integer >= 1 nor a float in (0, 1].
    """
    if isinstance(value, float | np.floating) and 0 < value <= 1:
        return max(1, int(round(batches * value, 9)))  # 0.29 of 100 are 29
    want = "a share of an epoch, a float in (0, 1], or a number of batches, an integer >= 1"
    return integer("val_check_interval", value, 1, want=want)


def check_choices(verbose: Any, resume: Any) -> None:
    """Raise unless `verbose` is "auto" or a truth value, and `resume` a path or None."""
    if isinstance(verbose, str) and verbose != "auto":
        raise ValueError(f"verbose: got {verbose!r}, want 'auto', True or False")
    if resume is not None and not isinstance(resume, str | PathLike):
        raise TypeError(f"resume: got {resume!r}, want 'latest', a path or None")


def check_parts(model: Module, optimizer: Any, scheduler: Any, interval: str) -> None:
    """Raise unless the optimizer belongs to the model, the scheduler to the optimizer, and the interval is known."""
    for name in ("step", "zero_grad", "param_groups"):
        if not hasattr(optimizer, name):
            raise TypeError(f"optimizer: got {type(optimizer).__name__} without {name}, want an optimizer")
    own = {id(parameter) for parameter in model.parameters()}
    trained = {id(p) for g in optimizer.param_groups for p in g.get("params", ()) if isinstance(p, Parameter)}
    if trained and own and own.isdisjoint(trained):
        raise ValueError("optimizer: got none of the model's parameters, want them; build it with model.parameters()")
    if scheduler is not None and not hasattr(scheduler, "step"):
        raise TypeError(f"scheduler: got {type(scheduler).__name__} without step, want a schedule or None")
    if getattr(scheduler, "optimizer", optimizer) is not optimizer:
        raise ValueError("scheduler: got one of another optimizer, want one of the trainer's; build it with that")
    if any(isinstance(member, ReduceLROnPlateau) for member in getattr(scheduler, "schedulers", ())):
        raise ValueError(f"scheduler: got {type(scheduler).__name__} with a ReduceLROnPlateau in it, want that by "
                         "itself, since it would get no metric here")  # fmt: skip
    if isinstance(scheduler, ReduceLROnPlateau) and scheduler.mode != "min":
        raise ValueError("scheduler: got ReduceLROnPlateau with mode='max', want 'min': the metric is the loss")
    if interval not in ("step", "epoch"):
        raise ValueError(f"scheduler_interval: got {interval!r}, want 'step' or 'epoch'")


def checked_callbacks(callbacks: Iterable[Callback]) -> tuple[Callback, ...]:
    """Return the callbacks as a tuple; raise TypeError if one of them is not a `Callback`."""
    if isinstance(callbacks, Callback):
        raise TypeError(f"callbacks: got one {type(callbacks).__name__}, want a list of them; write [it]")
    callbacks = tuple(callbacks)
    if not all(isinstance(callback, Callback) for callback in callbacks):
        raise TypeError("callbacks: got something else than a Callback, want objects of classes derived from it")
    return callbacks


def check_monitor(monitor: str, names: list[str]) -> None:
    """Raise ValueError unless `monitor` is one of the metrics that an epoch records."""
    if monitor not in names:
        needs = "; give fit a validation" if monitor.removeprefix("val_") in names else ""
        raise ValueError(f"monitor: got {monitor!r}, want one of {names}{needs}")
