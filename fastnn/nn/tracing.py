"""Runs a model layer by layer, and restores the state that this changes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from fastnn._trees import Tree
from fastnn._types import Array
from fastnn.nn.container import Sequential
from fastnn.nn.module import Module, call
from fastnn.random import Generator, default_generator

T = TypeVar("T")


def signals(
    model: Module, batch: Array, gradient: Callable[[Tree], Tree], look: Callable[[str, str, Tree], T]
) -> list[tuple[str, Module, T, T]]:
    """Run a batch forward and backward, and call `look` on every layer's result and the gradient with respect to it.

    Args:
        gradient: computes the gradient of the loss with respect to the model's result from that result.
        look: function of ("activation" or "gradient", the layer's name, the array, or a tree of several) that returns
            the value to keep; the array may change later.

    Returns:
        (name, layer, the value of `look` for the layer's result, and for the gradient) per layer, in the order they
        run. The model's state is restored.
    """
    layers = list(leaves(model))
    with kept(model):
        results, backwards, gradients = [], [], []
        x = batch
        for name, layer in layers:
            x, backward = call(layer, x)
            results.append(look("activation", name, x))
            backwards.append(backward)
        dx: Any = gradient(x)
        for i in reversed(range(len(layers))):
            gradients.append(look("gradient", layers[i][0], dx))
            dx = backwards[i](dx, i > 0)
    return [(*layer, y, g) for layer, y, g in zip(layers, results, reversed(gradients), strict=True)]


def leaves(module: Module, name: str = "") -> Iterator[tuple[str, Module]]:
    """Yield names and layers in the order they run; Sequentials are expanded, any other module is one layer."""
    if type(module).__call__ is not Sequential.__call__:
        yield name, module
        return
    for child_name, child in module.named_children():
        yield from leaves(child, f"{name}.{child_name}" if name else child_name)


@contextmanager
def kept(model: Module) -> Iterator[None]:
    """Restore the state that running a model changes: buffers, gradients, modes, and generators' positions."""
    parameters = list(model.parameters())
    gradients = [None if p.grad is None else p.grad.copy() for p in parameters]
    trained = {id(p.data) for p in parameters}
    buffers = [(array, array.copy()) for array in model.state_dict().values() if id(array) not in trained]
    modes = [(module, module.training) for module in model.modules()]
    own = [value for module in model.modules() for value in vars(module).values() if isinstance(value, Generator)]
    states = [(g, g.state) for g in (default_generator, *own)]
    try:
        yield
    finally:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        for array, before in buffers:
            np.copyto(array, before)
        for module, mode in modes:
            module.training = mode
        for generator, state in states:
            generator.state = state
