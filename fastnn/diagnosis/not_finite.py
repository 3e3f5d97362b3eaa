"""Finds the first loss of a training that is NaN or infinite, and the layer that it comes from."""

import numpy as np
import numpy.typing as npt

from fastnn._types import Array, Float64
from fastnn.nn.module import Module
from fastnn.training.debugging import source
from fastnn.training.history import History

BROKEN_OFF = 1e-3
"""NaN of the last steps may come from windows without weighted samples. If that has a smaller probability than this, it
comes from an epoch that was interrupted."""


def first_not_finite(history: History, loss: Float64) -> str | None:
    """Describe the first loss that is NaN or infinite; None if there is none.

    Args:
        history: the history of the training.
        loss: the loss of every step.
    """
    means = np.array(history.get("loss", ()), np.float64)
    # In the history of epochs, NaN can mean that there was no validation.
    validations = np.array(history.validations.get("val_loss", history.get("val_loss", ())), np.float64)
    wrong = ~np.isfinite(loss) & ~_weightless(loss, means)
    for what, values, places in (
        ("step", loss, wrong),
        ("epoch", means, ~np.isfinite(means)),
        ("validation", validations, ~np.isfinite(validations)),
    ):
        if places.any():
            first = int(places.argmax())
            return f"the loss of {what} {first + 1} of {len(values)} is {values[first]}"
    return None


def _weightless(loss: Float64, means: Float64) -> npt.NDArray[np.bool_]:
    """Mark the steps that are NaN because none of their samples has a weight: those of epochs whose mean is finite.

    All epochs count as equally long. An interrupted epoch has no mean, and NaN that a step has caused lasts to the end.
    """
    missing = np.isnan(loss)
    if not len(means) or not missing.any():
        return np.zeros_like(missing)
    fine = missing & np.isfinite(means)[np.arange(len(loss)) * len(means) // len(loss)]
    end = int(np.flatnonzero(~missing).max(initial=-1)) + 1
    share = (missing[:end].sum() + 1) / (end + 1)
    if len(loss) % len(means) or share ** (len(loss) - end) < BROKEN_OFF:
        fine[end:] = False
    return fine


def source_afterwards(model: Module, x: Array) -> str:
    """Return the `source` in a model that was trained further: NaN spreads until its origin is no longer visible."""
    broken = (key for key, p in model.named_parameters() if not np.isfinite(p.data).all())
    layers = {key.rpartition(".")[0] for key in broken}
    if len(layers) < 2:
        return source(model, x)
    return (
        f"the parameters of {len(layers)} layers, and which was the first can no longer be told; train anew with "
        "detect_nan=True"
    )
