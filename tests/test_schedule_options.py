"""Options of schedules: each choice and default, values that are refused by their name, and the plateau's borders."""

import math
from collections.abc import Callable
from fractions import Fraction
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from schedules import BASES, make, run, snapshot

from fastnn.optim import lr_scheduler as ours
from fastnn.optim.lr_scheduler import ReduceLROnPlateau as Plateau

NO_GROUPS: dict[str, Any] = {
    "nothing": None,
    "a number": 3,
    "a dict": {},
    "values of a dict": {0: {"lr": 0.1}}.values(),
    "a group without a rate": [{}],
    "a second group without a rate": [{"lr": 0.1}, {"momentum": 0.9}],
    "a list": [["lr"]],
    "a group that cannot change": (MappingProxyType({"lr": 0.1}),),
}


@pytest.mark.parametrize("groups", NO_GROUPS.values(), ids=NO_GROUPS)
def test_what_is_no_optimizer(groups: Any) -> None:
    """The groups of an optimizer are a sequence of dicts that can change and have a rate."""
    builds: list[Callable[[Any], Any]] = [
        lambda o: ours.StepLR(o, 1),
        lambda o: ours.LambdaLR(o, math.sqrt),
        lambda o: ours.CyclicLR(o, 0.1, 0.2, cycle_momentum=False),
        Plateau,
        lambda o: ours.SequentialLR(o, [ours.LinearLR(make())], []),
        lambda o: ours.ChainedScheduler([ours.LinearLR(make())], o),
    ]
    for build in builds:
        with pytest.raises(TypeError, match=r"^optimizer: got SimpleNamespace, want an optimizer: param_groups with"):
            build(SimpleNamespace(param_groups=groups))


def test_any_optimizer_with_groups() -> None:
    """An optimizer needs nothing but groups, in a list or a tuple."""
    for kind in (list, tuple):
        optimizer = SimpleNamespace(param_groups=kind([{"lr": 1.0}, {"lr": 3.0}]))
        ours.StepLR(optimizer, 1, 0.5).step()
        assert [group["lr"] for group in optimizer.param_groups] == [0.5, 1.5]


CHOICES: list[tuple[str, Callable[[Any, Any], Any], tuple[str, ...]]] = [
    ("mode", lambda o, v: Plateau(o, v), ("min", "max")),
    ("threshold_mode", lambda o, v: Plateau(o, threshold_mode=v), ("rel", "abs")),
    ("mode", lambda o, v: ours.CyclicLR(o, 0.1, 0.2, mode=v), ("triangular", "triangular2", "exp_range")),
    ("scale_mode", lambda o, v: ours.CyclicLR(o, 0.1, 0.2, scale_mode=v), ("cycle", "iterations")),
    ("anneal_strategy", lambda o, v: ours.OneCycleLR(o, 0.1, 9, anneal_strategy=v), ("cos", "linear")),
]


@pytest.mark.parametrize(("name", "build", "allowed"), CHOICES)
def test_choices(name: str, build: Callable[[Any, Any], Any], allowed: tuple[str, ...]) -> None:
    """A choice is one of its strings, at construction and in a state; anything else is refused by its name."""
    for value in allowed:
        schedule = build(make(), value)
        assert schedule.state_dict()[name] == value
        schedule.load_state_dict({**schedule.state_dict(), name: allowed[0]})
        assert schedule.state_dict()[name] == allowed[0]
    state = schedule.state_dict()
    for bad in ("", allowed[0].upper(), allowed[0] + " ", None, 0, [allowed[0]], np.array(allowed[0]), b"min"):
        optimizer = make()
        before = snapshot(optimizer)
        with pytest.raises(ValueError, match=rf"^{name}: got .*, want one of \['{allowed[0]}', '{allowed[1]}'"):
            build(optimizer, bad)
        assert snapshot(optimizer) == before
        with pytest.raises(ValueError, match=rf"^{name}: got .*, want one of"):
            schedule.load_state_dict({**state, name: bad})
        assert schedule.state_dict() == state


REFUSED: list[tuple[Callable[[Any], Any], type[Exception], str]] = [
    (lambda o: ours.MultiStepLR(o, 3), TypeError, "milestones: got 3, want a list"),
    (lambda o: ours.MultiStepLR(o, "12"), TypeError, "milestones: got '12', want a list"),
    (lambda o: ours.MultiStepLR(o, b"\1\2"), TypeError, r"milestones: got b'\\x01\\x02', want a list"),
    (lambda o: ours.MultiStepLR(o, [-1]), ValueError, r"milestones\[0\]: got -1, want an integer >= 0"),
    (lambda o: ours.LambdaLR(o, 1), TypeError, "lr_lambda: got 1, want a function"),
    (lambda o: ours.LambdaLR(o, [math.sqrt, None]), TypeError, r"lr_lambda\[1\]: got None, want a function"),
    (lambda o: ours.LambdaLR(o, [math.sqrt]), ValueError, "lr_lambda: got 1 values, want 2, one per parameter group"),
    (lambda o: ours.ManualLR(o, [0.1]), TypeError, r"table: got \[0.1\], want a dict"),
    (lambda o: ours.ManualLR(o, {-1: 0.1}), ValueError, "a step of table: got -1, want an integer >= 0"),
    (lambda o: ours.ManualLR(o, {2: 0.1, 5: -1}), ValueError, r"table\[5\]: got -1, want a finite number >= 0"),
    (lambda o: ours.ManualLR(o, {2: 0.1, 5: "1"}), TypeError, r"table\[5\]: got '1', want a real number"),
    (lambda o: ours.CyclicLR(o, [0.1], 0.2), ValueError, "base_lr: got 1 values, want 2"),
    (lambda o: ours.CyclicLR(o, 0.1, 0.2, base_momentum=[0.1]), ValueError, "base_momentum: got 1 values, want 2"),
    (lambda o: ours.CyclicLR(o, 0.1, 0.2, max_momentum=[0.1] * 3), ValueError, "max_momentum: got 3 values, want 2"),
    (lambda o: ours.CyclicLR(o, 0.1, 0.2, cycle_momentum=1), TypeError, "cycle_momentum: got 1, want True or False"),
    (lambda o: ours.OneCycleLR(o, 0.1, epochs=3), ValueError, "total_steps: got None, want a number or both of"),
    (lambda o: ours.OneCycleLR(o, 0.1, steps_per_epoch=3), ValueError, "total_steps: got None, want a number or both"),
    (lambda o: ours.OneCycleLR(o, 0.1, epochs=0, steps_per_epoch=3), ValueError, "epochs: got 0, want an integer >= 1"),
    (lambda o: ours.OneCycleLR(o, 0.1, epochs=3, steps_per_epoch=0), ValueError, "steps_per_epoch: got 0, want an"),
    (lambda o: ours.OneCycleLR(o, 0.1, 0), ValueError, "total_steps: got 0, want an integer >= 1"),
    (lambda o: ours.OneCycleLR(o, 0.1, 9, three_phase=1), TypeError, "three_phase: got 1, want True or False"),
    (lambda o: ours.InverseTimeLR(o, 1.0, staircase=1), TypeError, "staircase: got 1, want True or False"),
    (lambda o: ours.StepLR(o, 1, last_epoch=-2), ValueError, "last_epoch: got -2, want an integer >= -1"),
    (lambda o: ours.CosineAnnealingWarmRestarts(o, 4).step(-1), ValueError, "epoch: got -1, want a finite number >= 0"),
    (lambda o: Plateau(o, min_lr=[0.1]), ValueError, "min_lr: got 1 values, want 2"),
    (lambda o: Plateau(o).step(10**400), ValueError, "metrics: got an integer too large for a double, want a number"),
    (lambda o: Plateau(o).preview([1.0, None]), TypeError, "metrics: got None, want a number"),
    (lambda o: ours.warmup_cosine(o, -1, 5), ValueError, "warmup_steps: got -1, want an integer >= 0"),
]


@pytest.mark.parametrize(("call", "error", "sentence"), REFUSED, ids=[sentence for *_, sentence in REFUSED])
def test_refused(call: Callable[[Any], Any], error: type[Exception], sentence: str) -> None:
    """A bad option is refused by its name, and no group gets another rate or momentum."""
    optimizer = make()
    before = [{**group, "initial_lr": group["lr"]} for group in snapshot(optimizer)]
    with pytest.raises(error, match=f"^{sentence}"):
        call(optimizer)
    assert [{**group, "initial_lr": group["lr"]} for group in snapshot(optimizer)] == before


def test_momentum_in_every_group() -> None:
    """One group with momentum is not enough for a cycle of momentum; without the cycle none is needed."""
    for groups in ([{"lr": 0.1, "momentum": 0.9}, {"lr": 0.1}], [{"lr": 0.1}, {"lr": 0.1, "betas": (0.9, 0.99)}]):
        optimizer: Any = SimpleNamespace(param_groups=groups)
        with pytest.raises(ValueError, match=r"^cycle_momentum: got True and an optimizer without it"):
            ours.CyclicLR(optimizer, 0.1, 0.2)
        assert ours.CyclicLR(optimizer, 0.1, 0.2, cycle_momentum=False).get_last_lr() == [0.1, 0.1]


@pytest.mark.parametrize("last_epoch", [0, 1, 5])
def test_resume_needs_the_first_rates(last_epoch: int) -> None:
    """A schedule resumed at any step needs each group's first rate, and begins with it."""
    with pytest.raises(ValueError, match=rf"^last_epoch: got {last_epoch} and no 'initial_lr' in param_groups\[0\]"):
        ours.StepLR(make(), 1, last_epoch=last_epoch)
    optimizer = make()
    for group in optimizer.param_groups:
        group["initial_lr"] = 8.0
    schedule = ours.StepLR(optimizer, 1, 0.5, last_epoch=last_epoch)
    assert schedule.base_lrs == [8.0, 8.0] and schedule.get_last_lr() == [8.0 * 0.5 ** (last_epoch + 1)] * 2


def test_first_rates() -> None:
    """A new schedule notes the groups' rates as "initial_lr", or uses those that are there already."""
    optimizer = make()
    ours.StepLR(optimizer, 1)
    assert [group["initial_lr"] for group in optimizer.param_groups] == list(BASES)
    optimizer.param_groups[0].update(initial_lr=4.0)
    schedule = ours.StepLR(optimizer, 1)
    assert schedule.base_lrs == schedule.get_last_lr() == [4.0, BASES[1]]
    optimizer.param_groups[1].update(initial_lr=-1.0)
    with pytest.raises(ValueError, match=r"^initial_lr of param_groups\[1\]: got -1.0, want a finite number >= 0"):
        ours.StepLR(optimizer, 1)


def test_one_epoch_of_one_step() -> None:
    """A one-cycle schedule may have one epoch, or one step per epoch; a warm-up and cosine, a single step."""
    for epochs, steps in ((1, 6), (6, 1)):
        schedule = ours.OneCycleLR(make(), 0.5, epochs=epochs, steps_per_epoch=steps)
        assert schedule.total_steps == 6
        np.testing.assert_array_equal(schedule.preview(6), ours.OneCycleLR(make(), 0.5, 6).preview(6))
    assert ours.warmup_cosine(make(), 0, 1, eta_min=1e-3).preview(3)[:, 0].tolist() == [BASES[0], 1e-3, 1e-3]


def test_inverse_time() -> None:
    """The time is counted in units of decay_steps, with or without a staircase."""
    for stairs, times in ((False, [0, 0.25, 0.5, 0.75, 1, 1.25]), (True, [0, 0, 0, 0, 1, 1])):
        got = ours.InverseTimeLR(make(), 2.0, 4, stairs).preview(6)[:, 0]
        np.testing.assert_allclose(got, [BASES[0] / (1 + 2 * time) for time in times], rtol=1e-15)


@pytest.mark.parametrize(("start", "end"), [(0.03, 0.01), (0.01, 0.03), (0.1, 0.7), (1.0, 0.0)])
def test_a_line_ends_exactly(start: float, end: float) -> None:
    """The last rate of a line is end_factor * base without a rounding error of the way."""
    curve = ours.LinearLR(make(bases=(1.0,)), start, end, 3).preview(6)[:, 0]
    assert curve[0] == start and (curve[3:] == end).all() and curve[1] == pytest.approx(start + (end - start) / 3)


@pytest.mark.parametrize(
    ("options", "heights"),
    [
        ({"gamma": 0.5}, [0, 1, 0, 1, 0, 1]),  # gamma belongs to another mode
        ({"mode": "triangular2", "gamma": 0.3}, [0, 1, 0, 1 / 2, 0, 1 / 4]),
        ({"mode": "exp_range"}, [0, 1, 0, 1, 0, 1]),
        ({"mode": "exp_range", "gamma": 0.5}, [0, 1 / 2, 0, 1 / 8, 0, 1 / 32]),
        ({"scale_fn": lambda cycle: 1 / cycle}, [0, 1, 0, 1 / 2, 0, 1 / 3]),
        ({"scale_fn": lambda cycle: 1 / cycle, "mode": "exp_range", "gamma": 0.5}, [0, 1, 0, 1 / 2, 0, 1 / 3]),
        ({"scale_fn": lambda cycle: 1.0, "mode": None}, [0, 1, 0, 1, 0, 1]),  # used instead of the mode
        ({"scale_fn": lambda step: 1 / (1 + step), "scale_mode": "iterations"}, [0, 1 / 2, 0, 1 / 4, 0, 1 / 6]),
    ],
)
def test_heights_of_cycles(options: dict[str, Any], heights: list[float]) -> None:
    """The height of a cycle of two steps depends on the mode or on scale_fn, for rate and momentum."""
    rows = run(ours.CyclicLR(make("Adam"), 1.0, 3.0, 1, base_momentum=0.5, max_momentum=0.75, **options), 5)
    height = np.array(heights)
    np.testing.assert_allclose(rows[:, :2], np.stack([1 + 2 * height] * 2, 1), rtol=1e-15)
    np.testing.assert_allclose(rows[:, 2:], np.stack([0.75 - 0.25 * height] * 2, 1), rtol=1e-15)


def test_other_betas_stay() -> None:
    """A cycle of momentum changes the first of "betas" only."""
    optimizer = make("Adam")
    run(ours.OneCycleLR(optimizer, 0.1, 9), 3)
    assert all(group["betas"][1:] == (0.9,) and "momentum" not in group for group in optimizer.param_groups)


@pytest.mark.parametrize(
    ("epoch", "done", "period"), [(0, 0, 3), (2.5, 2.5, 3), (3, 0, 3), (3.5, 0.5, 6), (9, 0, 12), (20.25, 11.25, 12)]
)
def test_longer_periods_at_a_fraction(epoch: float, done: float, period: int) -> None:
    """`step(t)` finds the period and the place in it, in every group."""
    schedule = ours.CosineAnnealingWarmRestarts(make(), 3, 2, eta_min=0.01)
    schedule.step(epoch)
    want = [0.01 + (base - 0.01) * (1 + math.cos(math.pi * done / period)) / 2 for base in BASES]
    assert schedule.get_last_lr() == pytest.approx(want, rel=1e-14)
    assert [group["lr"] for group in schedule.optimizer.param_groups] == schedule.get_last_lr()


METRICS: list[Any] = [0.5, 1, np.float32(0.5), np.int64(1), np.array(0.5), Fraction(1, 2)]
NO_METRICS: list[Any] = [None, "1", b"1", True, [1.0], {}, 1j, np.ones(1), np.ones((1, 1)), np.ones(2)]


def test_metrics_of_any_type() -> None:
    """A metric is a number of Python or NumPy, also in an array without axes; nothing else, and nothing changes."""
    for metric in METRICS:
        schedule = Plateau(make())
        schedule.step(metric)
        assert schedule.best == float(metric) and type(schedule.best) is float
    state = schedule.state_dict()
    for bad in NO_METRICS:
        for call in (lambda bad=bad: schedule.step(bad), lambda bad=bad: schedule.preview([0.5, bad])):
            with pytest.raises(TypeError, match=r"^metrics: got .*, want a number"):
                call()
    assert schedule.state_dict() == state and state["last_epoch"] == 1


@pytest.mark.parametrize(
    ("options", "metrics", "rates"),
    [
        ({"threshold": 0.2}, [0.5, 0.45, 0.39, 0.3], [1, 0.5, 0.5, 0.5]),
        ({"threshold": 0.2, "mode": "max"}, [0.5, 0.55, 0.61, 0.74], [1, 0.5, 0.5, 0.5]),
        ({"threshold": 0.2}, [-0.5, -0.55, -0.61], [1, 0.5, 0.5]),
        ({"threshold": 0.2, "mode": "max"}, [-0.5, -0.45, -0.39], [1, 0.5, 0.5]),
        ({"patience": 1}, [math.nan, math.nan, 1, 1], [1, 0.5, 0.5, 0.5]),  # no history before the first metric
        ({"threshold": 0.2}, [0, -1e-9, 0], [1, 1, 0.5]),
        ({"threshold": 1, "mode": "max"}, [1, 2, 2.5, 4], [1, 0.5, 0.5, 0.25]),
        ({"threshold": 1.5, "mode": "max"}, [1, 2.4, 2.6], [1, 0.5, 0.5]),
        ({"threshold": 1, "threshold_mode": "abs"}, [5, 4, 3.9], [1, 0.5, 0.5]),
    ],
)
def test_thresholds(options: dict[str, Any], metrics: list[float], rates: list[float]) -> None:
    """An improvement exceeds the best metric's share, for metrics near 0 too; only "min" bounds the share by 1."""
    curve = Plateau(make(bases=(1.0,)), **{"factor": 0.5, "patience": 0, **options}).preview(metrics)
    assert curve[1:, 0].tolist() == rates


def test_groups_of_a_plateau() -> None:
    """Each group has its own lowest rate, and is left out when its own reduction is too small."""
    schedule = Plateau(make(bases=(1.0, 0.5)), factor=0.5, patience=0, min_lr=[0.25, 0.125], eps=0.26)
    assert schedule.preview([1, 1, 1, 1]).tolist() == [[1, 0.5], [1, 0.5], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]
    schedule = Plateau(make(bases=(1.0, 0.5)), factor=0.25, patience=0, min_lr=[0.25, 0.2])
    assert schedule.preview([1, 1, 1]).tolist() == [[1, 0.5], [1, 0.5], [0.25, 0.2], [0.25, 0.2]]


def test_a_plateau_and_a_group_that_came_later() -> None:
    """A preview, which changes nothing, needs a step first; the step takes the group in."""
    optimizer = make()
    schedule = Plateau(optimizer)
    optimizer.add_param_group({"params": [np.ones(3, np.float32)]})
    with pytest.raises(ValueError, match=r"^base_lrs: got 2 values, want 3, one per parameter group"):
        schedule.preview([1.0])
    schedule.step(1.0)
    assert schedule.preview([1.0]).shape == (2, 3)


def test_a_plateau_and_a_bad_rate() -> None:
    """A rate that was set from outside is used if it is one, and refused otherwise."""
    optimizer: Any = SimpleNamespace(param_groups=[{"lr": base} for base in BASES])
    schedule = Plateau(optimizer, factor=0.5, patience=0)
    schedule.step(1.0)
    optimizer.param_groups[1]["lr"] = 6.0
    schedule.step(1.0)
    assert schedule.get_last_lr() == [0.05, 3.0]
    optimizer.param_groups[1]["lr"] = -1.0
    with pytest.raises(ValueError, match=r"^lr of param_groups\[1\]: got -1.0, want a finite number >= 0"):
        schedule.step(1.0)
    assert schedule.last_epoch == 2 and optimizer.param_groups[0]["lr"] == 0.05
