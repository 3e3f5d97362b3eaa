"""The promised speeds of random numbers and initialisation, for 16M float32 values unless a bar says otherwise.

NumPy's side is the fastest of its bit generators, each on one thread and, with the array in halves, on two.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import machine
import numpy as np
import pytest
from models import gpt2_small
from speeds import Bar, judged, race

from fastnn import init, random
from fastnn.benchmark.case import Side

torch = pytest.importorskip("torch")
N = 1 << 24
GENERATORS = ("SFC64", "PCG64DXSM", "Philox")
Drawn = Callable[[dict[str, object]], None]


@pytest.fixture(autouse=True)
def all_threads() -> Iterator[None]:
    with machine.threads(max(machine.THREADS)):
        yield


def numpy_sides(method: str, out: Any, pool: ThreadPoolExecutor) -> dict[str, Side]:
    """Return NumPy's generators, which fill an existing array."""
    sides: dict[str, Side] = {}
    halves = np.split(out, 2)
    for name in GENERATORS:
        draws = [getattr(np.random.Generator(getattr(np.random, name)(seed)), method) for seed in (0, 1)]
        sides[f"numpy {name}"] = lambda draw=draws[0]: draw(dtype=np.float32, out=out)
        sides[f"numpy {name}, 2 threads"] = lambda draws=draws: list(
            pool.map(lambda draw, half: draw(dtype=np.float32, out=half), draws, halves)
        )
    return sides


def timed(drawn: Drawn, what: str, n: int, sides: dict[str, Side], seconds: float) -> dict[str, float]:
    """Time the sides; return the seconds of fastnn, torch and NumPy's fastest, and record them for the table."""
    times = race(sides, seconds)
    best = min((side for side in times if side.startswith("numpy")), key=times.__getitem__, default="")
    sources = {"fastnn": "fastnn", "torch": "torch", "NumPy": best}
    found = {name: times[side] for name, side in sources.items() if side in times}
    cells = {name: found.get(name) and float(f"{found[name] / n * 1e9:.3g}") for name in ("fastnn", "torch", "NumPy")}
    drawn({"what": what, **cells, "NumPy's fastest": best.removeprefix("numpy ")})
    return found


@pytest.mark.parametrize(("name", "method", "wanted"), [("uniform", "random", 12), ("normal", "standard_normal", 8)])
def test_fill(bar: Bar, drawn: Drawn, seconds: float, name: str, method: str, wanted: float) -> None:
    ours, theirs, tensor = np.ones(N, np.float32), np.ones(N, np.float32), torch.ones(N)
    fill = getattr(random, f"{name}_")
    with ThreadPoolExecutor(2) as pool:
        sides: dict[str, Side] = {"fastnn": lambda: fill(ours), "torch": getattr(tensor, f"{name}_")}
        times = timed(drawn, f"{name}_ 16M", N, sides | numpy_sides(method, theirs, pool), seconds)
    judged(
        bar,
        (f"{name}_ 16M, against torch", times["torch"] / times["fastnn"], ">=", wanted),
        (f"{name}_ 16M, against NumPy's fastest", times["NumPy"] / times["fastnn"], ">=", 6),
    )


def test_truncated_normal(bar: Bar, drawn: Drawn, seconds: float) -> None:
    ours, tensor = np.ones(N, np.float32), torch.ones(N)
    sides: dict[str, Side] = {
        "fastnn": lambda: random.trunc_normal_(ours),
        "torch": lambda: torch.nn.init.trunc_normal_(tensor),
    }
    times = timed(drawn, "trunc_normal_ 16M, +-2 std", N, sides, seconds)
    bar("trunc_normal_ 16M, +-2 std, against torch", times["torch"] / times["fastnn"], ">=", 40)


def test_permutation(bar: Bar, drawn: Drawn, seconds: float) -> None:
    n = 10**7
    sides: dict[str, Side] = {"fastnn": lambda: random.permutation(n)}
    for name in GENERATORS:
        generator = np.random.Generator(getattr(np.random, name)(0))
        sides[f"numpy {name}"] = lambda generator=generator: generator.permutation(n)
    times = timed(drawn, "permutation of 10M", n, sides, seconds)
    bar("permutation of 10M, against NumPy's fastest", times["NumPy"] / times["fastnn"], ">=", 3)


@pytest.mark.parametrize("shape", [(1024, 1024), (4096, 1024)])
def test_orthogonal(bar: Bar, drawn: Drawn, seconds: float, shape: tuple[int, int]) -> None:
    ours, tensor = np.ones(shape, np.float32), torch.ones(shape)
    sides: dict[str, Side] = {
        "fastnn": lambda: init.orthogonal_(ours),
        "torch": lambda: torch.nn.init.orthogonal_(tensor),
    }
    times = timed(drawn, f"orthogonal_ {shape[0]} x {shape[1]}", ours.size, sides, seconds)
    wide = ours.astype(np.float64)
    error = float(np.abs(wide.T @ wide - np.eye(shape[1])).max())
    name = f"orthogonal_ {shape[0]} x {shape[1]}"
    judged(
        bar,
        (f"{name}, against torch", times["torch"] / times["fastnn"], ">=", 4),
        (f"{name}, largest error of Q^T Q", error, "<=", 1e-5),
    )


def test_gpt2(bar: Bar, drawn: Drawn, seconds: float) -> None:
    """Fill all parameters of GPT-2 small, normal with std 0.02."""
    arrays = [np.ones(shape, np.float32) for shape in gpt2_small()]
    tensors = [torch.ones(shape) for shape in gpt2_small()]
    sides: dict[str, Side] = {
        "fastnn": lambda: [init.normal_(a, 0.0, 0.02) for a in arrays],
        "torch": lambda: [torch.nn.init.normal_(t, 0.0, 0.02) for t in tensors],
    }
    times = timed(drawn, "GPT-2 small, 124M normal_", sum(a.size for a in arrays), sides, seconds)
    bar("initialising GPT-2 small, 124M normal_, against torch", times["torch"] / times["fastnn"], ">=", 8)
