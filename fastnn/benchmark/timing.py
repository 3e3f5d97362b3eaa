"""Reliable timing, and the short benchmark of `python -m fastnn bench`.

`interleave` runs rivals alternately in one process, so that a slowdown of the machine affects all of them. `ceiling`
measures how fast this machine can move the bytes of an operation. Each case of `fastnn.benchmark.cases`
first asserts that all its sides give the same answer; only then is it timed.
"""

import argparse
import gc
import importlib
import os
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastnn import _core
from fastnn._config import get_num_threads, isa, set_num_threads
from fastnn._types import AnyArray
from fastnn.benchmark.case import Case, Pattern, Side
from fastnn.benchmark.cases import CASES

REST = 0.12
"""Seconds after which idle threads of OpenMP and OpenBLAS no longer spin by default (OpenBLAS 0.3.31: after 0.105)."""

SHORT = (
    "SGD, momentum",
    "AdamW",
    "relu",
    "relu backward",
    "dropout",
    "dropout backward",
    "layer_norm",
    "layer_norm backward",
    "batch_norm",
    "batch_norm backward",
    "batch_norm image",
    "batch_norm image backward",
    "softmax_cross_entropy",
    "init.uniform_",
    "init.normal_",
)
"""The operations of the short benchmark; `make bench` times them at all sizes."""

LEAST_SAMPLE = 50e-6
"""Seconds of a sample; a shorter one would measure the clock and the loop's overhead."""

TURN = 1e-3
"""Seconds for which a side runs untimed in each turn, and then for which its samples are taken."""


class Sample(NamedTuple):
    """Seconds of one call: median and quartiles over the samples."""

    median: float
    low: float
    high: float


def interleave(
    sides: Mapping[str, Side], seconds: float = 0.5, rounds: int = 5, rest: float = 0.0
) -> dict[str, Sample]:
    """Time the sides alternately, in an order that rotates from round to round.

    One sample is the number of calls that fill 50 microseconds. In each round a side first runs untimed for a
    millisecond, which brings its data back into the cache and wakes its threads, and is then sampled for another
    millisecond. A side whose call takes longer makes one untimed call and one sample.

    Args:
        sides: name -> call.
        seconds: minimum total time; rounds are added until it has passed.
        rounds: minimum number of rounds.
        rest: seconds to sleep before each turn, so that other libraries' waiting threads stop spinning.
    """
    repeats = {name: _repeats(side) for name, side in sides.items()}
    samples: dict[str, list[float]] = {name: [] for name in sides}
    names = list(sides)
    collecting = gc.isenabled()
    gc.disable()
    try:
        end = time.perf_counter() + seconds
        done = 0
        while done < rounds or time.perf_counter() < end:
            first = done % len(names)
            for name in names[first:] + names[:first]:
                time.sleep(rest)
                samples[name] += _turn(sides[name], repeats[name])
            done += 1
    finally:
        if collecting:
            gc.enable()
    return {name: _summary(times) for name, times in samples.items()}


def stream_side(pattern: Pattern, n: int, dtype: npt.DTypeLike = np.float32) -> Side:
    """Return a pass with almost no arithmetic over arrays of `n` elements: the speed of the access pattern."""
    # Ones and not zeros: untouched zero pages all map to one page, which never leaves the cache.
    groups = [[np.ones(n, dtype) for _ in range(count)] for count in pattern]
    return lambda: _core.stream(*groups)


def ceiling(updated: int, written: int, read: int, n: int, dtype: npt.DTypeLike = np.float32) -> float:
    """Return the seconds that this machine needs, with the current thread count, for one pass over the arrays.

    Args:
        updated, written, read: number of arrays that are read and written, only written, only read; one of (1,0,0)
            (1,0,1) (2,0,1) (3,0,1) (0,1,0) (0,1,1) (0,1,2) (0,0,1).
        n: number of elements of each array.
        dtype: float32 or float64.
    """
    return interleave({"stream": stream_side((updated, written, read), n, dtype)}, seconds=0.2)["stream"].median


def check(case: Case) -> None:
    """Call every side once and raise AssertionError unless all agree with fastnn."""
    answers = {name: _arrays(side()) for name, side in case.sides.items()}
    for name, got in answers.items():
        try:
            case.agree(got, answers["fastnn"])
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None


def find_torch() -> Any:
    """Return the torch module, or None if it is not installed."""
    try:
        return importlib.import_module("torch")
    except ImportError:
        return None


def main(argv: Sequence[str]) -> None:
    """Print one line per operation, in cache and from memory; about 20 seconds, twice that with torch.

    Args:
        argv: command line arguments: `--torch` times PyTorch too; `--threads N` sets the number of threads.
    """
    parser = argparse.ArgumentParser(prog="python -m fastnn bench", description="A short bench; `make bench` is long.")
    parser.add_argument("--torch", action="store_true", help="time PyTorch too")
    parser.add_argument("--threads", type=int, default=get_num_threads(), help="threads of fastnn and of PyTorch")
    options = parser.parse_args(argv)
    torch = find_torch() if options.torch else None
    if options.torch and torch is None:
        parser.error("--torch: PyTorch is not installed; `pip install torch`")
    set_num_threads(options.threads)
    if torch is not None:
        torch.set_num_threads(options.threads)
    print(f"{platform.machine()}, {os.cpu_count()} CPUs; fastnn {_core.build_info()['version']} on "
          f"{options.threads} threads, {isa()}; NumPy {np.__version__}, float32")  # fmt: skip
    print(f"{'':28}{'elements':>10}{'ns/element':>12}{'GB/s':>8}{'of ceiling':>12}{'x NumPy':>9}"
          + f"{'x torch':>9}" * (torch is not None))  # fmt: skip
    for n in (1 << 17, 1 << 23):
        for name in SHORT:
            print(_line(name, CASES[name](n, torch)), flush=True)


def _line(name: str, case: Case) -> str:
    check(case)
    sides = {**case.sides, "ceiling": stream_side(case.pattern, case.elements)}
    rest = REST if "torch" in sides else 0.0
    times = {side: sample.median for side, sample in interleave(sides, 0.3, rounds=3, rest=rest).items()}
    ours, n = times["fastnn"], case.elements
    line = (f"{name:28}{n:>10}{ours / n * 1e9:>12.3f}{case.bytes / ours / 1e9:>8.1f}"
            f"{times['ceiling'] / ours:>12.0%}{times['numpy'] / ours:>9.1f}")  # fmt: skip
    rivals = [seconds for side, seconds in times.items() if side.startswith("torch")]
    return f"{line}{min(rivals) / ours:>9.1f}" if rivals else line


def _run(side: Side, repeats: int) -> float:
    calls = range(repeats)
    start = time.perf_counter()
    for _ in calls:
        side()
    return time.perf_counter() - start


def _turn(side: Side, repeats: int) -> list[float]:
    end = time.perf_counter() + TURN
    side()
    while time.perf_counter() < end:
        side()
    samples = [_run(side, repeats) / repeats]
    while time.perf_counter() < end + TURN:
        samples.append(_run(side, repeats) / repeats)
    return samples


def _repeats(side: Side) -> int:
    side()
    repeats = 1
    while _run(side, repeats) < LEAST_SAMPLE:
        repeats *= 2
    return repeats


def _summary(times: list[float]) -> Sample:
    low, median, high = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else times * 3
    return Sample(median, low, high)


def _arrays(answer: object) -> list[AnyArray]:
    parts = answer if isinstance(answer, list | tuple) else [answer]
    return [np.asarray(part) for part in parts]
