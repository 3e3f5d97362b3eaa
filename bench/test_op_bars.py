"""The promised speeds of norms, dropout, activations and losses.

Forward and backward, against PyTorch in eager mode, with a malloc that keeps large blocks, and compiled; and as a share
of what memory allows.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import machine
import numpy as np
import pytest
from op_cases import OPS, Op
from speeds import Bar, judged, race

from fastnn import functional as F
from fastnn.benchmark import stream_side
from fastnn.benchmark.case import normal_array

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.compile's own

# How many times faster than PyTorch in eager mode, with the tuned malloc, and compiled.
WANTED: dict[str, tuple[float, float | None, float | None]] = {
    "layer_norm 4096 x 768": (1.5, None, None),
    "layer_norm 16384 x 1024": (4, 1.4, None),
    "batch_norm 64x64x56x56, training": (4, 2.5, 1.5),
    "batch_norm 64x64x56x56, eval forward": (3, 1.3, None),
    "instance_norm 32x64x56x56": (4, None, 1.5),
    "group_norm 32x64x56x56": (1.5, None, None),
    "dropout 16M": (30, None, None),
    "dropout 64k": (20, None, None),
    "softmax_cross_entropy 8192 x 1000": (5, None, None),
    "softmax_cross_entropy 512 x 50257": (4, None, None),
    "bias + gelu 4096 x 3072": (5, 2, None),
    "residual + dropout + layer_norm 4096 x 768": (6, 4, None),
}


@pytest.fixture(autouse=True)
def all_threads() -> Iterator[None]:
    with machine.threads(max(machine.THREADS)):
        yield


@pytest.mark.parametrize("name", OPS)
def test_op(bar: Bar, fused: Callable[[dict[str, object]], None], seconds: float, name: str) -> None:
    op = OPS[name](pytest.importorskip("torch"))
    times = race({"fastnn": op.fastnn, **op.torch, **_passes(op)}, seconds)
    kept = _with_tuned_malloc(name)
    ceiling = sum(times[str(pattern)] for pattern in op.patterns)
    columns = {"fastnn": times["fastnn"], "torch": times["torch"], "torch compiled": times.get("torch compile")}
    columns |= {"ceiling": ceiling, "fastnn, tuned malloc": kept["fastnn"], "torch, tuned malloc": kept["torch"]}
    fused({"op": name} | {side: s and float(f"{s / op.elements * 1e9:.3g}") for side, s in columns.items()})
    eager, tuned, compiled = WANTED[name]
    bars = [(f"{name}, against torch", times["torch"] / times["fastnn"], ">=", eager)]
    if tuned:
        bars.append((f"{name}, against torch with a tuned malloc", kept["torch"] / kept["fastnn"], ">=", tuned))
    if compiled:
        bars.append((f"{name}, against torch compiled", times["torch compile"] / times["fastnn"], ">=", compiled))
    if op.elements >= 1 << 22:
        bars.append((f"{name}, share of the ceiling", ceiling / times["fastnn"], ">=", 0.85))
    judged(bar, *bars)


def test_small_layer_norm(bar: Bar, seconds: float) -> None:
    torch = pytest.importorskip("torch")
    x, w, b = normal_array(32, 64), np.ones(64, np.float32), np.zeros(64, np.float32)
    tensors = [torch.from_numpy(a) for a in (x, w, b)]
    times = race(
        {
            "fastnn": lambda: F.layer_norm(x, 64, w, b),
            "torch": lambda: torch.nn.functional.layer_norm(tensors[0], (64,), *tensors[1:]),
        },
        seconds,
    )
    judged(
        bar,
        ("layer_norm 32 x 64, whole call, us", times["fastnn"] * 1e6, "<=", 2.5),
        ("layer_norm 32 x 64, share of torch's time", times["fastnn"] / times["torch"], "<=", 0.5),
    )


def _with_tuned_malloc(name: str) -> dict[str, float]:
    command = [sys.executable, str(Path(__file__).parent / "op_cases.py"), name]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    times: dict[str, float] = json.loads(done.stdout)
    return times


def _passes(op: Op) -> dict[str, Any]:
    return {str(pattern): stream_side(pattern, op.elements) for pattern in set(op.patterns)}
