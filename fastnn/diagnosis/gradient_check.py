"""Compares the gradients of a model with differences of its loss."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn._checks import positive, positive_integer
from fastnn._parameter import Parameter
from fastnn._trees import Tree, map_leaves, named_leaves
from fastnn._types import FLOATS, Array
from fastnn.nn.module import Module
from fastnn.nn.tracing import kept
from fastnn.random import Generator, permutation
from fastnn.training.checks import Data, checked
from fastnn.training.losses import as_loss

ZERO = 1e-5
"""Errors are relative to this fraction of the loss at least: rounding alone makes differences of 1e-10 of it."""
NEAR = 0.01
"""If a difference is wrong, the loss may have a kink within eps; within NEAR * eps it has none, or one at 0."""


Entry = tuple[float, tuple[int, ...], float, float]
"""Relative error, place, gradient from backward, gradient from finite differences."""


@dataclass(frozen=True)
class GradientCheck:
    """The comparison of a model's gradients with finite differences of its loss.

    Attributes:
        errors: the largest relative error among the entries that were tried, by name: "x" for the input, then the
            parameters that require gradients, in the order of `named_parameters`.
        worst, error, place: the name with the largest error of all, that error, and the entry.
        computed, measured: the gradient of that entry, by backward and by differences.
        tolerance: the error that is allowed.
    """

    errors: dict[str, float]
    worst: str
    error: float
    place: tuple[int, ...]
    computed: float
    measured: float
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether no error is above the tolerance."""
        return self.error <= self.tolerance

    @property
    def wrong(self) -> tuple[str, ...]:
        """The names with an error above the tolerance, in the order of `errors`."""
        return tuple(name for name, error in self.errors.items() if error > self.tolerance)

    def __str__(self) -> str:
        worst = (f"gradients: the largest relative error is {self.error:.2g}, at {self.worst}{list(self.place)}: "
                 f"backward says {self.computed:.6g}, differences say {self.measured:.6g}")  # fmt: skip
        if self.ok:
            return f"{worst}; as it should be"
        return (f"{worst}; wrong are {', '.join(self.wrong)}; look at the backward of the layer of {self.wrong[-1]}, "
                "and of those between it and the loss")  # fmt: skip


def check_gradients(
    model: Module, loss: Any, batch: Data, samples: int = 8, eps: float = 1e-5, tolerance: float = 1e-4
) -> GradientCheck:
    """Compare gradients with central differences, (f(p + eps) - f(p - eps)) / 2 eps, in float64.

    The check runs a float64 copy of model and loss, each module in its current mode. Its generators start at the same
    place every time, so that dropout drops the same elements. If the loss has a kink, as ReLU has at 0, any slope
    between those of its two sides is right.

    Args:
        model, loss: as for `Trainer`; its `criterion` is a loss that also has its `loss_weights`. Parameters, buffers
            and arrays among the attributes of the loss become float64.
        batch: (x, y) with few samples, since the model runs twice for every entry. Inputs of integers have no gradient.
        samples: number of entries of each parameter and of x to test: the one with the largest gradient, and random
            ones, always the same.
        eps: the shift of an entry, > 0.
        tolerance: the relative error that is allowed.

    Raises:
        TypeError, ValueError: batch is not such a pair or contains NaN or infinity, a number is not positive, or the
            gradient that backward returns has not the form of x.
    """
    x, y = checked("batch", batch)
    samples = positive_integer("samples", samples)
    for name, value in (("eps", eps), ("tolerance", tolerance)):
        positive(name, value, "a finite number > 0; leave it out for the usual one")
    model, loss = in_float64(model), in_float64(as_loss(loss))
    x, y = map_leaves(_in_float64, x), map_leaves(_in_float64, y)

    def cost() -> float:
        with kept(model):
            return float(loss(model(x)[0], y)[0])

    with np.errstate(all="ignore"):
        value, parts = _gradients(model, loss, x, y)
        found = {name: _largest(cost, *part, samples, eps, tolerance, max(1.0, abs(value))) for name, part in parts}
    if not found:
        raise ValueError("model: got one without parameters and without a gradient of x, want something to check")
    worst = max(found, key=lambda name: found[name][0])
    errors = {name: entry[0] for name, entry in found.items()}
    return GradientCheck(errors, worst, *found[worst], tolerance)


def _gradients(model: Module, loss: Any, x: Tree, y: Tree) -> tuple[float, list[tuple[str, tuple[Array, Array]]]]:
    """Return the loss, and by name the arrays that it depends on, each with its gradient."""
    with kept(model):
        model.zero_grad()
        logits, backward = model(x)
        value, dlogits = loss(logits, y)
        dx = backward(dlogits)
        parts = [] if dx is None else _of_inputs(x, dx)
        for name, p in model.named_parameters():
            if p.requires_grad:
                parts.append((name, (p.data, np.zeros_like(p.data) if p.grad is None else p.grad.copy())))
    return float(value), [part for part in parts if part[1][0].size]


def _of_inputs(x: Tree, dx: Tree) -> list[tuple[str, tuple[Array, Array]]]:
    """Return the inputs with their gradients; raise ValueError unless these have the form of x, or are None."""
    inputs, gradients, parts = dict(named_leaves("x", x)), dict(named_leaves("x", dx)), []
    if gradients.keys() != inputs.keys():
        raise ValueError(f"backward: got gradients of {', '.join(gradients)}, want one or None for each of "
                         f"{', '.join(inputs)}; return them in the form of x")  # fmt: skip
    for name, leaf in inputs.items():
        gradient = gradients[name]
        if gradient is None or leaf.dtype.kind != "f":
            continue
        if np.shape(gradient) != leaf.shape:
            raise ValueError(f"backward: got a gradient of {name} of shape {np.shape(gradient)}, want {leaf.shape}; "
                             "a gradient has its input's shape")  # fmt: skip
        parts.append((name, (leaf, gradient.copy())))
    return parts


def _in_float64(leaf: Any) -> Any:
    return np.array(leaf, np.float64, order="C") if leaf.dtype.kind == "f" else np.array(leaf)


def in_float64(part: Any) -> Any:
    """Copy a module or a loss with parameters and arrays in float64; shared objects are shared in the copy too."""
    is_module = isinstance(part, Module)
    arrays: Any = part.state_dict().values() if is_module else getattr(part, "__dict__", {}).values()
    memo: dict[int, Any] = {
        id(a): np.array(a, np.float64) for a in arrays if isinstance(a, np.ndarray) and a.dtype in FLOATS
    }
    if is_module:
        memo |= {id(p): Parameter(memo[id(p.data)], p.requires_grad) for p in part.parameters()}
    return copy.deepcopy(part, memo)


def _largest(
    cost: Callable[[], float], array: Array, gradient: Array, samples: int, eps: float, tolerance: float, size: float
) -> Entry:
    """Try the entry with the largest gradient and some others, and return the worst."""
    drawn = permutation(gradient.size, Generator(0))[: samples - 1]
    places = [int(np.abs(gradient).argmax()), *drawn.tolist()]
    return max(
        (_entry(cost, array, i, float(gradient.flat[i]), eps, tolerance, ZERO * size) for i in places),
        key=lambda entry: entry[0],
    )


def _entry(
    cost: Callable[[], float], array: Array, i: int, computed: float, eps: float, tolerance: float, zero: float
) -> Entry:
    """Compare one entry; its error is relative to `zero` at least."""
    value = array.flat[i]

    def at(shift: float) -> float:
        array.flat[i] = value + shift
        result = cost()
        array.flat[i] = value
        return result

    def error(measured: float) -> float:
        found = abs(computed - measured) / max(abs(computed), abs(measured), zero)
        return math.inf if math.isnan(found) else found

    measured = (at(eps) - at(-eps)) / (2 * eps)
    if error(measured) > tolerance:
        near, here = eps * NEAR, at(0.0)
        low, high = sorted(((here - at(-near)) / near, (at(near) - here) / near))
        measured = min((measured, min(max(computed, low), high)), key=error)
    return error(measured), tuple(int(k) for k in np.unravel_index(i, array.shape)), computed, measured
