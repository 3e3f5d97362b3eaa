"""The promised speeds of products, beside NumPy's BLAS and PyTorch, on one thread and on all."""

import json
import math
import subprocess
import sys
from pathlib import Path

import machine
import numpy as np
import pytest
from speeds import Bar, judged, race

from fastnn import functional as F
from fastnn import init

# name: (M, N, K), whether a and b are transposed; the bar. A group's geometric mean has a bar of its own.
LARGE = {
    "1024^3": ((1024, 1024, 1024), "", 0.9),
    "128 x 784 -> 256, forward": ((128, 256, 784), "b", 0.9),
    "128 x 784 -> 256, dx": ((128, 784, 256), "", 0.9),
    "128 x 784 -> 256, dweight": ((256, 784, 128), "a", 0.9),
    "2048 x 768 -> 3072, forward": ((2048, 3072, 768), "b", 0.9),
    "2048 x 768 -> 3072, dx": ((2048, 768, 3072), "", 0.9),
    "2048 x 768 -> 3072, dweight": ((3072, 768, 2048), "a", 0.9),
}
OTHERS = {
    "(32, 128) x (128, 10)": ((32, 10, 128), "", 0.9),
    "(8, 64) x (64, 64)": ((8, 64, 64), "", 0.9),
    "(1, 512) x (512, 512)": ((1, 512, 512), "", 0.9),
    "(64, 512) x (512, 1000)": ((64, 1000, 512), "", 0.9),
    "(1, 512) x (512, 512), transposed weight": ((1, 512, 512), "b", 0.7),
    "(1, 8192) x (8192, 8192), transposed weight": ((1, 8192, 8192), "b", 0.95),
}


def _ratio(shape: tuple[int, int, int], transposed: str, seconds: float, dtype: type = np.float32) -> float:
    """Return how many times faster than numpy.matmul F.matmul is."""
    (m, n, k), rng = shape, np.random.default_rng(0)
    a = rng.standard_normal((k, m)).astype(dtype).T if "a" in transposed else rng.standard_normal((m, k)).astype(dtype)
    b = rng.standard_normal((n, k)).astype(dtype).T if "b" in transposed else rng.standard_normal((k, n)).astype(dtype)
    np.testing.assert_allclose(F.matmul(a, b), a @ b, rtol=1e-3, atol=1e-3)
    times = race({"fastnn": lambda: F.matmul(a, b), "numpy": lambda: np.matmul(a, b)}, seconds)
    return times["numpy"] / times["fastnn"]


def test_large(bar: Bar, seconds: float, threads: int) -> None:
    ratios = {name: _ratio(shape, t, seconds) for name, (shape, t, _) in LARGE.items()}
    bars = [(f"matmul, {name}, {threads} threads", ratios[name], ">=", least) for name, (_, _, least) in LARGE.items()]
    mean = math.exp(sum(map(math.log, ratios.values())) / len(ratios))
    judged(bar, *bars, (f"matmul, geometric mean, {threads} threads", mean, ">=", 1.0))


def test_small_and_single_rows(bar: Bar, seconds: float, threads: int) -> None:
    found = [(name, _ratio(shape, t, seconds), least) for name, (shape, t, least) in OTHERS.items()]
    judged(bar, *((f"matmul, {name}, {threads} threads", ratio, ">=", least) for name, ratio, least in found))


def test_double(bar: Bar, seconds: float, threads: int) -> None:
    bar(f"matmul, 1024^3, float64, {threads} threads", _ratio((1024, 1024, 1024), "", seconds, np.float64), ">=", 0.9)


STEPS = {"step, batch 32": 2.6, "step, batch 128": 2.2, "step, batch 1024": 1.5}


def test_against_torch(bar: Bar, seconds: float) -> None:
    pytest.importorskip("torch")
    found = _run(str(10 * seconds))
    print(found)
    bars = [(name, found[name]["torch fused"] / found[name]["fastnn"], ">=", least) for name, least in STEPS.items()]
    name = "Linear + bias + GELU, forward and backward"
    judged(bar, *bars, (name, found[name]["torch"] / found[name]["fastnn"], ">=", 1.15))


def test_beside_busy_processes(bar: Bar, seconds: float) -> None:
    """A step while one busy process for each CPU runs; NumPy's and PyTorch's figures are printed for comparison."""
    sides = {}
    for side in ("fastnn", "numpy", "torch fused"):
        times = _run(str(10 * seconds), side)
        sides[side] = times["busy"] / times["quiet"]
        print(side, {name: f"{s * 1e6:.0f} us" for name, s in times.items()}, f"{sides[side]:.1f} times")
    bar("step, batch 128, beside busy processes, against a quiet machine", sides["fastnn"], "<=", 3)


def _run(*arguments: str) -> dict[str, dict[str, float]]:
    command = [sys.executable, str(Path(__file__).with_name("product_steps.py")), *arguments]
    found: dict[str, dict[str, float]] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


@pytest.mark.parametrize("shape", [(1024, 1024), (4096, 1024)], ids=str)
def test_orthogonal(bar: Bar, seconds: float, shape: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = np.empty(shape, np.float32), torch.empty(shape)
    with machine.threads(max(machine.THREADS)):
        times = race(
            {"fastnn": lambda: init.orthogonal_(ours), "torch": lambda: torch.nn.init.orthogonal_(theirs)}, seconds
        )
    bar(f"orthogonal_, {shape[0]} x {shape[1]}", times["torch"] / times["fastnn"], ">=", 2.5)
