"""Layers with explicit backward: `y, backward = layer(x)`, then `dx = backward(dy)`. A training step reads:

    logits, backward = model(x)
    loss, dlogits = criterion(logits, labels)
    backward(dlogits, input_grad=False)
    optimizer.step()
    optimizer.zero_grad()

where `input_grad=False` skips the gradient with respect to x, which is not needed.
"""

from fastnn._parameter import Parameter
from fastnn.nn.activation import ELU, GELU, LeakyReLU, ReLU, Sigmoid, SiLU, Softplus, Tanh
from fastnn.nn.container import Sequential
from fastnn.nn.layers import Dropout, Linear
from fastnn.nn.loss import CrossEntropyLoss
from fastnn.nn.module import Backward, LoadResult, Module
from fastnn.nn.norm import BatchNorm1d, BatchNorm2d, LayerNorm
from fastnn.nn.pool import MaxPool2d

__all__ = [
    "ELU",
    "GELU",
    "Backward",
    "BatchNorm1d",
    "BatchNorm2d",
    "CrossEntropyLoss",
    "Dropout",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LoadResult",
    "MaxPool2d",
    "Module",
    "Parameter",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Tanh",
]
