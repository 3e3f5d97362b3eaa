"""Reports how an untrained model changes a signal: whether the signal explodes, vanishes, or dies."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from fastnn._checks import unmasked
from fastnn._trees import Tree, is_tree
from fastnn._types import Array
from fastnn.nn.module import Module
from fastnn.nn.norm import Norm
from fastnn.nn.tracing import leaves, signals
from fastnn.random import Generator, normal_

FAR = 100.0
"""A signal has vanished or exploded if its standard deviation changes by more than this factor from its start."""
DEAD = 0.5
"""The share of dead units from which on a warning is given."""


@dataclass(frozen=True)
class Signal:
    """An array in numbers: mean, standard deviation, and the share of units that are 0 for the whole batch.

    A unit is an index of axis 1: a feature of (N, F), a channel of (N, C, ...).
    """

    mean: float
    std: float
    dead: float


@dataclass(frozen=True)
class LayerReport:
    """A layer's name in the model, its repr, its result, and the gradient of the loss with respect to that."""

    name: str
    layer: str
    activation: Signal
    gradient: Signal


@dataclass(frozen=True)
class Report:
    """The layers in the order they run; iterate over them, or print the whole.

    Attributes:
        warnings: a sentence for each problem: the first layer whose standard deviation is 100 times smaller or larger
            than that of the batch (for gradients: of dy), or than that after the last norm on the way, which sets a new
            scale; non-finite values; and activations with at least half of their units dead.
    """

    layers: tuple[LayerReport, ...]
    warnings: tuple[str, ...] = field(default=())

    def __iter__(self) -> Iterator[LayerReport]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __str__(self) -> str:
        width = max(len(f"{row.name}  {row.layer}") for row in self.layers)
        title = " " * (width + 2) + f"{'activation':^29}  {'gradient':^29}"
        head = f"{'layer':<{width + 2}}" + "  ".join([f"{'mean':>10} {'std':>10} {'dead':>7}"] * 2)
        lines = []
        for row in self.layers:
            name = f"{row.name}  {row.layer}".ljust(width + 2)
            lines.append(name + _text(row.activation) + "  " + _text(row.gradient))
        return "\n".join([title, head, *lines, *self.warnings])


def report(model: Module, batch: Array, dy: Array | None = None) -> Report:
    """Run a batch forward and backward once, and report on each layer. The model's state is restored afterwards.

    Args:
        model: a `fastnn.nn.Module`. Sequentials are expanded; any other module is one layer.
        batch: (N, ...), an input of the model, N > 0.
        dy: gradient of the loss with respect to the model's result; None for standard normal numbers, always the same.

    Raises:
        TypeError: model is not a Module, an array is masked, or the model takes or returns several arrays.
        ValueError: the batch is empty, the model has no layers, or the model raises it.
    """
    if not isinstance(model, Module):
        raise TypeError(f"model: got {type(model).__name__}, want a fastnn.nn.Module; build an nn.Sequential")
    if is_tree(batch):
        raise TypeError("batch: got several inputs, want one array; report on the parts of the model")
    unmasked("batch", batch)
    unmasked("dy", dy)
    if np.size(batch) == 0:
        raise ValueError(f"batch: got shape {np.shape(batch)}, want at least one sample; axis 0 counts samples")
    if next(leaves(model), None) is None:
        raise ValueError("model: got a model without layers, want at least one layer; add an nn.Linear")

    def gradient(y: Array) -> Array:
        return normal_(np.empty_like(y, order="C"), generator=Generator(0)) if dy is None else dy

    def look(_what: str, name: str, array: Tree) -> Signal:
        if is_tree(array):
            raise TypeError(f"model: got several results of {name or 'it'}, want one array; pass its parts that return "
                            "one")  # fmt: skip
        return _signal(array)

    found = signals(model, batch, gradient, look)
    rows = tuple(LayerReport(name, repr(layer), y, g) for name, layer, y, g in found)
    return Report(rows, tuple(_warnings(rows, [layer for _, layer, *_ in found], _signal(batch).std)))


def _signal(x: Array) -> Signal:
    units = np.moveaxis(x, 1, 0).reshape(x.shape[1], -1) if x.ndim > 1 else x.reshape(1, -1)
    with np.errstate(all="ignore"):
        mean, std = x.mean(dtype=np.float64), x.std(dtype=np.float64)
    return Signal(float(mean), float(std), float((~units.any(axis=1)).mean()))


def _text(signal: Signal) -> str:
    return f"{signal.mean:>10.2e} {signal.std:>10.2e} {signal.dead:>7.1%}"


def _warnings(rows: tuple[LayerReport, ...], layers: list[Module], batch_std: float) -> Iterator[str]:
    order = range(len(rows))
    norms = [isinstance(layer, Norm) for layer in layers]
    yield from _far(rows, "activation", order, batch_std, norms)
    # A gradient has passed through the norm of the layer after it.
    yield from _far(rows, "gradient", order[::-1], rows[-1].gradient.std, [*norms[1:], False])
    for row, layer in zip(rows, layers, strict=True):
        if hasattr(layer, "nonlinearity") and row.activation.dead >= DEAD:
            yield f"{row.name}  {row.layer}: {row.activation.dead:.0%} of its units are dead"


def _far(rows: tuple[LayerReport, ...], what: str, order: range, start: float, anew: list[bool]) -> Iterator[str]:
    """Warn where a deviation is first far from `start`, and after each norm where it is first far from the norm's."""
    said = set()
    for i in order:
        std = getattr(rows[i], what).std
        start = std if anew[i] else start
        verdict = _verdict(std, start)
        if verdict and verdict not in said:
            said.add(verdict)
            yield f"{rows[i].name}  {rows[i].layer}: the {what} {verdict}, its deviation is {std:.2g}"


def _verdict(std: float, start: float) -> str:
    if not np.isfinite(std):
        return "is not finite"
    return "vanishes" if std <= start / FAR else "explodes" if std > start * FAR else ""
