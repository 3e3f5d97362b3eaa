"""The promised speeds of fastnn.torch: every module and function, and the optimizer for many small parameters."""

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import machine
import pytest
from speeds import Bar, judged, race

from fastnn import torch as ft

torch = pytest.importorskip("torch")
SCRIPT = Path(__file__).parent / "torch_modules.py"


def _measured(seconds: float, *names: str) -> dict[tuple[str, str, str], float]:
    """Return how many times faster than torch fastnn is, by case, elements and mode, on one thread."""
    command = [sys.executable, str(SCRIPT), str(seconds / 5), *names]
    cases = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {(c, n, m): ratio for c, v in cases.items() for n, modes in v.items() for m, (ratio, _) in modes.items()}


def test_modules_and_functions(bar: Bar, seconds: float) -> None:
    """What is below the bar is measured a second time, since a busy moment among 400 measurements is likely."""
    ratios = _measured(seconds)
    slow = sorted({case for (case, _, _), ratio in ratios.items() if ratio < 0.9})
    if slow:
        again = _measured(seconds, *slow)
        ratios |= {key: max(ratio, ratios[key]) for key, ratio in again.items()}
    worst, mean = min(ratios, key=lambda key: ratios[key]), statistics.geometric_mean(ratios.values())
    judged(
        bar,
        (f"modules and functions of fastnn.torch, slowest ({', '.join(worst)})", ratios[worst], ">=", 0.9),
        ("modules and functions of fastnn.torch, geometric mean", mean, ">=", 1.5),
    )


def test_many_parameters(bar: Bar, seconds: float) -> None:
    def made(kind: Any, **mode: Any) -> Any:
        params = [torch.nn.Parameter(torch.randn(1000)) for _ in range(400)]
        for p in params:
            p.grad = torch.randn(1000)
        optimizer = kind(params, **mode)
        optimizer.step()
        return optimizer

    ours, theirs = made(ft.optim.AdamW), made(torch.optim.AdamW, fused=True)
    with machine.threads(max(machine.THREADS)):
        times = race({"torch": theirs.step, "fastnn": ours.step}, 4 * seconds)
    assert ours.used_kernels
    bar("AdamW of torch, 400 parameters of 1,000, against torch fused", times["torch"] / times["fastnn"], ">=", 8)
