"""Learning-rate schedules agree with torch's over 1,000 steps, and with their own formulas."""

import json
import math
import sys
from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

import numpy as np
import pytest
from schedules import BASES, NO_LAST_EPOCH, OWN, PURE, STEPS, TORCHS, cosine, make, run, snapshot, wave

from fastnn import optim
from fastnn.optim import lr_scheduler as ours
from fastnn.optim.lr_scheduler import ReduceLROnPlateau as Plateau

# Relative to torch, whose recursions round a few times per step.
BOUND = 1e-12


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("name", TORCHS)
def test_torch(name: str, kind: str) -> None:
    """Rates and momenta of all groups equal torch's over 1,000 steps; torch's optimizers get the same bits."""
    torch = pytest.importorskip("torch")
    schedule = TORCHS[name](ours, make(kind))
    steps = min(STEPS, getattr(schedule, "total_steps", STEPS + 1) - 1)
    want = run(TORCHS[name](torch.optim.lr_scheduler, make(kind, torch.optim)), steps, step_optimizer=True)
    got = run(schedule, steps)
    np.testing.assert_allclose(got, want, rtol=BOUND, atol=0)
    np.testing.assert_array_equal(run(TORCHS[name](ours, make(kind, torch.optim)), steps), got)


@pytest.mark.parametrize("name", PURE)
def test_resume(name: str) -> None:
    """After a resume at any step, by last_epoch or from a state saved as JSON, the rest has the same bits."""
    schedule = PURE[name](ours, make())
    steps = min(STEPS, getattr(schedule, "total_steps", STEPS + 1) - 1)
    want = run(schedule, steps)
    schedule = PURE[name](ours, make())
    for done in sorted({0, 1, 5, 19, 20, 85, 300, 499, steps} & {*range(steps + 1)}):
        run(schedule, done - max(0, schedule.last_epoch))
        state = json.loads(json.dumps(schedule.state_dict(), allow_nan=False))
        fresh = PURE[name](ours, make())
        before = snapshot(fresh.optimizer)
        fresh.load_state_dict(state)
        assert snapshot(fresh.optimizer) == before and fresh.get_last_lr() == schedule.get_last_lr()
        assert fresh.state_dict() == schedule.state_dict() == state
        optimizer = make()
        for saved, *groups in zip(
            snapshot(schedule.optimizer), fresh.optimizer.param_groups, optimizer.param_groups, strict=True
        ):
            groups[0].update(saved, lr=0.0)
            groups[1].update(saved)
        np.testing.assert_array_equal(run(fresh, steps - done)[1:], want[done + 1 :])
        if done and name not in NO_LAST_EPOCH:
            resumed = PURE[name](ours, optimizer, last_epoch=done - 1)
            np.testing.assert_array_equal(run(resumed, steps - done), want[done:])


@pytest.mark.parametrize("name", PURE)
def test_preview(name: str) -> None:
    """A preview has the bits that stepping gives, from any step, and changes nothing."""
    schedule = PURE[name](ours, make())
    steps = min(STEPS, getattr(schedule, "total_steps", STEPS + 1) - 1)
    groups, state = snapshot(schedule.optimizer), schedule.state_dict()
    before = schedule.preview(steps + 1)
    assert snapshot(schedule.optimizer) == groups and schedule.state_dict() == state
    assert before.dtype == np.float64 and before.shape == (steps + 1, 2) and schedule.preview(0).shape == (0, 2)
    np.testing.assert_array_equal(run(schedule, steps)[:, :2], before)
    np.testing.assert_array_equal(schedule.preview(steps + 1), before)


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("InverseTime", lambda t, base: base / (1 + 0.3 * t)),
        ("InverseTime-stairs", lambda t, base: base / (1 + 0.3 * (t // 10))),
        ("InverseSqrt", lambda t, base: base * min((t + 1) / 40, (40 / (t + 1)) ** 0.5)),
        ("Manual", lambda t, base: base if t < 5 else 0.7 if t < 300 else 0.0),
        ("Chain-Lambda", lambda t, base: base * 0.1 ** (t // 9) * (wave(t) if base == 0.1 else t**0.5)),
        ("warmup_cosine", lambda t, base: base * (1 + 99 * t / 20) / 100 if t < 20 else cosine(base, (t - 20) / 180)),
    ],
)
def test_formula(name: str, want: Callable[[int, float], float]) -> None:
    """Schedules that torch lacks follow their formulas."""
    curve = [[want(t, base) for base in BASES] for t in range(STEPS)]
    np.testing.assert_allclose(OWN[name](ours, make()).preview(STEPS), curve, rtol=BOUND)


def test_edges() -> None:
    """The ends of schedules are exact where torch's are only close or not reached at all."""
    assert ours.LinearLR(make(), 0.3, 1.0, 7).preview(8)[7].tolist() == list(BASES)
    assert ours.ConstantLR(make(), 0.0, 2).preview(3)[:, 0].tolist() == [0, 0, 0.1]
    assert ours.warmup_cosine(make(), 0, 10).preview(1)[0].tolist() == list(BASES)
    cycle = ours.OneCycleLR(make(), 1.0, 10, pct_start=0.1, anneal_strategy="linear")  # 0 / 0 in torch
    curve = run(cycle, 10)
    assert curve[0, 0] == 1.0 and (curve[10] == curve[9]).all() and curve[9, 0] == pytest.approx(4e-6)
    restarts = ours.CosineAnnealingWarmRestarts(make(), 4)
    restarts.step(5.5)
    assert restarts.last_epoch == 5 and restarts.get_last_lr()[0] == 0.1 * (1 + math.cos(math.pi * 1.5 / 4)) / 2


# Options of ReduceLROnPlateau; NaN metrics count as not better.
PLATEAUS: list[dict[str, Any]] = [
    {"patience": 2},
    {"patience": 0, "factor": 0.9, "eps": 1e-3},
    {"mode": "max", "patience": 1, "factor": 0.5, "threshold": 0.2, "cooldown": 3, "min_lr": [1e-3, 1e-5]},
    {"mode": "min", "patience": 3, "factor": 0.8, "threshold": 0.05, "threshold_mode": "abs", "min_lr": 0.02},
    {"mode": "max", "patience": 4, "factor": 0.7, "threshold_mode": "abs"},
]


@pytest.mark.parametrize("options", PLATEAUS, ids=str)
def test_plateau(options: dict[str, Any]) -> None:
    """Rates equal torch's for positive metrics and NaN; preview predicts them, and a state resumes at any step."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    metrics = (rng.random(STEPS) + 1 / np.arange(1, STEPS + 1)).tolist()
    metrics[7::50] = [math.nan] * 20
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(make("SGD", torch.optim), **options)
    schedule = Plateau(make(), **options)
    curve = schedule.preview(metrics)
    for i, metric in enumerate(metrics):
        assert schedule.get_last_lr() == theirs.get_last_lr() == curve[i].tolist()
        if i % 10 == 3:
            state = json.loads(json.dumps(schedule.state_dict(), allow_nan=False))
            schedule = Plateau(make(bases=schedule.get_last_lr()), **options)
            schedule.load_state_dict(state)
            np.testing.assert_array_equal(schedule.preview(metrics[i:]), curve[i:])
        schedule.step(np.float64(metric))
        theirs.step(metric)
    assert len(np.unique(curve[:, 0])) > 2


@pytest.mark.parametrize(
    ("options", "metrics", "falls"),
    [
        ({"mode": "min"}, [-1, -1, -1], 2),  # torch never reduces here: -1 < -1 * (1 - 1e-4)
        ({"mode": "min"}, [-1, -1.1, -1.2], 0),
        ({"mode": "min", "threshold": 0.2}, [-1, -1.1, -1.3], 1),
        ({"mode": "max"}, [-1, -0.9, -0.95], 1),
        ({"mode": "max", "threshold": 0.2}, [-1, -0.9, -0.7], 1),
        ({"mode": "min"}, [math.nan, math.nan, 1], 2),
        ({"mode": "max"}, [math.inf, 1, 1], 2),
        ({"mode": "min"}, [-math.inf, 2, 1], 1),
    ],
)
def test_plateau_metrics(options: dict[str, Any], metrics: list[float], falls: int) -> None:
    """Negative, NaN and infinite metrics reduce the rate as often as they should, with a patience of 0."""
    curve = Plateau(make(), patience=0, **options).preview(metrics)
    assert curve[-1, 0] == pytest.approx(0.1 * 0.1**falls)


def test_plateau_in_a_sequence() -> None:
    """A plateau in a sequence starts at its milestone with the base rates and uses only the metrics after it."""
    metrics = [1.0, 0.9, 0.8, 0.5, 0.4, 0.6, 0.6, 0.3, 0.3, 0.3]

    def build() -> Any:
        o = make()
        plateau = Plateau(o, patience=1)
        return ours.SequentialLR(o, [ours.LinearLR(o, 0.5, 1.0, 4), plateau, ours.StepLR(o, 1)], [4, 9])

    alone = Plateau(make(), patience=1).preview(metrics[4:8])
    want = [*ours.LinearLR(make(), 0.5, 1.0, 4).preview(4), *alone, *ours.StepLR(make(), 1).preview(2)]
    schedule = build()
    np.testing.assert_array_equal(schedule.preview(11, metrics), want)
    for i, metric in enumerate(metrics):
        assert schedule.get_last_lr() == want[i].tolist()
        schedule, old = build(), schedule
        schedule.load_state_dict(json.loads(json.dumps(old.state_dict())))
        for group, rate in zip(schedule.optimizer.param_groups, old.get_last_lr(), strict=True):
            group["lr"] = rate
        schedule.step(metric)
    schedule.step()
    assert schedule.last_epoch == 11 and schedule.get_last_lr()[0] == 0.1 * 0.1**2
    with pytest.raises(ValueError, match="metrics: got 10, want 6 of them"):
        schedule.preview(7, metrics)


# Constructors with valid numbers, each of which must not be one of BAD.
NUMBERS: list[tuple[Any, dict[str, Any]]] = [
    (ours.StepLR, {"step_size": 3, "gamma": 0.5, "last_epoch": -1}),
    (ours.MultiStepLR, {"gamma": 0.5}),
    (ours.ConstantLR, {"factor": 0.5, "total_iters": 5}),
    (ours.LinearLR, {"start_factor": 0.5, "end_factor": 0.5, "total_iters": 5}),
    (ours.ExponentialLR, {"gamma": 0.5}),
    (ours.PolynomialLR, {"total_iters": 5, "power": 1}),
    (ours.CosineAnnealingLR, {"T_max": 5, "eta_min": 0}),
    (ours.CosineAnnealingWarmRestarts, {"T_0": 5, "T_mult": 1, "eta_min": 0}),
    (ours.CyclicLR, {"base_lr": 0.1, "max_lr": 0.2, "step_size_up": 5, "gamma": 1, "base_momentum": 0.1}),
    (ours.OneCycleLR, {"max_lr": 0.1, "pct_start": 0.1, "max_momentum": 0.9, "div_factor": 2, "final_div_factor": 2}),
    (Plateau, {"factor": 0.5, "patience": 1, "threshold": 0, "cooldown": 0, "min_lr": 0, "eps": 0}),
    (ours.InverseTimeLR, {"rate": 1, "decay_steps": 1}),
    (ours.InverseSqrtLR, {"warmup_steps": 1}),
    (ours.warmup_cosine, {"warmup_steps": 1, "total_steps": 3, "start_factor": 0.1, "eta_min": 0}),
]
BAD = (math.nan, math.inf, -math.inf, -2, True, "1", None, 10**400, [], np.ones(2))


@pytest.mark.parametrize(("build", "numbers"), NUMBERS, ids=lambda v: getattr(v, "__name__", ""))
def test_numbers_refused(build: Any, numbers: Mapping[str, Any]) -> None:
    """A value that is not a valid number is refused by its name, and the optimizer stays as it was."""
    given = {"milestones": [1]} if build is ours.MultiStepLR else {"total_steps": 9} if build is ours.OneCycleLR else {}
    build(make(), **given, **numbers)
    for name in numbers:
        for bad in BAD:
            optimizer = make()
            before = snapshot(optimizer)
            with pytest.raises((TypeError, ValueError), match=rf"^{name}(\[0\])?: got .*, want "):
                build(optimizer, **given, **{**numbers, name: bad})
            assert snapshot(optimizer) == before


REFUSED: list[tuple[Callable[[Any], Any], str]] = [
    (lambda o: ours.StepLR("SGD", 1), "optimizer: got str, want an optimizer"),
    (lambda o: ours.StepLR(o, 1, last_epoch=0), r"last_epoch: got 0 and no 'initial_lr' in param_groups\[0\]"),
    (
        lambda o: (o.param_groups[0].update(initial_lr=0.1), ours.StepLR(o, 1, last_epoch=3)),
        r"last_epoch: got 3 and no 'initial_lr' in param_groups\[1\]",
    ),
    (lambda o: ours.StepLR(o, 1, last_epoch=3), r"last_epoch: got 3 and no 'initial_lr' in param_groups\[0\]"),
    (
        lambda o: run(ours.ExponentialLR(o, 1e38), 2),
        r"lr of param_groups\[0\] at step 2: got .*, want a number that float32",
    ),
    (lambda o: ours.ExponentialLR(o, 1e38).preview(99), "lr of param.* at step 2: got .*, want a number that float32"),
    (lambda o: ours.ExponentialLR(o, 1e38)._go(99), "lr at step 99: got more than a double can hold"),
    (lambda o: ours.MultiStepLR(o, [3, 2]), "milestones: got .*, want them sorted"),
    (lambda o: ours.LinearLR(o, 0), r"start_factor: got 0, want a number in \(0, 1\]"),
    (lambda o: ours.LambdaLR(o, [wave, lambda t: math.nan]), r"lr of param_groups\[1\] at step 0: got nan, want"),
    (lambda o: run(ours.LambdaLR(o, lambda t: 1 - t), 3), r"lr of param_groups\[0\] at step 2: got -0.1, want"),
    (lambda o: ours.CyclicLR(o, 0.1, [0.2]), "max_lr: got 1 values, want 2"),
    (lambda o: ours.CyclicLR(o, 0.1, 0.2, step_size_down=0), "step_size_down: got 0, want a finite number > 0"),
    (lambda o: ours.CyclicLR(o, 0.1, 0.2, scale_fn=1), "scale_fn: got 1, want a function"),
    (lambda o: ours.OneCycleLR(o, 0.1), "total_steps: got None, want a number or both of epochs and steps_per_epoch"),
    (lambda o: run(ours.OneCycleLR(o, 0.1, 3), 4), "step: got 4, want at most total_steps = 3"),
    (lambda o: Plateau(o, threshold=1), r"threshold: got 1.0, want a number in \[0, 1\) for"),
    (lambda o: Plateau(o).rate(1, 0.1), "rate: got ReduceLROnPlateau, want"),
    (lambda o: Plateau(o).step("1"), "metrics: got '1', want a number"),
    (lambda o: ours.SequentialLR(o, [], []), r"schedulers: got \[\], want a list of at least one schedule"),
    (lambda o: ours.SequentialLR(o, [ours.LinearLR(make())], []), r"schedulers\[0\]: got a schedule of another"),
    (lambda o: ours.SequentialLR(o, [ours.LinearLR(o)], [3]), r"milestones: got \[3\], want 0"),
    (lambda o: ours.SequentialLR(o, [ours.LinearLR(o)] * 2, [0]), r"milestones\[0\]: got 0, want an integer >= 1"),
    (lambda o: ours.SequentialLR(o, [ours.LinearLR(o)] * 3, [2, 2]), "milestones: got .*, want each greater than"),
    (lambda o: ours.CyclicLR(o, 0.1, 0.2, max_momentum=1), r"max_momentum: got 1, want a number in \[0, 1\)"),
    (lambda o: ours.OneCycleLR(o, 0.1, 3, base_momentum=1), r"base_momentum: got 1, want a number in \[0, 1\)"),
    (lambda o: ours.OneCycleLR(optim.AdaGrad([np.ones(1)]), 0.1, 3), "cycle_momentum: got True and an optimizer with"),
    (lambda o: ours.SequentialLR(o, [Plateau(o)], []).step(), "metrics: got None, want a number while"),
    (lambda o: ours.SequentialLR(o, [Plateau(o)], [], 3), "last_epoch: got 3, a step of"),
    (lambda o: ours.SequentialLR(o, [ours.SequentialLR(o, [Plateau(o)], [])], []), "schedulers: got a SequentialLR"),
    (lambda o: ours.ChainedScheduler([ours.CosineAnnealingLR(o, 3, 0.1)]), r"schedulers\[0\]: got a Cos.* that does"),
    (lambda o: ours.ChainedScheduler([ours.LinearLR(o), ours.StepLR(o, 1, last_epoch=0)]), "schedulers: got steps"),
    (lambda o: ours.ManualLR(o, {}), "table: got {}, want a dict"),
    (lambda o: ours.ManualLR(o, {"3": 0.1}), "a step of table: got '3', want an integer >= 0"),
    (lambda o: ours.warmup_cosine(o, 5, 5), "total_steps: got 5, want more than warmup_steps = 5"),
    (lambda o: ours.LinearLR(o).preview(-1), "n: got -1, want an integer >= 0"),
]


@pytest.mark.parametrize(("call", "sentence"), REFUSED, ids=[sentence for _, sentence in REFUSED])
def test_refused(call: Callable[[Any], Any], sentence: str) -> None:
    """Every message says what was received and what is wanted."""
    with pytest.raises((TypeError, ValueError), match=f"^{sentence}"):
        call(make())


@pytest.mark.parametrize("start", [0, 0.0, 3, 3.5])
def test_restarts_at_any_step(start: float) -> None:
    """`step(t)` sets the step, also to 0, and `step()` goes on from there."""
    schedule = ours.CosineAnnealingWarmRestarts(make(), 4)
    schedule.step(9)
    schedule.step(start)
    assert schedule.last_epoch == int(start)
    assert schedule.get_last_lr()[0] == pytest.approx(BASES[0] * (1 + math.cos(math.pi * start / 4)) / 2)
    schedule.step()
    assert schedule.last_epoch == int(start) + 1


def test_a_momentum_below_zero() -> None:
    """A step that would set a bad momentum raises, and changes neither rates, momenta nor the step."""
    optimizer = make()
    schedule = ours.CyclicLR(optimizer, 0.1, 0.2, 4, scale_fn=lambda t: 1 if t < 3 else 90, scale_mode="iterations")
    run(schedule, 2)
    before, state = snapshot(optimizer), schedule.state_dict()
    with pytest.raises(ValueError, match=r"^momentum: got -"):
        schedule.step()
    assert snapshot(optimizer) == before and schedule.state_dict() == state


@pytest.mark.parametrize("name", PURE)
def test_a_group_that_came_later(name: str) -> None:
    """It is scheduled too, and the others as before; with options per group the step raises and changes no rate."""
    optimizer, alone = make(), make()
    schedule, other = PURE[name](ours, optimizer), PURE[name](ours, alone)
    optimizer.add_param_group({"params": [np.ones(3, np.float32)]})
    before = snapshot(optimizer)
    other.step()
    try:
        schedule.step()
    except ValueError as error:
        assert "got one value per group and a group added since, param_groups[2], want" in str(error)
        assert snapshot(optimizer) == before
    else:
        assert schedule.get_last_lr()[:2] == other.get_last_lr() and len(schedule.get_last_lr()) == 3


@pytest.mark.parametrize("name", PURE)
def test_bad_states(name: str) -> None:
    """A state with other keys or values is refused and changes nothing."""
    schedule = PURE[name](ours, make())
    run(schedule, 1)
    state = schedule.state_dict()
    schedule.state_dict()["base_lrs"].clear()
    spoilt = [{**state, key: None} for key in state] + [{**state, "last_epoch": bad} for bad in (1.5, -2)]
    spoilt += [{**state, "_last_lr": bad} for bad in ([0.1], [0.1, math.nan], "ab")]
    spoilt += [{**state, "x": 1}, {k: v for k, v in state.items() if k != "base_lrs"}, {}]
    if "values" in state:
        spoilt += [{**state, "values": state["values"][:-1]}, {**state, "values": [], "epochs": []}]
    if "schedulers" in state:
        spoilt += [{**state, "schedulers": [*state["schedulers"][:-1], bad]} for bad in (None, {}, state)]
    for bad in [*spoilt, None, [state]]:
        with pytest.raises((TypeError, ValueError), match=r": got .*, want "):
            schedule.load_state_dict(bad)
        assert schedule.state_dict() == state and len(schedule.base_lrs) == 2


def test_signatures() -> None:
    """Names, order and defaults of the arguments equal torch's."""
    theirs = pytest.importorskip("torch").optim.lr_scheduler
    both = [name for name in ours.__all__ if hasattr(theirs, name)]
    assert set(theirs.__all__) - set(both) == {"MultiplicativeLR"}
    for name in both:
        mine, want = (signature(getattr(module, name)).parameters.values() for module in (ours, theirs))
        assert [(p.name, p.default) for p in mine] == [(p.name, p.default) for p in want], name


def test_plot(monkeypatch: pytest.MonkeyPatch) -> None:
    """plot returns axes with one line per group; without matplotlib the error says how to install it."""
    figure = pytest.importorskip("matplotlib.figure").Figure()
    for i, (schedule, what) in enumerate([(ours.LinearLR(make()), 9), (Plateau(make()), [0.1] * 8)]):
        axes = figure.add_subplot(1, 2, i + 1)
        assert schedule.plot(what, axes) is axes
        assert [len(line.get_ydata()) for line in axes.get_lines()] == [9, 9]
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    pyplot.close(ours.LinearLR(make()).plot(3).figure)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'fastnn\[plot\]'"):
        ours.LinearLR(make()).plot(3)
