"""Draws bench/results/*.png from latest.json.

optimizers.png shows the time of a step against size; operations.png the time of forward and backward beside PyTorch's.

python bench/pictures.py
"""

import json
from pathlib import Path
from typing import Any

from fastnn._figure import new_figure
from fastnn.benchmark.operations.optimizers import STATES

RESULTS = Path(__file__).parent / "results"
SIZES = {"4k": 1 << 12, "128k": 1 << 17, "1M": 1 << 20, "16M": 1 << 24}
LINES = {"numpy": ("NumPy", "#8a8f98"), "torch": ("torch, best mode", "#2563eb"), "fastnn": ("fastnn", "#c2410c")}
BARS = {
    "torch": ("torch, eager", "#bfd3fb"),
    "torch, tuned malloc": ("torch, eager, tuned malloc", "#2563eb"),
    "torch compiled": ("torch.compile", "#0f766e"),
    "fastnn": ("fastnn", "#c2410c"),
    "ceiling": ("ceiling", "#8a8f98"),
}


def _plain(axes: Any) -> None:
    axes.grid(color="#e5e7eb")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def times(row: dict[str, Any], library: str) -> float | None:
    """Return the microseconds of one call."""
    own: float = row["ns/element"] * SIZES[row["elements"]] / 1e3
    factor = 1 if library == "fastnn" else row[f"x {library}"]
    return None if factor is None else own * factor


def draw_optimizers(results: dict[str, Any], path: Path) -> None:
    """Draw a panel per optimizer, on all threads."""
    figure = new_figure(12, 5.6)
    panels = figure.subplots(2, 5, sharex=True, sharey=True)
    threads = max(row["threads"] for row in results["rows"])
    for axes, name in zip(panels.flat, STATES, strict=True):
        op = "SGD, momentum" if name == "SGD" else name
        rows = [r for r in results["rows"] if r["op"] == op and r["threads"] == threads and r["elements"] in SIZES]
        for library, (label, colour) in LINES.items():
            points = [(SIZES[r["elements"]], times(r, library)) for r in rows]
            found = [(n, t) for n, t in points if t is not None]
            if found:
                axes.loglog(*zip(*found, strict=True), color=colour, marker="o", markersize=3, linewidth=2, label=label)
        axes.set_title(op, loc="left", fontsize=11, fontweight="bold")
        _plain(axes)
    for axes in panels[-1]:
        axes.set_xlabel("parameters, float32")
    for axes in panels[:, 0]:
        axes.set_ylabel("microseconds per step")
    panels[0, 0].legend(frameon=False, fontsize=9)
    figure.suptitle(f"One optimizer step, {results['machine']['CPU']}, {threads} threads", x=0.01, ha="left")
    figure.savefig(path)


def draw_operations(results: dict[str, Any], path: Path) -> None:
    """Draw a group of bars per operation, on a logarithmic axis."""
    rows = results["fused"]
    figure = new_figure(12, 6.5)
    axes = figure.subplots()
    height = 0.8 / len(BARS)
    for i, (side, (label, colour)) in enumerate(BARS.items()):
        found = [(place + i * height, row[side]) for place, row in enumerate(rows) if row[side]]
        axes.barh(*zip(*found, strict=True), height, color=colour, label=label)
    axes.set_yticks([place + 0.4 - height / 2 for place in range(len(rows))], [row["op"] for row in rows])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("nanoseconds per element, forward and backward")
    _plain(axes)
    axes.legend(frameon=False, fontsize=9)
    figure.suptitle(f"float32, {results['machine']['CPU']}, all threads", x=0.01, ha="left")
    figure.savefig(path)


def draw_all(results: dict[str, Any], folder: Path) -> None:
    """Draw the pictures for which the results have numbers."""
    if any(row["op"] == "AdamW" for row in results["rows"]):
        draw_optimizers(results, folder / "optimizers.png")
    if results["fused"]:
        draw_operations(results, folder / "operations.png")


def main() -> None:
    """Draw the pictures of the last saved results."""
    draw_all(json.loads((RESULTS / "latest.json").read_text()), RESULTS)


if __name__ == "__main__":
    main()
