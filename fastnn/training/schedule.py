"""Steps the learning-rate scheduler of the training loop, or replaces it by the one-cycle policy."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastnn._better import direction
from fastnn.optim.lr_scheduler.base import have_stepped, note_steps
from fastnn.optim.lr_scheduler.onecycle import OneCycleLR
from fastnn.optim.lr_scheduler.plateau import ReduceLROnPlateau
from fastnn.training.protocols import Training
from fastnn.training.state import ENDLESS


def steps_by_epoch(trainer: Training) -> bool:
    """Return whether the scheduler steps after every epoch, and not after every optimizer step."""
    return trainer.scheduler_interval == "epoch" or isinstance(trainer.scheduler, ReduceLROnPlateau)


def monitored(trainer: Training) -> str:
    """Return the name of the value that `ReduceLROnPlateau` gets."""
    return trainer.monitor or ("val_loss" if trainer.state.validates else "loss")


def step_scheduler(trainer: Training) -> None:
    """Step the scheduler, if there is one; `ReduceLROnPlateau` gets the newest value of its monitor."""
    if trainer.state.scheduler_rests:
        return
    if isinstance(trainer.scheduler, ReduceLROnPlateau):
        trainer.scheduler.step(trainer.logs[monitored(trainer)])
    elif trainer.scheduler is not None:
        trainer.scheduler.step()


def check_schedule(trainer: Training, max_steps: int | None = None) -> None:
    """Raise ValueError if the scheduler would end before the fit does, or gets what it is not made for.

    Args:
        max_steps: the optimizer steps of the fit, if they are limited.
    """
    if isinstance(trainer.scheduler, ReduceLROnPlateau):
        _check_plateau(trainer, trainer.scheduler)
    steps = _steps(trainer)
    limits = [steps, None if max_steps is None else _most(trainer, max_steps)]
    for cycle, count in _cycles(trainer.scheduler, min((n for n in limits if n is not None), default=None)):
        total, done = cycle.total_steps, max(0, cycle.last_epoch)
        if done + count > total:
            raise ValueError(f"scheduler: got total_steps = {total} with {done} of them done, want {count} more; train "
                             "for fewer epochs or steps, or build a longer one")  # fmt: skip
    _warn_of_epochs(trainer, steps)


def _steps(trainer: Training) -> int | None:
    """Return how often the scheduler will step in this fit, or None if that is not known."""
    state, window = trainer.state, trainer.accumulate_grad_batches
    if state.epochs >= ENDLESS:
        return None
    epochs = state.epochs - state.epoch
    if steps_by_epoch(trainer):
        return epochs + bool(state.batch)
    if state.batches is None:
        return None
    of_epoch, of_this = -(-state.batches // window), -(-state.batch // window)
    return epochs * of_epoch + (of_epoch - of_this if state.batch else 0)


def _most(trainer: Training, max_steps: int) -> int | None:
    """Return how often the scheduler will step in the rest of a fit of so many optimizer steps, or None."""
    state, left = trainer.state, max(0, trainer.state.first_step + max_steps - trainer.state.step)
    if not steps_by_epoch(trainer):
        return left
    if state.batches is None:
        return None
    of_epoch, of_this = (-(-n // trainer.accumulate_grad_batches) for n in (state.batches, state.batch))
    return (left + of_this) // of_epoch


def _cycles(scheduler: Any, steps: int | None) -> Iterator[tuple[OneCycleLR, int]]:
    """Yield every `OneCycleLR`, which alone have an end, and how often it will step in the next `steps` steps."""
    if isinstance(scheduler, OneCycleLR) and steps is not None:
        yield scheduler, steps
    milestones = list(getattr(scheduler, "milestones", ()))
    for i, member in enumerate(getattr(scheduler, "schedulers", ())):
        begin = milestones[i - 1] - scheduler.last_epoch if milestones and i else 0
        end = milestones[i] - scheduler.last_epoch if i < len(milestones) else steps
        end = steps if end is None else end if steps is None else min(end, steps)
        yield from _cycles(member, None if end is None else max(0, end - max(0, begin)))


def _check_plateau(trainer: Training, scheduler: ReduceLROnPlateau) -> None:
    name = monitored(trainer)
    if name not in trainer.monitors:
        raise ValueError(f"monitor: got {name!r}, want one of {trainer.monitors}")
    wanted = direction(name, trainer.history.directions)
    if wanted is not None and wanted != scheduler.mode:
        raise ValueError(f"scheduler: got ReduceLROnPlateau with mode={scheduler.mode!r} for {name!r}, want "
                         f"mode={wanted!r}, or another monitor")  # fmt: skip


def _warn_of_epochs(trainer: Training, steps: int | None) -> None:
    """Warn of a schedule whose length is that of the epochs, though it steps after every optimizer step."""
    scheduler, state = trainer.scheduler, trainer.state
    if scheduler is None or steps_by_epoch(trainer) or steps is None or state.batches is None or state.batches < 2:
        return
    epochs, own = state.epochs - state.first_epoch, getattr(scheduler, "step_size", None)
    name = next((n for n in ("T_max", "total_iters", "T_0") if getattr(scheduler, n, None) == epochs > 1), None)
    if name is None and isinstance(own, int) and 1 < own * 4 <= state.batches:
        name = "step_size"
    if name is not None:
        length = getattr(scheduler, name)
        warnings.warn(f"scheduler: got {type(scheduler).__name__} with {name} = {length}, which counts optimizer "
                      f"steps, {steps // epochs} of an epoch; if epochs are meant, pass scheduler_interval='epoch' "
                      "to Trainer", stacklevel=4)  # fmt: skip


@contextmanager
def one_cycle(trainer: Training, max_lr: float | Sequence[float], steps: int) -> Iterator[None]:
    """Replace the scheduler by a `OneCycleLR` over `steps` steps inside the block; then restore all options.

    A single `max_lr` is that of the first group; the others keep their proportions to it.
    """
    schedule = trainer.scheduler, trainer.scheduler_interval
    stepped = have_stepped(trainer.optimizer)
    before = [dict(group) for group in trainer.optimizer.param_groups]
    has_momentum = any("momentum" in group or "betas" in group for group in before)
    optimizer: Any = trainer.optimizer
    try:
        if not isinstance(max_lr, Sequence | np.ndarray) and len(before) > 1:
            max_lr = [max_lr * share for share in proportions(before)]
        trainer.scheduler = OneCycleLR(optimizer, max_lr, steps, cycle_momentum=has_momentum)
        trainer.scheduler_interval = "step"
        yield
    finally:
        trainer.scheduler, trainer.scheduler_interval = schedule
        for group, options in zip(optimizer.param_groups, before, strict=False):
            group.update({key: value for key, value in options.items() if key != "params"})
            for key in group.keys() - options.keys():
                dict.pop(group, key)  # initial_lr, from which the next scheduler would begin
        note_steps(optimizer, stepped)


def proportions(groups: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return the learning rate of every group as a multiple of the first one's; 1 where the first is 0."""
    first = float(groups[0]["lr"])
    return [float(group["lr"]) / first if first else 1.0 for group in groups]
