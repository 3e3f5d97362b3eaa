"""Draws predictions of real numbers against their targets."""

from typing import TYPE_CHECKING

import numpy as np

from fastnn._figure import TRAINING, VALIDATION, plain
from fastnn._types import Float64

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 2000
"""The largest number of points that are drawn: every k-th of more samples."""


def predicted_against_target(targets: Float64, predictions: Float64, ax: "Axes", title: str = "") -> "Axes":
    """Draw a point for each sample, and the line on which they are equal; non-finite predictions are left out."""
    finite = np.isfinite(predictions) & np.isfinite(targets)
    targets, predictions = targets[finite], predictions[finite]
    every = -(-len(targets) // MOST) or 1
    ends = [
        float(both(np.concatenate([targets, predictions, [0.0] * (not len(targets))]))) for both in (np.min, np.max)
    ]
    ax.plot(ends, ends, color=TRAINING, linewidth=1)
    ax.scatter(targets[::every], predictions[::every], s=9, color=VALIDATION, alpha=0.6, linewidths=0)
    plain(ax)
    ax.set(xlabel="target", ylabel="prediction", title=title)
    return ax
