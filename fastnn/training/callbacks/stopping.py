"""An end where nothing is gained any more."""

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fastnn._better import Better
from fastnn._checks import integer
from fastnn.training.callbacks.base import Callback, StopTraining
from fastnn.training.monitoring import check_monitor

if TYPE_CHECKING:
    from fastnn.training.trainer import Trainer


class EarlyStopping(Callback):
    """Ends training when a metric has not become better for `patience` epochs.

    Args:
        monitor: one of the names in the history.
        min_delta: better means by more than this, >= 0.
        patience: epochs without anything better that are allowed, >= 0; training ends at the next one.
        mode: "min", "max" or "auto": the less the better for what is called loss, error, mse, mae or perplexity.
        baseline: a value that the metric must be better than; None for any.
        restore_best_weights: leave the model as it was after the best epoch, whether or not training ended early.
        check_finite: end at once when the metric is NaN or infinite, which is never the best.

    Attributes:
        best, best_epoch: the best value and its epoch; None and 0 before the first.
        wait: epochs since then.

    Raises:
        ValueError: an argument outside its range; at the start of a fit, a monitor that it does not record.

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
        self._is_better = Better(monitor, mode, min_delta)
        self.best: float | None = None
        self.best_epoch, self.wait = 0, 0
        self._weights: dict[str, Any] = {}

    def on_fit_start(self, trainer: "Trainer") -> None:
        """Check the monitor; begin anew unless the fit is resumed."""
        check_monitor(self.monitor, trainer.monitors)
        if not trainer.resumed:
            self.best, self.best_epoch, self.wait, self._weights = None, 0, 0, {}

    def on_epoch_end(self, trainer: "Trainer") -> None:
        """Compare, and stop where it is time."""
        value = trainer.logs[self.monitor]
        if self.check_finite and not math.isfinite(value):
            raise StopTraining(f"{self.monitor} is {value} after epoch {trainer.epoch}")
        if self._is_better(value, self.best):
            self.best, self.best_epoch = value, trainer.epoch
            if self.restore_best_weights:
                self._keep(trainer)
            if self.baseline is None or self._is_better(value, self.baseline):
                self.wait = 0
                return
        self.wait += 1
        if self.wait > self.patience:
            raise StopTraining(f"{self.monitor} has not become better for {self.wait} epochs")

    def on_fit_end(self, trainer: "Trainer") -> None:
        """Put the best weights back."""
        if self._weights and self.best_epoch != trainer.epoch:
            trainer.model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """The best so far, its weights, and the epochs since then."""
        return {"best": self.best, "best_epoch": self.best_epoch, "wait": self.wait, "weights": self._weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`."""
        self.best, self.best_epoch, self.wait = state["best"], state["best_epoch"], state["wait"]
        self._weights = {name: array.copy() for name, array in state["weights"].items()}

    def _keep(self, trainer: "Trainer") -> None:
        state = trainer.model.state_dict()
        if not self._weights:
            self._weights = {name: array.copy() for name, array in state.items()}
        for name, array in state.items():
            np.copyto(self._weights[name], array)
