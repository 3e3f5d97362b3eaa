"""Each operation as a good NumPy user writes it: float32 throughout, temporaries reused where that reads naturally."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any

import numpy as np

from fastnn._types import AnyArray

Arrays = Sequence[AnyArray]
Axes = int | tuple[int, ...]


Step = Callable[[], None]


def sgd(params: Arrays, grads: Arrays, options: Mapping[str, Any]) -> Step:
    """Steps with lr = 1e-3, in place; so do all of these."""
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


STEPS: dict[str, Callable[..., Step]] = {
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


def dropout(x: AnyArray, rng: np.random.Generator) -> AnyArray:
    """p = 0.5."""
    y: AnyArray = x * (rng.random(x.shape, dtype=np.float32) >= 0.5)
    y *= 2
    return y


def dropout_backward(dy: AnyArray, mask: AnyArray) -> AnyArray:
    """p = 0.5, with the stored boolean mask."""
    dx: AnyArray = dy * mask
    dx *= 2
    return dx


def norm(x: AnyArray, axes: Axes, weight: AnyArray, bias: AnyArray) -> AnyArray:
    """Normalise over `axes`; weight and bias broadcast against x."""
    y: AnyArray = x - x.mean(axes, keepdims=True)
    y *= 1 / np.sqrt(np.square(y).mean(axes, keepdims=True) + np.float32(1e-5))
    y *= weight
    y += bias
    return y


def track(running: Arrays, x: AnyArray, axes: Axes) -> None:
    """Move the running mean and unbiased variance by a tenth towards the batch's."""
    for average, new in zip(running, (x.mean(axes), x.var(axes, ddof=1)), strict=True):
        average *= 0.9
        average += 0.1 * new


def norm_backward(
    dy: AnyArray, x: AnyArray, axes: Axes, others: Axes, weight: AnyArray, mean: AnyArray, rstd: AnyArray
) -> tuple[AnyArray, AnyArray, AnyArray]:
    """dx = rstd * (g - mean(g) - xhat * mean(g * xhat)), g = dy * weight, means over `axes`; sums over `others`."""
    xhat = x - mean
    xhat *= rstd
    product = dy * xhat
    dweight, dbias = product.sum(others), dy.sum(others)
    dx = dy * weight
    product *= weight
    xhat *= product.mean(axes, keepdims=True)
    dx -= dx.mean(axes, keepdims=True)
    dx -= xhat
    dx *= rstd
    return dx, dweight, dbias


def softmax_cross_entropy(logits: AnyArray, labels: AnyArray) -> tuple[Any, AnyArray]:
    """Mean loss and its gradient."""
    rows = np.arange(len(logits))
    shifted = logits - logits.max(1, keepdims=True)
    dlogits = np.exp(shifted)
    total = dlogits.sum(1, keepdims=True)
    loss = np.log(total).mean() - shifted[rows, labels].mean()
    dlogits /= total * np.float32(len(rows))
    dlogits[rows, labels] -= np.float32(1 / len(rows))
    return loss, dlogits


def uniform_(out: AnyArray, bound: float, rng: np.random.Generator) -> AnyArray:
    """In [-bound, bound), in place."""
    rng.random(dtype=np.float32, out=out)
    out *= 2 * bound
    out -= bound
    return out


def normal_(out: AnyArray, std: float, rng: np.random.Generator) -> AnyArray:
    """In place."""
    rng.standard_normal(dtype=np.float32, out=out)
    out *= std
    return out
