"""The `Trainer`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fastnn._checks import not_negative, positive_integer
from fastnn._types import Array
from fastnn.functional.softmax import softmax
from fastnn.nn.module import Module
from fastnn.optim.optimizer import Optimizer as FusedOptimizer
from fastnn.random.generator import Generator
from fastnn.training import checks, lr_finder, resuming
from fastnn.training.callbacks.base import Callback, StopTraining
from fastnn.training.checks import Data
from fastnn.training.evaluation import in_mode, measure, run_batches
from fastnn.training.fitting import check_classes, check_least_batch, prepare
from fastnn.training.history import History
from fastnn.training.loop import Loop
from fastnn.training.losses import Loss
from fastnn.training.metrics import Meter, Metric, named
from fastnn.training.protocols import Optimizer, Scheduler
from fastnn.training.schedule import check_schedule, one_cycle
from fastnn.training.state import LoopState


class Trainer:
    """Trains a model on arrays in memory.

    Args:
        model: (N, ...) -> logits (N, C), or another result that the loss accepts.
        loss: (logits, labels) -> (loss averaged over the batch, dlogits).
        optimizer: an optimizer of the model's parameters.
        scheduler: stepped after every optimizer step; `ReduceLROnPlateau` after every epoch, with val_loss if there is
            validation data, else with loss.
        metrics: "accuracy", functions (logits, labels) -> mean over the batch, or both.
        callbacks: called in this order at every hook; those that set `runs_last` are called after the others.
        gradient_clip_val: limits the norm of all gradients at every step. If the optimizer is one of this package, it
            clips within its own pass: `clip_grad_norm` is set. No step is made if the norm is NaN or infinite.
        accumulate_grad_batches: batches of one optimizer step; the gradient is the mean over all their samples.
        val_check_interval: also validate within an epoch, after this number of batches or this fraction of the epoch.
        seed: seed of the order of samples, together with the number of the epoch; by default the seed given to
            `fastnn.manual_seed`, which thereby determines everything.
        scheduler_interval: "epoch" steps the scheduler after every epoch, which is common with PyTorch, and not after
            every optimizer "step".
        detect_nan: check every loss and gradient, and raise FloatingPointError if one is NaN or infinite; the message
            names the step and the first layer. This costs a pass over the gradients.

    All arguments except gradient_clip_val are also attributes.

    Raises:
        TypeError, ValueError: an argument is invalid, or the scheduler belongs to another optimizer.
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
        self.callbacks = checks.checked_callbacks(callbacks)
        self.accumulate_grad_batches = positive_integer("accumulate_grad_batches", accumulate_grad_batches)
        interval = checks.validation_interval(val_check_interval, 1)
        self.val_check_interval = (
            val_check_interval if isinstance(val_check_interval, float | np.floating) else interval
        )
        self.seed = None if seed is None else Generator(seed).seed
        self.scheduler_interval: Literal["step", "epoch"] = scheduler_interval
        self.detect_nan = detect_nan
        checks.check_parts(model, optimizer, scheduler, scheduler_interval)
        self.clip_norm = None if gradient_clip_val is None else not_negative("gradient_clip_val", gradient_clip_val)
        if self.clip_norm is not None and isinstance(optimizer, FusedOptimizer):
            optimizer.clip_grad_norm, self.clip_norm = self.clip_norm, None
        self.state = LoopState(Meter(self.metrics))

    @property
    def epoch(self) -> int:
        """The current or last epoch, counted from 1 over the trainer's life; 0 before the first."""
        return self.state.epoch

    @property
    def epochs(self) -> int:
        """The last epoch of the current fit."""
        return self.state.epochs

    @property
    def batch(self) -> int:
        """Finished batches of the current epoch; 0 between epochs."""
        return self.state.batch

    @property
    def batches(self) -> int:
        """Batches of an epoch of the current fit."""
        return self.state.batches

    @property
    def ahead(self) -> int:
        """Batches of the current fit that are still to do."""
        return self.state.ahead

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return self.state.step

    @property
    def history(self) -> History:
        """The recorded values, by epoch, step and validation."""
        return self.state.history

    @property
    def logs(self) -> dict[str, float]:
        """The newest record: loss and metrics so far during an epoch, the whole record at its end."""
        return self.state.logs

    @property
    def monitors(self) -> list[str]:
        """The names that an epoch of the current fit records."""
        names = ["loss", *self.metrics]
        return names + [f"val_{name}" for name in names] if self.state.validates else names

    @property
    def stopped(self) -> str | None:
        """The reason why the current or last fit ended early, else None."""
        return self.state.stopped

    @property
    def resumed(self) -> bool:
        """Whether the current fit continues from a checkpoint."""
        return self.state.resumed

    @property
    def has_stepped(self) -> bool:
        """Whether the last batch ended a window of accumulation, so that the optimizer has stepped."""
        return self.state.has_stepped

    @property
    def inputs(self) -> Array:
        """x of the last batch; the next batch uses the same memory."""
        return self.state.inputs

    @property
    def times(self) -> tuple[float, ...]:
        """`time.perf_counter` for the last batch: at its start, and after gathering, forward, backward and update."""
        return self.state.times

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
        """Train, in another order every epoch, and return `history`. A second call continues where the first ended.

        Args:
            train: (x, y): x (N, ...) float32 or float64; y (N,) integers, or (N, ...) targets that the loss takes.
            validation: (x, y) to evaluate after every epoch.
            epochs: number of epochs.
            batch_size: samples of a batch; the last batch of an epoch has the remaining ones.
            sample_weight: (N,), the weight of each sample in the mean of the loss; the metrics are not weighted.
            class_weight: the weight of each class: {label: weight}, or an array (C,).
            verbose: print a line per epoch, and show a bar on a terminal if tqdm is installed; False is silent.
            resume: a checkpoint of `ModelCheckpoint`, a directory of them, or "latest" for that callback's own
                directory. Training continues from there with the same bits, or starts anew if a directory has none. All
                arguments must be those of the interrupted fit; a warning names a layer or loss with other options.

        Raises:
            TypeError: train or validation are not such arrays, or the loss cannot weight samples.
            ValueError: there are no samples, lengths of x and y differ, data has NaN or infinity, epochs or batch_size
                is not positive, the scheduler ends before the training, the model raises for a batch in training mode,
                or the model is not the checkpoint's. Nothing has then been changed.
            IndexError: a label is outside the classes.
            CheckpointError: the file to resume from is damaged, or not a checkpoint.
            OSError: it cannot be read.
        """
        fit = prepare(self, train, validation, batch_size, sample_weight, class_weight)
        epochs = positive_integer("epochs", epochs)
        checks.check_choices(verbose, resume)
        state, loop = self.state, Loop(self, fit, verbose)
        with in_mode(self.model, training=True):
            try:
                with resuming.all_or_nothing(self) as before:
                    loop.begin()
                    state.resumed = resume is not None and resuming.resume(self, resume, before)
                    state.epochs = state.first_epoch + epochs
                    check_schedule(self)
                    loop.call("on_fit_start")
                    check_least_batch(self.model, fit.batches.x, fit.batch_size)
                if state.resumed:
                    self.model.zero_grad()
                loop.run()
            except StopTraining:
                pass
            loop.call("on_fit_end")
        return self.history

    def fit_one_cycle(self, train: Data, validation: Data | None = None, epochs: int = 1, max_lr: float | None = None,
                      batch_size: int = 32, **options: Any) -> History:  # fmt: skip
        """Run `fit` with a `OneCycleLR` over all its steps instead of the scheduler, which is restored afterwards.

        Args:
            max_lr: the largest learning rate of the cycle; None takes the "valley" that `lr_find` suggests.

        The other arguments, the result and the errors are those of `fit`.
        """
        epochs = positive_integer("epochs", epochs)
        weights = options.get("sample_weight"), options.get("class_weight")
        fit = prepare(self, train, validation, batch_size, *weights)
        if max_lr is None:
            max_lr = lr_finder.valley(self.lr_find(train, batch_size=batch_size))
        with one_cycle(self, max_lr, epochs * fit.batches.windows):
            return self.fit(train, validation, epochs, batch_size, **options)

    def lr_find(self, train: Data, start_lr: float = 1e-7, end_lr: float = 10.0, num_it: int = 100,
                batch_size: int = 32) -> lr_finder.LRFinder:  # fmt: skip
        """Train for up to `num_it` steps while the learning rate grows from start_lr to end_lr; see `LRFinder`.

        Model, optimizer and generators are restored afterwards, even if the loss diverges or the test is interrupted.
        """
        return lr_finder.lr_find(self, prepare(self, train, batch_size=batch_size), start_lr, end_lr, num_it)

    def capture(self) -> dict[str, Any]:
        """Return the state of the whole training between two optimizer steps, for `fastnn.training.save_checkpoint`.

        The arrays are not copies.
        """
        return resuming.capture(self)

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the state that `capture` returned: all of it, or nothing if it raises.

        Raises:
            ValueError, TypeError, KeyError: the trainer consists of other parts; the message names the first.
        """
        resuming.restore(self, state)

    def evaluate(self, data: Data, batch_size: int = 1024) -> dict[str, float]:
        """Return loss and metrics on `data`, with the model in evaluation mode; arguments and errors as in `fit`."""
        data = checks.checked("data", data)
        batch_size = positive_integer("batch_size", batch_size)
        check_classes("data", self.model, self.loss, data)
        return measure(self.model, self.loss, self.metrics, data, batch_size)

    def predict(self, x: Array, batch_size: int = 1024) -> Array:
        """Return the logits of x, (N, C), in evaluation mode; errors as in `fit`, but x may contain NaN."""
        checks.check_samples("x", x)
        batch_size = positive_integer("batch_size", batch_size)
        with in_mode(self.model, training=False):
            return np.concatenate([logits for _, logits in run_batches(self.model, x, batch_size)])

    def predict_proba(self, x: Array, batch_size: int = 1024) -> Array:
        """Return the probability of every class, (N, C): the softmax of `predict`."""
        return softmax(self.predict(x, batch_size))
