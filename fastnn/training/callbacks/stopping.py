"""Ends a training that has stopped improving."""

import math
from typing import Any, Literal

import numpy as np

from fastnn._better import Better, check_mode
from fastnn._checks import integer, not_negative
from fastnn.training.callbacks.averaging import WeightAverage, evaluated
from fastnn.training.callbacks.base import Callback, StopTraining
from fastnn.training.checks import check_monitor
from fastnn.training.protocols import Training


class EarlyStopping(Callback):
    """Ends the training when a metric has not improved for more than `patience` epochs.

    A monitor of the validation data is also compared at the validations within an epoch, see `val_check_interval`; then
    `patience` counts validations.

    Args:
        monitor: one of the names in the history.
        min_delta: the least improvement that counts, >= 0.
        patience: number of successive epochs without improvement that are allowed, >= 0; the next one ends the
            training.
        mode: "min", "max" or "auto" for the metric's own direction.
        baseline: a value that the metric must beat; None for any.
        restore_best_weights: leave the model with the weights of the best epoch, even if the training ends on schedule.
            With `EMA` or `SWA` they are the averaged weights that were validated. Of several such callbacks the last
            one decides.
        check_finite: end at once when the metric is NaN or infinite; such a value is never the best.

    Attributes:
        best, best_epoch, best_step: the best value, its epoch and its step; None and 0 before the first.
        wait: number of epochs since then.

    Raises:
        ValueError: an argument is out of range; at the start of a fit, the fit does not record the monitor, it is not
            known whether higher or lower values of it are better, or the best weights would replace an average that is
            not validated.

    Source: L. Prechelt, "Early stopping - but when?", in "Neural networks: tricks of the trade", 1998.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 3,
        mode: Literal["auto", "min", "max"] = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = True,
        check_finite: bool = True,
    ) -> None:
        if baseline is not None and not math.isfinite(baseline):
            raise ValueError(f"baseline: got {baseline!r}, want a finite number or None")
        self.monitor, self.patience, self.baseline = monitor, integer("patience", patience), baseline
        self.restore_best_weights, self.check_finite = restore_best_weights, check_finite
        self.mode, self.min_delta = mode, not_negative("min_delta", min_delta)
        check_mode(mode)
        self.best: float | None = None
        self.best_epoch, self.best_step, self.wait = 0, 0, 0
        self._compared, self._counted = -1, "epochs"
        self._weights: dict[str, Any] = {}

    def on_fit_start(self, trainer: Training) -> None:
        """Check the monitor; reset unless the fit is resumed."""
        check_monitor(self.monitor, trainer.monitors)
        self._is_better = Better(self.monitor, self.mode, self.min_delta, trainer.history.directions)
        averages = [c for c in trainer.callbacks if isinstance(c, WeightAverage) and c.keep_averaged and not c.validate]
        if self.restore_best_weights and averages:
            raise ValueError(f"restore_best_weights: got True with {type(averages[0]).__name__}(validate=False), whose "
                             "average the best weights would replace, want False, or validate=True")  # fmt: skip
        if not trainer.resumed:
            self._compared, self._counted = -1, "epochs"
            self.best, self.best_epoch, self.best_step, self.wait, self._weights = None, 0, 0, 0, {}

    def on_validation_end(self, trainer: Training) -> None:
        """Compare the metric within an epoch."""
        if self.monitor.startswith("val_") and trainer.batch != trainer.batches:
            self._counted = "validations"
            self._compare(trainer)

    def on_epoch_end(self, trainer: Training) -> None:
        """Compare the metric with the best, and stop when the patience is used up."""
        if self._compared != trainer.step:
            self._compare(trainer)

    def _compare(self, trainer: Training) -> None:
        value, self._compared = trainer.logs[self.monitor], trainer.step
        if self.check_finite and not math.isfinite(value):
            raise StopTraining(f"{self.monitor} is {value} after epoch {trainer.epoch}")
        if self._is_better(value, self.best):
            self.best, self.best_epoch, self.best_step = value, trainer.epoch, trainer.step
            if self.restore_best_weights:
                self._keep(trainer)
            if self.baseline is None or self._is_better(value, self.baseline):
                self.wait = 0
                return
        self.wait += 1
        if self.wait > self.patience:
            raise StopTraining(f"{self.monitor} has not become better for {self.wait} {self._counted}")

    def on_fit_end(self, trainer: Training) -> None:
        """Restore the best weights."""
        if self._weights:
            trainer.model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """Return the best value so far, its weights, and the epochs since then."""
        return {"best": self.best, "best_epoch": self.best_epoch, "best_step": self.best_step,
                "wait": self.wait, "compared": self._compared, "counted": self._counted,
                "weights": self._weights}  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict()`."""
        self.best, self.wait = state["best"], state["wait"]
        self.best_epoch, self.best_step = state["best_epoch"], state["best_step"]
        self._compared, self._counted = state.get("compared", -1), state.get("counted", "epochs")
        self._weights = {name: array.copy() for name, array in state["weights"].items()}

    def _keep(self, trainer: Training) -> None:
        state = trainer.model.state_dict()
        with evaluated(trainer):
            if not self._weights:
                self._weights = {name: array.copy() for name, array in state.items()}
            for name, array in state.items():
                np.copyto(self._weights[name], array)
