"""The loop over the epochs and batches of one fit."""

import math
import time
from collections.abc import Callable, Iterable
from typing import Any, Literal

from fastnn.training.callbacks.base import Callback, StopTraining
from fastnn.training.callbacks.progress import ProgressBar
from fastnn.training.checks import validation_interval
from fastnn.training.evaluation import measure
from fastnn.training.fitting import Fit
from fastnn.training.history import append
from fastnn.training.metrics import Meter
from fastnn.training.protocols import Training
from fastnn.training.schedule import step_scheduler, steps_by_epoch
from fastnn.training.step import forward_backward, update

VALIDATION_BATCH = 1024
"""Least number of samples in a validation batch: without backward there is memory for more than in training."""


class Loop:
    """Trains for one call of `fit`, and calls the hooks of the callbacks.

    The trainer's `LoopState` holds everything that changes during the run; the loop holds the rest.

    Args:
        trainer: the trainer whose model is trained.
        fit: the data of the fit.
        verbose: add a `ProgressBar` unless there is one among the callbacks.
    """

    def __init__(self, trainer: Training, fit: Fit, verbose: Literal["auto"] | bool) -> None:
        self.trainer, self.state, self.fit = trainer, trainer.state, fit
        self.hooks = _hooks(trainer.callbacks, bool(verbose))

    def begin(self) -> None:
        """Set the state for a fit that begins where the last one ended."""
        state, trainer, batches = self.state, self.trainer, self.fit.batches
        state.first_epoch, state.batch, state.batches = state.epoch, 0, len(batches)
        state.validates, state.stopped = self.fit.validation is not None, None
        state.window_loss = state.window_weight = 0.0
        state.interval = validation_interval(trainer.val_check_interval, state.batches)
        state.data = {
            "seed": self.fit.seed,
            "samples": len(batches.x),
            "batch_size": self.fit.batch_size,
            "accumulate_grad_batches": trainer.accumulate_grad_batches,
            "val_check_interval": state.interval,
        }

    def run(self) -> None:
        """Train until the last epoch ends.

        Raises:
            StopTraining: a callback has ended the training.
        """
        while self.state.epoch < self.state.epochs or self.state.batch:
            self._run_epoch()

    def call(self, hook: str) -> None:
        """Call a hook of every callback, then raise StopTraining if one of them has.

        All callbacks are called before the training ends. After a validation it ends only when the batch or epoch is
        recorded, so that the record is whole.
        """
        if not (functions := self.hooks[hook]):
            return
        for function in functions:
            try:
                function(self.trainer)
            except StopTraining as signal:
                if hook != "on_fit_end":
                    self.state.stopped = self.state.stopped or str(signal) or type(signal).__name__
        if self.state.stopped is not None and hook not in ("on_validation_end", "on_fit_end"):
            raise StopTraining

    def _run_epoch(self) -> None:
        started, state = time.perf_counter(), self.state
        if state.batch == 0:
            state.epoch += 1
            state.meter = Meter(self.trainer.metrics)
        state.record = None
        self.fit.batches.shuffle(state.data["seed"], state.epoch)
        self.call("on_epoch_start")
        self._run_batches()
        record = state.meter.logs() | self._validate()
        state.record = record | {"lr": state.history.steps["lr"][-1], "seconds": time.perf_counter() - started}
        append(state.history, state.record)
        if steps_by_epoch(self.trainer):
            step_scheduler(self.trainer)
        state.batch = 0
        self.call("on_epoch_end")

    def _run_batches(self) -> None:
        """Train on the remaining batches of the epoch, with the validations within it."""
        state = self.state
        done = state.batch
        for batch in range(state.batch, state.batches):
            self._train_batch(batch)
            if state.has_stepped:
                if batch + 1 < state.batches and (batch + 1) // state.interval > done // state.interval:
                    self._validate()
                    state.record = None
                done = batch + 1
            self.call("on_batch_end")

    def _train_batch(self, number: int) -> None:
        state = self.state
        self.call("on_batch_start")
        model = self.trainer.model
        if not model.training:  # a callback has called eval()
            model.train()
        loss, logits, batch = forward_backward(self.trainer, self.fit.batches, number)
        self.call("on_backward_end")
        if batch.weight:
            state.window_loss += batch.share * loss
            state.window_weight += batch.weight
        state.has_stepped = batch.ends
        if batch.ends:
            self._step()
        state.times = (*state.times[:4], time.perf_counter())
        state.meter.add(loss, batch.weight, logits, batch.labels)
        state.batch = number + 1

    def _step(self) -> None:
        state, trainer = self.state, self.trainer
        update(trainer)
        state.step += 1
        steps = state.history.steps
        steps["loss"].append(state.window_loss if state.window_weight else math.nan)
        steps["lr"].append(float(trainer.optimizer.param_groups[0]["lr"]))
        state.window_loss = state.window_weight = 0.0
        if trainer.scheduler is not None and not steps_by_epoch(trainer):
            step_scheduler(trainer)

    def _validate(self) -> dict[str, float]:
        """Measure the validation data, if there is any, and record it; the names begin with "val_"."""
        state, trainer, fit = self.state, self.trainer, self.fit
        if fit.validation is None:
            return {}
        batch_size = max(fit.batch_size, VALIDATION_BATCH)
        found = measure(trainer.model, trainer.loss, trainer.metrics, fit.validation, batch_size)
        record = {f"val_{name}": value for name, value in found.items()}
        append(state.history.validations, {"step": float(state.step)} | record)
        state.record = state.meter.logs() | record
        self.call("on_validation_end")
        return record


def _hooks(callbacks: Iterable[Callback], verbose: bool) -> dict[str, list[Callable[[Any], None]]]:
    """Return the methods to call at each hook: those that the callbacks define themselves."""
    ordered = [*callbacks]
    if verbose and not any(isinstance(callback, ProgressBar) for callback in ordered):
        ordered.append(ProgressBar())
    ordered.sort(key=lambda callback: callback.runs_last)
    return {
        name: [method for c in ordered if getattr(method := getattr(c, name), "__func__", None) is not hook]
        for name, hook in vars(Callback).items()
        if name.startswith("on_")
    }
