"""Callbacks that record learning rates and times."""

import sys
import time
from typing import Any

from fastnn._checks import positive_integer
from fastnn.training.callbacks.base import Callback
from fastnn.training.callbacks.progress import say
from fastnn.training.history import put
from fastnn.training.protocols import Training

PARTS = ("data", "forward", "backward", "optimizer")


class LearningRateMonitor(Callback):
    """Records the learning rate of every parameter group, and its momentum if it has one, at every optimizer step.

    The records are `history.steps["lr-0"]`, "momentum-0", "lr-1" ...; for optimizers with betas, momentum is betas[0].
    """

    def __init__(self) -> None:
        self._now: dict[str, float] = {}

    def on_backward_end(self, trainer: Training) -> None:
        """Store the values of this step, since the scheduler changes them after it."""
        self._now = {}
        for i, group in enumerate(trainer.optimizer.param_groups):
            values: dict[str, Any] = {"lr": group["lr"], "momentum": group.get("betas", [group.get("momentum")])[0]}
            self._now |= {f"{name}-{i}": float(value) for name, value in values.items() if value is not None}

    def on_batch_end(self, trainer: Training) -> None:
        """Record the values if there was a step."""
        if trainer.has_stepped:
            steps = trainer.history.steps
            put(steps, self._now, len(steps["loss"]) - 1)


class TimingMonitor(Callback):
    """Measures the time of each part of an iteration, and estimates the time of the training.

    Args:
        estimate_after: the number of iterations after which the estimate is printed, once per fit; None prints nothing.

    Attributes:
        seconds: of all iterations of the current fit: "data", "forward" (with the loss), "backward", "optimizer" (with
            the callbacks between backward and the step), and "other": metrics, callbacks, validation.
        iterations: number of these iterations.
    """

    def __init__(self, estimate_after: int | None = 20) -> None:
        self.estimate_after = None if estimate_after is None else positive_integer("estimate_after", estimate_after)
        self._ahead: int | None = 0
        self._reset()

    @property
    def per_iteration(self) -> dict[str, float]:
        """The mean seconds of each part of an iteration."""
        return {name: total / max(1, self.iterations) for name, total in self.seconds.items()}

    @property
    def largest(self) -> str:
        """The part that takes longest."""
        return max(self.seconds, key=lambda name: self.seconds[name])

    def on_fit_start(self, trainer: Training) -> None:
        """Reset the measurement."""
        self._reset()
        self._ahead = trainer.ahead

    def on_batch_end(self, trainer: Training) -> None:
        """Add the times of the batch."""
        times = trainer.times
        for name, begin, end in zip(PARTS, times, times[1:], strict=False):
            self.seconds[name] += end - begin
        self.iterations += 1
        now = time.perf_counter()
        self.seconds["other"] = now - self._began - sum(self.seconds[name] for name in PARTS)
        if self.iterations == self.estimate_after:
            total = "" if self._ahead is None else (
                f"; about {(now - self._began) / self.iterations * self._ahead:.0f} s in all")  # fmt: skip
            say(f"{self.estimate_after} iterations: {self}{total}", sys.stderr)

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {1e3 * seconds:.2f} ms" for name, seconds in self.per_iteration.items())
        return f"{parts}; {self.largest} takes most"

    def _reset(self) -> None:
        self.seconds, self.iterations = dict.fromkeys((*PARTS, "other"), 0.0), 0
        self._began = time.perf_counter()
