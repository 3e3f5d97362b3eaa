"""Writes the tables of README.md and docs/ from bench/results/: `make readme`."""

import json
import statistics
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "docs/kernels.md", "docs/random.md", "docs/performance.md", "docs/torch.md")
BEGIN, END = "<!-- bench: written by `make readme` from bench/results/latest.json -->\n", "<!-- /bench -->\n"
OPTIMIZERS_BEGIN = "<!-- optimizers: written by `make readme` from bench/results/latest.json -->\n"
KERNELS_BEGIN = "<!-- kernels: written by `make readme` from bench/results/latest.json -->\n"
INTERFACES_BEGIN = "<!-- interfaces: written by `make readme` from bench/results/interfaces.json -->\n"
RANDOM_BEGIN = "<!-- random: written by `make readme` from bench/results/random.json -->\n"
PYTORCH_BEGIN = "<!-- pytorch: written by `make readme` from bench/results/pytorch_tests.json -->\n"
TORCH_BEGIN = "<!-- torch: written by `make readme` from bench/results/torch_modules.json -->\n"
SIZES = {"128k": "in cache, 128k elements", "16M": "from memory, 16M elements"}
OPS = ("AdamW", "SGD, momentum", "dropout", "layer_norm", "layer_norm backward", "batch_norm image", "init.normal_")
KERNELS = ("layer_norm", "batch_norm", "instance_norm", "group_norm", "dropout", "softmax", "bias", "residual")
RANDOM = ("uniform_", "normal_", "trunc_normal_", "permutation", "orthogonal_", "initialising")
INTERFACES = ("torch training step", "AdamW of torch", "layer_norm from Cython", "import beyond")
OPTIMIZERS = ("Adamax", "NAdam", "RAdam", "Adagrad", "Adadelta", "RMSprop", "Lion")


def optimizers(results: dict[str, Any]) -> str:
    """Return the table of the optimizers that `table` leaves out, from memory, and the bars of all optimizers."""
    threads = max(row["threads"] for row in results["rows"])
    rows = {r["op"]: r for r in results["rows"] if r["threads"] == threads and r["elements"] == "16M"}
    lines = ["| 16M parameters | ns/element | of the ceiling | x NumPy | x torch |", "|---|---|---|---|---|"]
    for op in OPTIMIZERS:
        peers = [rows[op][key] for key in ("x numpy", "x torch")]
        cells = [rows[op]["ns/element"], rows[op]["of ceiling"], *("-" if x is None else x for x in peers)]
        lines.append(f"| {op} | " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n\n" + bars(results, ("AdamW", "SGD", "digits with", *OPTIMIZERS))


def bars(results: dict[str, Any], names: tuple[str, ...]) -> str:
    """Return the table of the bars whose names begin with `names`, including missed ones."""
    lines = ["| measurement | result | bar | |", "|---|---|---|---|"]
    for bar in results["bars"]:
        if bar["what"].startswith(names):
            lines.append(f"| {bar['what']} | {bar['measured']} | {bar['bar']} | {bar['verdict']} |")
    return "\n".join(lines) + "\n"


def random(results: dict[str, Any]) -> str:
    """Return the tables of random numbers and initialisation, and the machine they were measured on."""
    lines = ["| ns/element, all threads | fastnn | torch | NumPy | NumPy's generator |", "|---|---|---|---|---|"]
    for row in results["drawn"]:
        lines.append("| " + " | ".join("-" if cell is None else str(cell) for cell in row.values()) + " |")
    return "\n".join(lines) + "\n\n" + bars(results, RANDOM) + f"\n{about(results['machine'])}.\n"


def interfaces(results: dict[str, Any]) -> str:
    """Return the bars for PyTorch and Cython users and for the import, and the machine they were measured on."""
    return bars(results, INTERFACES) + f"\n{about(results['machine'])}.\n"


def about(machine: dict[str, str]) -> str:
    """Return a line about the machine and the versions."""
    fastnn = machine["fastnn"].split(", ", 1)[1]
    return f"{machine['CPU']}; {fastnn}; NumPy {machine['NumPy']}, torch {machine['torch']}"


def kernels(results: dict[str, Any]) -> str:
    """Return the tables of norms, dropout, activations and losses at the shapes of the bars, and these bars."""
    sides = list(results["fused"][0])[1:]
    lines = ["| ns/element, forward + backward | " + " | ".join(sides) + " |", "|---" * (len(sides) + 1) + "|"]
    for row in results["fused"]:
        lines.append("| " + " | ".join("-" if cell is None else str(cell) for cell in row.values()) + " |")
    return "\n".join(lines) + "\n\n" + bars(results, KERNELS)


def table(results: dict[str, Any]) -> str:
    """Return the table of the most used operations, on all threads, in cache and from memory."""
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
    return "\n".join(lines) + f"\n\n{about(results['machine'])}; torch in the fastest of its modes.\n"


def pytorch(results: dict[str, Any]) -> str:
    """Return the counts of PyTorch's own tests, the differences that failures come from, and the versions."""
    keys = list(results["rows"][0])
    lines = ["| " + " | ".join(keys) + " |", "|---" * len(keys) + "|"]
    lines += ["| " + " | ".join(map(str, row.values())) + " |" for row in results["rows"]]
    lines += ["", "| named difference | tests |", "|---|---|"]
    lines += [f"| {name} | {count} |" for name, count in sorted(results["differences"].items())]
    versions = results["versions"]
    return "\n".join(lines) + f"\n\ntorch {versions['torch']}; tests of PyTorch {versions['tests']}.\n"


def torch_modules(results: dict[str, Any]) -> str:
    """Return how many times faster than torch every module and function is, by size, and the geometric mean."""
    sizes = ("100", "1000", "10000", "100000", "1000000", "10000000")
    lines = ["| training / no_grad | " + " | ".join(f"{int(n):,}" for n in sizes) + " |", "|---" * 7 + "|"]
    for case, measured in results["cases"].items():
        modes = [measured[n] for n in sizes]
        cells = (" / ".join(f"{mode[m][0]:.2f}" for m in ("train", "no_grad")) for mode in modes)
        lines.append(f"| {case} | " + " | ".join(cells) + " |")
    every = [m[0] for measured in results["cases"].values() for modes in measured.values() for m in modes.values()]
    mean = (
        f"The geometric mean, from 1 element on, is {statistics.geometric_mean(every):.2f}, the least {min(every):.2f}."
    )
    return "\n".join(lines) + f"\n\n{mean} {about(results['machine'])}; one thread.\n"


TABLES = (
    (BEGIN, table, "latest"),
    (OPTIMIZERS_BEGIN, optimizers, "latest"),
    (KERNELS_BEGIN, kernels, "latest"),
    (RANDOM_BEGIN, random, "random"),
    (INTERFACES_BEGIN, interfaces, "interfaces"),
    (PYTORCH_BEGIN, pytorch, "pytorch_tests"),
    (TORCH_BEGIN, torch_modules, "torch_modules"),
)


def filled(text: str) -> str:
    """Return a page's text with its tables filled in."""
    for begin, make, name in TABLES:
        if begin in text:
            before, rest = text.split(begin)
            results = json.loads((ROOT / f"bench/results/{name}.json").read_text())
            text = before + begin + make(results) + END + rest.split(END, 1)[1]
    return text


if __name__ == "__main__":
    for page in PAGES:
        path = ROOT / page
        path.write_text(filled(path.read_text()))
