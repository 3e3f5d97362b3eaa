"""A schedule that follows another one begins with the current rates; composed and resumed ones as in PyTorch."""

import copy
import pickle

import numpy as np
import pytest
from schedules import BASES, TORCHS, make

import fastnn
from fastnn import nn, optim
from fastnn.optim import lr_scheduler as ours
from fastnn.training import Trainer

RNG = np.random.default_rng(3)
DATA = RNG.normal(size=(64, 5)).astype(np.float32), RNG.integers(0, 2, 64)


def rates(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


def stepped(schedule, steps=3):
    for _ in range(steps):
        schedule.step(*([1.0] if isinstance(schedule, ours.ReduceLROnPlateau) else []))
    return schedule


EARLIER = {
    "StepLR": lambda o: ours.StepLR(o, 1, 0.5),
    "OneCycleLR": lambda o: ours.OneCycleLR(o, 0.7, 10),
    "CyclicLR": lambda o: ours.CyclicLR(o, 0.01, 0.2, 5),
    "ReduceLROnPlateau": lambda o: ours.ReduceLROnPlateau(o, patience=0),
    "SequentialLR": lambda o: ours.SequentialLR(o, [ours.LinearLR(o), ours.CosineAnnealingLR(o, 9)], [2]),
    "ChainedScheduler": lambda o: ours.ChainedScheduler([ours.LinearLR(o), ours.ExponentialLR(o, 0.9)]),
}
LATER = {
    "StepLR": lambda o: ours.StepLR(o, 1, 0.5),
    "SequentialLR": lambda o: ours.SequentialLR(o, [ours.ConstantLR(o, 1.0), ours.CosineAnnealingLR(o, 9)], [4]),
    "a plateau first": lambda o: ours.SequentialLR(o, [ours.ReduceLROnPlateau(o), ours.StepLR(o, 9)], [4]),
    "plateaus alone": lambda o: ours.SequentialLR(o, [ours.ReduceLROnPlateau(o), ours.ReduceLROnPlateau(o)], [4]),
    "ChainedScheduler": lambda o: ours.ChainedScheduler([ours.StepLR(o, 9), ours.ExponentialLR(o, 0.9)]),
}


@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize("later", LATER)
@pytest.mark.parametrize("earlier", EARLIER)
def test_the_next_schedule_begins_with_the_current_rates(earlier, later, by_hand):
    o = make()
    stepped(EARLIER[earlier](o))
    assert rates(o) != list(BASES)
    if by_hand:
        for group, lr in zip(o.param_groups, (0.6, 0.4), strict=True):
            group["lr"] = lr
    before = rates(o)
    schedule = LATER[later](o)
    assert schedule.base_lrs == rates(o) == before
    if later != "plateaus alone":  # which notes nothing, as in PyTorch
        assert [group["initial_lr"] for group in o.param_groups] == before
    assert ours.LambdaLR(o, lambda step: 1.0).base_lrs == before


@pytest.mark.parametrize("name", TORCHS)
def test_schedules_that_made_no_step_compose_as_in_torch(name):
    """Without a step in between, every schedule begins at the first rates, as torch's does."""
    theirs = pytest.importorskip("torch").optim
    found = []
    for package, module in ((optim, ours), (theirs, theirs.lr_scheduler)):
        o = make(package=package)
        module.LinearLR(o, 0.5)
        TORCHS[name](module, o)
        third = module.StepLR(o, 1)
        found.append(np.array([third.base_lrs, [group["initial_lr"] for group in o.param_groups]]))
    assert found[0] == pytest.approx(found[1])


@pytest.mark.filterwarnings("ignore:Detected call of .lr_scheduler.step")
@pytest.mark.parametrize("order", ["state first", "schedule first", "last_epoch"])
def test_resumed_as_in_torch(order):
    theirs = pytest.importorskip("torch").optim
    found = []
    for package, module in ((optim, ours), (theirs, theirs.lr_scheduler)):
        o = make(package=package)
        o.step([np.zeros(1)] * 2) if package is optim else o.step()
        schedule = stepped(module.StepLR(o, 2, 0.5), 5)
        saved = copy.deepcopy((o.state_dict(), schedule.state_dict()))
        for fresh in (make(package=package, bases=(7.0, 8.0)), o):  # in another process, and in this one
            if order == "schedule first":
                schedule = module.StepLR(fresh, 2, 0.5)
            fresh.load_state_dict(saved[0])
            if order == "last_epoch":
                schedule = module.StepLR(fresh, 2, 0.5, last_epoch=5)
            elif order == "state first":
                schedule = module.StepLR(fresh, 2, 0.5)
            if order != "last_epoch":
                schedule.load_state_dict(saved[1])
            schedule.step()
            found.append(np.array([schedule.base_lrs, rates(fresh), [g["initial_lr"] for g in fresh.param_groups]]))
    assert np.array(found) == pytest.approx(np.array([found[2]] * 4))


def test_a_loaded_schedule_has_stepped():
    o = make()
    saved = stepped(ours.StepLR(make(), 1, 0.5)).state_dict()
    ours.StepLR(o, 1, 0.5).load_state_dict(saved)
    for group in o.param_groups:
        group["lr"] = 0.25
    assert ours.StepLR(o, 1).base_lrs == [0.25, 0.25]


def test_restarts_that_are_set():
    o = make()
    ours.CosineAnnealingWarmRestarts(o, 4).step(2)
    assert ours.StepLR(o, 1).base_lrs == pytest.approx([base / 2 for base in BASES])


def test_stepped_members_keep_their_base_rates():
    o = make()
    first = stepped(ours.StepLR(o, 1, 0.5))
    assert ours.SequentialLR(o, [first, ours.ReduceLROnPlateau(o)], [9]).base_lrs == list(BASES)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies_of_an_optimizer(copied):
    o = make()
    stepped(ours.StepLR(o, 1, 0.5))
    assert ours.StepLR(copied(o), 1).base_lrs == [base / 8 for base in BASES]


def test_optimizers_of_torch_and_others():
    class Slots:
        __slots__ = ("param_groups",)

    pytest.importorskip("torch")
    o = make(package=__import__("torch").optim)
    stepped(ours.StepLR(o, 1, 0.5))
    assert ours.StepLR(o, 1).base_lrs == [base / 8 for base in BASES]
    assert set(o.state_dict()["param_groups"][0]) == set(make(package=__import__("torch").optim).param_groups[0]) | {
        "initial_lr"
    }
    o = Slots()
    o.param_groups = [{"lr": 1.0}]
    stepped(ours.StepLR(o, 1, 0.5))
    assert ours.StepLR(o, 1).base_lrs == [1.0]  # nothing can be noted there, so as in PyTorch


def make_trainer(optimizer, model, schedule=None):
    return Trainer(model, nn.CrossEntropyLoss(), optimizer, schedule)


@pytest.mark.parametrize("between", [None, "lr_find", "fit_one_cycle"])
@pytest.mark.parametrize("trained", [False, True])
def test_trainers_one_after_another(trained, between):
    """The second trainer's schedule begins at the rate that the first one left, whatever was tried in between."""
    fastnn.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 2))
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    first = make_trainer(optimizer, model, ours.ConstantLR(optimizer, 0.5, 100))
    if trained:
        first.fit(DATA, epochs=2, verbose=False)
    if between == "lr_find":
        first.lr_find(DATA, num_it=4)
    elif between == "fit_one_cycle":
        first.fit_one_cycle(DATA, max_lr=0.3, verbose=False)
    assert rates(optimizer) == [0.05]
    schedule = ours.ExponentialLR(optimizer, 0.9)
    assert schedule.base_lrs == [0.05 if trained else 0.1]
    history = make_trainer(optimizer, model, schedule).fit(DATA, batch_size=32, verbose=False)
    assert history.steps["lr"] == pytest.approx([schedule.base_lrs[0] * 0.9**i for i in range(2)])


def test_trainers_without_a_schedule_of_their_own():
    fastnn.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 2))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    make_trainer(optimizer, model, ours.ConstantLR(optimizer, 0.5, 100)).fit(DATA, verbose=False)
    make_trainer(optimizer, model).lr_find(DATA, num_it=4)
    assert ours.ExponentialLR(optimizer, 0.9).base_lrs == [0.05]
