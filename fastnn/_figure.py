"""The parts of `fastnn.plot`: figures, colours, samples as images. matplotlib is imported when a function needs it."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from fastnn._types import Float64

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAINING, VALIDATION, GRID = "#8a8f98", "#c2410c", "#e5e7eb"
LINES = ("#2563eb", "#c2410c", "#0f766e", "#8a8f98", "#9333ea", "#b45309")
MISSING = "matplotlib: got no such package, want it to draw; run pip install 'fastnn[plot]'"


class RateTest(Protocol):
    """A learning-rate range test to draw: a `fastnn.training.LRFinder`."""

    @property
    def rates(self) -> Float64: ...
    @property
    def losses(self) -> Float64: ...
    @property
    def smoothed(self) -> Float64: ...
    @property
    def suggestions(self) -> Mapping[str, float]: ...


class Counted(Protocol):
    """A histogram to draw: a `fastnn.training.inspection.Histogram`."""

    @property
    def edges(self) -> Float64: ...
    @property
    def counts(self) -> npt.NDArray[np.int64]: ...
    @property
    def zeros(self) -> float: ...
    @property
    def broken(self) -> float: ...


class LayerCounts(Protocol):
    """The histograms of a layer: a `fastnn.training.inspection.LayerSignals`."""

    @property
    def name(self) -> str: ...
    @property
    def layer(self) -> str: ...
    @property
    def activation(self) -> Counted: ...
    @property
    def gradient(self) -> Counted: ...


def axes(ax: "Axes | None", width: float, height: float) -> "Axes":
    """Return `ax`, or new pyplot axes in a figure of the given width and height in inches."""
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError(MISSING) from None
    return pyplot.subplots(figsize=(width, height), layout="constrained")[1]


def learning_rates(curves: Mapping[str, Sequence[float] | Float64], ax: "Axes | None" = None) -> "Axes":
    """Draw learning rates over steps: a line for each curve, with a legend if there are several."""
    ax = axes(ax, 6, 4)
    for i, (label, rates) in enumerate(curves.items()):
        marker = "o" if len(rates) == 1 else None
        ax.plot(np.arange(len(rates)), rates, color=LINES[i % len(LINES)], linewidth=2, marker=marker, label=label)
    ax.set_xlabel("step")
    ax.set_ylabel("learning rate")
    ax.set_ylim(bottom=0)
    plain(ax)
    if len(curves) > 1:
        ax.legend(frameon=False)
    return ax


def pictures(x: npt.NDArray[Any], shape: tuple[int, ...] | None = None) -> npt.NDArray[np.float64]:
    """Return samples as (N, H, W) or (N, H, W, 3) in [0, 1]; see `predictions`."""
    side = math.isqrt(math.prod(x.shape[1:]))
    own = x.shape[1:] if x.ndim > 2 else (side, side)
    shape = tuple(own if shape is None else shape)
    is_picture = len(shape) == 2 or (len(shape) == 3 and shape[0] in (1, 3))
    if not len(x) or not is_picture or math.prod(shape) != math.prod(x.shape[1:]):
        raise ValueError(f"x: got samples of shape {x.shape} and shape={shape}, want pictures: (N, H, W), "
                         "(N, 1, H, W), (N, 3, H, W), or (N, pixels) with shape=(H, W)")  # fmt: skip
    images = np.nan_to_num(x.astype(np.float64)).reshape(len(x), *shape)
    own_axes = tuple(range(1, images.ndim))
    low, high = images.min(axis=own_axes, keepdims=True), images.max(axis=own_axes, keepdims=True)
    images = (images - low) / np.where(high > low, high - low, 1.0)
    return images if len(shape) == 2 else images[:, 0] if shape[0] == 1 else np.moveaxis(images, 1, -1)


def new_figure(width: float, height: float) -> "Figure":
    """Return a figure of the given size in inches that is not registered with pyplot, to be written and not shown."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(MISSING) from None
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: "Figure") -> bytes:
    """Return the figure as the content of a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def plain(ax: "Axes", grid: Literal["x", "y"] = "y") -> None:
    """Draw a grid in one direction and remove the frame."""
    ax.grid(axis=grid, color=GRID)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def rgb(colour: str) -> list[float]:
    """Return red, green and blue of #rrggbb, in [0, 1]."""
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def short(text: str, length: int) -> str:
    """Cut a text to at most `length` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"
