"""Histograms of a batch's activations and gradients in every layer of a model, which can be kept and drawn."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn._checks import unmasked
from fastnn._trees import Tree, leaves
from fastnn._types import Array
from fastnn.nn.module import Module
from fastnn.nn.tracing import signals
from fastnn.training.evaluation import in_mode
from fastnn.training.losses import Loss

BINS = 60
PER_DECADE, DECADES = 8, 12
"""Bins of the absolute values of gradients: PER_DECADE for each factor of 10, over DECADES such factors."""
LIMITS = (1e-300, 1e300)
"""Absolute values are clipped to this range, beyond which edges would coincide or overflow."""


@dataclass(frozen=True)
class Histogram:
    """The numbers of values of an array between edges.

    Attributes:
        edges: (B + 1,) float64, increasing.
        counts: (B,) int64; values beyond the first or last edge count in the bin there. Zeros, NaN and infinity are not
            counted.
        zeros, broken: the fractions of values that are 0, and that are not finite.
    """

    edges: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]
    zeros: float
    broken: float


@dataclass(frozen=True)
class LayerSignals:
    """A layer's name in the model, its repr, and histograms of its result and of that result's absolute gradient."""

    name: str
    layer: str
    activation: Histogram
    gradient: Histogram

    def state(self) -> dict[str, Any]:
        """Return the content as dicts of arrays, numbers and strings."""
        return asdict(self)

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> "LayerSignals":
        """Return the object with the given `state()`."""
        return cls(state["name"], state["layer"], *(Histogram(**state[what]) for what in ("activation", "gradient")))


def inspect_layers(model: Module, loss: Loss, x: Array, labels: Any) -> tuple[LayerSignals, ...]:
    """Run a batch forward and backward in evaluation mode, and return histograms of every layer.

    Several results of a layer count as one.

    Args:
        model: a `Sequential` is expanded; any other module is one layer. The model's state is restored.
        loss: as for `Trainer`.
        x: (N, ...), N > 0.
        labels: labels or targets for the loss.
    """

    def look(what: str, _name: str, tree: Tree) -> Histogram:
        return histogram(np.concatenate([np.ravel(array) for array in leaves(tree)]), sizes=what == "gradient")

    with in_mode(model, training=False):
        found = signals(model, x, lambda y: loss(y, labels)[1], look)
    return tuple(LayerSignals(name, repr(layer), y, g) for name, layer, y, g in found)


def histogram(values: npt.ArrayLike, sizes: bool = False) -> Histogram:
    """Count values in 60 bins of equal width that contain all but a thousandth at either end.

    Args:
        values: an array of any shape.
        sizes: count absolute values instead, in bins whose edges are powers of 10^(1/8), the same for every array.

    Raises:
        TypeError: values is a masked array.
    """
    unmasked("values", values)
    flat = np.asarray(values, np.float64).ravel()
    finite = flat[np.isfinite(flat)]
    kept = finite[finite != 0]
    kept = np.sign(kept) * np.clip(np.abs(kept), *LIMITS)
    n = max(1, len(flat))
    zeros, broken = (len(finite) - len(kept)) / n, (len(flat) - len(finite)) / n
    if sizes:
        kept = np.log10(np.abs(kept)) * PER_DECADE
        last = np.floor(kept.max(initial=0.0 if not len(kept) else -np.inf)) + 1
        first = max(np.floor(kept.min(initial=last - 1)), last - PER_DECADE * DECADES)
        edges = np.arange(first, last + 1)
    else:
        low, high = np.quantile(kept, (0.001, 0.999)) if len(kept) else (-1.0, 1.0)
        half = max((high - low) / 2, 1e-6 * abs(low))
        edges = (low + high) / 2 + half * np.linspace(-1, 1, BINS + 1)
    counts = np.histogram(np.clip(kept, edges[0], edges[-1]), edges)[0].astype(np.int64)
    return Histogram(10 ** (edges / PER_DECADE) if sizes else edges, counts, zeros, broken)


def largest_errors(labels: npt.NDArray[np.integer], probabilities: Array, n: int) -> npt.NDArray[np.int64]:
    """Return the rows of probabilities (N, C) in which the label has the least, at most n, the worst first."""
    unmasked("labels", labels)
    unmasked("probabilities", probabilities)
    return np.argsort(probabilities[np.arange(len(labels)), labels], kind="stable")[:n]
