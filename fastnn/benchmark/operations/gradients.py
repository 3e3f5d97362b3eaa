"""Passes over gradients."""

import math
from typing import Any

import numpy as np

from fastnn import _core, optim
from fastnn._types import AnyArray
from fastnn.benchmark.case import Arrays, Case, Side, close, normal_array, operation


def nearly(got: Arrays, want: Arrays) -> None:
    """Raise AssertionError unless numbers agree to 0.1 %: torch's float32 norm of 16M elements is 0.065 % off."""
    np.testing.assert_allclose(got, want, rtol=1e-3)


@operation("norm of a gradient")
def sum_squares(n: int, torch: Any) -> Case:
    """The root of the sum of squares, as `clip_grad_norm_` takes it."""
    grad = normal_array(n)
    sides: dict[str, Side] = {
        "fastnn": lambda: optim.clip_grad_norm_([grad], math.inf),
        "numpy": lambda: np.sqrt(np.vdot(grad, grad)),
    }
    if torch is not None:
        t = torch.from_numpy(grad)
        sides["torch"] = lambda: torch.linalg.vector_norm(t)
    return Case(n, (0, 0, 1), sides, nearly)


@operation("scaled gradient")
def scale(n: int, torch: Any) -> Case:
    """The gradient times a number, in place, as in `clip_grad_norm_`; it is -1, so that magnitudes stay the same."""
    ours, theirs = normal_array(n), normal_array(n)

    def fastnn_side() -> AnyArray:
        _core.scale([ours], ["grad"], -1.0)
        return ours

    sides: dict[str, Side] = {
        "fastnn": fastnn_side,
        "numpy": lambda: np.multiply(theirs, np.float32(-1), out=theirs),
    }
    if torch is not None:
        t = torch.from_numpy(normal_array(n))
        sides["torch"] = lambda: t.mul_(-1)
    return Case(n, (1, 0, 0), sides, close)


@operation("clip_grad_value_")
def clamp(n: int, torch: Any) -> Case:
    """Elements clamped to [-1, 1], in place."""
    ours, theirs = normal_array(n), normal_array(n)

    def fastnn_side() -> AnyArray:
        optim.clip_grad_value_([ours], 1.0)
        return ours

    sides: dict[str, Side] = {"fastnn": fastnn_side, "numpy": lambda: np.clip(theirs, -1, 1, out=theirs)}
    if torch is not None:
        t = torch.from_numpy(normal_array(n))
        sides["torch"] = lambda: t.clamp_(-1, 1)
    return Case(n, (1, 0, 0), sides, close)
