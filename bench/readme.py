"""Writes the README's table from bench/results/latest.json: `make readme`."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- bench: written by `make readme` from bench/results/latest.json -->\n", "<!-- /bench -->\n"
SIZES = {"128k": "in cache, 128k elements", "16M": "from memory, 16M elements"}
OPS = ("AdamW", "SGD, momentum", "dropout", "layer_norm", "layer_norm backward", "batch_norm image", "init.normal_")


def table(results: dict[str, Any]) -> str:
    """The operations that a reader looks for first, on all threads, in cache and from memory."""
    rows = {
        (r["op"], r["elements"]): r
        for r in results["rows"]
        if r["threads"] == max(x["threads"] for x in results["rows"])
    }
    head = (
        "| float32, all threads | "
        + " | ".join(f"{text}: ns/element | x NumPy | x torch" for text in SIZES.values())
        + " |"
    )
    lines = [head, "|---" + "|---" * 3 * len(SIZES) + "|"]
    for op in OPS:
        cells = [[rows[op, size][key] for key in ("ns/element", "x numpy", "x torch")] for size in SIZES]
        lines.append(f"| {op} | " + " | ".join(str(cell) for part in cells for cell in part) + " |")
    machine = results["machine"]
    about = (
        f"{machine['CPU']}; {machine['fastnn'].split(', ', 1)[1]}; NumPy {machine['NumPy']}, torch {machine['torch']}"
    )
    return (
        "\n".join(lines)
        + f"\n\n{about}; torch in the fastest of its modes. All operations, sizes and misses: "
        + ("[bench/results/latest.md](bench/results/latest.md).\n")
    )


def filled(readme: str, results: dict[str, Any]) -> str:
    """The README's text with the table in its place."""
    before, rest = readme.split(BEGIN)
    return before + BEGIN + table(results) + END + rest.split(END, 1)[1]


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(filled(path.read_text(), json.loads((ROOT / "bench/results/latest.json").read_text())))
