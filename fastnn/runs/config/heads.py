"""What a loss needs of the end of a network: the number of outputs, and layers after the last Linear."""

from typing import Any

import numpy as np

from fastnn import functional as F
from fastnn import nn
from fastnn._types import Array
from fastnn.nn.module import Backward

LOGARITHMS = (nn.NLLLoss, nn.KLDivLoss)
"""Losses of logarithms of probabilities."""


class MeanVariance(nn.Module):
    """Split outputs (N, 2 K) into a mean (N, K), the first half, and a variance > 0, the softplus of the second.

    It ends a network for `GaussianNLLLoss`.
    """

    def __call__(self, x: Array) -> tuple[Any, Backward]:
        """x: (N, 2 K); the result is (mean, variance), each (N, K), and so is the argument of the closure.

        Raises:
            ValueError: the number of columns is odd.
        """
        if x.ndim != 2 or x.shape[1] % 2:
            raise ValueError(f"x: got shape {x.shape}, want (N, 2 K), a mean and a variance for each target")
        columns = x.shape[1] // 2
        mean, raw = (np.ascontiguousarray(half) for half in (x[:, :columns], x[:, columns:]))

        def backward(dy: Any, input_grad: bool = True) -> Array | None:
            return np.concatenate([dy[0], F.softplus_backward(dy[1], raw)], axis=1) if input_grad else None

        return (mean, F.softplus(raw)), backward


def outputs(loss: Any, y: Any) -> int:
    """Return the number of outputs of a network for these targets."""
    columns = y.shape[1] if y.ndim > 1 else 1 if y.dtype.kind == "f" else int(y.max()) + 1
    return max(columns, 1) * (2 if issubclass(loss, nn.GaussianNLLLoss) else 1)


def head(loss: Any, is_short: bool) -> list[nn.Module]:
    """Return the layers that end a network for a class of losses; the short form also gets logarithms."""
    if issubclass(loss, nn.GaussianNLLLoss):
        return [MeanVariance()]
    return [nn.LogSoftmax()] if is_short and issubclass(loss, LOGARITHMS) else []
