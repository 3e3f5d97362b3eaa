"""Schedules with options, each as a function of a module and an optimizer: the table for all schedule tests."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from support import Array

from fastnn import optim

STEPS = 1000
BASES = (0.1, 0.03)


def make(kind: str = "SGD", package: Any = optim, bases: Sequence[float] = BASES) -> Any:
    """Return an optimizer of this library or of torch, with one group per base rate."""
    groups = [{"params": [np.zeros(1)], "lr": lr} for lr in bases]
    if package is not optim:
        torch = pytest.importorskip("torch")
        groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in bases]
    options = {"momentum": 0.5} if kind == "SGD" else {"betas": (0.5, 0.9)}
    return getattr(package, kind)(groups, lr=1.0, **options)


def wave(step: int) -> float:
    """Return a factor for LambdaLR."""
    return 1 / (1 + step % 7)


def cosine(base: float, done: float) -> float:
    return 1e-3 + (base - 1e-3) * (1 + math.cos(math.pi * min(1.0, done))) / 2


# Schedules that torch has, too: (module, optimizer, **last_epoch) -> schedule.
TORCHS: dict[str, Callable[..., Any]] = {
    "Lambda": lambda s, o, **k: s.LambdaLR(o, wave, **k),
    "Lambda-list": lambda s, o, **k: s.LambdaLR(o, [wave, math.sqrt], **k),
    "Step": lambda s, o, **k: s.StepLR(o, 30, 0.7, **k),
    "Step-1": lambda s, o, **k: s.StepLR(o, 1, 1.003, **k),
    "MultiStep": lambda s, o, **k: s.MultiStepLR(o, [0, 2, 500, 500, 998], **k),
    "Constant": lambda s, o, **k: s.ConstantLR(o, **k),
    "Constant-1": lambda s, o, **k: s.ConstantLR(o, 0.1, 1, **k),
    "Linear-1": lambda s, o, **k: s.LinearLR(o, 0.01, 0.5, 1, **k),
    "Linear-down": lambda s, o, **k: s.LinearLR(o, 1.0, 0.0, 990, **k),
    "Linear-long": lambda s, o, **k: s.LinearLR(o, 1e-3, 0.9, 2000, **k),
    "Exponential": lambda s, o, **k: s.ExponentialLR(o, 0.99, **k),
    "Polynomial": lambda s, o, **k: s.PolynomialLR(o, **k),
    "Polynomial-power": lambda s, o, **k: s.PolynomialLR(o, 900, 2.5, **k),
    "Cosine": lambda s, o, **k: s.CosineAnnealingLR(o, 50, **k),
    "Cosine-min": lambda s, o, **k: s.CosineAnnealingLR(o, 1, 0.05, **k),
    "Cosine-long": lambda s, o, **k: s.CosineAnnealingLR(o, STEPS, 1e-4, **k),
    "Restarts-1": lambda s, o, **k: s.CosineAnnealingWarmRestarts(o, 1, 1, 0.01, **k),
    "Restarts-3": lambda s, o, **k: s.CosineAnnealingWarmRestarts(o, 4, 3, 1e-3, **k),
    "Cyclic": lambda s, o, **k: s.CyclicLR(o, 0.01, 0.2, 20, **k),
    "Cyclic-lists": lambda s, o, **k: s.CyclicLR(o, [0.01, 0.02], [0.2, 0.01], 3, 11, cycle_momentum=False, **k),
    "Cyclic-2": lambda s, o, **k: s.CyclicLR(o, 0.01, 0.2, 5, mode="triangular2", base_momentum=[0.1, 0.2], **k),
    "Cyclic-exp": lambda s, o, **k: s.CyclicLR(o, 0.0, 0.2, 1, 1, mode="exp_range", gamma=0.99, **k),
    "Cyclic-fn": lambda s, o, **k: s.CyclicLR(o, 0.01, 0.2, 8, scale_fn=wave, scale_mode="iterations", **k),
    "OneCycle": lambda s, o, **k: s.OneCycleLR(o, 0.5, STEPS + 1, **k),
    "OneCycle-epochs": lambda s, o, **k: s.OneCycleLR(o, [0.5, 0.1], epochs=91, steps_per_epoch=11, **k),
    "OneCycle-linear": lambda s, o, **k: s.OneCycleLR(o, 0.5, 700, anneal_strategy="linear", pct_start=0.77, **k),
    "OneCycle-3": lambda s, o, **k: s.OneCycleLR(o, 0.5, 999, three_phase=True, div_factor=3, **k),
    "OneCycle-3-linear": lambda s, o, **k: s.OneCycleLR(o, 0.5, 50, None, None, 0.6, "linear", three_phase=True, **k),
    "OneCycle-short": lambda s, o, **k: s.OneCycleLR(o, 0.5, 1, max_momentum=[0.7, 0.9], **k),
    "OneCycle-peak-last": lambda s, o, **k: s.OneCycleLR(o, 0.5, 60, pct_start=1.0, cycle_momentum=False, **k),
    "OneCycle-peak-first": lambda s, o, **k: s.OneCycleLR(o, 0.5, 60, pct_start=0.0, final_div_factor=2.0, **k),
    "Seq": lambda s, o, **k: s.SequentialLR(o, [s.LinearLR(o), s.CosineAnnealingLR(o, 3), s.StepLR(o, 9)], [5, 9], **k),
    "Seq-closed": lambda s, o, **k: s.SequentialLR(
        o, [s.LambdaLR(o, [wave, math.sqrt]), s.CosineAnnealingWarmRestarts(o, 7), s.PolynomialLR(o, 20)], [1, 300], **k
    ),
    "Bases": lambda s, o, **k: s.SequentialLR(o, [s.StepLR(o, 2), s.LinearLR(o), s.OneCycleLR(o, 1, 999)], [6, 9], **k),
    "Seq3": lambda s, o, **k: s.SequentialLR(o, [s.StepLR(o, 3), s.CyclicLR(o, 0, 1, 7), s.StepLR(o, 9)], [3, 95], **k),
    "Chained": lambda s, o, **k: s.ChainedScheduler(
        [s.LinearLR(o, 0.1, **k), s.ExponentialLR(o, 0.99, **k), s.ConstantLR(o, 0.5, 90, **k)], o
    ),
    "Chained-steps": lambda s, o, **k: s.ChainedScheduler([s.StepLR(o, 40, 0.9, **k), s.MultiStepLR(o, [5, 5], **k)]),
    "Chained-cosine": lambda s, o, **k: s.ChainedScheduler(
        [s.CosineAnnealingLR(o, STEPS, **k), s.PolynomialLR(o, 1100, 0.5, **k), s.LinearLR(o, **k)]
    ),
}
OWN: dict[str, Callable[..., Any]] = {
    "InverseTime": lambda s, o, **k: s.InverseTimeLR(o, 0.3, **k),
    "InverseTime-stairs": lambda s, o, **k: s.InverseTimeLR(o, 0.3, 10, True, **k),
    "InverseSqrt": lambda s, o, **k: s.InverseSqrtLR(o, 40, **k),
    "Manual": lambda s, o, **k: s.ManualLR(o, {300: 0.0, 5: 0.7}, **k),
    "Seq-nested": lambda s, o, **k: s.SequentialLR(
        o, [TORCHS["Chained"](s, o), TORCHS["Seq"](s, o), TORCHS["Seq-closed"](s, o)], [20, 300], **k
    ),
    "Chain-Lambda": lambda s, o, **k: s.ChainedScheduler([s.StepLR(o, 9, **k), s.LambdaLR(o, [wave, math.sqrt], **k)]),
    "warmup_cosine": lambda s, o, **k: s.warmup_cosine(o, 20, 200, eta_min=1e-3),
}
PURE = TORCHS | OWN
# In "Bases", OneCycleLR replaces the first "initial_lr".
NO_LAST_EPOCH = ("warmup_cosine", "Bases")


def values(optimizer: Any) -> list[float]:
    """Return the values that a schedule may set: rates and momenta of all groups."""
    groups = optimizer.param_groups
    return [g["lr"] for g in groups] + [g["betas"][0] if "betas" in g else g["momentum"] for g in groups]


def snapshot(optimizer: Any) -> list[dict[str, Any]]:
    """Return all groups without their parameters."""
    return [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]


def run(schedule: Any, steps: int, step_optimizer: bool = False) -> Array:
    """Return the optimizer's values before and after each step of the schedule, as (steps + 1, values)."""
    rows = [values(schedule.optimizer)]
    for _ in range(steps):
        if step_optimizer:
            schedule.optimizer.step()
        schedule.step()
        assert schedule.get_last_lr() == [group["lr"] for group in schedule.optimizer.param_groups]
        rows.append(values(schedule.optimizer))
    return np.array(rows)
