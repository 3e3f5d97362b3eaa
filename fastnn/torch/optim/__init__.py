"""The optimizers of torch.optim, and Lion, stepped by the kernels of `fastnn.optim`."""

from fastnn.torch.optim.as_torch import as_torch
from fastnn.torch.optim.classes import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, Lion, NAdam, RAdam, RMSprop
from fastnn.torch.optim.optimizer import Optimizer

__all__ = [
    "SGD",
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
    "as_torch",
]
