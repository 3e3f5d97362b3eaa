"""Steps the learning-rate scheduler of the training loop, or replaces it by the one-cycle policy."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastnn.optim.lr_scheduler.onecycle import OneCycleLR
from fastnn.optim.lr_scheduler.plateau import ReduceLROnPlateau
from fastnn.training.protocols import Training


def steps_by_epoch(trainer: Training) -> bool:
    """Return whether the scheduler steps after every epoch, and not after every optimizer step."""
    return trainer.scheduler_interval == "epoch" or isinstance(trainer.scheduler, ReduceLROnPlateau)


def step_scheduler(trainer: Training) -> None:
    """Step the scheduler, if there is one; `ReduceLROnPlateau` gets the newest loss."""
    if isinstance(trainer.scheduler, ReduceLROnPlateau):
        trainer.scheduler.step(trainer.logs["val_loss" if trainer.state.validates else "loss"])
    elif trainer.scheduler is not None:
        trainer.scheduler.step()


def check_schedule(trainer: Training) -> None:
    """Raise ValueError if the scheduler would end before the fit does."""
    if not isinstance(trainer.scheduler, OneCycleLR):  # all others have no end
        return
    state, window = trainer.state, trainer.accumulate_grad_batches
    total, done = trainer.scheduler.total_steps, trainer.scheduler.last_epoch
    epochs = state.epochs - state.epoch
    if steps_by_epoch(trainer):
        steps = epochs + bool(state.batch)
    else:
        of_epoch, of_this = -(-state.batches // window), -(-state.batch // window)
        steps = epochs * of_epoch + (of_epoch - of_this if state.batch else 0)
    if done + steps > total:
        raise ValueError(f"scheduler: got total_steps = {total} with {done} of them done, want {steps} more; train "
                         "for fewer epochs or build a longer one")  # fmt: skip


@contextmanager
def one_cycle(trainer: Training, max_lr: float, steps: int) -> Iterator[None]:
    """Replace the scheduler by a `OneCycleLR` over `steps` steps inside the block; then restore all options."""
    schedule = trainer.scheduler, trainer.scheduler_interval
    before = [dict(group) for group in trainer.optimizer.param_groups]
    has_momentum = any("momentum" in group or "betas" in group for group in before)
    optimizer: Any = trainer.optimizer
    try:
        trainer.scheduler = OneCycleLR(optimizer, max_lr, steps, cycle_momentum=has_momentum)
        trainer.scheduler_interval = "step"
        yield
    finally:
        trainer.scheduler, trainer.scheduler_interval = schedule
        for group, options in zip(optimizer.param_groups, before, strict=False):
            group.update({key: value for key, value in options.items() if key != "params"})
            for key in group.keys() - options.keys():
                dict.pop(group, key)  # initial_lr, from which the next scheduler would begin
