"""The attributes of a `Trainer`: its parts that may be replaced between fits, and how far its loop has come."""

from operator import attrgetter
from typing import Any

from fastnn.metrics.base import Metric
from fastnn.training.losses import as_loss
from fastnn.training.metrics import of_trainer
from fastnn.training.state import LoopState


class Parts:
    """Base class of `Trainer`."""

    state: LoopState
    criterion: Any
    _loss_weights: Any

    @property
    def metrics(self) -> dict[str, Metric]:
        """The metrics by name; new ones may be set between fits."""
        return self._metrics

    @metrics.setter
    def metrics(self, metrics: Any) -> None:
        self._metrics, self.given_metrics = of_trainer(metrics, self.criterion), metrics
        self.metrics_are_auto = isinstance(metrics, str) and metrics == "auto"
        self.unfit: dict[str, Metric] = {}

    def readmit(self) -> None:
        """Take back the automatic metrics that did not fit the last data, since they may fit the next; not in a fit."""
        if self.state.fit_batches is None:
            self._metrics |= self.unfit
            self.unfit = {}

    @property
    def loss(self) -> Any:
        """The loss, as given; a new one may be set between fits."""
        return self._loss

    @loss.setter
    def loss(self, loss: Any) -> None:
        self.criterion = as_loss(loss, self._loss_weights)
        self._loss = loss

    @property
    def monitors(self) -> list[str]:
        """The names that an epoch of the current fit records."""
        names = ["loss", *self.metrics]
        return names + [f"val_{name}" for name in names] if self.state.validates else names

    epoch = property(attrgetter("state.epoch"), doc="The current or last epoch, counted from 1; 0 before the first.")
    epochs = property(attrgetter("state.epochs"), doc="The last epoch of the current fit.")
    batch = property(attrgetter("state.batch"), doc="Finished batches of the current epoch; 0 between epochs.")
    batches = property(attrgetter("state.batches"), doc="Batches of an epoch of the fit; None if it is not known.")
    ahead = property(attrgetter("state.ahead"), doc="Batches of the fit that are still to do; None if not known.")
    step = property(attrgetter("state.step"), doc="Optimizer steps done.")
    history = property(attrgetter("state.history"), doc="The recorded values, by epoch, step and validation.")
    logs = property(
        attrgetter("state.logs"),
        doc="The newest record: loss and metrics so far during an epoch, the whole record at its end.",
    )
    stopped = property(attrgetter("state.stopped"), doc="Why the current or last fit ended early, else None.")
    resumed = property(attrgetter("state.resumed"), doc="Whether the current fit continues from a checkpoint.")
    has_stepped = property(
        attrgetter("state.has_stepped"),
        doc="Whether the last batch ended a window of accumulation, so that the optimizer has stepped.",
    )
    inputs = property(attrgetter("state.inputs"), doc="x of the last batch; the next batch uses the same memory.")
    times = property(
        attrgetter("state.times"),
        doc="`time.perf_counter` for the last batch: at its start, and after gathering, forward, backward and update.",
    )
