"""Writes the tables of README.md and docs/kernels.md from bench/results/latest.json: `make readme`."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "docs/kernels.md", "docs/random.md")
BEGIN, END = "<!-- bench: written by `make readme` from bench/results/latest.json -->\n", "<!-- /bench -->\n"
OPTIMIZERS_BEGIN = "<!-- optimizers: written by `make readme` from bench/results/latest.json -->\n"
KERNELS_BEGIN = "<!-- kernels: written by `make readme` from bench/results/latest.json -->\n"
RANDOM_BEGIN = "<!-- random: written by `make readme` from bench/results/latest.json -->\n"
SIZES = {"128k": "in cache, 128k elements", "16M": "from memory, 16M elements"}
OPS = ("AdamW", "SGD, momentum", "dropout", "layer_norm", "layer_norm backward", "batch_norm image", "init.normal_")
KERNELS = ("layer_norm", "batch_norm", "instance_norm", "group_norm", "dropout", "softmax", "bias", "residual")
RANDOM = ("uniform_", "normal_", "trunc_normal_", "permutation", "orthogonal_", "initialising")
OPTIMIZERS = ("Adamax", "NAdam", "RAdam", "Adagrad", "Adadelta", "RMSprop", "Lion")


def optimizers(results: dict[str, Any]) -> str:
    """The other optimizers from memory, and every bar of theirs, the missed ones too."""
    threads = max(row["threads"] for row in results["rows"])
    rows = {r["op"]: r for r in results["rows"] if r["threads"] == threads and r["elements"] == "16M"}
    lines = ["| 16M parameters | ns/element | of the ceiling | x NumPy | x torch |", "|---|---|---|---|---|"]
    for op in OPTIMIZERS:
        peers = [rows[op][key] for key in ("x numpy", "x torch")]
        cells = [rows[op]["ns/element"], rows[op]["of ceiling"], *("-" if x is None else x for x in peers)]
        lines.append(f"| {op} | " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n\n" + bars(results, ("AdamW", "SGD", "digits with", *OPTIMIZERS))


def bars(results: dict[str, Any], names: tuple[str, ...]) -> str:
    """What was promised of these, the missed ones too."""
    lines = ["| promised | measured | bar | |", "|---|---|---|---|"]
    for bar in results["bars"]:
        if bar["what"].startswith(names):
            lines.append(f"| {bar['what']} | {bar['measured']} | {bar['bar']} | {bar['verdict']} |")
    return "\n".join(lines) + "\n"


def random(results: dict[str, Any]) -> str:
    """Random numbers and initialisation."""
    return bars(results, RANDOM)


def kernels(results: dict[str, Any]) -> str:
    """Norms, dropout, activations and losses at the shapes that were promised; every bar, the missed ones too."""
    sides = list(results["fused"][0])[1:]
    lines = ["| ns/element, forward + backward | " + " | ".join(sides) + " |", "|---" * (len(sides) + 1) + "|"]
    for row in results["fused"]:
        lines.append("| " + " | ".join("-" if cell is None else str(cell) for cell in row.values()) + " |")
    return "\n".join(lines) + "\n\n" + bars(results, KERNELS)


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


def filled(text: str, results: dict[str, Any]) -> str:
    """A page's text with the tables in their places."""
    for begin, make in (
        (BEGIN, table),
        (OPTIMIZERS_BEGIN, optimizers),
        (KERNELS_BEGIN, kernels),
        (RANDOM_BEGIN, random),
    ):
        if begin in text:
            before, rest = text.split(begin)
            text = before + begin + make(results) + END + rest.split(END, 1)[1]
    return text


if __name__ == "__main__":
    measured = json.loads((ROOT / "bench/results/latest.json").read_text())
    for page in PAGES:
        path = ROOT / page
        path.write_text(filled(path.read_text(), measured))
