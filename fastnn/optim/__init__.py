"""Optimizers and learning-rate schedules, with PyTorch's names, argument order and defaults."""

from fastnn.optim import lr_scheduler
from fastnn.optim.adam import Adam, AdamW
from fastnn.optim.optimizer import Optimizer
from fastnn.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler"]
