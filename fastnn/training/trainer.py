"""The `Trainer`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Self, Unpack

import numpy as np
import numpy.typing as npt

from fastnn._checks import positive_integer
from fastnn.checkpoint.model import Layers
from fastnn.data.normalize import Normalize
from fastnn.data.source import Source, as_source
from fastnn.metrics.base import Function, Metric
from fastnn.nn.module import Module
from fastnn.random.generator import Generator
from fastnn.training import checks, keeping, lr_finder, resuming
from fastnn.training.callbacks.base import Callback
from fastnn.training.evaluation import measure
from fastnn.training.fitting import Data, DataOptions, check_first, converter, first_samples, prepare
from fastnn.training.history import History
from fastnn.training.loop import Limits
from fastnn.training.metrics import Meter
from fastnn.training.parts import Parts
from fastnn.training.preparing import checked_classes, checked_normalize, predicted_classes
from fastnn.training.protocols import Optimizer, Scheduler
from fastnn.training.running import predict, probabilities_of, run, run_one_cycle
from fastnn.training.state import LoopState
from fastnn.training.step import Clipping


class Trainer(Parts):
    """Trains a model.

    Args:
        model: (N, ...) -> logits (N, C), or another result that the loss accepts.
        loss: (outputs, targets) -> (loss averaged over the batch, gradient with respect to the outputs), such as
            `fastnn.nn.CrossEntropyLoss()`; or a dict or tuple of losses, for a model that returns one of outputs.
        optimizer: an optimizer of the model's parameters.
        scheduler: stepped after every optimizer step; `ReduceLROnPlateau` after every epoch, with `monitor`.
        metrics: names, see `fastnn.metrics`; metrics; functions (outputs, targets) -> a number over all samples, those
            of scikit-learn among them; for several losses a dict of these. "auto" is the accuracy where the loss is one
            of classes, else nothing.
        callbacks: called in this order at every hook; those that set `runs_last` are called after the others.
        gradient_clip_val: limits the norm of all gradients at every step; None or 0 does not. An optimizer of this
            package clips within its own pass. No step is made if the norm is NaN or infinite.
        accumulate_grad_batches: batches of one optimizer step; the gradient is the mean over all their samples.
        val_check_interval: also validate within an epoch, after this number of batches or this fraction of the epoch.
        seed: seed of the order of samples, together with the number of the epoch; by default the seed given to
            `fastnn.manual_seed`, which thereby determines everything.
        scheduler_interval: "epoch" steps the scheduler after every epoch, which is common with PyTorch, and not after
            every optimizer "step".
        detect_nan: check every loss and gradient, and raise FloatingPointError if one is NaN or infinite; the message
            names the step and the first layer. This costs a pass over the gradients.
        loss_weights: the factor of each of several losses, as a dict or tuple like them; None for ones.
        gradient_clip_algorithm: "value" limits every element of the gradients to [-gradient_clip_val,
            gradient_clip_val], and not their "norm".
        monitor: what `ReduceLROnPlateau` gets, one of the names in the history; by default "val_loss" if there is
            validation data, else "loss".
        normalize: a `fastnn.data.Normalize`, applied to x before the model, in every method. The Trainer has a copy,
            which the first `fit` fits to the training data unless it has statistics already.
        classes: the names of the labels 0, 1, ..., which `predict_classes` returns.

    Raises:
        TypeError, ValueError: an argument is invalid, or the scheduler belongs to another optimizer.
    """

    def __init__(
        self,
        model: Module,
        loss: Any,
        optimizer: Optimizer,
        scheduler: Scheduler | None = None,
        metrics: str | Iterable[str | Metric | Function] | Mapping[Any, Any] | None = "auto",
        callbacks: Iterable[Callback] | None = (),
        gradient_clip_val: float | None = None,
        accumulate_grad_batches: int = 1,
        val_check_interval: float | int = 1.0,
        seed: int | None = None,
        *,
        scheduler_interval: Literal["step", "epoch"] = "step",
        detect_nan: bool = False,
        loss_weights: Any = None,
        gradient_clip_algorithm: Literal["norm", "value"] = "norm",
        monitor: str | None = None,
        normalize: Normalize | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        checks.check_parts(model, loss, optimizer, scheduler, scheduler_interval, metrics, callbacks)
        self.model, self.optimizer, self.scheduler = model, optimizer, scheduler
        self._loss_weights, self.loss = loss_weights, loss
        self.metrics = metrics
        self.callbacks = checks.checked_callbacks(callbacks)
        self.accumulate_grad_batches = positive_integer("accumulate_grad_batches", accumulate_grad_batches)
        number = checks.validation_interval(val_check_interval, 1)
        is_fraction = isinstance(val_check_interval, float | np.floating)
        self.val_check_interval = val_check_interval if is_fraction else number
        self.seed = None if seed is None else Generator(seed).seed
        self.scheduler_interval: Literal["step", "epoch"] = scheduler_interval
        self.detect_nan, self.monitor = detect_nan, monitor
        self.normalize, self.classes = checked_normalize(normalize, model), checked_classes(classes)
        self.clipping = Clipping(gradient_clip_val, gradient_clip_algorithm)
        self.state = LoopState(Meter(self.metrics))

    def fit(
        self,
        train: Any,
        validation: Any = None,
        epochs: int | None = 1,
        batch_size: int = 32,
        sample_weight: Any = None,
        class_weight: Any = None,
        verbose: Literal["auto"] | bool = "auto",
        resume: str | Path | None = None,
        *,
        max_steps: int | None = None,
        max_time: float | timedelta | None = None,
        **data: Unpack[DataOptions],
    ) -> History:
        """Train, in another order every epoch, and return `history`. A second call continues where the first ended.

        Ctrl-C ends the training like `StopTraining`: `stopped` is "KeyboardInterrupt", the best weights are put back if
        a callback keeps them, and the history is returned.

        Args:
            train: (x, y), or (x, y, sample_weight); an object with `len` that gives samples for an array of indices by
                `take(index)` or `[index]`; or an iterable of batches, such as a list, a DataLoader of PyTorch, or a
                function that returns an iterator. x and y are arrays (N, ...), memory-mapped ones too, or tuples or
                dicts of arrays for several inputs and targets. Integers are passed on as they are; floats of another
                type than the model's are converted batch by batch.
            validation: data of the same kinds, to evaluate after every epoch; weights of its samples count in its loss.
            epochs: number of epochs; None for no limit, with max_steps or max_time.
            batch_size: samples of a batch; the last batch of an epoch has the remaining ones.
            sample_weight: (N,), the weight of each sample in the mean of the loss; the metrics are not weighted.
            class_weight: the weight of each class: {label: weight}, an array (C,), or "balanced".
            verbose: print a line per epoch, and show a bar on a terminal if tqdm is installed; False is silent.
            resume: a checkpoint of `ModelCheckpoint`, a directory of them, or "latest" for the furthest one of these
                callbacks' directories. Training continues from there with the same bits, or starts anew if there is
                none. All arguments must be those of the interrupted fit; a warning names a layer or loss with other
                options. An iterable of batches continues by its `load_state_dict` if it has one, else the first batches
                are read and skipped, and its order must be the same in every epoch.
            max_steps: end after this many optimizer steps of this fit.
            max_time: end after the first step beyond this many seconds, or this `datetime.timedelta`.
            data: shuffle=False keeps the order; drop_last=True leaves out a short last batch; sampler decides the
                order, see `fastnn.data.WeightedRandomSampler`; transform(x, y, generator) -> (x, y) changes every
                training batch; validation_batch_size, by default batch_size.

        Raises:
            TypeError: train or validation are not such data.
            ValueError: there are no samples, lengths of x and y differ, data has NaN or infinity, epochs or batch_size
                is not positive, the scheduler ends before the training, the loss cannot have such targets, a metric
                does not fit them, or the model is not the checkpoint's. What is refused before the first step has
                changed nothing.
            IndexError: a label is outside the classes.
            CheckpointError: the file to resume from is damaged, or not a checkpoint.
            OSError: it cannot be read.
        """
        given = Data.of(train, validation, batch_size, sample_weight, class_weight, **data)
        return run(self, given, Limits.of(epochs, max_steps, max_time), verbose, resume)

    def fit_one_cycle(
        self,
        train: Any,
        validation: Any = None,
        epochs: int = 1,
        max_lr: float | Sequence[float] | None = None,
        batch_size: int = 32,
        **options: Any,
    ) -> History:
        """Run `fit` with a `OneCycleLR` over all its steps instead of the scheduler, which is restored afterwards.

        Args:
            max_lr: the largest learning rate of the cycle, for the first parameter group; the others keep their
                proportions to it. A sequence has a rate for each group. None takes the "valley" that `lr_find`
                suggests.

        The other arguments, the result and the errors are those of `fit`.
        """
        return run_one_cycle(self, train, validation, epochs, max_lr, batch_size, options)

    def lr_find(
        self,
        train: Any,
        start_lr: float = 1e-7,
        end_lr: float = 10.0,
        num_it: int = 100,
        batch_size: int = 32,
        sample_weight: Any = None,
        class_weight: Any = None,
        **data: Unpack[DataOptions],
    ) -> lr_finder.LRFinder:
        """Train for up to `num_it` steps while the learning rate grows from start_lr to end_lr; see `LRFinder`.

        The rates are those of the first parameter group; the others keep their proportions to it. What `Freeze` freezes
        stays frozen. Model, optimizer and generators are restored afterwards, even if the loss diverges or the test is
        interrupted. The data arguments are those of `fit`.
        """
        fit = prepare(self, Data.of(train, None, batch_size, sample_weight, class_weight, **data))
        return lr_finder.lr_find(self, fit, start_lr, end_lr, num_it)

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

    def evaluate(self, data: Any, batch_size: int = 1024) -> dict[str, float]:
        """Return loss and metrics on `data`, with the model in evaluation mode; arguments and errors as in `fit`."""
        batch_size = checks.evaluation_size(batch_size)
        source = self.check("data", data, batch_size)
        return measure(
            self.model, self.criterion, self.metrics, source, batch_size, converter(self.model, self.normalize)
        )

    def check(self, name: str, data: Any, batch_size: int = 1024) -> Source:
        """Raise what `evaluate` would raise for these data, called `name`, and return their source."""
        self.readmit()
        source = as_source(name, data)
        first = first_samples(source, batch_size)
        check_first(self, name, first, source, converter(self.model, self.normalize))
        return source

    def predict(self, x: Any, batch_size: int = 1024) -> Any:
        """Return the model's result for x, such as logits (N, C), in evaluation mode.

        Args:
            x: an array, or a tuple or dict of arrays, as for `fit`; it may contain NaN.
            batch_size: samples that are computed at a time.

        Returns:
            An array, or a tuple or dict of arrays if the model returns one.
        """
        return predict(self.model, x, positive_integer("batch_size", batch_size), self.normalize)

    def predict_proba(self, x: Any, batch_size: int = 1024) -> Any:
        """Return probabilities, from the result of `predict`.

        Returns:
            The softmax over the last axis of logits of at least two classes. For a loss of single logits, such as
            `BCEWithLogitsLoss`: (N, 2), the probabilities of 0 and 1, for one logit per sample; or the probability of
            each of several logits, (N, K). For several losses a dict or tuple of these; outputs of a loss for
            regression are returned as they are.

        Raises:
            ValueError: the loss is for regression, or the model has one column and a loss that names no task.
        """
        return probabilities_of(self.criterion, self.predict(x, batch_size))

    def predict_classes(self, x: Any, batch_size: int = 1024) -> npt.NDArray[Any]:
        """Return the most probable class of every sample: (N,), names if there are `classes`, else int64 labels.

        Raises:
            ValueError: the model has several outputs, or the loss is not one of classes; there is not a name for each
                class; or the model's result has NaN.
        """
        return predicted_classes(self.criterion, self.predict(x, batch_size), self.classes)

    def save(self, path: str | Path) -> None:
        """Save the model with what belongs to it, for `Trainer.load`, `fastnn.load` and `python -m fastnn predict`.

        Kept are the model as `fastnn.save` keeps it, `normalize` with its statistics, `classes`, the options of the
        Trainer, losses, optimizers and metrics of this package by their names, and the optimizer's options, with the
        learning rate from before its schedule. Not kept are the optimizer's state, the schedule, callbacks and history:
        see `ModelCheckpoint` for a training that is to continue with the same bits.

        Raises:
            TypeError, ValueError, OSError: as for `fastnn.save`.
        """
        keeping.save(self, path)

    @classmethod
    def load(cls, path: str | Path, layers: Layers | None = None, *, loss: Any = None,
             optimizer: Callable[..., Optimizer] | None = None, **options: Any) -> Self:  # fmt: skip
        """Return a Trainer of a file that `save` wrote; it can evaluate and predict at once, and `fit` trains further.

        Args:
            path: the file.
            layers: the classes of your own layers, as for `fastnn.load`.
            loss: instead of the one in the file; it is needed if that is not one of `fastnn.nn`.
            optimizer: function of the model's parameters that returns an optimizer, such as `fastnn.optim.AdamW`,
                instead of the one in the file; it is needed if that is not one of `fastnn.optim`.
            options: other arguments of `Trainer`, instead of those in the file.

        Raises:
            CheckpointError: as for `fastnn.load`, or `fastnn.save` wrote the file.
            ValueError: the loss, the optimizer or the metrics are not known by a name, and not given.
            OSError: the file cannot be read.
        """
        trainer: Self = keeping.load(cls, path, layers, loss, optimizer, options)
        return trainer
