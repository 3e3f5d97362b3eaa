"""Trainer: what one asks of a training."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fastnn import functional as F
from fastnn._checks import not_negative, positive_integer
from fastnn._types import Array
from fastnn.nn.module import Module
from fastnn.optim import Optimizer as FusedOptimizer
from fastnn.random import Generator
from fastnn.training import checks, lr_finder, resuming
from fastnn.training.callbacks import Callback, StopTraining
from fastnn.training.checks import Data
from fastnn.training.evaluation import in_mode, measure, run_batches
from fastnn.training.fitting import check_classes, check_least_batch, prepare
from fastnn.training.history import History
from fastnn.training.loop import Loop, Optimizer, Scheduler
from fastnn.training.losses import Loss
from fastnn.training.metrics import Metric, named


class Trainer(Loop):
    """Trains a model on arrays in memory.

    Args:
        model: (N, ...) -> logits (N, C), or whatever the loss takes.
        loss: (logits, labels) -> (loss averaged over the batch, dlogits).
        optimizer: over the model's parameters.
        scheduler: stepped after every optimizer step; `ReduceLROnPlateau` after every epoch, with val_loss if there is
            a validation, else with loss.
        metrics: "accuracy", functions (logits, labels) -> mean over the batch, or both.
        callbacks: called in this order at every hook, those that `runs_last` behind the others.
        gradient_clip_val: the norm of all gradients is at most this at every step; in the step's own pass where the
            optimizer is this package's, whose `clip_grad_norm` it sets. No step is made where it is NaN or infinite.
        accumulate_grad_batches: batches of one optimizer step, whose gradient is the mean over all their samples.
        val_check_interval: validate after so many batches of an epoch, or that share of it, besides its end.
        seed: of the order of samples, with the epoch's number; by default the one given to `fastnn.manual_seed`, which
            thereby fixes everything.
        scheduler_interval: "epoch" steps the scheduler after every epoch, as PyTorch's users often do, instead of
            after every "step".
        detect_nan: look at every loss and gradient, and raise FloatingPointError with the name of the first layer and
            the step, where one is NaN or infinite. Costs a pass over the gradients.

    Attributes:
        epoch: the epoch in work or done last, counted from 1 over the trainer's life; 0 before the first.
        epochs: the last epoch of the current fit.
        batch: batches done of the epoch in work; 0 between epochs.
        batches: batches of an epoch in the current fit.
        ahead: batches of the current fit that are still to do.
        step: optimizer steps done.
        history: what was measured, see `History`.
        stopped: why the current or last fit ended early, else None.
        resumed: whether the current fit goes on from a checkpoint.
        has_stepped: whether the last batch ended a window, so that the optimizer has stepped.
        inputs: x of the last batch gathered, in memory that the next one takes.
        times: of the last batch, seconds on `time.perf_counter`: its beginning, and the end of gathering, forward,
            backward, optimizer.

    Raises:
        TypeError, ValueError: an argument that has no meaning, or a scheduler of another optimizer.
    """

    def __init__(
        self,
        model: Module,
        loss: Loss,
        optimizer: Optimizer,
        scheduler: Scheduler | None = None,
        metrics: Iterable[str | Metric] = ("accuracy",),
        callbacks: Iterable[Callback] = (),
        gradient_clip_val: float | None = None,
        accumulate_grad_batches: int = 1,
        val_check_interval: float | int = 1.0,
        seed: int | None = None,
        *,
        scheduler_interval: Literal["step", "epoch"] = "step",
        detect_nan: bool = False,
    ) -> None:
        self.model, self.loss, self.optimizer, self.scheduler = model, loss, optimizer, scheduler
        self.metrics = named(metrics)
        if isinstance(callbacks, Callback):
            raise TypeError(f"callbacks: got one {type(callbacks).__name__}, want a list of them; write [it]")
        self.callbacks = tuple(callbacks)
        self.accumulate_grad_batches = positive_integer("accumulate_grad_batches", accumulate_grad_batches)
        interval = checks.validation_interval(val_check_interval, 1)
        self.val_check_interval = (
            val_check_interval if isinstance(val_check_interval, float | np.floating) else interval
        )
        self.seed = None if seed is None else Generator(seed).seed
        self.scheduler_interval: Literal["step", "epoch"] = scheduler_interval
        self.detect_nan = detect_nan
        checks.check_parts(model, optimizer, scheduler, scheduler_interval)
        if not all(isinstance(callback, Callback) for callback in self.callbacks):
            raise TypeError("callbacks: got something else than a Callback, want objects of classes derived from it")
        self._clip = None if gradient_clip_val is None else not_negative("gradient_clip_val", gradient_clip_val)
        if self._clip is not None and isinstance(optimizer, FusedOptimizer):
            optimizer.clip_grad_norm, self._clip = self._clip, None
        super().__init__()

    def fit(
        self,
        train: Data,
        validation: Data | None = None,
        epochs: int = 1,
        batch_size: int = 32,
        sample_weight: Any = None,
        class_weight: Any = None,
        verbose: Literal["auto"] | bool = "auto",
        resume: str | Path | None = None,
    ) -> History:
        """Train, in another order every epoch, and return `history`. A second call goes on where the first ended.

        Args:
            train: (x, y): x (N, ...) float32 or float64; y (N,) integers, or (N, ...) targets of the loss's own.
            validation: evaluated after every epoch.
            epochs: how many.
            batch_size: the last batch of an epoch is what is left over.
            sample_weight: (N,), what each sample's loss weighs in the mean; the metrics are not weighted.
            class_weight: the same by class: {label: weight}, or an array (C,).
            verbose: a line per epoch, and a bar on a terminal where tqdm is installed; False is silent.
            resume: a checkpoint of `ModelCheckpoint`, or a directory of them, or "latest" for that callback's own
                directory; training goes on from there with the same bits, and from the beginning where a directory has
                none. All arguments must be those of the fit that was interrupted; a warning tells of a layer or a loss
                that has other options.

        Raises:
            TypeError: train or validation are no such arrays, or the loss knows no weights of samples.
            ValueError: no samples, x and y of different lengths, NaN or infinity, epochs or batch_size not positive, a
                schedule that ends before the training, a batch that the model refuses in training, a model that is
                not the checkpoint's. Nothing has changed then.
            IndexError: a label outside the classes.
            CheckpointError: the file to resume from is no good.
            OSError: it cannot be read.
        """
        fit = prepare(self.model, self.loss, self.metrics, train, validation, batch_size, self.accumulate_grad_batches,
                      self.seed, sample_weight, class_weight)  # fmt: skip
        epochs = positive_integer("epochs", epochs)
        checks.check_choices(verbose, resume)
        with in_mode(self.model, training=True):
            try:
                with resuming.all_or_nothing(self) as before:
                    self._begin(fit, verbose)
                    self.resumed = resume is not None and resuming.resume(self, resume, before)
                    self.epochs = self.first_epoch + epochs
                    self._check_schedule()
                    self._call("on_fit_start")
                    check_least_batch(self.model, fit.batches.x, fit.batch_size)
                if self.resumed:
                    self.model.zero_grad()
                while self.epoch < self.epochs or self.batch:
                    self._run_epoch(fit)
            except StopTraining:
                pass
            self._call("on_fit_end")
        return self.history

    def fit_one_cycle(self, train: Data, validation: Data | None = None, epochs: int = 1, max_lr: float | None = None,
                      batch_size: int = 32, **options: Any) -> History:  # fmt: skip
        """`fit` with a `OneCycleLR` over all its steps in the scheduler's place, and that one back afterwards.

        Args:
            max_lr: its peak; None takes what `lr_find` suggests as the valley.

        The other arguments, what is returned and what is raised are as in `fit`.
        """
        return lr_finder.fit_one_cycle(self, train, validation, epochs, max_lr, batch_size, options)

    def lr_find(self, train: Data, start_lr: float = 1e-7, end_lr: float = 10.0, num_it: int = 100,
                batch_size: int = 32) -> lr_finder.LRFinder:  # fmt: skip
        """Train for up to `num_it` steps with a rate that grows from start_lr to end_lr; see `LRFinder`.

        Model, optimizer and generators are then as before, also where it diverges or is interrupted.
        """
        fit = prepare(
            self.model, self.loss, self.metrics, train, None, batch_size, self.accumulate_grad_batches, self.seed
        )
        return lr_finder.lr_find(self, fit, start_lr, end_lr, num_it)

    def capture(self) -> dict[str, Any]:
        """All that this training is made of, for `fastnn.training.save_checkpoint`; between two optimizer steps.

        The arrays are the live ones.
        """
        return resuming.capture(self)

    def restore(self, state: dict[str, Any]) -> None:
        """Put back what `capture` returned, all of it or nothing.

        Raises:
            ValueError, TypeError, KeyError: the trainer is made of other parts; the first that differs is named.
        """
        resuming.restore(self, state)

    def evaluate(self, data: Data, batch_size: int = 1024) -> dict[str, float]:
        """Loss and metrics on `data`, with the model in evaluation mode; arguments and errors as in `fit`."""
        data = checks.checked("data", data)
        batch_size = positive_integer("batch_size", batch_size)
        check_classes("data", self.model, self.loss, data)
        return measure(self.model, self.loss, self.metrics, data, batch_size)

    def predict(self, x: Array, batch_size: int = 1024) -> Array:
        """The logits of x, (N, C), with the model in evaluation mode; errors as in `fit`, but NaN is passed on."""
        checks.check_samples("x", x)
        batch_size = positive_integer("batch_size", batch_size)
        with in_mode(self.model, training=False):
            return np.concatenate([logits for _, logits in run_batches(self.model, x, batch_size)])

    def predict_proba(self, x: Array, batch_size: int = 1024) -> Array:
        """The probability of every class, (N, C): the softmax of `predict`."""
        return F.softmax(self.predict(x, batch_size))
