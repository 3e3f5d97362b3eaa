"""Where NaN and infinity come from."""

import math
from typing import NoReturn

import numpy as np

from fastnn.init.report import kept, leaves
from fastnn.nn.module import Array, Module
from fastnn.optim import clip_grad_norm_


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
