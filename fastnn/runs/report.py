"""Draws the files of a run as one HTML page."""

import base64
import html
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from fastnn import plot
from fastnn._better import direction
from fastnn._figure import new_figure, png
from fastnn._files import replace
from fastnn.diagnosis.inspection import LayerSignals
from fastnn.diagnosis.symptoms import diagnose
from fastnn.runs.saved import HISTORY, Missing, SavedRun
from fastnn.runs.scatter import predicted_against_target
from fastnn.training.history import History
from fastnn.training.lr_finder import LRFinder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAGE = "report.html"

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2937; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1, h2 { line-height: 1.2 } h2 { margin-top: 2.5rem } img { max-width: 100%; height: auto }
table { border-collapse: collapse } td, th { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top }
tr { border-bottom: 1px solid #e5e7eb } td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere }
pre { overflow-x: auto; background: #f3f4f6; padding: .8rem }
figure { margin: 0 } figcaption, .missing { color: #6b7280 }
"""


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""


def write_report(directory: str | Path) -> Path:
    """Draw the files of `save_run` in a directory as report.html, one page that needs no other file and no network.

    Parts that cannot be read or drawn are omitted, and a sentence on the page gives the reason.

    Returns:
        The path of the page.

    Raises:
        NotADirectoryError: the directory does not exist.
        ImportError: matplotlib is not installed.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise NotADirectoryError(f"directory: got {directory}, want a directory written by fastnn.report.save_run")
    new_figure(1, 1)  # raises without matplotlib, since every part would be missing
    run, title = SavedRun(directory), html.escape(directory.resolve().name)
    parts = _REGRESSION if run.is_regression else _PARTS
    body = "\n".join(f"<h2>{name}</h2>\n{_part(draw, run)}" for name, draw in parts.items())
    page = _PAGE.format(title=title, style=_STYLE, body=body)
    replace(directory / PAGE, page.encode())
    return directory / PAGE


def _part(draw: Callable[[SavedRun], str], run: SavedRun) -> str:
    try:
        return draw(run)
    except Missing as missing:
        sentence = str(missing)
    except Exception as error:  # a page without one picture is better than none
        sentence = f"this part: got {type(error).__name__} ({error}) while it was made, want what save_run writes"
    return f'<p class="missing">{html.escape(sentence)}</p>'


def _metrics(run: SavedRun) -> str:
    history = run.history
    rows = []
    for name in _metric_names(history):
        best_of = f"val_{name}" if f"val_{name}" in history else name
        epoch = history.best_epoch(best_of) if direction(best_of, history.directions) else 0
        best = history[best_of][epoch - 1] if epoch else math.nan
        last = (values[-1] if (values := history.get(key)) else math.nan for key in (name, f"val_{name}"))
        rows.append([name, *map(_number, last), _number(best), str(epoch or "-")])
    return _table([["metric", "training, last", "validation, last", "best", "of epoch"], *rows], head=True)


def _metric_names(history: History) -> list[str]:
    return [name for name in history if not name.startswith("val_") and name not in ("lr", "seconds")]


def _diagnosis(run: SavedRun) -> str:
    try:
        classes = run.evaluated("probabilities").shape[1]
    except Missing:
        classes = None
    found = [f"<p>{html.escape(str(symptom))}</p>" for symptom in diagnose(run.history, classes=classes)]
    return "\n".join(found) or "<p>The curves show none of the symptoms that fastnn.training.diagnose knows.</p>"


def _curves(run: SavedRun) -> str:
    names = _metric_names(run.history)
    if not names:
        raise Missing(f"{HISTORY}: got no epoch, want one that ended")
    rows = -(-len(names) // 2)

    def draw(figure: "Figure") -> None:
        for i, name in enumerate(names):
            plot.learning_curves(run.history, name, figure.add_subplot(rows, 2, i + 1))

    return _image("As measured (pale) and smoothed; the circle is the best epoch.", 10, 4 * rows, draw)


def _rate(run: SavedRun) -> str:
    return _picture("Of every optimizer step.", 6, 3.5, lambda ax: plot.schedule(run.history, ax=ax))


def _finder(run: SavedRun) -> str:
    finder = LRFinder(**run.evaluated("finder"))
    return _picture(
        "Training loss while the rate grows from step to step, and the rates that it suggests.",
        6,
        3.5,
        lambda ax: plot.lr_finder(finder, ax),
    )


def _confusion(run: SavedRun) -> str:
    labels, probabilities = run.evaluated("labels"), run.evaluated("probabilities")
    side = min(10.0, 2 + 0.55 * probabilities.shape[1])
    names = run.names or [str(i) for i in range(probabilities.shape[1])]
    return _picture("A row for each true class, a column for each predicted one: counts, and shares of the row."
        , side, side,
                    lambda ax: plot.confusion_matrix(labels, probabilities.argmax(axis=1), names, ax))  # fmt: skip


def _predictions(run: SavedRun) -> str:
    targets, predictions = run.evaluated("targets"), run.evaluated("predictions")
    columns = targets.shape[1]
    across = min(columns, 3)

    def draw(figure: "Figure") -> None:
        for i in range(columns):
            ax = figure.add_subplot(-(-columns // across), across, i + 1)
            predicted_against_target(targets[:, i], predictions[:, i], ax, "" if columns == 1 else f"target {i}")

    picture = _image("A point for each validation sample; on the line the prediction is the target.",
                     4.5 * across, 4.2 * -(-columns // across), draw)  # fmt: skip
    rows = [[f"target {i}" if columns > 1 else "target", *map(_number, (
                error.mean(), np.sqrt(np.square(error).mean()), np.abs(error).max()))]
            for i, error in enumerate((predictions - targets).T)]  # fmt: skip
    return picture + _table([["", "mean error", "root mean square", "largest"], *rows], head=True)


def _shown(key: str) -> Callable[[SavedRun], str]:
    def show(run: SavedRun) -> str:
        labels, probabilities = run.evaluated("labels"), run.evaluated("probabilities")
        x, rows = run.evaluated(key)["x"], run.evaluated(key)["rows"]

        def draw(ax: "Axes") -> None:
            plot.predictions(x, labels[rows], probabilities[rows], ax=ax, names=run.names)

        return _picture(
            "The class and its probability; where it is wrong: true → predicted, and the probability of that.",
            10,
            1.8 + 1.8 * ((len(x) - 1) // 8),
            draw,
        )

    return show


def _layers(what: Literal["activation", "gradient"]) -> Callable[[SavedRun], str]:
    def show(run: SavedRun) -> str:
        layers = [LayerSignals.of(state) for state in run.evaluated("layers")]
        return _picture(_SIGNALS[what], 8, 1 + 0.45 * len(layers),
                        lambda ax: plot.distributions(layers, what, ax))  # fmt: skip

    return show


def _configuration(run: SavedRun) -> str:
    told = dict(run.configuration)
    model = f"<pre>{html.escape(str(told.pop('model', '')))}</pre>"
    groups = [{k: v for k, v in group.items() if v not in (None, False)} for group in told.pop("groups", ())]
    told |= {f"group {i}": ", ".join(f"{k} {v}" for k, v in group.items()) for i, group in enumerate(groups)}
    return model + _table(
        [[name, v if isinstance(v, str) else json.dumps(v)] for name, v in told.items() if v not in (None, "NoneType")]
    )


_SIGNALS = {
    "activation": "Activations of every layer for some validation samples; each histogram has its own scale.",
    "gradient": "Absolute gradients with respect to these; smaller ones towards the first layer mean vanishing.",
}
_ALL: dict[str, Callable[[SavedRun], str]] = {
    "Metrics": _metrics,
    "Diagnosis": _diagnosis,
    "Learning curves": _curves,
    "Learning rate": _rate,
    "Learning-rate finder": _finder,
    "Confusion matrix": _confusion,
    "Largest errors": _shown("errors"),
    "Samples": _shown("samples"),
    "Predictions": _predictions,
    "Activations": _layers("activation"),
    "Gradients": _layers("gradient"),
    "Configuration": _configuration,
}
_PARTS = {name: draw for name, draw in _ALL.items() if name != "Predictions"}
_OF_CLASSES = ("Confusion matrix", "Largest errors", "Samples")
_REGRESSION = {name: draw for name, draw in _ALL.items() if name not in _OF_CLASSES}
"""The parts of a training whose targets are real numbers."""


def _picture(caption: str, width: float, height: float, draw: Callable[["Axes"], object]) -> str:
    return _image(caption, width, height, lambda figure: draw(figure.subplots()))


def _image(caption: str, width: float, height: float, draw: Callable[["Figure"], object]) -> str:
    figure = new_figure(width, height)
    draw(figure)
    data = base64.b64encode(png(figure)).decode()
    image = f'<img alt="" width="{96 * width:.0f}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _table(rows: list[list[str]], head: bool = False) -> str:
    lines = []
    for i, row in enumerate(rows):
        tag = "th" if head and i == 0 else "td"
        lines.append("<tr>" + "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in row) + "</tr>")
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "-"
