"""The promised speeds of training in PyTorch, of calls from Cython, and of the import."""

import importlib
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import machine
import pytest
from speeds import Bar, judged, race
from torch_steps import MODELS

from fastnn import torch as ft

torch = pytest.importorskip("torch")
HERE = Path(__file__).parent
WANTED = {"transformer": 1.25, "CNN": 1.2}


def test_training_steps(bar: Bar, seconds: float) -> None:
    command = [sys.executable, str(HERE / "torch_steps.py"), str(20 * seconds)]
    times = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print({name: {side: f"{s * 1e3:.1f} ms" for side, s in found.items()} for name, found in times.items()})
    judged(
        bar,
        *(
            (f"torch training step, {name}, against torch", times[name]["torch"] / times[name]["fastnn"], ">=", wanted)
            for name, wanted in WANTED.items()
        ),
    )


def test_many_small(bar: Bar, seconds: float) -> None:
    """Step an MLP with 200 layers of 4 x 4."""
    sides = {}
    for name, kind, mode in (("torch", torch.optim.AdamW, {"fused": True}), ("fastnn", ft.optim.AdamW, {})):
        model = torch.nn.Sequential(*(torch.nn.Linear(4, 4) for _ in range(200)))
        model(torch.ones(4)).sum().backward()
        sides[name] = kind(model.parameters(), **mode).step
    with machine.threads(max(machine.THREADS)):
        times = race(sides, seconds)
    bar("AdamW of torch, 400 small parameters, against torch fused", times["torch"] / times["fastnn"], ">=", 10)


def test_call_from_cython(bar: Bar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second row costs the kernel's time for one row; the rest of the time of a call with one row is overhead."""
    shutil.copytree(HERE.parent / "examples" / "cython", tmp_path, dirs_exist_ok=True)
    build = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True)
    monkeypatch.syspath_prepend(tmp_path)
    example = importlib.import_module("logistic")
    pairs = [[example.nanoseconds_per_call(rows) for rows in (1, 2)] for _ in range(25)]  # a machine may slow down
    one, two = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"a call with one row takes {one:.1f} ns, with two {two:.1f}")
    bar("layer_norm from Cython, ns over the kernel", statistics.median(2 * a - b for a, b in pairs), "<=", 60)


def test_import(bar: Bar) -> None:
    """Measure the import after NumPy's, in new processes."""
    program = "import time, numpy; t = time.perf_counter(); import fastnn; print(1e3 * (time.perf_counter() - t))"
    runs = [subprocess.run([sys.executable, "-c", program], check=True, capture_output=True) for _ in range(15)]
    bar("import beyond NumPy, ms", statistics.median(float(run.stdout) for run in runs), "<=", 50)


def test_every_model_is_judged() -> None:
    assert WANTED.keys() == MODELS.keys()
