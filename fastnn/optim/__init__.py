"""Optimizers and learning-rate schedules, with PyTorch's names, argument order and defaults."""

from fastnn.optim import lr_scheduler
from fastnn.optim.adam import Adam, AdamW
from fastnn.optim.adam_variants import Adamax, NAdam, RAdam
from fastnn.optim.adaptive import Adadelta, AdaGrad, Adagrad, RMSprop
from fastnn.optim.clip import clip_grad_norm_, clip_grad_value_
from fastnn.optim.groups import no_decay_groups
from fastnn.optim.lion import Lion
from fastnn.optim.optimizer import Optimizer
from fastnn.optim.sgd import SGD

__all__ = [
    "SGD",
    "AdaGrad",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "clip_grad_norm_",
    "clip_grad_value_",
    "lr_scheduler",
    "no_decay_groups",
]
