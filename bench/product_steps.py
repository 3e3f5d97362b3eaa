"""Times what contains products beside PyTorch, with a malloc that keeps large blocks for reuse: prints JSON.

    python bench/product_steps.py SECONDS    {case: {side: seconds}}: training steps, Linear + bias + GELU
    python bench/product_steps.py SECONDS SIDE    {"quiet": s, "busy": s}: a step beside one busy process for each CPU

glibc reads its malloc settings only when a process starts, so the program restarts itself with them.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

import machine
import numpy as np
from training_step import training_case
from tuned_malloc import SETTINGS

from fastnn import functional as F
from fastnn.benchmark import REST, find_torch, interleave
from fastnn.benchmark.case import Side

ROWS, IN, OUT = 4096, 768, 3072


def main(seconds: float) -> None:
    """Time every case."""
    torch = find_torch()
    cases = {f"step, batch {n}": training_case(torch, 0.3, n).sides for n in (32, 128, 1024)}
    cases = {name: {side: sides[side] for side in ("fastnn", "torch fused")} for name, sides in cases.items()}
    cases["Linear + bias + GELU, forward and backward"] = _linear_gelu(torch)
    found = {}
    with machine.threads(max(machine.THREADS)):
        for name, sides in cases.items():
            found[name] = {side: s.median for side, s in interleave(sides, seconds, rounds=9, rest=REST).items()}
    print(json.dumps(found))


def _linear_gelu(torch: Any) -> dict[str, Side]:
    rng = np.random.default_rng(0)
    x, w, b, dy = (rng.standard_normal(s, np.float32) for s in ((ROWS, IN), (OUT, IN), (OUT,), (ROWS, OUT)))

    def fastnn() -> object:
        _, saved = F.linear(x, w, b, "gelu", return_saved=True)
        return F.linear_backward(dy, x, w, b, "gelu", saved)

    tensors = [torch.from_numpy(a).requires_grad_() for a in (x, w, b)]
    gradient = torch.from_numpy(dy)

    def theirs() -> object:
        y = torch.nn.functional.gelu(torch.nn.functional.linear(*tensors))
        return torch.autograd.grad(y, tensors, gradient)

    return {"fastnn": fastnn, "torch": theirs}


def beside_others(seconds: float, side: str) -> None:
    """Time a side's step, batch 128, alone in this process; first on a quiet machine."""
    step = training_case(find_torch(), 0.3).sides[side]
    found = {"quiet": _mean(step, seconds)}
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        time.sleep(0.5)
        found["busy"] = _mean(step, seconds)
    finally:
        for process in busy:
            process.kill()
    print(json.dumps(found))


def _mean(step: Side, seconds: float) -> float:
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 20:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.fmean(times[len(times) // 4 :])  # a mean: what others take comes in slices of milliseconds


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in SETTINGS.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | SETTINGS)
    main(float(sys.argv[1])) if len(sys.argv) < 3 else beside_others(float(sys.argv[1]), sys.argv[2])
