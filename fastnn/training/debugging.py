"""Explains where NaN and infinity come from, for a training with `detect_nan`."""

import math
from typing import NoReturn

import numpy as np

from fastnn._trees import Tree
from fastnn._trees import leaves as arrays
from fastnn.nn.module import Module
from fastnn.nn.tracing import kept, leaves
from fastnn.optim.clip import clip_grad_norm_


def source(model: Module, x: Tree) -> str:
    """Run a batch layer by layer, and describe the first layer with non-finite parameters or results, and a remedy."""
    with kept(model):
        for name, layer in leaves(model):
            broken = next((key for key, p in layer.named_parameters() if not np.isfinite(p.data).all()), None)
            what = f"layer {name} ({layer})" if name else f"the model ({layer})"
            if broken is not None:
                return (f"{broken} of {what}, which an optimizer step made non-finite; lower lr or "
                        "clip gradients")  # fmt: skip
            x, _ = layer(x)
            if not all(np.isfinite(array).all() for array in arrays(x)):
                return f"the result of {what}; lower lr, or look at the size of its input"
    return "the loss itself; look at the labels and the loss's options"


def explain_loss(model: Module, x: Tree, loss: float, step: int) -> NoReturn:
    """Run the batch again, and raise FloatingPointError with the `source` of the loss that is not finite."""
    raise FloatingPointError(f"loss at step {step + 1}: got {loss}, which comes from {source(model, x)}")


def explain_gradients(model: Module, step: int) -> None:
    """Raise FloatingPointError if a gradient is not finite; the message names the layer nearest to the loss."""
    if math.isfinite(clip_grad_norm_(model.parameters(), math.inf)):
        return
    for name, parameter in reversed(list(model.named_parameters())):
        if parameter.grad is not None and not np.isfinite(parameter.grad).all():
            raise FloatingPointError(f"gradient at step {step + 1}: got NaN or infinity in that of {name}, the nearest "
                                     "to the loss; lower lr, or look at the result of the layer before it")  # fmt: skip
