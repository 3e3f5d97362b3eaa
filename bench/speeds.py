"""Measures how many times faster fastnn is than its rivals."""

from collections.abc import Callable, Mapping

from fastnn.benchmark import REST, check, interleave, stream_side
from fastnn.benchmark.case import Case, Side

Bar = Callable[[str, float, str, float], None]


def judged(bar: Bar, *bars: tuple[str, float, str, float]) -> None:
    """Record every bar, then fail if any was missed."""
    missed = []
    for what in bars:
        try:
            bar(*what)
        except AssertionError as error:
            missed.append(str(error))
    assert not missed, "; ".join(missed)


def race(sides: Mapping[str, Side], seconds: float) -> dict[str, float]:
    """Time all sides alternately; each sample follows a rest in which all spinning ends."""
    for kind, rest in (("beside busy pools", 0.0), ("rested", REST)):
        times = {name: s.median for name, s in interleave(sides, max(seconds, 0.5), rounds=9, rest=rest).items()}
        print(f"{kind}: " + ", ".join(f"{name} {s * 1e6:.1f} us" for name, s in times.items()))
    return times


def speeds(case: Case, *rivals: str, seconds: float) -> dict[str, float]:
    """Assert the answers; return each rival's time, or that of the "ceiling", divided by fastnn's."""
    check(case)
    sides = {"ceiling": stream_side(case.pattern, case.elements)} if "ceiling" in rivals else {}
    sides |= {name: case.sides[name] for name in ("fastnn", *rivals) if name != "ceiling"}
    times = race(sides, seconds)
    return {name: times[name] / times["fastnn"] for name in rivals}
