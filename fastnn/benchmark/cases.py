"""What is benchmarked: each operation as a user of fastnn, of NumPy and of PyTorch would call it, in float32.

Results are fresh arrays in every call, as in a user's program; only what every side does in place is in place.
PyTorch comes in its modes; for a backward pass its kernel is called without autograd, which is its best.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from fastnn import functional as F
from fastnn import init
from fastnn._types import AnyArray
from fastnn.benchmark import numpy_rivals
from fastnn.benchmark.case import Agree, Arrays, Case, Side, close, normal_array, tensors_of
from fastnn.benchmark.optim_cases import step_case


def relu(n: int, torch: Any) -> Case:
    """max(x, 0)."""
    x = normal_array(n)
    sides: dict[str, Side] = {"fastnn": lambda: F.relu(x), "numpy": lambda: np.maximum(x, 0)}
    if torch is not None:
        sides["torch"] = torch.from_numpy(x).relu
    return Case(n, (0, 1, 1), sides, close)


def relu_backward(n: int, torch: Any) -> Case:
    """dy where x > 0."""
    x, dy = normal_array(n), normal_array(n, seed=1)
    sides: dict[str, Side] = {"fastnn": lambda: F.relu_backward(dy, x), "numpy": lambda: dy * (x > 0)}
    if torch is not None:
        kernel, tensors = torch.ops.aten.threshold_backward, tensors_of(torch, dy, x)
        sides["torch"] = lambda: kernel(*tensors, 0)
    return Case(n, (0, 1, 2), sides, close)


def dropout(n: int, torch: Any) -> Case:
    """Inverted dropout, p = 0.5, a fresh mask in every call."""
    x, rng = normal_array(n), np.random.default_rng(0)
    sides: dict[str, Side] = {"fastnn": lambda: F.dropout(x, 0.5), "numpy": lambda: numpy_rivals.dropout(x, rng)}
    if torch is not None:
        sides["torch"] = partial(torch.dropout, torch.from_numpy(x), 0.5, True)
    return Case(n, (0, 1, 1), sides, _half_dropped(x))


def dropout_backward(n: int, torch: Any) -> Case:
    """The same mask on the gradient: drawn again by fastnn, stored by the others."""
    dy = normal_array(n)
    mask = F.dropout(dy, 0.5, return_mask=True)[1]
    stored = np.random.default_rng(0).random(n, dtype=np.float32) >= 0.5
    sides: dict[str, Side] = {"fastnn": lambda: F.dropout_backward(dy, mask)}
    sides["numpy"] = lambda: numpy_rivals.dropout_backward(dy, stored)
    if torch is not None:
        kernel, tensors = torch.ops.aten.native_dropout_backward, tensors_of(torch, dy, stored)
        sides["torch"] = lambda: kernel(*tensors, 2.0)
    return Case(n, (0, 1, 1), sides, _half_dropped(dy))


def layer_norm(n: int, torch: Any) -> Case:
    """Rows of 512."""
    x, weight, bias = normal_array(n // 512, 512), normal_array(512, seed=1), normal_array(512, seed=2)
    sides: dict[str, Side] = {"fastnn": lambda: F.layer_norm(x, 512, weight, bias)}
    sides["numpy"] = lambda: numpy_rivals.norm(x, -1, weight, bias)
    if torch is not None:
        t, *affine = tensors_of(torch, x, weight, bias)
        sides["torch"] = lambda: torch.layer_norm(t, (512,), *affine)
    return Case(n, (0, 1, 1), sides, close)


def layer_norm_backward(n: int, torch: Any) -> Case:
    """dx, dweight and dbias of rows of 512."""
    x, dy, weight = normal_array(n // 512, 512), normal_array(n // 512, 512, seed=1), normal_array(512, seed=2)
    _, mean, rstd = F.layer_norm(x, 512, weight, return_stats=True)
    m, r = mean[:, None].astype(np.float32), rstd[:, None].astype(np.float32)
    sides: dict[str, Side] = {
        "fastnn": lambda: F.layer_norm_backward(dy, x, weight, mean, rstd),
        "numpy": lambda: numpy_rivals.norm_backward(dy, x, -1, 0, weight, m, r),
    }
    if torch is not None:
        kernel = torch.ops.aten.native_layer_norm_backward
        tdy, tx, tm, tr, w = tensors_of(torch, dy, x, m, r, weight)
        sides["torch"] = lambda: kernel(tdy, tx, (512,), tm, tr, w, w, (True, True, True))
    return Case(n, (0, 1, 2), sides, close)


def batch_norm(n: int, torch: Any, image: bool = False) -> Case:
    """Training forward, running statistics included, over (N, 256), or (N, 64, H, W) images."""
    shape, axes, cast = _batch_shape(n, image)
    x, weight, bias = normal_array(*shape), normal_array(shape[1], seed=1), normal_array(shape[1], seed=2)
    ours, theirs, peers = ([np.zeros(shape[1], np.float32), np.ones(shape[1], np.float32)] for _ in range(3))

    def numpy_batch_norm() -> object:
        numpy_rivals.track(theirs, x, axes)
        return numpy_rivals.norm(x, axes, weight.reshape(cast), bias.reshape(cast))

    sides: dict[str, Side] = {
        "fastnn": lambda: F.batch_norm(x, ours[0], ours[1], weight, bias, training=True),
        "numpy": numpy_batch_norm,
    }
    if torch is not None:
        tensors = tensors_of(torch, x, weight, bias, *peers)
        sides["torch"] = lambda: torch.batch_norm(*tensors, True, 0.1, 1e-5, False)
    return Case(n, (0, 1, 1), sides, close)


def batch_norm_backward(n: int, torch: Any, image: bool = False) -> Case:
    """dx, dweight and dbias of training."""
    shape, axes, cast = _batch_shape(n, image)
    x, dy, weight = normal_array(*shape), normal_array(*shape, seed=1), normal_array(shape[1], seed=2)
    _, mean, rstd = F.batch_norm(x, weight=weight, training=True, return_stats=True)
    m, r = mean.astype(np.float32), rstd.astype(np.float32)
    columns = [array.reshape(cast) for array in (weight, m, r)]
    sides: dict[str, Side] = {
        "fastnn": lambda: F.batch_norm_backward(dy, x, weight, mean, rstd),
        "numpy": lambda: numpy_rivals.norm_backward(dy, x, axes, axes, *columns),
    }
    if torch is not None:
        kernel = torch.ops.aten.native_batch_norm_backward
        tdy, tx, w, tm, tr = tensors_of(torch, dy, x, weight, m, r)
        sides["torch"] = lambda: kernel(tdy, tx, w, None, None, tm, tr, True, 1e-5, (True, True, True))
    return Case(n, (0, 1, 2), sides, close)


def softmax_cross_entropy(n: int, torch: Any, classes: int = 1024) -> Case:
    """Mean loss and gradient of (n / classes, classes) logits."""
    logits = normal_array(n // classes, classes)
    labels = np.random.default_rng(1).integers(0, classes, len(logits))
    sides: dict[str, Side] = {
        "fastnn": lambda: F.softmax_cross_entropy(logits, labels),
        "numpy": lambda: numpy_rivals.softmax_cross_entropy(logits, labels),
    }
    if torch is not None:
        leaf, targets = torch.from_numpy(logits).requires_grad_(), torch.from_numpy(labels)

        def torch_loss() -> object:
            loss = torch.nn.functional.cross_entropy(leaf, targets)
            return loss.detach(), torch.autograd.grad(loss, leaf)[0]

        sides["torch"] = torch_loss
    return Case(logits.size, (0, 1, 1), sides, close)


def uniform(n: int, torch: Any) -> Case:
    """Fill a weight with values in [-0.1, 0.1)."""
    ours, theirs, rng = np.ones(n, np.float32), np.ones(n, np.float32), np.random.default_rng(0)
    sides: dict[str, Side] = {
        "fastnn": lambda: init.uniform_(ours, -0.1, 0.1),
        "numpy": lambda: numpy_rivals.uniform_(theirs, 0.1, rng),
    }
    if torch is not None:
        sides["torch"] = partial(torch.ones(n).uniform_, -0.1, 0.1)
    return Case(n, (0, 1, 0), sides, _moments(0.2 / math.sqrt(12)))


def normal(n: int, torch: Any) -> Case:
    """Fill a weight with normal values of standard deviation 0.1."""
    ours, theirs, rng = np.ones(n, np.float32), np.ones(n, np.float32), np.random.default_rng(0)
    sides: dict[str, Side] = {
        "fastnn": lambda: init.normal_(ours, 0.0, 0.1),
        "numpy": lambda: numpy_rivals.normal_(theirs, 0.1, rng),
    }
    if torch is not None:
        sides["torch"] = partial(torch.ones(n).normal_, 0.0, 0.1)
    return Case(n, (0, 1, 0), sides, _moments(0.1))


CASES: dict[str, Callable[[int, Any], Case]] = {
    "SGD, momentum": partial(step_case, "SGD", momentum=0.9),
    "AdamW": partial(step_case, "AdamW"),
    "relu": relu,
    "relu backward": relu_backward,
    "dropout": dropout,
    "dropout backward": dropout_backward,
    "layer_norm": layer_norm,
    "layer_norm backward": layer_norm_backward,
    "batch_norm": batch_norm,
    "batch_norm backward": batch_norm_backward,
    "batch_norm image": partial(batch_norm, image=True),
    "batch_norm image backward": partial(batch_norm_backward, image=True),
    "softmax_cross_entropy": softmax_cross_entropy,
    "init.uniform_": uniform,
    "init.normal_": normal,
}
"""Name -> make(elements, torch or None)."""


def _batch_shape(n: int, image: bool) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    if not image:
        return (n // 256, 256), (0,), (1, 256)
    side = 8 if n < 1 << 20 else 32
    return (n // (64 * side * side), 64, side, side), (0, 2, 3), (1, 64, 1, 1)


def _half_dropped(x: AnyArray) -> Agree:
    def agree(got: Arrays, _: Arrays) -> None:
        kept = got[0] != 0
        np.testing.assert_array_equal(got[0][kept], 2 * x[kept])
        np.testing.assert_allclose(kept.mean(), 0.5, atol=3 / math.sqrt(kept.size))

    return agree


def _moments(std: float) -> Agree:
    def agree(got: Arrays, _: Arrays) -> None:
        values = got[0].astype(np.float64)
        np.testing.assert_allclose(values.mean(), 0, atol=6 * std / math.sqrt(values.size))
        np.testing.assert_allclose(values.std(), std, rtol=6 / math.sqrt(values.size))

    return agree
