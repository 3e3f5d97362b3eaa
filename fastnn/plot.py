"""Pictures of a training, with matplotlib.

Every function draws into `ax` and returns it. If `ax` is None it makes new axes of pyplot, which shows and closes them;
axes of a `matplotlib.figure.Figure` do not involve pyplot. Without matplotlib every function raises ImportError.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from fastnn._better import Better, direction
from fastnn._checks import unmasked
from fastnn._figure import (
    GRID,
    LINES,
    TRAINING,
    VALIDATION,
    LayerCounts,
    RateTest,
    axes,
    learning_rates,
    pictures,
    plain,
    rgb,
    short,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["confusion_matrix", "distributions", "learning_curves", "lr_finder", "predictions", "schedule"]

PARTS = 25
"""Curves are smoothed over 2 / PARTS of their length."""
COUNTS, NUMBERS = 12, 30
"""The largest numbers of classes for which a confusion matrix shows counts and shares, and only counts."""


def learning_curves(history: Mapping[str, Sequence[float]], name: str = "loss", ax: "Axes | None" = None) -> "Axes":
    """Draw a metric of training and validation over epochs: as measured (pale), smoothed, and its best epoch.

    The training's curve has a point for every step if the history has these; they are spread evenly over the epochs.

    Args:
        history: a `History`, or curves by name with a value for every epoch.
        name: the metric. That of the validation is called "val_" + name, and if there is one it decides the best epoch.
            The best epoch of a metric is marked only if it is known whether higher or lower values are better.

    Raises:
        KeyError: the history does not have the metric.
    """
    for key, values in history.items():
        unmasked(key, values)
    keys = {"training": name, "validation": f"val_{name}"}
    curves = {label: found for label, key in keys.items() if len((found := _points(history, key))[0])}
    if not curves:
        raise KeyError(f"name: got {name!r}, want one of {[key for key in history if not key.startswith('val_')]}")
    ax = axes(ax, 6, 4)
    for label, (x, y) in curves.items():
        colour = VALIDATION if label == "validation" else TRAINING
        finite = np.isfinite(y)
        marker = None if finite.all() and len(y) > 1 else "."  # a single value between missing ones would draw no line
        ax.plot(x, y, color=colour, alpha=0.4, linewidth=1, marker=marker)
        smooth = np.where(finite, 0.0, np.nan)
        smooth[finite] = _smoothed(y[finite])
        ax.plot(x, smooth, color=colour, linewidth=2, marker=marker, label=label)
    points = _points(history, keys["validation"] if "validation" in curves else name, by_step=False)
    _mark_best(ax, name, *points, known=getattr(history, "directions", None))
    ax.set_title(name.capitalize(), loc="left", fontweight="bold", parse_math=False)
    ax.set_xlabel("epoch" if len(history.get(name, ())) else "step")
    ax.locator_params(axis="x", integer=True)
    if "accuracy" in name:
        ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.4g}%")
    plain(ax)
    ax.legend(frameon=False)
    return ax


def schedule(scheduler_or_history: Any, n: int | None = None, ax: "Axes | None" = None) -> "Axes":
    """Draw the learning rate of every parameter group over steps.

    Args:
        scheduler_or_history: a scheduler, whose next n steps are drawn; the result of its `preview`, (n, groups); or a
            `History`, for the rates that were used: those of every group if it was recorded by `LearningRateMonitor`.
        n: the number of steps; for a scheduler only.
    """
    source = scheduler_or_history
    if hasattr(source, "preview"):
        if n is None:
            raise ValueError("n: got None with a schedule, want the number of steps to draw; pass n")
        source = source.preview(n)
    unmasked("scheduler_or_history", source)
    if hasattr(source, "steps"):
        steps = source.steps
        curves = {key.replace("lr-", "group "): steps[key] for key in steps if key.startswith("lr-")} or {
            "group 0": steps["lr"]
        }
    else:
        curves = {f"group {i}": rates for i, rates in enumerate(source.T)}
    return learning_rates(curves, ax)


def lr_finder(finder: RateTest, ax: "Axes | None" = None) -> "Axes":
    """Draw the loss over the logarithm of the rate, as measured (pale) and smoothed, and mark the suggestions.

    Args:
        finder: the result of `Trainer.lr_find`.
    """
    ax = axes(ax, 6, 4)
    ax.plot(finder.rates, finder.losses, color=TRAINING, alpha=0.4, linewidth=1)
    ax.plot(finder.rates, finder.smoothed, color=TRAINING, linewidth=2, label="loss, smoothed")
    ax.set_xscale("log")
    logs, finite = np.log(finder.rates), np.isfinite(finder.smoothed)
    for (name, rate), colour in zip(finder.suggestions.items(), LINES, strict=False):
        if math.isfinite(rate) and finite.any():
            height = np.interp(np.log(rate), logs[finite], finder.smoothed[finite])
            ax.axvline(rate, color=colour, linewidth=1, linestyle=":")
            ax.plot(rate, height, "o", color=colour, label=f"{name}: {rate:.1e}")
    if finite.any():  # one raw loss may be far above all else
        low, high = finder.smoothed[finite].min(), finder.smoothed[finite].max()
        ax.set_ylim(low - 0.1 * (high - low or 1.0), high + 0.1 * (high - low or 1.0))
    ax.set_xlabel("learning rate")
    ax.set_ylabel("loss")
    plain(ax)
    ax.legend(frameon=False)
    return ax


def confusion_matrix(labels: npt.NDArray[Any], predictions: npt.NDArray[Any], names: Sequence[str] | None = None,
                     ax: "Axes | None" = None) -> "Axes":  # fmt: skip
    """Draw how often each class (row) was predicted as which class (column): counts, and shares of the row.

    Args:
        labels, predictions: (N,) integers >= 0, N > 0.
        names: names of the classes; None for their numbers.

    Raises:
        ValueError: a shape is wrong, there are no samples, or a class has no name.
        TypeError: labels or predictions are not integers.
    """
    unmasked("labels", labels)
    unmasked("predictions", predictions)
    counts = _confusions(np.asarray(labels), np.asarray(predictions), names)
    n = len(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    right = np.eye(n, dtype=bool)
    colours = np.array([rgb(VALIDATION), rgb(LINES[0])])[right.astype(int)]
    strength = np.where(right, 0.85 * shares, np.sqrt(shares))[..., None]
    side = min(12.0, 2 + 0.5 * n)
    ax = axes(ax, side, side)
    ax.imshow(1 - strength * (1 - colours))
    for i, j in np.argwhere(counts) if n <= NUMBERS else ():
        text = f"{counts[i, j]}\n{shares[i, j]:.0%}" if n <= COUNTS else f"{counts[i, j]}"
        ax.text(
            j, i, text, ha="center", va="center", fontsize=8, color="white" if strength[i, j, 0] > 0.55 else "black"
        )
    texts = [str(i) for i in range(n)] if names is None else [short(str(name), 20) for name in names]
    shown = range(0, n, -(-n // NUMBERS))
    tilt = 90 if n > COUNTS else 45 if max(map(len, texts)) > 4 else 0
    ax.set_xticks(shown, [texts[i] for i in shown], rotation=tilt, ha="right" if tilt == 45 else "center",
                  fontsize=8, parse_math=False)  # fmt: skip
    ax.set_yticks(shown, [texts[i] for i in shown], fontsize=8, parse_math=False)
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    ax.set_title(f"{counts[right].sum()} of {len(labels)} right", loc="left", fontweight="bold")
    return ax


def distributions(layers: Iterable[LayerCounts], what: Literal["activation", "gradient"] = "activation",
                  ax: "Axes | None" = None) -> "Axes":  # fmt: skip
    """Draw a histogram for every layer, the first layer on top: of activations, or of the absolute values of gradients.

    Heights are densities (for gradients over the logarithm), scaled so that the highest bin of each layer has the same
    height. Zeros are not in the histogram; their share is written beside it.

    Args:
        layers: the result of `fastnn.training.inspection.inspect_layers`.
        what: which of the two to draw.
    """
    layers = list(layers)
    ax = axes(ax, 7, 1.2 + 0.45 * len(layers))
    for i, layer in enumerate(layers):
        found = getattr(layer, what)
        widths = np.diff(np.log(found.edges) if what == "gradient" else found.edges)
        heights = found.counts / widths
        if heights.any():
            ax.stairs(0.85 * heights / heights.max() - i, found.edges, baseline=-i, fill=True, color=LINES[0])
        ax.axhline(-i, color=GRID, linewidth=0.8, zorder=0)
        for share, text in (
            (found.zeros, f"{found.zeros:.0%} are 0"),
            (found.broken, f"{found.broken:.0%} not finite"),
        ):
            if share:
                ax.annotate(text, (1.01, 0.1 - i), xycoords=("axes fraction", "data"), fontsize=8,
                            color=VALIDATION)  # fmt: skip
    ax.set_yticks(range(0, -len(layers), -1), [short(f"{layer.name} {layer.layer}", 32) for layer in layers],
                  fontsize=8, va="bottom", parse_math=False)  # fmt: skip
    ax.set_ylim(-len(layers) + 0.9, 1)
    ax.set_xlabel("activation" if what == "activation" else "|gradient|")
    if what == "gradient":
        ax.set_xscale("log")
        seen = [(layer.gradient.edges[:-1], layer.gradient.counts) for layer in layers]
        ax.set_xlim(
            left=min(edges[counts >= counts.max() / 1000][0] for edges, counts in seen) / 2
        )  # a few are far off
    plain(ax, "x")
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax


def predictions(x: npt.NDArray[Any], labels: npt.NDArray[Any], probabilities: npt.NDArray[Any],
                shape: tuple[int, ...] | None = None, ax: "Axes | None" = None,
                names: Sequence[str] | None = None) -> "Axes":  # fmt: skip
    """Draw samples as pictures, with the true class, the predicted class and its probability; errors are framed.

    Args:
        x: (N, ...), N > 0; each picture is scaled from its own minimum (white, if it is grey) to its own maximum.
        labels: (N,) integers.
        probabilities: (N, C).
        shape: (H, W), (1, H, W) or (3, H, W); None takes the shape of the samples, and (H, H) for (N, H * H).
        names: names of the classes; None for their numbers.

    Raises:
        ValueError: the samples are not such pictures, or there are none.
    """
    for name, array in (("x", x), ("labels", labels), ("probabilities", probabilities)):
        unmasked(name, array)
    images = pictures(x, shape)
    guesses = probabilities.argmax(axis=1)
    columns, aspect = min(8, len(images)), images.shape[1] / images.shape[2]
    step, rows = aspect + 0.44, -(-len(images) // columns)
    ax = axes(ax, 1.2 * columns, 1.2 * step * rows + 0.4)
    for i, image in enumerate(images):
        top, left, wrong = i // columns * step + 0.4, i % columns, guesses[i] != labels[i]
        box = (left + 0.04, left + 0.96, top + 0.96 * aspect, top + 0.04 * aspect)
        ax.imshow(image, cmap="gray_r" if image.ndim == 2 else None, vmin=0, vmax=1, extent=box, aspect="equal")
        colour = VALIDATION if wrong else "black"
        corners = np.take(box, [[0, 1, 1, 0, 0], [2, 2, 3, 3, 2]])
        ax.plot(*corners, color=colour if wrong else GRID, linewidth=2 if wrong else 1)
        true, guess = (short(str(k if names is None else names[k]), 7) for k in (labels[i], guesses[i]))
        text = f"{true} → {guess}" if wrong else true
        text += f"\n{probabilities[i, guesses[i]]:.0%}"
        ax.text(left + 0.5, top, text, ha="center", va="bottom", fontsize=8, color=colour, parse_math=False)
    ax.set_xlim(0, columns)
    ax.set_ylim(rows * step + 0.05, 0)
    ax.set_axis_off()
    return ax


def _points(history: Any, key: str, by_step: bool = True) -> tuple[Any, Any]:
    """Return epochs and values of a curve: by step or by validation if the history has such values."""
    steps, validations = getattr(history, "steps", {}), getattr(history, "validations", {})
    epochs = len(history.get("loss", ()))
    by_epoch = len(steps.get("loss", ())) / epochs if epochs and steps else 1.0
    if key in validations and by_epoch:
        return np.array(validations["step"]) / by_epoch, np.array(validations[key], np.float64)
    values = steps[key] if by_step and key in steps else ()
    if len(values) and by_epoch:
        return np.arange(1, len(values) + 1) / by_epoch, np.array(values, np.float64)
    y = np.array(history.get(key, ()), np.float64)
    return np.arange(1.0, len(y) + 1), y


def _confusions(labels: Any, predictions: Any, names: Sequence[str] | None) -> npt.NDArray[np.intp]:
    """Return (n, n) counts: rows are labels, columns are predictions."""
    if labels.ndim != 1 or labels.shape != predictions.shape or not len(labels):
        raise ValueError(f"labels, predictions: got shapes {labels.shape}, {predictions.shape}, want (N,) twice, N > 0")
    if any(array.dtype.kind not in "biu" for array in (labels, predictions)):
        raise TypeError(f"labels, predictions: got {labels.dtype}, {predictions.dtype}, want integers, the classes")
    labels, predictions = labels.astype(np.int64), predictions.astype(np.int64)  # n * n may be too much for their own
    n = int(max(labels.max(), predictions.max())) + 1
    if min(labels.min(), predictions.min()) < 0 or (names is not None and len(names) < n):
        raise ValueError("labels, predictions: got a class that is negative or has no name, want one of names")
    n = n if names is None else len(names)
    return np.bincount(labels * n + predictions, minlength=n * n).reshape(n, n)


def _smoothed(y: Any) -> Any:
    """Return the mean over a window around every value; a mean over earlier values, as in training, would lag."""
    window = np.hanning(2 * (len(y) // PARTS) + 3)[1:-1]
    return np.convolve(y, window, "same") / np.convolve(np.ones(len(y)), window, "same") if len(y) else y


def _mark_best(ax: "Axes", name: str, x: Any, y: Any, known: Any = None) -> None:
    if direction(name, known) is None:
        return
    is_better, best = Better(name, known=known), None
    for i, value in enumerate(y):
        best = i if is_better(value, None if best is None else y[best]) else best
    if best is not None:
        ax.plot(x[best], y[best], "o", color="black", markersize=9, fillstyle="none", markeredgewidth=1.5,
                label=f"best: {y[best]:.4g}, epoch {x[best]:.4g}")  # fmt: skip
