"""Collects the measurements of the benchmarks and prints them at the end.

Options: `--seconds` per comparison, `--seeds` for trainings; `-k 128k` selects one size, `-k bars` the promised speeds.
`--save=NAME` writes bench/results/NAME.json and NAME.md.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import machine
import pictures
import pytest

from fastnn import benchmark as timing
from fastnn.benchmark.case import Case, Side

HERE = Path(__file__).parent
ROWS: list[dict[str, object]] = []
BARS: list[dict[str, object]] = []
FUSED: list[dict[str, object]] = []
DRAWN: list[dict[str, object]] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seconds", type=float, default=0.3, help="per comparison; memory-sized ones take longer")
    parser.addoption("--save", metavar="NAME", help="write bench/results/NAME.json and NAME.md")
    parser.addoption("--seeds", type=int, default=5, help="number of trainings on the digits")


@pytest.fixture(params=machine.THREADS, ids=lambda count: f"{count}t")
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Run each benchmark on one thread, then on all."""
    with machine.threads(request.param):
        yield request.param


@pytest.fixture(params=machine.SIZES, ids=machine.label)
def elements(request: pytest.FixtureRequest) -> int:
    """Return an array size, from the first cache to memory."""
    size: int = request.param
    return size


@pytest.fixture(scope="session")
def seconds(request: pytest.FixtureRequest) -> float:
    """Return the duration of one comparison."""
    given: float = request.config.getoption("--seconds")
    return given


@pytest.fixture(scope="session")
def seeds(request: pytest.FixtureRequest) -> int:
    """Return how many times the digits are trained."""
    given: int = request.config.getoption("--seeds")
    return given


@pytest.fixture
def compare(benchmark: Any, threads: int, seconds: float) -> Callable[..., None]:
    """Return compare(name, case, ceiling=None): assert the answers, time all sides alternately, add a row.

    The ceiling is the given call, or by default a memory pass with the case's access pattern.
    """

    def run(name: str, case: Case, ceiling: Side | None = None) -> None:
        timing.check(case)
        neighbours = machine.Neighbours()
        sides = {**case.sides, "ceiling": ceiling or timing.stream_side(case.pattern, case.elements)}
        times = timing.interleave(sides, seconds)
        rested = timing.interleave(sides, seconds, rounds=3, rest=timing.REST) if threads > 1 else times
        notes = [neighbours.note(), *disturbed(times, rested)]
        large = case.elements >= 1 << 24 and case.pattern[:2] == (0, 1) and case.pattern[2] > 0
        tuned = tuned_peers(threads, case.elements).get(name, {}) if large else {}
        row: dict[str, object] = {"op": name, "elements": machine.label(case.elements), "threads": threads}
        row |= figures(case, rested)
        row |= {f"x {peer}, tuned malloc": ratio(tuned.get(peer), rested["fastnn"]) for peer in ("numpy", "torch")}
        row["note"] = "; ".join(filter(None, notes))
        benchmark.extra_info.update(row)
        ROWS.append(row)
        benchmark.pedantic(case.sides["fastnn"], rounds=5, iterations=1 if case.elements >= 1 << 20 else 20)

    return run


@pytest.fixture
def fused() -> Callable[[dict[str, object]], None]:
    """Return fused(row): record the times of an operation, forward and backward, for its table and picture."""
    return FUSED.append


@pytest.fixture
def drawn() -> Callable[[dict[str, object]], None]:
    """Return drawn(row): record the times of random numbers, for their table."""
    return DRAWN.append


@pytest.fixture
def bar() -> Callable[[str, float, str, float], None]:
    """Return bar(what, measured, ">=" or "<=", wanted): record it for the table, then assert it."""
    neighbours = machine.Neighbours()

    def judge(what: str, measured: float, relation: str, wanted: float) -> None:
        reached = measured >= wanted if relation == ">=" else measured <= wanted
        verdict = "reached" if reached else "MISSED"
        BARS.append({"what": what, "measured": float(f"{measured:.3g}"), "bar": f"{relation} {wanted:g}"})
        BARS[-1] |= {"verdict": verdict, "note": neighbours.note()}
        if not reached:
            raise AssertionError(f"{what}: measured {measured:.3g}, bar {relation} {wanted:g}")

    return judge


def figures(case: Case, samples: dict[str, timing.Sample]) -> dict[str, object]:
    """Return the columns that compare fastnn with its peers; torch is in its fastest mode."""
    ours, n = samples["fastnn"], case.elements
    best = min(((s.median, side) for side, s in samples.items() if side.startswith("torch")), default=None)
    return {
        "ns/element": float(f"{ours.median / n * 1e9:.3g}"),
        "quartiles": f"{ours.low / ours.median - 1:+.0%} {ours.high / ours.median - 1:+.0%}",
        "GB/s": round(case.bytes / ours.median / 1e9, 1) if case.bytes else None,
        "of ceiling": f"{samples['ceiling'].median / ours.median:.0%}",
        "x numpy": ratio(samples["numpy"].median, ours),
        "x torch": ratio(best[0], ours) if best else None,
        "torch mode": best[1] if best else None,
    }


def ratio(seconds: float | None, ours: timing.Sample) -> float | None:
    """Return how many times faster fastnn is."""
    return None if seconds is None else round(seconds / ours.median, 2)


def disturbed(times: dict[str, timing.Sample], rested: dict[str, timing.Sample]) -> list[str]:
    """List the sides whose time after a rest differs from that right after a peer, whose idle threads still spin."""
    changes = {side: sample.median / rested[side].median for side, sample in times.items() if side != "ceiling"}
    return [f"{side} x{change:.2f} beside busy pools" for side, change in changes.items() if abs(change - 1) > 0.1]


@cache
def tuned_peers(threads: int, elements: int) -> dict[str, dict[str, float]]:
    """Time NumPy and torch with a malloc that keeps large blocks, which needs a new process with other variables."""
    command = [sys.executable, str(HERE / "tuned_malloc.py"), str(threads), str(elements)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    times: dict[str, dict[str, float]] = json.loads(done.stdout)
    return times


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the tables; with --save, write them and the numbers."""
    if not ROWS and not BARS:
        return
    traffic, gemm = machine.traffic(), machine.gemm()
    command = " ".join(["pytest", *terminalreporter.config.invocation_params.args])
    about = "\n".join(f"- {what}: {value}" for what, value in {"run": command, **machine.describe()}.items())
    sections = [
        ("Bars", machine.table(BARS)),
        ("Forward and backward, float32, ns per element", machine.table(FUSED)),
        ("Random numbers, float32, ns per element", machine.table(DRAWN)),
        ("Operations, float32; ratios above 1 are in favour of fastnn", machine.table(ROWS)),
        ("Ceilings: GB/s by arrays (updated, written, read) and their elements", machine.table(traffic)),
        ("numpy.matmul, float32", machine.table(gemm)),
    ]
    text = f"# Benchmark\n\n{about}\n" + "".join(f"\n## {title}\n\n{body}\n" for title, body in sections if body)
    terminalreporter.write(f"\n{text}\n")
    name = terminalreporter.config.getoption("--save")
    if not name:
        return
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    data = {"run": command, "machine": machine.describe(), "bars": BARS, "rows": ROWS, "fused": FUSED, "drawn": DRAWN}
    data |= {"traffic": traffic, "gemm": gemm}
    (results / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n")
    (results / f"{name}.md").write_text(text)
    pictures.draw_all(data, results)
