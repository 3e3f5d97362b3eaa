"""Trainer: the loop over epochs and batches, and nothing else."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fastnn.nn.module import Array, Module
from fastnn.random import Generator, default_generator, permutation
from fastnn.training.callbacks import Callback
from fastnn.training.checks import Data, Labels, check_positive, check_samples, checked

ORDER_STREAM = 2**63 + 2**62
"""Stream of the seed from which the order of samples is drawn, in epoch n the n-th after it."""

Loss = Callable[[Array, Labels], tuple[float, Array]]


class Optimizer(Protocol):
    """What the trainer asks of an optimizer."""

    @property
    def param_groups(self) -> Sequence[Mapping[str, Any]]: ...
    def step(self) -> object: ...
    def zero_grad(self) -> object: ...


class Scheduler(Protocol):
    """What the trainer asks of a learning-rate scheduler."""

    def step(self) -> object: ...


class Trainer:
    """Trains a classifier on arrays in memory.

    Args:
        model: (N, ...) -> logits (N, C).
        loss: (logits, labels) -> (loss averaged over the batch, dlogits).
        optimizer: over the model's parameters.
        scheduler: stepped once after every optimizer step.
        callbacks: called in this order at every hook.

    Attributes:
        epoch: the epoch in work or done last, counted from 1 over the trainer's life; 0 before the first.
        epochs: the last epoch of the current fit.
        step: optimizer steps done.
        batches: batches of an epoch in the current fit.
        logs: the newest record: loss and accuracy so far during an epoch, the whole record at its end.
        history: name -> values per epoch: loss, accuracy, val_loss, val_accuracy, lr (of the last step), seconds
            (validation included). Training's loss and accuracy are those met on the way, averaged over samples.
            Validation's hold only epochs that had one.
    """

    def __init__(
        self,
        model: Module,
        loss: Loss,
        optimizer: Optimizer,
        scheduler: Scheduler | None = None,
        callbacks: Iterable[Callback] = (),
    ) -> None:
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.callbacks = tuple(callbacks)
        self.epoch = self.epochs = self.step = self.batches = 0
        self.logs: dict[str, float] = {}
        self._lr = float("nan")
        self.history: dict[str, list[float]] = {}

    def fit(
        self,
        train: Data,
        validation: Data | None = None,
        epochs: int = 1,
        batch_size: int = 32,
        seed: int | None = None,
    ) -> dict[str, list[float]]:
        """Train, in another order every epoch, and return `history`. A second call goes on where the first ended.

        Args:
            train: (x, y): x (N, ...) float32 or float64, y (N,) integers.
            validation: evaluated after every epoch.
            epochs: how many.
            batch_size: the last batch of an epoch is what is left over.
            seed: of the order, with the epoch's number; by default the one given to `fastnn.manual_seed`, which
                thereby fixes everything.

        Raises:
            TypeError: train or validation are no such arrays.
            ValueError: no samples, x and y of different lengths, epochs or batch_size not positive, a bad seed.
        """
        x, y = checked("train", train)
        if validation is not None:
            checked("validation", validation)
        check_positive("epochs", epochs)
        check_positive("batch_size", batch_size)
        seed = Generator(default_generator.seed if seed is None else seed).seed
        self.epochs, self.batches = self.epoch + epochs, -(-len(x) // batch_size)
        with _mode(self.model, training=True):
            self._call("on_fit_start")
            for _ in range(epochs):
                started = time.perf_counter()
                self.epoch += 1
                self._call("on_epoch_start")
                self._train_epoch(x, y, batch_size, permutation(len(x), Generator(seed, ORDER_STREAM + self.epoch)))
                if validation is not None:
                    result = self.evaluate(validation, batch_size)
                    self.logs |= {f"val_{name}": value for name, value in result.items()}
                self._record(time.perf_counter() - started)
                self._call("on_epoch_end")
            self._call("on_fit_end")
        return self.history

    def evaluate(self, data: Data, batch_size: int = 1024) -> dict[str, float]:
        """Loss and accuracy on `data`, with the model in evaluation mode; arguments and errors as in `fit`."""
        x, y = checked("data", data)
        check_positive("batch_size", batch_size)
        meter = _Meter()
        with _mode(self.model, training=False):
            for start in range(0, len(x), batch_size):
                labels = y[start : start + batch_size]
                logits, _ = self.model(np.ascontiguousarray(x[start : start + batch_size]))
                meter.add(self.loss(logits, labels)[0], logits, labels)
        return meter.logs()

    def predict(self, x: Array, batch_size: int = 1024) -> Array:
        """The logits of x, (N, C), with the model in evaluation mode; errors as in `fit`."""
        check_samples("x", x)
        check_positive("batch_size", batch_size)
        with _mode(self.model, training=False):
            starts = range(0, len(x), batch_size)
            return np.concatenate([self.model(np.ascontiguousarray(x[i : i + batch_size]))[0] for i in starts])

    def _train_epoch(self, x: Array, y: Labels, batch_size: int, order: npt.NDArray[np.int64]) -> None:
        # Closures need x until backward has run and no longer, so one batch's memory serves for all.
        x_batch = np.empty((min(batch_size, len(x)), *x.shape[1:]), x.dtype)
        meter = _Meter()
        for start in range(0, len(x), batch_size):
            index = order[start : start + batch_size]
            # Every index is in range, and mode="raise" would go through a copy.
            inputs = x.take(index, axis=0, out=x_batch[: len(index)], mode="clip")
            labels = y[index]
            logits, backward = self.model(inputs)
            loss, dlogits = self.loss(logits, labels)
            self.optimizer.zero_grad()
            backward(dlogits, input_grad=False)
            self.optimizer.step()
            self.step += 1
            self._lr = float(self.optimizer.param_groups[0]["lr"])
            if self.scheduler is not None:
                self.scheduler.step()
            meter.add(loss, logits, labels)
            if self.callbacks:
                self.logs = meter.logs()
                self._call("on_batch_end")
        self.logs = meter.logs()

    def _record(self, seconds: float) -> None:
        self.logs |= {"lr": self._lr, "seconds": seconds}
        for name, value in self.logs.items():
            self.history.setdefault(name, []).append(value)

    def _call(self, hook: str) -> None:
        for callback in self.callbacks:
            getattr(callback, hook)(self)


class _Meter:
    """Loss and accuracy, averaged over samples."""

    def __init__(self) -> None:
        self.loss, self.correct, self.samples = 0.0, 0, 0

    def add(self, loss: float, logits: Array, labels: Labels) -> None:
        self.loss += loss * len(labels)
        self.correct += int(np.count_nonzero(logits.argmax(axis=1) == labels))
        self.samples += len(labels)

    def logs(self) -> dict[str, float]:
        return {"loss": self.loss / self.samples, "accuracy": self.correct / self.samples}


@contextmanager
def _mode(model: Module, training: bool) -> Iterator[None]:
    """Every module in this mode inside the block, in its own one afterwards."""
    before = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode
