"""Measures the limits of this machine: memory traffic by access pattern, and float32 matrix products.

`python bench/machine.py` prints the tables; `pytest bench` adds them to its report.
"""

import contextlib
import os
import platform
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np

import fastnn
from fastnn.benchmark import ceiling, find_torch, interleave
from fastnn.benchmark.case import Pattern

PATTERNS: dict[Pattern, str] = {
    (1, 0, 0): "scale in place",
    (1, 0, 1): "SGD",
    (2, 0, 1): "SGD with momentum",
    (3, 0, 1): "Adam, AdamW",
    (0, 1, 0): "fill: uniform, normal",
    (0, 1, 1): "forward passes",
    (0, 1, 2): "backward passes",
    (0, 0, 1): "sums",
}
SIZES = (1 << 12, 1 << 17, 1 << 20, 1 << 24)
THREADS = tuple(sorted({1, fastnn.get_num_threads()}))


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Give fastnn, PyTorch and NumPy's BLAS `count` threads each."""
    torch, before = find_torch(), fastnn.get_num_threads()
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(ImportError):
            stack.enter_context(import_module("threadpoolctl").threadpool_limits(count, user_api="blas"))
        if torch is not None:
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(count)
        stack.callback(fastnn.set_num_threads, before)
        fastnn.set_num_threads(count)
        yield


class Neighbours:
    """Measures, from its construction on, how busy other processes keep this machine."""

    def __init__(self) -> None:
        self.start = _cpu_seconds()

    def note(self) -> str:
        """Return a warning if they kept more than a tenth of a CPU busy on average, else an empty string."""
        wall, busy, own = (now - then for now, then in zip(_cpu_seconds(), self.start, strict=True))
        others = (busy - own) / wall
        return f"other processes kept {others:.1f} CPUs busy" if others > 0.1 else ""


def describe() -> dict[str, str]:
    """Return what a reader of the numbers needs to know about the machine and the versions."""
    torch = find_torch()
    return {
        "CPU": f"{_cpu()}, {os.cpu_count()} CPUs",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "fastnn": f"{fastnn.__version__}, {fastnn.isa()}, {fastnn.get_num_threads()} threads",
        "NumPy": f"{np.__version__}, {_blas()}",
        "torch": "not installed" if torch is None else torch.__version__,
    }


def traffic(sizes: tuple[int, ...] = SIZES) -> list[dict[str, object]]:
    """Measure GB/s of each access pattern, float32, in cache and from memory, on one thread and on all."""
    rows: list[dict[str, object]] = []
    for count in THREADS:
        with threads(count):
            for pattern, use in PATTERNS.items():
                row: dict[str, object] = {"pattern": pattern, "use": use, "threads": count}
                updated, written, read = pattern
                for n in sizes:
                    seconds = ceiling(updated, written, read, n)
                    row[label(n)] = round(4 * n * (2 * updated + written + read) / seconds / 1e9, 1)
                rows.append(row)
    return rows


def gemm() -> list[dict[str, object]]:
    """Measure GFLOP/s of numpy.matmul, float32: square matrices, and the largest layer of the demo network."""
    rows: list[dict[str, object]] = []
    for count in THREADS:
        with threads(count):
            for m, k, n in ((1024, 1024, 1024), (128, 784, 256)):
                a, b = np.ones((m, k), np.float32), np.ones((k, n), np.float32)
                product = partial(np.matmul, a, b, np.empty((m, n), np.float32))
                rate = 2 * m * k * n / interleave({"": product}, seconds=0.3)[""].median / 1e9
                rows.append({"product": f"{m} x {k} x {n}", "threads": count, "GFLOP/s": round(rate, 1)})
    return rows


def label(n: int) -> str:
    """4096 -> 4k, 1 << 24 -> 16M."""
    return f"{n >> 20}M" if n >= 1 << 20 else f"{n >> 10}k" if n >= 1 << 10 else str(n)


def table(rows: list[dict[str, object]]) -> str:
    """Format the rows as a Markdown table with aligned columns."""
    if not rows:
        return ""
    lines = [list(rows[0]), *([("" if v is None else str(v)) for v in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines)


def _cpu_seconds() -> tuple[float, float, float]:
    """Return seconds: wall time, CPU time on all CPUs, CPU time of this process and its finished children."""
    times = os.times()
    own = sum(times[:4])
    stat = Path("/proc/stat")
    if not stat.exists():
        return times.elapsed, own, own
    user, nice, system, _idle, _iowait, *rest = map(int, stat.read_text().split("\n", 1)[0].split()[1:9])
    return times.elapsed, (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK"), own


def _blas() -> str:
    """Name the library behind numpy.matmul and its kernels, which OPENBLAS_CORETYPE can select."""
    build = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    name = f"{build.get('name')} {build.get('version')}"
    with contextlib.suppress(ImportError):
        loaded = import_module("threadpoolctl").threadpool_info()
        kernels = [pool["architecture"] for pool in loaded if "numpy" in pool["filepath"] and "architecture" in pool]
        name += f" with its kernels for {kernels[0]}" if kernels else ""
    forced = os.environ.get("OPENBLAS_CORETYPE")
    return f"{name} (forced by OPENBLAS_CORETYPE)" if forced else name


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].split(":", 1)[1].strip() if names else platform.processor() or platform.machine()


def main() -> None:
    """Print everything."""
    for what, value in describe().items():
        print(f"{what}: {value}")
    print(f"\nGB/s by arrays (updated, written, read) and their elements, float32\n{table(traffic())}")
    print(f"\nnumpy.matmul, float32\n{table(gemm())}")


if __name__ == "__main__":
    main()
