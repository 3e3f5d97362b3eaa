"""Losses: called with the model's output and the targets, they return the loss and its gradient."""

from fastnn.nn.loss.base import Loss
from fastnn.nn.loss.classes import CrossEntropyLoss, NLLLoss
from fastnn.nn.loss.elementwise import BCEWithLogitsLoss, HuberLoss, KLDivLoss, L1Loss, MSELoss, SmoothL1Loss
from fastnn.nn.loss.gaussian import GaussianNLLLoss

__all__ = [
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "GaussianNLLLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "Loss",
    "MSELoss",
    "NLLLoss",
    "SmoothL1Loss",
]
