"""Activations and dropout."""

from functools import partial
from typing import Any

import numpy as np

from fastnn import functional as F
from fastnn._types import AnyArray
from fastnn.benchmark.case import Agree, Arrays, Case, Side, close, normal_array, operation, tensors_of


@operation("relu")
def activation(n: int, torch: Any) -> Case:
    """max(x, 0)."""
    x = normal_array(n)
    sides: dict[str, Side] = {"fastnn": lambda: F.relu(x), "numpy": lambda: np.maximum(x, 0)}
    if torch is not None:
        sides["torch"] = torch.from_numpy(x).relu
    return Case(n, (0, 1, 1), sides, close)


@operation("relu backward")
def activation_backward(n: int, torch: Any) -> Case:
    """dy where x > 0."""
    x, dy = normal_array(n), normal_array(n, seed=1)
    sides: dict[str, Side] = {"fastnn": lambda: F.relu_backward(dy, x), "numpy": lambda: dy * (x > 0)}
    if torch is not None:
        kernel, tensors = torch.ops.aten.threshold_backward, tensors_of(torch, dy, x)
        sides["torch"] = lambda: kernel(*tensors, 0)
    return Case(n, (0, 1, 2), sides, close)


@operation("bias + tanh")
def bias_activation(n: int, torch: Any) -> Case:
    """tanh(x + bias), rows of 512."""
    x, bias = normal_array(n // 512, 512), normal_array(512, seed=1)
    sides: dict[str, Side] = {"fastnn": lambda: F.bias_activation(x, bias, "tanh"), "numpy": lambda: np.tanh(x + bias)}
    if torch is not None:
        t, b = tensors_of(torch, x, bias)
        sides["torch"] = lambda: torch.tanh(t + b)
    return Case(n, (0, 1, 1), sides, close)


@operation("bias + tanh backward")
def bias_activation_backward(n: int, torch: Any) -> Case:
    """dx and dbias of rows of 512. The other sides compute the gradient from the output, which they have kept."""
    x, dy, bias = normal_array(n // 512, 512), normal_array(n // 512, 512, seed=1), normal_array(512, seed=2)
    y = np.tanh(x + bias)

    def numpy_side() -> tuple[AnyArray, AnyArray]:
        dx = np.square(y)
        np.subtract(1, dx, out=dx)
        dx *= dy
        return dx, dx.sum(0)

    sides: dict[str, Side] = {
        "fastnn": lambda: F.bias_activation_backward(dy, x, bias, "tanh"),
        "numpy": numpy_side,
    }
    if torch is not None:
        kernel, tensors = torch.ops.aten.tanh_backward, tensors_of(torch, dy, y)

        def torch_side() -> object:
            dx = kernel(*tensors)
            return dx, dx.sum(0)

        sides["torch"] = torch_side
    return Case(n, (0, 1, 2), sides, close)


@operation("dropout")
def dropout(n: int, torch: Any) -> Case:
    """Inverted dropout, p = 0.5, a new mask in every call."""
    x, rng = normal_array(n), np.random.default_rng(0)

    def numpy_side() -> AnyArray:
        y: AnyArray = x * (rng.random(n, dtype=np.float32) >= 0.5)
        y *= 2
        return y

    sides: dict[str, Side] = {"fastnn": lambda: F.dropout(x, 0.5), "numpy": numpy_side}
    if torch is not None:
        sides["torch"] = partial(torch.dropout, torch.from_numpy(x), 0.5, True)
    return Case(n, (0, 1, 1), sides, _half_dropped(x))


@operation("dropout backward")
def dropout_backward(n: int, torch: Any) -> Case:
    """The same mask on the gradient: drawn again by fastnn, stored by the others."""
    dy = normal_array(n)
    mask = F.dropout(dy, 0.5, return_mask=True)[1]
    stored = np.random.default_rng(0).random(n, dtype=np.float32) >= 0.5

    def numpy_side() -> AnyArray:
        dx: AnyArray = dy * stored
        dx *= 2
        return dx

    sides: dict[str, Side] = {"fastnn": lambda: F.dropout_backward(dy, mask), "numpy": numpy_side}
    if torch is not None:
        kernel, tensors = torch.ops.aten.native_dropout_backward, tensors_of(torch, dy, stored)
        sides["torch"] = lambda: kernel(*tensors, 2.0)
    return Case(n, (0, 1, 1), sides, _half_dropped(dy))


@operation("dropout2d")
def dropout2d(n: int, torch: Any) -> Case:
    """Channels of 64 elements, dropped whole with p = 0.5."""
    x, rng = normal_array(n // 4096, 64, 8, 8), np.random.default_rng(0)

    def numpy_side() -> AnyArray:
        keep = rng.random((*x.shape[:2], 1, 1), dtype=np.float32) >= 0.5
        y: AnyArray = x * (2 * keep.astype(np.float32))
        return y

    sides: dict[str, Side] = {"fastnn": lambda: F.dropout2d(x, 0.5), "numpy": numpy_side}
    if torch is not None:
        sides["torch"] = partial(torch.feature_dropout, torch.from_numpy(x), 0.5, True)
    return Case(n, (0, 1, 1), sides, _half_dropped(x, 64))


@operation("alpha_dropout")
def alpha_dropout(n: int, torch: Any) -> Case:
    """p = 0.5. Dropped elements become the value that SELU gives far below zero; mean and variance are kept."""
    x, rng = normal_array(n), np.random.default_rng(0)
    alpha = np.float32(-1.7580993408473766)
    scale = (0.5 + 0.25 * alpha**2) ** np.float32(-0.5)
    shift = -scale * alpha * np.float32(0.5)

    def numpy_side() -> AnyArray:
        y = np.where(rng.random(n, dtype=np.float32) >= 0.5, x, alpha)
        y *= scale
        y += shift
        return y

    def agree(got: Arrays, _: Arrays) -> None:
        kept = np.abs(got[0] - (scale * alpha + shift)) > 1e-6
        np.testing.assert_allclose(got[0][kept], scale * x[kept] + shift, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(kept.mean(), 0.5, atol=3 / np.sqrt(n))

    sides: dict[str, Side] = {"fastnn": lambda: F.alpha_dropout(x, 0.5), "numpy": numpy_side}
    if torch is not None:
        sides["torch"] = partial(torch.alpha_dropout, torch.from_numpy(x), 0.5, True)
    return Case(n, (0, 1, 1), sides, agree)


def _half_dropped(x: AnyArray, run: int = 1) -> Agree:
    """Require 0 or 2 * x in every place, and half of the places each; `run` elements are dropped together."""

    def agree(got: Arrays, _: Arrays) -> None:
        kept = got[0] != 0
        np.testing.assert_array_equal(got[0][kept], 2 * x[kept])
        np.testing.assert_allclose(kept.mean(), 0.5, atol=3 / np.sqrt(kept.size / run))

    return agree
