"""What pictures are made of: figures, colours, and samples as images. matplotlib is imported by who calls it."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from fastnn._types import Float64

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAINING, VALIDATION, GRID = "#8a8f98", "#c2410c", "#e5e7eb"
LINES = ("#2563eb", "#c2410c", "#0f766e", "#8a8f98", "#9333ea", "#b45309")
MISSING = "matplotlib: got no such package, want it to draw; run pip install 'fastnn[plot]'"


def axes(ax: "Axes | None", width: float, height: float) -> "Axes":
    """`ax`, or new axes of pyplot's in a figure of so many inches."""
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError(MISSING) from None
    return pyplot.subplots(figsize=(width, height), layout="constrained")[1]


def learning_rates(curves: Mapping[str, Sequence[float] | Float64], ax: "Axes | None" = None) -> "Axes":
    """Learning rates over steps, a line for each curve, with its name where there are several."""
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
    """Samples as (N, H, W) or (N, H, W, 3) in [0, 1]; see `predictions`."""
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
    """A figure in inches that pyplot does not know, for pictures that are written and not shown."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(MISSING) from None
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: "Figure") -> bytes:
    """The figure as a PNG file's content."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def plain(ax: "Axes", grid: Literal["x", "y"] = "y") -> None:
    """A grid one way, and no frame."""
    ax.grid(axis=grid, color=GRID)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def rgb(colour: str) -> list[float]:
    """Of #rrggbb, in [0, 1]."""
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def short(text: str, length: int) -> str:
    """At most so many characters."""
    return text if len(text) <= length else text[: length - 1] + "…"
