"""Where the training loop stands."""

from dataclasses import dataclass, field, fields
from typing import Any

from fastnn._trees import Tree
from fastnn.data.source import Stream
from fastnn.training.batches import Batches
from fastnn.training.history import History
from fastnn.training.metrics import Meter

COUNTERS = ("epoch", "batch", "step", "first_epoch", "first_step", "stopped")
"""The fields that a checkpoint stores under "loop"."""

LIMITS = ("max_steps = ", "max_time = ", "KeyboardInterrupt")
"""How `LoopState.stopped` begins for a fit that its own limits or Ctrl-C ended, after which another may continue."""

ENDLESS = 2**62
"""The number of epochs of a fit that only steps or time limit."""


@dataclass(slots=True)
class LoopState:
    """How far the loop of a `Trainer` has come.

    A checkpoint stores the fields of `COUNTERS`, `data`, `meter` and `history`. The other fields describe the current
    fit or batch.

    Attributes:
        meter: sums the loss and the metrics of the current epoch.
        history: the curves of all epochs, steps and validations.
        epoch: the current or last epoch, counted from 1 over the trainer's life; 0 before the first.
        batch: finished batches of the current epoch; 0 between epochs.
        step: optimizer steps done.
        first_epoch, first_step: the epoch and the step after which the current fit began.
        stopped: why the current or last fit ended early, else None.
        data: seed, number of samples, batch size and intervals of the current or last fit.
        epochs: the last epoch of the current fit; a number that is never reached if only steps or time limit it.
        batches: batches of an epoch of the current fit; None if it is not known.
        interval: number of batches between validations.
        validates: whether the current fit has validation data.
        resumed: whether the current fit continues from a checkpoint.
        has_stepped: whether the optimizer has stepped after the last batch.
        window_loss, window_weight: the loss of the current window of accumulation, and the weight of its samples.
        times: `time.perf_counter` for the last batch: at its start, and after gathering, forward, backward and
            optimizer.
        inputs: x of the last batch.
        record: the newest complete record; None while an epoch's is being measured.
        source: the iterable of batches of the current fit, if its data is one.
        fit_batches: the training data of the current fit; None between fits.
        scheduler_rests: whether a callback sets the learning rate instead of the scheduler.
    """

    meter: Meter
    history: History = field(default_factory=History)
    epoch: int = 0
    batch: int = 0
    step: int = 0
    first_epoch: int = 0
    first_step: int = 0
    stopped: str | None = None
    data: dict[str, Any] = field(default_factory=dict)
    epochs: int = 0
    batches: int | None = 0
    interval: int = 1
    validates: bool = False
    resumed: bool = False
    has_stepped: bool = False
    window_loss: float = 0.0
    window_weight: float = 0.0
    times: tuple[float, ...] = (0.0,) * 5
    inputs: Tree = None
    record: dict[str, float] | None = field(default_factory=dict)
    source: Stream | None = None
    fit_batches: Batches | None = None
    scheduler_rests: bool = False

    @property
    def logs(self) -> dict[str, float]:
        """The newest record: loss and metrics so far during an epoch, the whole record at its end."""
        return self.meter.logs() if self.record is None else self.record

    @property
    def ahead(self) -> int | None:
        """The batches of the current fit that are still to do; None if it is not known."""
        if self.batches is None or self.epochs >= ENDLESS:
            return None
        return (self.epochs - self.epoch) * self.batches + (self.batches - self.batch if self.batch else 0)

    @property
    def counters(self) -> dict[str, int | str | None]:
        """The fields of `COUNTERS`."""
        return {name: getattr(self, name) for name in COUNTERS}

    def assign(self, other: "LoopState") -> None:
        """Copy every field of another state."""
        for entry in fields(self):
            setattr(self, entry.name, getattr(other, entry.name))
