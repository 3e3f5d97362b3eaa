"""Schedules made of schedules: rates of their parts, states, previews, and members that are refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from schedules import BASES, NO_LAST_EPOCH, PURE, make, run, snapshot, wave

from fastnn.optim import lr_scheduler as ours
from fastnn.optim.lr_scheduler import ReduceLROnPlateau as Plateau

FEW = 40


@pytest.mark.parametrize("name", [name for name in PURE if name != "Bases"])
def test_rate_of_one_base(name: str) -> None:
    """`rate` gives the first group's rate for its base; it is in proportion to the base if the schedule `scales`."""
    schedule = PURE[name](ours, make())
    steps = min(FEW, getattr(schedule, "total_steps", FEW))
    curve = schedule.preview(steps)[:, 0]
    np.testing.assert_allclose([schedule.rate(t, BASES[0]) for t in range(steps)], curve, rtol=1e-14)
    if schedule.scales:
        np.testing.assert_allclose([schedule.rate(t, 3.0) for t in range(steps)], 3.0 * curve / BASES[0], rtol=1e-14)


@pytest.mark.parametrize("name", [name for name in PURE if name not in NO_LAST_EPOCH])
def test_state_after_a_resume(name: str) -> None:
    """A schedule that is resumed by last_epoch has the state of one that made all the steps, and so have its parts."""
    for done in (1, 4, 25):
        schedule = PURE[name](ours, make())
        if done > getattr(schedule, "total_steps", done):
            continue
        run(schedule, done)
        optimizer = make()
        for group, saved in zip(optimizer.param_groups, snapshot(schedule.optimizer), strict=True):
            group.update(saved)
        assert PURE[name](ours, optimizer, last_epoch=done - 1).state_dict() == schedule.state_dict()


SCALES: list[tuple[Callable[[Any], Any], bool]] = [
    (lambda o: ours.CosineAnnealingLR(o, 3), True),
    (lambda o: ours.CosineAnnealingLR(o, 3, 1), False),
    (lambda o: ours.CosineAnnealingWarmRestarts(o, 3), True),
    (lambda o: ours.CosineAnnealingWarmRestarts(o, 3, eta_min=1), False),
    (lambda o: ours.InverseTimeLR(o, 0.1), True),
    (lambda o: ours.LambdaLR(o, wave), True),
    (lambda o: ours.ManualLR(o, {0: 0.1}), False),
    (lambda o: ours.CyclicLR(o, 0.1, 0.2), False),
    (lambda o: ours.OneCycleLR(o, 0.1, 9), False),
    (lambda o: Plateau(o), False),
    (lambda o: ours.ChainedScheduler([ours.StepLR(o, 1)]), True),
    (lambda o: ours.SequentialLR(o, [ours.StepLR(o, 1), ours.LinearLR(o)], [3]), True),
    (lambda o: ours.SequentialLR(o, [ours.StepLR(o, 1), ours.ManualLR(o, {0: 0.1})], [3]), False),
    (lambda o: ours.SequentialLR(o, [ours.ManualLR(o, {0: 0.1}), ours.StepLR(o, 1)], [3]), False),
    (lambda o: ours.SequentialLR(o, [ours.StepLR(o, 1), Plateau(o)], [3]), False),
]


@pytest.mark.parametrize(("build", "scales"), SCALES)
def test_what_can_be_chained(build: Callable[[Any], Any], scales: bool) -> None:
    """A chain takes the schedules whose rate is in proportion to the base rate, and refuses all others."""
    optimizer = make()
    schedule = build(optimizer)
    assert schedule.scales is scales
    members = [ours.StepLR(optimizer, 2), schedule]
    if scales:
        assert ours.ChainedScheduler(members).preview(1).shape == (1, 2)
        return
    with pytest.raises(ValueError, match=rf"^schedulers\[1\]: got a {type(schedule).__name__} that does not multiply"):
        ours.ChainedScheduler(members)


def test_a_sequence_in_a_chain() -> None:
    """A sequence multiplies by its active member's factor, counted from the member's milestone, in every group."""
    o = make()
    parts = [ours.LinearLR(o, 0.5, 1.0, 2), ours.LambdaLR(o, [lambda t: 2.0**t, lambda t: 3.0**t])]
    chain = ours.ChainedScheduler([ours.SequentialLR(o, parts, [3]), ours.ExponentialLR(o, 0.5)])
    factors = np.array([[0.5, 0.75, 1, 1, 2, 4], [0.5, 0.75, 1, 1, 3, 9]]).T * 0.5 ** np.arange(6)[:, None]
    np.testing.assert_allclose(chain.preview(6), factors * BASES, rtol=1e-15)
    np.testing.assert_allclose(run(chain, 5)[:, :2], factors * BASES, rtol=1e-15)


def test_members_of_a_chain_step_too() -> None:
    """The members of a chain are at its step and have its rates, after construction and after each step."""
    o = make()
    chain = ours.ChainedScheduler([ours.StepLR(o, 1, 0.5), ours.ExponentialLR(o, 0.5)])
    for step in range(3):
        for schedule in (chain, *chain.schedulers):
            assert schedule.last_epoch == step and schedule.get_last_lr() == [base * 0.25**step for base in BASES]
        chain.step()


def test_steps_of_members_of_a_sequence() -> None:
    """A member counts from its own milestone, stays at its last step, and is at -1 before it."""
    o = make()
    sequence = ours.SequentialLR(o, [ours.StepLR(o, 1), ours.LinearLR(o), ours.ConstantLR(o)], [2, 3])
    steps = []
    for _ in range(5):
        steps.append([member.last_epoch for member in sequence.schedulers])
        sequence.step()
    assert steps == [[0, -1, -1], [1, -1, -1], [1, 0, -1], [1, 0, 0], [1, 0, 1]]


FIRST: dict[str, tuple[Callable[[Any], Any], bool]] = {
    "StepLR": (lambda o: ours.StepLR(o, 9), True),
    "CosineAnnealingLR": (lambda o: ours.CosineAnnealingLR(o, 9), True),
    "LambdaLR": (lambda o: ours.LambdaLR(o, lambda t: 1.0), False),
    "CosineAnnealingWarmRestarts": (lambda o: ours.CosineAnnealingWarmRestarts(o, 9), False),
}


@pytest.mark.parametrize("name", FIRST)
def test_base_rates_of_the_first_member(name: str) -> None:
    """The first member gets the current "initial_lr" if its class is `rebased`; all others keep their base rates."""
    build, rebased = FIRST[name]
    o = make()
    first, second = build(o), ours.StepLR(o, 9)
    for group in o.param_groups:
        group["initial_lr"] = 2.0
    sequence = ours.SequentialLR(o, [first, second], [1])
    assert first.rebased is rebased and sequence.base_lrs == [2.0, 2.0]
    assert sequence.preview(2).tolist() == [[2.0, 2.0] if rebased else list(BASES), list(BASES)]


NO_MEMBERS: list[Callable[[Any], Any]] = [
    lambda o: ["x"],
    lambda o: [None],
    lambda o: 3,
    lambda o: None,
    lambda o: (),
    lambda o: iter([]),
    lambda o: ours.LinearLR(o),
    lambda o: [ours.LinearLR(o), "x"],
    lambda o: ["x", ours.LinearLR(o)],
    lambda o: [ours.LinearLR(o), ours.LinearLR],
]


@pytest.mark.parametrize("members", NO_MEMBERS)
def test_what_is_no_member(members: Callable[[Any], Any]) -> None:
    """All members must be schedules, and there must be one at least."""
    o = make()
    for build in (lambda: ours.SequentialLR(o, members(o), [1]), lambda: ours.ChainedScheduler(members(o), o)):
        with pytest.raises(TypeError, match=r"^schedulers: got .*, want a list of at least one schedule"):
            build()


def test_members_of_other_optimizers() -> None:
    """Every member belongs to the optimizer of the whole, given or the first member's."""
    o, other = make(), make()
    for build in (
        lambda: ours.ChainedScheduler([ours.StepLR(o, 1), ours.StepLR(other, 1)]),
        lambda: ours.ChainedScheduler([ours.StepLR(o, 1), ours.StepLR(other, 1)], o),
        lambda: ours.SequentialLR(o, [ours.StepLR(o, 1), ours.StepLR(other, 1)], [1]),
    ):
        with pytest.raises(ValueError, match=r"^schedulers\[1\]: got a schedule of another optimizer"):
            build()
    with pytest.raises(ValueError, match=r"^schedulers\[0\]: got a schedule of another optimizer"):
        ours.ChainedScheduler([ours.StepLR(o, 1)], other)


def test_the_given_lists_are_copied() -> None:
    """A schedule does not change with the lists that it was given, nor with those that it returns."""
    o = make()
    members, milestones = [ours.StepLR(o, 1), ours.ConstantLR(o)], [2]
    sequence = ours.SequentialLR(o, members, milestones)
    chained = [ours.StepLR(o, 1)]
    chain = ours.ChainedScheduler(chained)
    steps = [5, 9]
    decay = ours.MultiStepLR(o, steps)
    before = [schedule.preview(12).tolist() for schedule in (sequence, chain, decay)]
    for given in (members, milestones, chained, steps):
        given.clear()
    for schedule in (sequence, chain, decay):
        schedule.get_last_lr().clear()
        for value in schedule.state_dict().values():
            if isinstance(value, list):
                value.clear()
        assert len(schedule.get_last_lr()) == 2
    assert [schedule.preview(12).tolist() for schedule in (sequence, chain, decay)] == before


def test_states_of_all_members() -> None:
    """A state has one state per member, no more and no fewer, in a list."""
    for name in ("Seq", "Chained"):
        schedule = PURE[name](ours, make())
        run(schedule, 2)
        state = schedule.state_dict()
        states = state["schedulers"]
        assert len(states) == 3
        for bad in (states[:2], [*states, states[0]], [], iter(states), dict(enumerate(states)), None):
            with pytest.raises(ValueError, match=r"^schedulers: got .*, want a list of 3 states"):
                schedule.load_state_dict({**state, "schedulers": bad})
            assert schedule.state_dict() == state
        schedule.load_state_dict({**state, "schedulers": tuple(states)})
        assert schedule.state_dict() == state


def _with_plateau(o: Any, **options: Any) -> Any:
    plateau = Plateau(o, factor=0.5, patience=1, **options)
    return ours.SequentialLR(o, [ours.ConstantLR(o, 0.5, 9), plateau], [2])


def test_preview_with_metrics() -> None:
    """A preview wants one metric per step but the first; those of the steps without a plateau have no effect."""
    schedule = _with_plateau(make())
    assert schedule.preview(0, []).shape == (0, 2) and schedule.preview(1, []).tolist() == [[0.05, 0.015]]
    metrics = [9.0, 9.0, 1.0, 1.0, 1.0]
    assert schedule.preview(6, metrics)[:, 0].tolist() == [0.05, 0.05, 0.1, 0.1, 0.1, 0.05]
    assert schedule.preview(6, [0.0, 0.0, *metrics[2:]]).tolist() == schedule.preview(6, metrics).tolist()
    for n, bad, want in ((0, [1.0], 0), (1, [1.0], 0), (1, None, 0), (3, None, 2), (3, [1.0], 2), (3, [1.0] * 3, 2)):
        got = None if bad is None else len(bad)
        with pytest.raises(ValueError, match=rf"^metrics: got {got}, want {want} of them: one per step but the first"):
            schedule.preview(n, bad)
    with pytest.raises(ValueError, match=r"^n: got -1, want an integer >= 0"):
        schedule.preview(-1, [])


@pytest.mark.parametrize("cooldown", [0, 2])
def test_a_plateau_starts_without_history(cooldown: int) -> None:
    """At its milestone a plateau has no metric, no bad steps and no cooldown; the first bad step is its first."""
    schedule = _with_plateau(make(), cooldown=cooldown)
    nan = float("nan")
    want = [0.05, 0.05, 0.1, 0.1, 0.05]
    assert schedule.preview(5, [nan] * 4)[:, 0].tolist() == want
    rates = [schedule.get_last_lr()[0]]
    for step in range(1, 5):
        schedule.step(nan)
        rates.append(schedule.get_last_lr()[0])
        if step == 2:
            state = schedule.schedulers[1].state_dict()
            history = [state[key] for key in ("best", "num_bad_epochs", "cooldown_counter", "last_epoch")]
            assert history == [None, 0, 0, 0]
    assert rates == want


def test_a_plateau_first() -> None:
    """A sequence that begins with a plateau begins with the base rates, though later members have set theirs."""
    o = make()
    plateau = Plateau(o, factor=0.5, patience=0)
    schedule = ours.SequentialLR(o, [plateau, ours.ConstantLR(o, 0.25, 9)], [2])
    assert schedule.get_last_lr() == plateau.get_last_lr() == [group["lr"] for group in o.param_groups] == list(BASES)
    assert schedule.preview(4, [1.0, 1.0, 1.0])[:, 0].tolist() == [0.1, 0.1, 0.025, 0.025]
    rows = [schedule.get_last_lr()[0]]
    for metric in (1.0, 1.0, None):
        schedule.step(metric)
        rows.append(schedule.get_last_lr()[0])
    assert rows == [0.1, 0.1, 0.025, 0.025] and plateau.last_epoch == 1


@pytest.mark.parametrize(("last_epoch", "at"), [(-1, [0, -1, -1]), (0, [1, -1, -1]), (1, [1, 0, -1]), (3, [1, 1, 0])])
def test_resume_around_a_plateau(last_epoch: int, at: list[int]) -> None:
    """last_epoch may lead to the steps before a plateau, its first one, or those after it, as its members know."""
    o = make()
    plateau = Plateau(o, factor=0.5, patience=0)
    members = [ours.ConstantLR(o, 0.5, 9), plateau, ours.ConstantLR(o, 0.25, 9)]
    schedule = ours.SequentialLR(o, members, [2, 4], last_epoch)
    assert schedule.last_epoch == last_epoch + 1 and [member.last_epoch for member in members] == at
    want = {-1: 0.05, 0: 0.05, 1: 0.1, 3: 0.025}[last_epoch]
    assert schedule.get_last_lr()[0] == o.param_groups[0]["lr"] == want
    with pytest.raises(ValueError, match=r"^last_epoch: got 2, a step of ReduceLROnPlateau"):
        ours.SequentialLR(o, members, [2, 4], 2)


def test_plot_with_metrics() -> None:
    """A plot has a labelled line per group with the rates of the preview, in the given axes or in new ones."""
    figure = pytest.importorskip("matplotlib.figure").Figure()
    schedule, metrics = _with_plateau(make()), [1.0] * 6
    want = schedule.preview(7, metrics).T
    plain = ours.StepLR(make(), 2)
    for i, (draw, curve) in enumerate(
        [(lambda ax: schedule.plot(7, ax, metrics), want), (lambda ax: plain.plot(5, ax), plain.preview(5).T)]
    ):
        axes = figure.add_subplot(1, 2, i + 1)
        assert draw(axes) is axes
        lines = axes.get_lines()
        np.testing.assert_array_equal([line.get_ydata() for line in lines], curve)
        np.testing.assert_array_equal([line.get_xdata() for line in lines], [np.arange(curve.shape[1])] * 2)
        assert [str(line.get_label()) for line in lines] == ["group 0", "group 1"]
    with pytest.raises(ValueError, match=r"^metrics: got None, want 6"):
        schedule.plot(7)
