"""Draws bench/results/optimizers.png from latest.json: the time of a step against size, one line per library.

python bench/pictures.py
"""

import json
from pathlib import Path
from typing import Any

from fastnn.benchmark.optim_cases import STATES

RESULTS = Path(__file__).parent / "results"
SIZES = {"4k": 1 << 12, "128k": 1 << 17, "1M": 1 << 20, "16M": 1 << 24}
LINES = {"numpy": ("NumPy", "#8a8f98"), "torch": ("torch, best mode", "#2563eb"), "fastnn": ("fastnn", "#c2410c")}


def times(row: dict[str, Any], library: str) -> float | None:
    """Microseconds of one call."""
    own: float = row["ns/element"] * SIZES[row["elements"]] / 1e3
    factor = 1 if library == "fastnn" else row[f"x {library}"]
    return None if factor is None else own * factor


def draw(results: dict[str, Any], path: Path) -> None:
    """A panel per optimizer, on all threads."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
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
        axes.grid(color="#e5e7eb")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[-1]:
        axes.set_xlabel("parameters, float32")
    for axes in panels[:, 0]:
        axes.set_ylabel("microseconds per step")
    panels[0, 0].legend(frameon=False, fontsize=9)
    figure.suptitle(f"One optimizer step, {results['machine']['CPU']}, {threads} threads", x=0.01, ha="left")
    figure.savefig(path)


def main() -> None:
    """From the last saved results."""
    draw(json.loads((RESULTS / "latest.json").read_text()), RESULTS / "optimizers.png")


if __name__ == "__main__":
    main()
