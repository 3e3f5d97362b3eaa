"""Layers with explicit backward: `y, backward = layer(x)`, then `dx = backward(dy)`. A training step reads:

    logits, backward = model(x)
    loss, dlogits = criterion(logits, labels)
    backward(dlogits, input_grad=False)
    optimizer.step()
    optimizer.zero_grad()

where `input_grad=False` skips the gradient with respect to x, which is not needed.
"""

from fastnn._parameter import Parameter
from fastnn.nn.activation import ELU, GELU, LeakyReLU, LogSoftmax, ReLU, Sigmoid, SiLU, Softmax, Softplus, Tanh
from fastnn.nn.container import ModuleDict, ModuleList, Residual, Sequential
from fastnn.nn.layers import Dropout, Linear
from fastnn.nn.loss import (
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    GaussianNLLLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    Loss,
    MSELoss,
    NLLLoss,
    SmoothL1Loss,
)
from fastnn.nn.module import Backward, LoadResult, Module
from fastnn.nn.norm import BatchNorm1d, BatchNorm2d, LayerNorm
from fastnn.nn.pool import MaxPool2d
from fastnn.nn.shape import Flatten, Identity

__all__ = [
    "ELU",
    "GELU",
    "BCEWithLogitsLoss",
    "Backward",
    "BatchNorm1d",
    "BatchNorm2d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "GaussianNLLLoss",
    "HuberLoss",
    "Identity",
    "KLDivLoss",
    "L1Loss",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LoadResult",
    "LogSoftmax",
    "Loss",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "NLLLoss",
    "Parameter",
    "ReLU",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "Softmax",
    "Softplus",
    "Tanh",
]
