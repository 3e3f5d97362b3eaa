"""Learning-rate schedules, with PyTorch's names, argument order and defaults, and three that PyTorch lacks.

All but `ReduceLROnPlateau` are pure functions of the step: a schedule resumed at any step continues with the same bits.
This leads to differences from PyTorch, whose schedules multiply the current rate: rates that are set from outside have
no effect on later steps, `last_epoch=k` sets the rates of step k + 1 whatever the optimizer's rates are, and the
deprecated `step(epoch)` is absent. Other differences are documented in the classes.
"""

from fastnn.optim.lr_scheduler.base import LRScheduler
from fastnn.optim.lr_scheduler.composed import ChainedScheduler, SequentialLR, warmup_cosine
from fastnn.optim.lr_scheduler.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from fastnn.optim.lr_scheduler.cyclic import CyclicLR
from fastnn.optim.lr_scheduler.decay import (
    ConstantLR,
    ExponentialLR,
    InverseSqrtLR,
    InverseTimeLR,
    LinearLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from fastnn.optim.lr_scheduler.manual import LambdaLR, ManualLR
from fastnn.optim.lr_scheduler.onecycle import OneCycleLR
from fastnn.optim.lr_scheduler.plateau import ReduceLROnPlateau

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "InverseSqrtLR",
    "InverseTimeLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "ManualLR",
    "MultiStepLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
    "warmup_cosine",
]
