"""Every schedule follows its own formula, for rates and momenta; and each border case of the plateau."""

import bisect
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from schedules import BASES, STEPS, TORCHS, make, run, wave

from fastnn.optim import lr_scheduler as ours
from fastnn.optim.lr_scheduler import ReduceLROnPlateau as Plateau

BOUND = 1e-12
Rate = Callable[[int, float], float]


def _half_cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2


def _restarts(first: int, longer: int, low: float) -> Rate:
    def rate(t: int, base: float) -> float:
        period = first
        while t >= period:
            t, period = t - period, period * longer
        return _half_cosine(base, low, t / period)

    return rate


def _line(start: float, end: float, steps: int) -> Rate:
    return lambda t, base: base * (start + (end - start) * min(t, steps) / steps)


def _polynomial(steps: int, power: float) -> Rate:
    return lambda t, base: base * (1 - min(t, steps) / steps) ** power


def _chain(*rates: Rate) -> Rate:
    return lambda t, base: base * math.prod(rate(t, 1.0) for rate in rates)


def _sequence(begins: list[int], *rates: Rate) -> Rate:
    def rate(t: int, base: float) -> float:
        past = bisect.bisect_right(begins, t)
        return rates[past](t - ([0, *begins][past]), base)

    return rate


def _wave_or_root(t: int, base: float) -> float:
    return base * (wave(t) if base == BASES[0] else math.sqrt(t))


RATES: dict[str, Rate] = {
    "Lambda": lambda t, base: base * wave(t),
    "Lambda-list": _wave_or_root,
    "Step": lambda t, base: base * 0.7 ** (t // 30),
    "Step-1": lambda t, base: base * 1.003**t,
    "MultiStep": lambda t, base: base * 0.1 ** sum(t >= m for m in (0, 2, 500, 500, 998)),
    "Constant": lambda t, base: base / 3 if t < 5 else base,
    "Constant-1": lambda t, base: base * 0.1 if t < 1 else base,
    "Linear-1": _line(0.01, 0.5, 1),
    "Linear-down": _line(1.0, 0.0, 990),
    "Linear-long": _line(1e-3, 0.9, 2000),
    "Exponential": lambda t, base: base * 0.99**t,
    "Polynomial": _polynomial(5, 1.0),
    "Polynomial-power": _polynomial(900, 2.5),
    "Cosine": lambda t, base: _half_cosine(base, 0.0, t / 50),
    "Cosine-min": lambda t, base: base if t % 2 == 0 else 0.05,
    "Cosine-long": lambda t, base: _half_cosine(base, 1e-4, t / STEPS),
    "Restarts-1": lambda t, base: base,
    "Restarts-3": _restarts(4, 3, 1e-3),
    "Seq": _sequence(
        [5, 9],
        _line(1 / 3, 1.0, 5),
        lambda t, base: _half_cosine(base, 0.0, t / 3),
        lambda t, base: base * 0.1 ** (t // 9),
    ),
    "Seq-closed": _sequence([1, 300], _wave_or_root, _restarts(7, 1, 0.0), _polynomial(20, 1.0)),
    "Chained": _chain(_line(0.1, 1.0, 5), lambda t, _: 0.99**t, lambda t, _: 0.5 if t < 90 else 1.0),
    "Chained-steps": _chain(lambda t, _: 0.9 ** (t // 40), lambda t, _: 0.01 if t >= 5 else 1.0),
    "Chained-cosine": _chain(
        lambda t, _: _half_cosine(1.0, 0.0, t / STEPS), _polynomial(1100, 0.5), _line(1 / 3, 1.0, 5)
    ),
}

# By group: (start, end) of the rate, and of the momentum; and the position between them at a step, from 0 to 1.
Cycle = tuple[list[tuple[float, float]], list[tuple[float, float]] | None, Callable[[int], float]]


def _saw(up: int, down: int, scale: Callable[[int, int], float] = lambda cycle, t: 1.0) -> Callable[[int], float]:
    def height(t: int) -> float:
        cycle, at = divmod(t, up + down)
        return (at / up if at <= up else (up + down - at) / down) * scale(cycle + 1, t)

    return height


CYCLES: dict[str, Cycle] = {
    "Cyclic": ([(0.01, 0.2)] * 2, [(0.9, 0.8)] * 2, _saw(20, 20)),
    "Cyclic-lists": ([(0.01, 0.2), (0.02, 0.01)], None, _saw(3, 11)),
    "Cyclic-2": ([(0.01, 0.2)] * 2, [(0.9, 0.1), (0.9, 0.2)], _saw(5, 5, lambda cycle, t: 0.5 ** (cycle - 1))),
    "Cyclic-exp": ([(0.0, 0.2)] * 2, [(0.9, 0.8)] * 2, _saw(1, 1, lambda cycle, t: 0.99**t)),
    "Cyclic-fn": ([(0.01, 0.2)] * 2, [(0.9, 0.8)] * 2, _saw(8, 8, lambda cycle, t: wave(t))),
}


def _one_cycle(
    peaks: tuple[float, float], total: int, share: float = 0.3, cos: bool = True, three: bool = False,
    div: float = 25.0, final: float = 1e4, momenta: Any = ((0.95, 0.85), (0.95, 0.85)),
) -> Callable[[int, int], tuple[float, float | None]]:  # fmt: skip
    """Return (step, group) -> rate and momentum, along the corners of the policy, by half cosines or lines."""

    def between(corners: list[tuple[float, float]], t: int) -> float:
        (x0, y0), (x1, y1) = next((a, b) for a, b in pairwise(corners) if t <= b[0] or b is corners[-1])
        done = (t - x0) / (x1 - x0) if x1 > x0 else 1.0
        return _half_cosine(y0, y1, done) if cos else y0 + (y1 - y0) * done

    def at(t: int, group: int) -> tuple[float, float | None]:
        up, last, high = share * total - 1, total - 1, peaks[group]
        low = high / div
        rates = [(0.0, low), (up, high), *([(2 * up, low)] if three else []), (last, low / final)]
        if momenta is None:
            return between(rates, t), None
        most, least = momenta[group]
        ends = [(0.0, most), (up, least), *([(2 * up, most)] if three else []), (last, most)]
        return between(rates, t), between(ends, t)

    return at


ONE_CYCLES = {
    "OneCycle": _one_cycle((0.5, 0.5), STEPS + 1),
    "OneCycle-epochs": _one_cycle((0.5, 0.1), 91 * 11),
    "OneCycle-linear": _one_cycle((0.5, 0.5), 700, 0.77, cos=False),
    "OneCycle-3": _one_cycle((0.5, 0.5), 999, three=True, div=3),
    "OneCycle-3-linear": _one_cycle((0.5, 0.5), 50, 0.6, cos=False, three=True),
    "OneCycle-short": _one_cycle((0.5, 0.5), 1, momenta=((0.7, 0.85), (0.9, 0.85))),
    "OneCycle-peak-last": _one_cycle((0.5, 0.5), 60, 1.0, momenta=None),
    "OneCycle-peak-first": _one_cycle((0.5, 0.5), 60, 0.0, final=2.0),
}


def _check(name: str, kind: str, want: Callable[[int, int], tuple[float, float | None]]) -> None:
    schedule = TORCHS[name](ours, make(kind))
    steps = min(STEPS, getattr(schedule, "total_steps", STEPS + 1) - 1)
    rows = [[want(t, group) for group in range(2)] for t in range(steps + 1)]
    rates = [[rate for rate, _ in row] for row in rows]
    momenta = [[0.5 if momentum is None else momentum for _, momentum in row] for row in rows]
    np.testing.assert_allclose(run(schedule, steps), np.hstack([rates, momenta]), rtol=BOUND, atol=1e-17)


@pytest.mark.parametrize("name", RATES)
def test_rates(name: str) -> None:
    """Rates follow the formula over 1,000 steps; the momentum stays."""
    _check(name, "SGD", lambda t, group: (RATES[name](t, BASES[group]), None))


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("name", CYCLES)
def test_cycles(name: str, kind: str) -> None:
    """Rate and momentum rise and fall in opposite directions."""
    rates, momenta, height = CYCLES[name]

    def want(t: int, group: int) -> tuple[float, float | None]:
        (low, high), way = rates[group], height(t)
        most, least = momenta[group] if momenta else (0.0, 0.0)
        return low + (high - low) * way, most + (least - most) * way if momenta else None

    _check(name, kind, want)


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("name", ONE_CYCLES)
def test_one_cycle(name: str, kind: str) -> None:
    """One-cycle schedules follow the corners: two phases and three, peaks at the ends, a single step."""
    _check(name, kind, ONE_CYCLES[name])


def test_all_have_a_formula() -> None:
    """Every schedule has a formula, except sequences that contain a cycle, whose parts are tested above."""
    assert TORCHS.keys() - RATES.keys() - CYCLES.keys() - ONE_CYCLES.keys() == {"Bases", "Seq3"}
    three = TORCHS["Seq3"](ours, make()).preview(120)[:, 0]
    assert (
        three[[0, 2, 3, 10, 17]].tolist() == [0.1, 0.1, 0.0, 1.0, 0.0] and three[94] == three[80] and three[95] == 0.1
    )
    bases = TORCHS["Bases"](ours, make()).preview(12)[:, 0]
    np.testing.assert_allclose(bases[[0, 2, 5, 6, 8, 9]], [0.04, 4e-3, 4e-4, 0.1 / 3, 0.06, 0.04], rtol=BOUND)


# ReduceLROnPlateau from a rate of 1: options, metrics, and the rate after each metric.
HALF = {"factor": 0.5, "patience": 0, "threshold": 0.0}
PLATEAU: dict[str, tuple[dict[str, Any], list[float], list[float]]] = {
    "defaults": ({}, [1.0] * 12, [1.0] * 11 + [0.1]),
    "patience": ({**HALF, "patience": 2}, [1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 0.5, 0.5, 0.5, 0.25]),
    "an equal one is bad": (HALF, [1, 1, 0.5, 0.5], [1, 0.5, 0.5, 0.25]),
    "relative, at the bound": ({**HALF, "threshold": 0.25}, [4, 3, 2.9, 2.175], [1, 0.5, 0.5, 0.25]),
    "relative, beyond it": ({**HALF, "threshold": 0.25}, [4, 2.99, 2.2, 1.6], [1, 1, 1, 1]),
    "absolute, at the bound": ({**HALF, "threshold": 0.25, "threshold_mode": "abs"}, [4, 3.75, 3.5], [1, 0.5, 0.5]),
    "absolute, beyond it": ({**HALF, "threshold": 0.25, "threshold_mode": "abs"}, [4, 3.7, 3.4], [1, 1, 1]),
    "max, at the bound": ({**HALF, "mode": "max", "threshold": 0.25}, [4, 5, 5.1, 6.375], [1, 0.5, 0.5, 0.25]),
    "max, absolute": ({**HALF, "mode": "max", "threshold": 1, "threshold_mode": "abs"}, [4, 5, 5.5], [1, 0.5, 0.5]),
    "absolute, beyond 1": ({**HALF, "threshold": 2, "threshold_mode": "abs"}, [9, 6.9, 5, 2.9], [1, 1, 0.5, 0.5]),
    "default threshold": ({**HALF, "threshold": 1e-4}, [1, 0.9999, 0.99985], [1, 0.5, 0.5]),
    "a fall as small as eps": ({**HALF, "eps": 0.5}, [1, 1, 1], [1, 1, 1]),
    "one larger than eps": ({**HALF, "eps": 0.49}, [1, 1, 1], [1, 0.5, 0.5]),
    "default eps": ({**HALF, "factor": 1 - 0.9e-8}, [1, 1, 1], [1, 1, 1]),
    "more than default eps": ({**HALF, "factor": 1 - 1.1e-8}, [1, 1], [1, 1 - 1.1e-8]),
    "least rate": ({**HALF, "min_lr": 0.3}, [1, 1, 1, 1], [1, 0.5, 0.3, 0.3]),
    "cooldown": ({**HALF, "cooldown": 2}, [1, 1, 1, 1, 1, 1], [1, 0.5, 0.5, 0.5, 0.25, 0.25]),
    "cooldown, patience": ({**HALF, "cooldown": 1, "patience": 1}, [1] * 7, [1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]),
    "better in cooldown": ({**HALF, "cooldown": 2}, [1, 1, 0.5, 0.5, 0.5, 0.5], [1, 0.5, 0.5, 0.5, 0.25, 0.25]),
    "NaN and infinity": ({**HALF, "patience": 1}, [math.nan, 1, math.nan, -math.inf, 0.9], [1, 1, 1, 0.5, 0.5]),
    "to nothing": ({**HALF, "factor": 0.0}, [1, 1, 1], [1, 0, 0]),
}  # fmt: skip


@pytest.mark.parametrize("case", PLATEAU)
def test_plateau(case: str) -> None:
    """The rates are right at each step; preview predicts them from any step, and a state resumes at any step."""
    options, metrics, rates = PLATEAU[case]
    schedule = Plateau(make(bases=(1.0,)), **options)
    preview = schedule.preview(metrics)
    np.testing.assert_array_equal(preview[0], [1.0])
    for i, (metric, rate) in enumerate(zip(metrics, rates, strict=True)):
        schedule.step(metric)
        assert schedule.get_last_lr() == [pytest.approx(rate, rel=1e-15, abs=0)] == preview[i + 1].tolist(), i
        assert schedule.last_epoch == i + 1
        resumed = Plateau(make(bases=schedule.get_last_lr()), **options)
        resumed.load_state_dict(schedule.state_dict())
        for later in (schedule, resumed):
            np.testing.assert_array_equal(later.preview(metrics[i + 1 :]), preview[i + 1 :])


@pytest.mark.parametrize("best", [math.nan, math.inf, -math.inf, "1", True])
def test_a_best_metric_that_is_none(best: Any) -> None:
    """A state's is a finite number, or None ahead of the first metric."""
    schedule = Plateau(make())
    schedule.step(0.5)
    state = schedule.state_dict()
    with pytest.raises((TypeError, ValueError), match=r"^(best|metrics): got .*, want a"):
        schedule.load_state_dict({**state, "best": best})
    assert schedule.state_dict() == state
    schedule.load_state_dict({**state, "best": None})
    assert schedule.state_dict()["best"] is None
