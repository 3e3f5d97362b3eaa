"""The loop over the epochs and batches of one fit."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from fastnn._checks import positive, positive_integer
from fastnn.data.source import Stream
from fastnn.nn.module import Module
from fastnn.training.callbacks.averaging import evaluated
from fastnn.training.callbacks.base import Callback, StopTraining
from fastnn.training.callbacks.progress import ProgressBar
from fastnn.training.checks import validation_interval
from fastnn.training.evaluation import measure
from fastnn.training.fitting import Fit
from fastnn.training.history import append, drop
from fastnn.training.losses import in_window
from fastnn.training.metrics import Meter
from fastnn.training.protocols import Training
from fastnn.training.schedule import step_scheduler, steps_by_epoch
from fastnn.training.state import ENDLESS
from fastnn.training.step import forward_backward, update
from fastnn.training.windows import Batch


@dataclass(frozen=True)
class Limits:
    """When a fit ends; None for no limit.

    Attributes:
        epochs, steps: their numbers, in this fit.
        seconds: of this fit.
    """

    epochs: int | None
    steps: int | None
    seconds: float | None

    @classmethod
    def of(cls, epochs: Any, max_steps: Any, max_time: Any) -> "Limits":
        """Return the limits of these arguments of `Trainer.fit`, checked."""
        if epochs is None and max_steps is None and max_time is None:
            raise ValueError("epochs: got None without max_steps and max_time, want one of them, or a number of epochs")
        seconds = max_time.total_seconds() if isinstance(max_time, timedelta) else max_time
        return cls(
            None if epochs is None else positive_integer("epochs", epochs),
            None if max_steps is None else positive_integer("max_steps", max_steps),
            None if seconds is None else positive("max_time", seconds, "seconds > 0, or a datetime.timedelta"),
        )

    def last_epoch(self, first: int) -> int:
        """Return the last epoch of a fit that begins after epoch `first`."""
        return first + (ENDLESS if self.epochs is None else self.epochs)


class Loop:
    """Trains for one call of `fit`, and calls the hooks of the callbacks.

    The trainer's `LoopState` holds everything that changes during the run; the loop holds the rest.

    Args:
        trainer: the trainer whose model is trained.
        fit: the data of the fit.
        limits: when it ends.
        verbose: add a `ProgressBar` unless there is one among the callbacks.
    """

    def __init__(self, trainer: Training, fit: Fit, limits: Limits, verbose: Literal["auto"] | bool) -> None:
        self.trainer, self.state, self.fit, self.limits = trainer, trainer.state, fit, limits
        self.hooks = _hooks(trainer.callbacks, bool(verbose))
        self._modes: list[tuple[Module, bool]] = []
        self._began, self._started = math.inf, time.perf_counter()

    def begin(self) -> None:
        """Set the state for a fit that begins where the last one ended."""
        state, trainer, batches = self.state, self.trainer, self.fit.batches
        state.first_epoch, state.first_step = state.epoch, state.step
        state.batch, state.batches = 0, batches.count
        state.validates, state.stopped = self.fit.validation is not None, None
        state.window_loss = state.window_weight = 0.0
        state.fit_batches, state.scheduler_rests = batches, False
        state.interval = validation_interval(trainer.val_check_interval, state.batches)
        state.source = batches.source if isinstance(batches.source, Stream) else None
        state.history.directions |= {name: metric.better for name, metric in trainer.metrics.items()}
        state.data = {
            "seed": batches.seed,
            "samples": batches.samples,
            "batch_size": self.fit.batch_size,
            "accumulate_grad_batches": trainer.accumulate_grad_batches,
            "val_check_interval": state.interval,
        }

    def run(self) -> None:
        """Train until the last epoch ends.

        Raises:
            StopTraining: a callback or a limit has ended the training.
        """
        self.fit.batches.seed = self.state.data["seed"]
        self._modes = [(module, module.training) for module in self.trainer.model.modules()]
        if self.state.batch != self.state.batches:
            self._check_limits()  # of steps: a resumed fit may have made them
        self._began = time.monotonic()
        if self.state.batch:
            drop(self.state.history, self.state.epoch)
        while self.state.epoch < self.state.epochs or self.state.batch:
            self._run_epoch()

    def close(self) -> None:
        """Record an epoch that has ended before its last batch, and do not count one that has ended before its first.

        So the history has one record for every epoch; a fit that is resumed within the epoch drops this one.
        """
        state, history = self.state, self.state.history
        if state.record is None and not state.batch:
            state.epoch -= 1
            state.record = state.meter.logs()
        if not state.batch or history.epochs >= state.epoch:
            return
        try:
            record = state.meter.logs()
        except Exception:  # a metric of some samples may raise, but must not end the fit
            record = {"loss": state.meter.mean} | dict.fromkeys(self.trainer.metrics, math.nan)
        begun = state.step - -(-state.batch // self.trainer.accumulate_grad_batches)
        if history.validations and history.validations["step"][-1] > begun:
            record |= {name: curve[-1] for name, curve in history.validations.items() if name != "step"}
        lr = float(self.trainer.optimizer.param_groups[0]["lr"])
        state.record = record | {
            "lr": history.steps["lr"][-1] if history.steps["lr"] else lr,
            "seconds": time.perf_counter() - self._started,
        }
        append(history, state.record)

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
                if hook not in ("on_fit_end", "on_exception"):
                    self.state.stopped = self.state.stopped or str(signal) or type(signal).__name__
        if self.state.stopped is not None and hook not in ("on_validation_end", "on_fit_end", "on_exception"):
            raise StopTraining

    def _run_epoch(self) -> None:
        state, self._started = self.state, time.perf_counter()
        if state.batch == 0:
            state.epoch += 1
            state.meter = Meter(self.trainer.metrics)
        state.record = None
        self.call("on_epoch_start")
        last = self._run_batches()
        self.call("on_batches_end")
        found = last if last is not None else self._validate()
        record = state.meter.logs() | found
        state.record = record | {"lr": state.history.steps["lr"][-1], "seconds": time.perf_counter() - self._started}
        append(state.history, state.record)
        if steps_by_epoch(self.trainer):
            step_scheduler(self.trainer)
        state.batch = 0
        self.call("on_epoch_end")
        self._check_limits()

    def _run_batches(self) -> dict[str, float] | None:
        """Train on the remaining batches of the epoch, with the validations within it.

        Returns:
            The record of a validation after the last batch, which can only be if its number was not known before.
        """
        state = self.state
        done, found = state.batch, self._validated()
        if self.trainer.model.training:  # unless a callback has called eval()
            self._modes = [(module, module.training) for module in self.trainer.model.modules()]
        batches = self.fit.batches.of_epoch(state.epoch, state.batch)
        while True:
            if state.batches is None or state.batch < state.batches:
                self.call("on_batch_start")
            started = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                break
            state.times = (started, *state.times[1:])
            self._train_batch(batch)
            found = None
            if state.has_stepped:
                if state.batch != state.batches and state.batch // state.interval > done // state.interval:
                    found = self._validate()
                    state.record = None
                done = state.batch
            self.call("on_batch_end")
            if state.has_stepped and state.batch != state.batches:
                self._check_limits()
        if not state.batch:
            raise ValueError(f"train: got no batches in epoch {state.epoch}, want some: an iterator can be read only "
                             "once; pass a list, or a function that returns a new iterator")  # fmt: skip
        return found

    def _validated(self) -> dict[str, float] | None:
        """Return the record of a validation after the last batch before a fit was resumed, which may end the epoch."""
        state, found = self.state, self.state.history.validations
        if state.batches is not None or not state.batch or not found or found["step"][-1] != state.step:
            return None
        return {name: curve[-1] for name, curve in found.items() if name != "step"}

    def _train_batch(self, batch: Batch) -> None:
        state = self.state
        if not self.trainer.model.training:
            for module, mode in self._modes:
                module.training = mode
        loss, outputs = forward_backward(self.trainer, batch)
        self.call("on_backward_end")
        part, weight = in_window(loss, batch)
        state.window_loss, state.window_weight = state.window_loss + part, state.window_weight + weight
        state.has_stepped = batch.ends
        if batch.ends:
            self._step()
        state.times = (*state.times[:4], time.perf_counter())
        state.meter.add(loss, batch.weight, outputs, batch.labels)
        state.batch += 1
        if batch.ends:
            self.call("on_step_end")

    def _check_limits(self) -> None:
        """Raise StopTraining if the fit has made its steps, or used up its time."""
        state, limits = self.state, self.limits
        if limits.steps is not None and state.step - state.first_step >= limits.steps:
            reason = f"max_steps = {limits.steps} are done"
        elif limits.seconds is not None and time.monotonic() - self._began >= limits.seconds:
            reason = f"max_time = {limits.seconds:g} s is over"
        else:
            return
        if state.batch and state.has_stepped:
            for callback in self.trainer.callbacks:
                callback._on_limit(self.trainer)
        state.stopped = reason
        raise StopTraining

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
        size = fit.validation_batch_size
        with evaluated(trainer):
            found = measure(trainer.model, trainer.criterion, trainer.metrics, fit.validation, size, fit.convert)
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
    ordered.sort(key=lambda callback: (callback.runs_last, callback._rank))
    return {
        name: [method for c in ordered if getattr(method := getattr(c, name), "__func__", None) is not hook]
        for name, hook in vars(Callback).items()
        if name.startswith("on_")
    }
