"""Compares values of a metric."""

import math

from fastnn._checks import not_negative

LOWER = ("loss", "error", "mse", "mae", "perplexity")
"""A metric with one of these words in its name is better when it is lower."""


class Better:
    """Tells whether a value of a metric is better than the best so far by more than `min_delta`; NaN never is.

    Args:
        monitor: the name of the metric.
        mode: "min" or "max"; "auto" is "min" for names that contain one of the words in `LOWER`, else "max".
        min_delta: >= 0.
    """

    def __init__(self, monitor: str, mode: str = "auto", min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode: got {mode!r}, want 'auto', 'min' or 'max'")
        not_negative("min_delta", min_delta)
        lower = mode == "min" or (mode == "auto" and any(word in monitor for word in LOWER))
        self.sign = -1.0 if lower else 1.0
        self.min_delta = min_delta

    def __call__(self, value: float, best: float | None) -> bool:
        """Return whether `value` is better than `best`, which is None or NaN at first."""
        if not math.isfinite(value):
            return False
        return best is None or math.isnan(best) or self.sign * value > self.sign * best + self.min_delta
