"""Runs what a `Trainer` is asked for: a fit, with or without a cycle of the learning rate, and predictions."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fastnn._checks import positive_integer
from fastnn._trees import map_leaves
from fastnn.data.arrays import as_inputs
from fastnn.data.normalize import Normalize
from fastnn.nn.module import Module
from fastnn.training import checks, lr_finder, resuming
from fastnn.training.callbacks.base import StopTraining
from fastnn.training.evaluation import in_mode, predicted_probabilities, run_batches
from fastnn.training.fitting import OPTIONS, Data, check_least_batch, check_options, converter, explained, prepare
from fastnn.training.history import History
from fastnn.training.loop import Limits, Loop
from fastnn.training.losses import Losses
from fastnn.training.schedule import check_schedule, one_cycle
from fastnn.training.step import clipped


def run(
    trainer: Any, data: Data, limits: Limits, verbose: Literal["auto"] | bool, resume: str | Path | None
) -> History:
    """See `Trainer.fit`."""
    parts = trainer.model, trainer.loss, trainer.optimizer, trainer.scheduler, trainer.scheduler_interval
    checks.check_parts(*parts, trainer.given_metrics, trainer.callbacks)
    trainer.callbacks = checks.checked_callbacks(trainer.callbacks)
    fit = prepare(trainer, data)
    if fit.doubt:
        warnings.warn(fit.doubt, stacklevel=3)
    checks.check_choices(verbose, resume)
    checks.check_trained(trainer.model, trainer.optimizer)
    state, loop = trainer.state, Loop(trainer, fit, limits, verbose)
    with in_mode(trainer.model, training=True), clipped(trainer):
        try:
            with resuming.until_first_step(trainer) as before:
                trainer.normalize = fit.normalize
                loop.begin()
                state.resumed = resume is not None and resuming.resume(trainer, resume, before, fit.batches)
                before.step = state.step
                state.epochs = limits.last_epoch(state.first_epoch)
                check_schedule(trainer, limits.steps)
                loop.call("on_fit_start")
                check_least_batch(trainer.model, fit.batches, fit.convert)
                if state.resumed:
                    trainer.model.zero_grad()
                loop.run()
        except StopTraining:
            pass
        except KeyboardInterrupt:
            state.stopped = "KeyboardInterrupt"
        except BaseException:
            loop.close()
            loop.call("on_exception")
            state.fit_batches = None
            raise
        loop.close()
        loop.call("on_fit_end")
        state.fit_batches = None
    history: History = state.history
    return history


def run_one_cycle(
    trainer: Any, train: Any, validation: Any, epochs: int, max_lr: Any, batch_size: int, options: Mapping[str, Any]
) -> History:
    """See `Trainer.fit_one_cycle`."""
    epochs = positive_integer("epochs", epochs)
    most = Limits.of(epochs, options.get("max_steps"), options.get("max_time")).steps
    check_options(options, (*OPTIONS, "verbose", "resume", "max_steps", "max_time"))
    own = {name: options[name] for name in options.keys() & OPTIONS}
    windows = prepare(trainer, Data(train, validation, batch_size, **own)).batches.windows
    if windows is None:
        raise ValueError("train: got an iterable of unknown length, want one with len; or pass a OneCycleLR and "
                         "max_steps to fit")  # fmt: skip
    if max_lr is None:
        max_lr = lr_finder.valley(trainer.lr_find(train, batch_size=batch_size, **own))
    with one_cycle(trainer, max_lr, epochs * windows if most is None else min(epochs * windows, most)):
        history: History = trainer.fit(train, validation, epochs, batch_size, **options)
        return history


def predict(model: Module, x: Any, batch_size: int, normalize: Normalize | None = None) -> Any:
    """See `Trainer.predict`."""
    x = as_inputs("x", x)
    first = map_leaves(lambda leaf: leaf[:batch_size], x)
    with in_mode(model, training=False), explained("x", first, x):
        parts = [outputs for _, outputs in run_batches(model, x, batch_size, converter(model, normalize))]
    return map_leaves(lambda *leaves: np.concatenate(leaves), *parts)


def probabilities_of(criterion: Any, outputs: Any) -> Any:
    """See `Trainer.predict_proba`."""
    if not isinstance(criterion, Losses):
        return predicted_probabilities(criterion, outputs)
    found = {
        key: outputs[key] if getattr(loss, "task", None) == "regression" else probabilities_of(loss, outputs[key])
        for key, loss in criterion.losses.items()
    }
    return found if isinstance(outputs, dict) else tuple(found.values())
