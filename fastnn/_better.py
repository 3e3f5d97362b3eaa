"""Compares values of a metric."""

import math
from collections.abc import Mapping
from typing import Literal

from fastnn._checks import not_negative

Direction = Literal["min", "max"]

KNOWN: dict[str, Direction] = {
    **dict.fromkeys(("loss", "log_loss", "perplexity", "mse", "mae", "rmse"), "min"),
    **dict.fromkeys(("accuracy", "balanced_accuracy", "roc_auc", "average_precision", "r2"), "max"),
    **{
        f"{name}{how}": "max" for name in ("precision", "recall", "f1") for how in ("", "_macro", "_micro", "_weighted")
    },
}
"""Whether lower or higher values of the metrics of this package are better; of any other metric it is not guessed."""


def direction(name: str, known: Mapping[str, Direction | None] | None = None) -> Direction | None:
    """Return whether lower or higher values of a curve are better, or None if it is not known.

    Args:
        name: the name in a history, with or without "val_".
        known: the directions of metrics that are not in `KNOWN`.
    """
    plain = name.removeprefix("val_")
    return (known or {}).get(plain) or KNOWN.get(plain)


class Better:
    """Tells whether a value of a metric is better than the best so far by more than `min_delta`; NaN never is.

    Args:
        monitor: the name of the metric.
        mode: "min" or "max"; "auto" takes the metric's own direction.
        min_delta: >= 0.
        known: the directions of metrics that are not in `KNOWN`.

    Raises:
        ValueError: the mode is "auto" and the metric has no direction.
    """

    def __init__(
        self,
        monitor: str,
        mode: str = "auto",
        min_delta: float = 0.0,
        known: Mapping[str, Direction | None] | None = None,
    ) -> None:
        check_mode(mode)
        not_negative("min_delta", min_delta)
        found = direction(monitor, known) if mode == "auto" else mode
        if found is None:
            raise ValueError(f"mode: got 'auto' for {monitor!r}, of which it is not known whether higher or lower is "
                             "better, want mode='min' or mode='max'")  # fmt: skip
        self.sign = -1.0 if found == "min" else 1.0
        self.min_delta = min_delta

    def __call__(self, value: float, best: float | None) -> bool:
        """Return whether `value` is better than `best`, which is None or NaN at first."""
        if not math.isfinite(value):
            return False
        return best is None or math.isnan(best) or self.sign * value > self.sign * best + self.min_delta


def check_mode(mode: str) -> None:
    """Raise ValueError unless the mode is "auto", "min" or "max"."""
    if mode not in ("auto", "min", "max"):
        raise ValueError(f"mode: got {mode!r}, want 'auto', 'min' or 'max'")
