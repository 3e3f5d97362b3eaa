"""Optimizer steps: one tensor or many, each optimizer as its users call it."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fastnn import optim
from fastnn.benchmark import numpy_rivals
from fastnn.benchmark.case import Case, Pattern, Side, close, normal_array

Shapes = Sequence[tuple[int, ...]]

STATES = {
    "SGD": 1,
    "Adam": 2,
    "AdamW": 2,
    "Adamax": 2,
    "NAdam": 2,
    "RAdam": 2,
    "Adagrad": 1,
    "Adadelta": 2,
    "RMSprop": 1,
    "Lion": 1,
}
"""Optimizer -> arrays of state that a step reads and writes beside the parameter (SGD: with momentum)."""

FUSED = ("SGD", "Adam", "AdamW", "Adagrad")
"""What PyTorch has a fused CPU kernel for."""


def step_case(
    name: str, n: int, torch: Any, tensors: int = 1, shapes: Shapes | None = None, numpy: bool = True, **options: Any
) -> Case:
    """One step of `optim.<name>` at lr 1e-3 over `tensors` parameters of `n` elements in all, or over `shapes`.

    Args:
        numpy: False leaves the NumPy side out, which may take its time over a large model.
        options: of both libraries' constructors.
    """
    shapes = [(n // tensors,)] * tensors if shapes is None else shapes
    values = [normal_array(*shape, seed=i) for i, shape in enumerate(shapes)]
    grads = [normal_array(*shape, seed=-i - 1 & 0xFFFF) for i, shape in enumerate(shapes)]
    total = sum(math.prod(shape) for shape in shapes)
    ours = [value.copy() for value in values]
    sides: dict[str, Side] = {"fastnn": stepping(getattr(optim, name)(ours, lr=1e-3, **options), ours, grads)}
    if numpy:
        theirs = [value.copy() for value in values]
        rival = numpy_rivals.STEPS[name](theirs, grads, options)
        sides["numpy"] = lambda: (rival(), theirs)[1]
    if torch is not None and hasattr(torch.optim, name):
        modes = {"torch": {"foreach": False}, "torch foreach": {"foreach": True}}
        modes |= {"torch fused": {"fused": True}} if name in FUSED else {}
        for mode, flags in modes.items():
            params = torch_params(torch, values, grads)
            optimizer = getattr(torch.optim, name)(params, lr=1e-3, **options, **flags)
            sides[mode] = stepping(optimizer, [p.detach() for p in params])
    states = 0 if name == "SGD" and not options.get("momentum") else STATES[name]
    pattern: Pattern = (1 + states, 0, 1)
    return Case(total, pattern, sides, close)


def torch_params(torch: Any, values: Iterable[Any], grads: Iterable[Any]) -> list[Any]:
    """Leaves with these values, their gradients over the memory of `grads`."""
    params = [torch.tensor(value, requires_grad=True) for value in values]
    for param, grad in zip(params, grads, strict=True):
        param.grad = torch.from_numpy(np.asarray(grad))
    return params


def stepping(optimizer: Any, result: object, *arguments: object) -> Side:
    """One step; returns the parameters."""
    return lambda: (optimizer.step(*arguments), result)[1]
