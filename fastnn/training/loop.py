"""The loop over epochs, batches and windows of accumulation."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np

from fastnn._types import Array
from fastnn.nn.module import Module
from fastnn.optim import clip_grad_norm_
from fastnn.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau
from fastnn.training import checks
from fastnn.training.batches import Batch, Batches
from fastnn.training.callbacks import Callback, ProgressBar, StopTraining
from fastnn.training.debugging import explain_gradients, explain_loss
from fastnn.training.evaluation import measure
from fastnn.training.fitting import Fit
from fastnn.training.history import History, append
from fastnn.training.losses import Loss, batch_loss
from fastnn.training.metrics import Meter, Metric


class Optimizer(Protocol):
    """What the trainer asks of an optimizer; checkpoints also need `state_dict` and `load_state_dict`."""

    @property
    def param_groups(self) -> Sequence[Mapping[str, Any]]: ...
    def step(self) -> object: ...
    def zero_grad(self) -> object: ...


class Scheduler(Protocol):
    """What the trainer asks of a learning-rate scheduler."""

    def step(self) -> object: ...


class Loop:
    """The part of a trainer that trains; see `Trainer` for its attributes."""

    model: Module
    loss: Loss
    optimizer: Optimizer
    scheduler: Scheduler | None
    metrics: dict[str, Metric]
    callbacks: tuple[Callback, ...]
    accumulate_grad_batches: int
    val_check_interval: float | int
    detect_nan: bool
    scheduler_interval: Literal["step", "epoch"]
    _clip: float | None

    def __init__(self) -> None:
        self.epoch = self.epochs = self.batch = self.batches = self.step = self.first_epoch = 0
        self.history = History()
        self.meter = Meter(self.metrics)
        self.stopped: str | None = None
        self.resumed = self.has_stepped = False
        self.times = (0.0,) * 5
        self.inputs: Array = np.empty(0, np.float32)
        self.data: dict[str, Any] = {}
        self._record: dict[str, float] | None = {}
        self._validates = False
        self._interval, self._window_loss, self._window_weight = 1, 0.0, 0.0
        self._hooks: dict[str, list[Callable[[Any], None]]] = {}

    @property
    def logs(self) -> dict[str, float]:
        """The newest record: loss and metrics so far during an epoch, the whole record at its end."""
        return self.meter.logs() if self._record is None else self._record

    @property
    def monitors(self) -> list[str]:
        """The names that an epoch of the current fit records."""
        names = ["loss", *self.metrics]
        return names + [f"val_{name}" for name in names] if self._validates else names

    @property
    def ahead(self) -> int:
        """The batches of the current fit that are still to do."""
        return (self.epochs - self.epoch) * self.batches + (self.batches - self.batch if self.batch else 0)

    @property
    def _steps_by_epoch(self) -> bool:
        return self.scheduler_interval == "epoch" or isinstance(self.scheduler, ReduceLROnPlateau)

    def forward_backward(self, batches: Batches, number: int) -> tuple[float, Array, Batch]:
        """Gather a batch, go forward and backward; returns its mean loss, the logits, and the batch.

        The gradients are a part of the mean over the batch's window, and added to those of its earlier batches.
        """
        started = time.perf_counter()
        batch = batches.take(number)
        gathered, self.inputs = time.perf_counter(), batch.x
        logits, backward = self.model(batch.x)
        loss, dlogits = batch_loss(self.loss, logits, batch)
        forward = time.perf_counter()
        if self.detect_nan and batch.weight and not math.isfinite(loss):
            explain_loss(self.model, batch.x, loss, self.step)
        if batch.begins:
            self.optimizer.zero_grad()
        backward(dlogits, input_grad=False)
        done = time.perf_counter()
        self.times = (started, gathered, forward, done, done)
        return loss, logits, batch

    def update(self) -> None:
        """Clip the gradients of a whole window, and make the optimizer's step; none with a norm that is not finite."""
        if self.detect_nan:
            explain_gradients(self.model, self.step)
        if self._clip is None or math.isfinite(clip_grad_norm_(self.model.parameters(), self._clip)):
            self.optimizer.step()

    def _begin(self, fit: Fit, verbose: Literal["auto"] | bool) -> None:
        self.first_epoch, self.batch, self.batches = self.epoch, 0, len(fit.batches)
        self._validates, self.stopped = fit.validation is not None, None
        self._window_loss = self._window_weight = 0.0
        self._interval = checks.validation_interval(self.val_check_interval, self.batches)
        self.data = {
            "seed": fit.seed,
            "samples": len(fit.batches.x),
            "batch_size": fit.batch_size,
            "accumulate_grad_batches": self.accumulate_grad_batches,
            "val_check_interval": self._interval,
        }
        callbacks = [*self.callbacks]
        if verbose and not any(isinstance(callback, ProgressBar) for callback in callbacks):
            callbacks.append(ProgressBar())
        callbacks.sort(key=lambda callback: callback.runs_last)
        self._hooks = {
            name: [f for c in callbacks if getattr(f := getattr(c, name), "__func__", None) is not hook]
            for name, hook in vars(Callback).items()
            if name.startswith("on_")
        }

    def _check_schedule(self) -> None:
        """Refuse a schedule that would refuse to go on in the middle of the fit."""
        if not isinstance(self.scheduler, OneCycleLR):  # others go on for ever
            return
        total, done = self.scheduler.total_steps, self.scheduler.last_epoch
        if self._steps_by_epoch:
            steps = self.epochs - self.epoch + bool(self.batch)
        else:
            of_epoch, of_this = (-(-batches // self.accumulate_grad_batches) for batches in (self.batches, self.batch))
            steps = (self.epochs - self.epoch) * of_epoch + (of_epoch - of_this if self.batch else 0)
        if done + steps > total:
            raise ValueError(f"scheduler: got total_steps = {total} with {done} of them done, want {steps} more; train "
                             "for fewer epochs or build a longer one")  # fmt: skip

    def _call(self, hook: str) -> None:
        """A signal to stop is passed on when all have been called, and behind a validation, when what it is a part of
        has been recorded, so that nobody misses what was done."""
        if not (functions := self._hooks[hook]):
            return
        for function in functions:
            try:
                function(self)
            except StopTraining as signal:
                if hook != "on_fit_end":
                    self.stopped = self.stopped or str(signal) or type(signal).__name__
        if self.stopped is not None and hook not in ("on_validation_end", "on_fit_end"):
            raise StopTraining

    def _run_epoch(self, fit: Fit) -> None:
        started = time.perf_counter()
        if self.batch == 0:
            self.epoch += 1
            self.meter = Meter(self.metrics)
        self._record = None
        fit.batches.shuffle(self.data["seed"], self.epoch)
        self._call("on_epoch_start")
        done = self.batch
        for batch in range(self.batch, self.batches):
            self._train_batch(fit, batch)
            if self.has_stepped:
                if batch + 1 < self.batches and (batch + 1) // self._interval > done // self._interval:
                    self._validate(fit)
                    self._record = None
                done = batch + 1
            self._call("on_batch_end")
        record = self.meter.logs() | self._validate(fit)
        self._record = record | {"lr": self.history.steps["lr"][-1], "seconds": time.perf_counter() - started}
        append(self.history, self._record)
        if self._steps_by_epoch:
            self._step_scheduler()
        self.batch = 0
        self._call("on_epoch_end")

    def _train_batch(self, fit: Fit, number: int) -> None:
        self._call("on_batch_start")
        if not self.model.training:  # a callback has called eval()
            self.model.train()
        loss, logits, batch = self.forward_backward(fit.batches, number)
        self._call("on_backward_end")
        if batch.weight:
            self._window_loss += batch.share * loss
            self._window_weight += batch.weight
        self.has_stepped = batch.ends
        if batch.ends:
            self._step()
        self.times = (*self.times[:4], time.perf_counter())
        self.meter.add(loss, batch.weight, logits, batch.labels)
        self.batch = number + 1

    def _step(self) -> None:
        self.update()
        self.step += 1
        steps = self.history.steps
        steps["loss"].append(self._window_loss if self._window_weight else math.nan)
        steps["lr"].append(float(self.optimizer.param_groups[0]["lr"]))
        self._window_loss = self._window_weight = 0.0
        if self.scheduler is not None and not self._steps_by_epoch:
            self._step_scheduler()

    def _step_scheduler(self) -> None:
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(self.logs["val_loss" if self._validates else "loss"])
        elif self.scheduler is not None:
            self.scheduler.step()

    def _validate(self, fit: Fit) -> dict[str, float]:
        if fit.validation is None:
            return {}
        found = measure(self.model, self.loss, self.metrics, fit.validation, max(fit.batch_size, 1024))
        record = {f"val_{name}": value for name, value in found.items()}
        append(self.history.validations, {"step": float(self.step)} | record)
        self._record = self.meter.logs() | record
        self._call("on_validation_end")
        return record
