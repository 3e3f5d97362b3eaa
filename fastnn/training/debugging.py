"""Where NaN and infinity come from."""

import math
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from fastnn._types import Array, Float64
from fastnn.nn.module import Module
from fastnn.nn.tracing import kept, leaves
from fastnn.optim import clip_grad_norm_
from fastnn.training.history import History

BROKEN_OFF = 1e-3
"""NaN at the end that windows without a weight give by a smaller chance are those of an epoch that was broken off."""


def not_finite(history: History, loss: Float64) -> str | None:
    """Which loss was the first that is NaN or infinite, in words; None where all are as they should be.

    Args:
        loss: that of every step.
    """
    means = np.array(history.get("loss", ()), np.float64)
    # An epoch's are NaN where it had no validation.
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
    """Which steps are NaN because nothing of them has a weight: those of epochs whose mean is finite.

    Epochs count as equally long. One that was broken off has no mean, and NaN that a step has brought lasts to the end.
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


def source(model: Module, x: Array) -> str:
    """Run a batch, layer by layer: the first layer whose parameters or result are not finite, and a remedy."""
    with kept(model):
        for name, layer in leaves(model):
            broken = next((key for key, p in layer.named_parameters() if not np.isfinite(p.data).all()), None)
            if broken is not None:
                return f"{broken} of layer {name} ({layer}), which a step has overthrown; lower lr or clip gradients"
            x, _ = layer(x)
            if not np.isfinite(x).all():
                return f"the result of layer {name} ({layer}); lower lr, or look at the size of its input"
    return "the loss itself; look at the labels and the loss's options"


def source_afterwards(model: Module, x: Array) -> str:
    """The `source` in a model that was trained on since: NaN spreads, and then nothing tells where it began."""
    broken = (key for key, p in model.named_parameters() if not np.isfinite(p.data).all())
    layers = {key.rpartition(".")[0] for key in broken}
    if len(layers) < 2:
        return source(model, x)
    return (
        f"the parameters of {len(layers)} layers, and which was the first can no longer be told; train anew with "
        "detect_nan=True"
    )


def explain_loss(model: Module, x: Array, loss: float, step: int) -> NoReturn:
    """Run the batch again and name the `source`.

    Raises:
        FloatingPointError: always.
    """
    raise FloatingPointError(f"loss at step {step + 1}: got {loss}, which comes from {source(model, x)}")


def explain_gradients(model: Module, step: int) -> None:
    """Name the layer nearest to the loss whose gradient is not finite.

    Raises:
        FloatingPointError: there is one.
    """
    if math.isfinite(clip_grad_norm_(model.parameters(), math.inf)):
        return
    for name, parameter in reversed(list(model.named_parameters())):
        if parameter.grad is not None and not np.isfinite(parameter.grad).all():
            raise FloatingPointError(f"gradient at step {step + 1}: got NaN or infinity in that of {name}, the nearest "
                                     "to the loss; lower lr, or look at the result of the layer before it")  # fmt: skip
