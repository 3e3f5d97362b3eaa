"""Optimizer steps: one tensor or many, each optimizer as its users call it, beside a step in NumPy."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any

import numpy as np

from fastnn import optim
from fastnn._types import AnyArray
from fastnn.benchmark.case import Arrays, Case, Pattern, Side, close, normal_array, operation

Shapes = Sequence[tuple[int, ...]]
Step = Callable[[], None]


def sgd(params: Arrays, grads: Arrays, options: Mapping[str, Any]) -> Step:
    """Steps with lr = 1e-3, in place, as in all functions below."""
    momentum = options.get("momentum", 0.0)
    buffers = [np.zeros_like(p) for p in params]

    def step() -> None:
        for p, g, buffer in zip(params, grads, buffers, strict=True):
            if momentum:
                buffer *= momentum
                buffer += g
            p -= 1e-3 * (buffer if momentum else g)

    return step


def adam(params: Arrays, grads: Arrays, options: Mapping[str, Any], decay: float = 0.0) -> Step:
    """PyTorch's defaults; `decay` is decoupled."""
    ms, vs, steps = [np.zeros_like(p) for p in params], [np.zeros_like(p) for p in params], count(1)

    def step() -> None:
        t = next(steps)
        for p, g, m, v in zip(params, grads, ms, vs, strict=True):
            if decay:
                p *= 1 - 1e-3 * decay
            _average(m, v, g)
            denominator = np.sqrt(v)
            denominator /= math.sqrt(1 - 0.999**t)
            denominator += 1e-8
            p -= 1e-3 / (1 - 0.9**t) * m / denominator

    return step


def adamax(params: Arrays, grads: Arrays, options: Mapping[str, Any]) -> Step:
    """PyTorch's defaults."""
    ms, us, steps = [np.zeros_like(p) for p in params], [np.zeros_like(p) for p in params], count(1)

    def step() -> None:
        t = next(steps)
        for p, g, m, u in zip(params, grads, ms, us, strict=True):
            m *= 0.9
            m += 0.1 * g
            u *= 0.999
            np.maximum(u, np.abs(g) + 1e-8, out=u)
            p -= 1e-3 / (1 - 0.9**t) * m / u

    return step


def nadam(params: Arrays, grads: Arrays, options: Mapping[str, Any]) -> Step:
    """PyTorch's defaults."""
    ms, vs, steps = [np.zeros_like(p) for p in params], [np.zeros_like(p) for p in params], count(1)
    product = 1.0

    def step() -> None:
        nonlocal product
        t = next(steps)
        mu, following = (0.9 * (1 - 0.5 * 0.96 ** (i * 4e-3)) for i in (t, t + 1))
        product *= mu
        for p, g, m, v in zip(params, grads, ms, vs, strict=True):
            _average(m, v, g)
            denominator = np.sqrt(v)
            denominator /= math.sqrt(1 - 0.999**t)
            denominator += 1e-8
            p -= (1e-3 * (1 - mu) / (1 - product) * g + 1e-3 * following / (1 - product * following) * m) / denominator

    return step


def radam(params: Arrays, grads: Arrays, options: Mapping[str, Any]) -> Step:
    """PyTorch's defaults."""
    ms, vs, steps = [np.zeros_like(p) for p in params], [np.zeros_like(p) for p in params], count(1)
    last = 2 / (1 - 0.999) - 1

    def step() -> None:
        t = next(steps)
        rho = last - 2 * t * 0.999**t / (1 - 0.999**t)
        for p, g, m, v in zip(params, grads, ms, vs, strict=True):
            _average(m, v, g)
            if rho > 5:
                r = math.sqrt((rho - 4) * (rho - 2) * last / ((last - 4) * (last - 2) * rho) * (1 - 0.999**t))
                p -= 1e-3 * r / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-8)
            else:
                p -= 1e-3 / (1 - 0.9**t) * m

    return step


def lion(params: Arrays, grads: Arrays, options: Mapping[str, Any]) -> Step:
    """The paper's defaults, without decay."""
    ms = [np.zeros_like(p) for p in params]

    def step() -> None:
        for p, g, m in zip(params, grads, ms, strict=True):
            p -= 1e-3 * np.sign(0.9 * m + 0.1 * g)
            m *= 0.99
            m += 0.01 * g

    return step


def adagrad(params: Arrays, grads: Arrays, options: Mapping[str, Any]) -> Step:
    """PyTorch's defaults."""
    sums = [np.zeros_like(p) for p in params]

    def step() -> None:
        for p, g, total in zip(params, grads, sums, strict=True):
            total += g * g
            p -= 1e-3 * g / (np.sqrt(total) + 1e-10)

    return step


def adadelta(params: Arrays, grads: Arrays, options: Mapping[str, Any]) -> Step:
    """PyTorch's defaults."""
    squares, deltas = [np.zeros_like(p) for p in params], [np.zeros_like(p) for p in params]

    def step() -> None:
        for p, g, square, total in zip(params, grads, squares, deltas, strict=True):
            square *= 0.9
            square += 0.1 * g * g
            delta = np.sqrt(total + 1e-6) / np.sqrt(square + 1e-6) * g
            total *= 0.9
            total += 0.1 * delta * delta
            p -= 1e-3 * delta

    return step


def rmsprop(params: Arrays, grads: Arrays, options: Mapping[str, Any]) -> Step:
    """PyTorch's defaults."""
    squares = [np.zeros_like(p) for p in params]

    def step() -> None:
        for p, g, square in zip(params, grads, squares, strict=True):
            square *= 0.99
            square += 0.01 * g * g
            p -= 1e-3 * g / (np.sqrt(square) + 1e-8)

    return step


def _average(m: AnyArray, v: AnyArray, g: AnyArray) -> None:
    m *= 0.9
    m += 0.1 * g
    v *= 0.999
    v += 0.001 * g * g


NUMPY_STEPS: dict[str, Callable[..., Step]] = {
    "SGD": sgd,
    "Adam": adam,
    "AdamW": partial(adam, decay=1e-2),
    "Adamax": adamax,
    "NAdam": nadam,
    "RAdam": radam,
    "Lion": lion,
    "Adagrad": adagrad,
    "Adadelta": adadelta,
    "RMSprop": rmsprop,
}
"""Optimizer -> make(params, grads, options), whose result is called once per step."""

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
"""The optimizers for which PyTorch has a fused CPU kernel."""


def step_case(
    name: str, n: int, torch: Any, tensors: int = 1, shapes: Shapes | None = None, numpy: bool = True, **options: Any
) -> Case:
    """One step of `optim.<name>` at lr 1e-3 over `tensors` parameters of `n` elements in all, or over `shapes`.

    Args:
        numpy: False omits the NumPy side, which is slow for a large model.
        options: options of both libraries' constructors.
    """
    shapes = [(n // tensors,)] * tensors if shapes is None else shapes
    values = [normal_array(*shape, seed=i) for i, shape in enumerate(shapes)]
    grads = [normal_array(*shape, seed=-i - 1 & 0xFFFF) for i, shape in enumerate(shapes)]
    total = sum(math.prod(shape) for shape in shapes)
    ours = [value.copy() for value in values]
    sides: dict[str, Side] = {"fastnn": stepping(getattr(optim, name)(ours, lr=1e-3, **options), ours, grads)}
    if numpy:
        theirs = [value.copy() for value in values]
        rival = NUMPY_STEPS[name](theirs, grads, options)
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
    """Return torch leaves with these values, whose gradients use the memory of `grads`."""
    params = [torch.tensor(value, requires_grad=True) for value in values]
    for param, grad in zip(params, grads, strict=True):
        param.grad = torch.from_numpy(np.asarray(grad))
    return params


def stepping(optimizer: Any, result: object, *arguments: object) -> Side:
    """Return a side that makes one step and returns the parameters."""
    return lambda: (optimizer.step(*arguments), result)[1]


operation("SGD, momentum")(partial(step_case, "SGD", momentum=0.9))
operation("AdamW")(partial(step_case, "AdamW"))
