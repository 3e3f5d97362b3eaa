"""What is benchmarked: each operation as a user of fastnn, of NumPy and of PyTorch would call it, in float32.

Results are fresh arrays in every call, as in a user's program; only what every side does in place is in place.
PyTorch comes in its modes; for a backward pass its kernel is called without autograd, which is its best.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastnn import functional as F
from fastnn import init, optim
from fastnn.benchmark import numpy_rivals

Array = npt.NDArray[Any]
Arrays = Sequence[Array]
Side = Callable[[], object]
Agree = Callable[[Arrays, Arrays], None]
Pattern = tuple[int, int, int]
"""How many arrays an operation updates (reads and writes), only writes, and only reads."""


class Case(NamedTuple):
    """One operation at one size, done by several sides.

    `sides` maps "fastnn", "numpy" and, with torch, "torch" and its modes to a call; `agree(got, want)` raises
    AssertionError unless the arrays one side returned agree with those of fastnn.
    """

    elements: int
    pattern: Pattern
    sides: dict[str, Side]
    agree: Agree

    @property
    def bytes(self) -> int:
        """The least traffic: each array once in and once out, as far as the operation reads and writes it."""
        updated, written, read = self.pattern
        return 4 * self.elements * (2 * updated + written + read)


def adamw(n: int, torch: Any, tensors: int = 1) -> Case:
    """One optimizer step over `tensors` parameters of `n` elements in all."""
    values, grads = _normal(tensors, n // tensors), list(_normal(tensors, n // tensors, seed=1))
    ours, theirs = list(values.copy()), list(values.copy())
    optimizer = optim.AdamW(ours, lr=1e-3)
    moments = list(np.zeros_like(values)), list(np.zeros_like(values))
    steps = 0

    def numpy_step() -> object:
        nonlocal steps
        steps += 1
        numpy_rivals.adamw_step(theirs, grads, *moments, steps)
        return theirs

    sides: dict[str, Side] = {"fastnn": _stepping(optimizer, ours, grads), "numpy": numpy_step}
    return Case(n, (3, 0, 1), sides | _torch_optimizers(torch, "AdamW", values, grads), _close)


def sgd(n: int, torch: Any, momentum: float = 0.9, tensors: int = 1) -> Case:
    """One step of SGD; without momentum it touches the parameter alone."""
    values, grads = _normal(tensors, n // tensors), list(_normal(tensors, n // tensors, seed=1))
    ours, theirs, buffers = list(values.copy()), list(values.copy()), list(np.zeros_like(values))
    optimizer = optim.SGD(ours, lr=1e-3, momentum=momentum)

    def numpy_step() -> object:
        numpy_rivals.sgd_step(theirs, grads, buffers, momentum)
        return theirs

    sides: dict[str, Side] = {"fastnn": _stepping(optimizer, ours, grads), "numpy": numpy_step}
    rivals = _torch_optimizers(torch, "SGD", values, grads, momentum=momentum)
    return Case(n, (2 if momentum else 1, 0, 1), sides | rivals, _close)


def relu(n: int, torch: Any) -> Case:
    """max(x, 0)."""
    x = _normal(n)
    sides: dict[str, Side] = {"fastnn": lambda: F.relu(x), "numpy": lambda: np.maximum(x, 0)}
    if torch is not None:
        sides["torch"] = torch.from_numpy(x).relu
    return Case(n, (0, 1, 1), sides, _close)


def relu_backward(n: int, torch: Any) -> Case:
    """dy where x > 0."""
    x, dy = _normal(n), _normal(n, seed=1)
    sides: dict[str, Side] = {"fastnn": lambda: F.relu_backward(dy, x), "numpy": lambda: dy * (x > 0)}
    if torch is not None:
        kernel, tensors = torch.ops.aten.threshold_backward, _tensors(torch, dy, x)
        sides["torch"] = lambda: kernel(*tensors, 0)
    return Case(n, (0, 1, 2), sides, _close)


def dropout(n: int, torch: Any) -> Case:
    """Inverted dropout, p = 0.5, a fresh mask in every call."""
    x, rng = _normal(n), np.random.default_rng(0)
    sides: dict[str, Side] = {"fastnn": lambda: F.dropout(x, 0.5), "numpy": lambda: numpy_rivals.dropout(x, rng)}
    if torch is not None:
        sides["torch"] = partial(torch.dropout, torch.from_numpy(x), 0.5, True)
    return Case(n, (0, 1, 1), sides, _half_dropped(x))


def dropout_backward(n: int, torch: Any) -> Case:
    """The same mask on the gradient: drawn again by fastnn, stored by the others."""
    dy = _normal(n)
    mask = F.dropout(dy, 0.5, return_mask=True)[1]
    stored = np.random.default_rng(0).random(n, dtype=np.float32) >= 0.5
    sides: dict[str, Side] = {"fastnn": lambda: F.dropout_backward(dy, mask)}
    sides["numpy"] = lambda: numpy_rivals.dropout_backward(dy, stored)
    if torch is not None:
        kernel, tensors = torch.ops.aten.native_dropout_backward, _tensors(torch, dy, stored)
        sides["torch"] = lambda: kernel(*tensors, 2.0)
    return Case(n, (0, 1, 1), sides, _half_dropped(dy))


def layer_norm(n: int, torch: Any) -> Case:
    """Rows of 512."""
    x, weight, bias = _normal(n // 512, 512), _normal(512, seed=1), _normal(512, seed=2)
    sides: dict[str, Side] = {"fastnn": lambda: F.layer_norm(x, 512, weight, bias)}
    sides["numpy"] = lambda: numpy_rivals.norm(x, -1, weight, bias)
    if torch is not None:
        t, *affine = _tensors(torch, x, weight, bias)
        sides["torch"] = lambda: torch.layer_norm(t, (512,), *affine)
    return Case(n, (0, 1, 1), sides, _close)


def layer_norm_backward(n: int, torch: Any) -> Case:
    """dx, dweight and dbias of rows of 512."""
    x, dy, weight = _normal(n // 512, 512), _normal(n // 512, 512, seed=1), _normal(512, seed=2)
    _, mean, rstd = F.layer_norm(x, 512, weight, return_stats=True)
    m, r = mean[:, None].astype(np.float32), rstd[:, None].astype(np.float32)
    sides: dict[str, Side] = {
        "fastnn": lambda: F.layer_norm_backward(dy, x, weight, mean, rstd),
        "numpy": lambda: numpy_rivals.norm_backward(dy, x, -1, 0, weight, m, r),
    }
    if torch is not None:
        kernel = torch.ops.aten.native_layer_norm_backward
        tdy, tx, tm, tr, w = _tensors(torch, dy, x, m, r, weight)
        sides["torch"] = lambda: kernel(tdy, tx, (512,), tm, tr, w, w, (True, True, True))
    return Case(n, (0, 1, 2), sides, _close)


def batch_norm(n: int, torch: Any, image: bool = False) -> Case:
    """Training forward, running statistics included, over (N, 256), or (N, 64, H, W) images."""
    shape, axes, cast = _batch_shape(n, image)
    x, weight, bias = _normal(*shape), _normal(shape[1], seed=1), _normal(shape[1], seed=2)
    ours, theirs, peers = ([np.zeros(shape[1], np.float32), np.ones(shape[1], np.float32)] for _ in range(3))

    def numpy_batch_norm() -> object:
        numpy_rivals.track(theirs, x, axes)
        return numpy_rivals.norm(x, axes, weight.reshape(cast), bias.reshape(cast))

    sides: dict[str, Side] = {
        "fastnn": lambda: F.batch_norm(x, ours[0], ours[1], weight, bias, training=True),
        "numpy": numpy_batch_norm,
    }
    if torch is not None:
        tensors = _tensors(torch, x, weight, bias, *peers)
        sides["torch"] = lambda: torch.batch_norm(*tensors, True, 0.1, 1e-5, False)
    return Case(n, (0, 1, 1), sides, _close)


def batch_norm_backward(n: int, torch: Any, image: bool = False) -> Case:
    """dx, dweight and dbias of training."""
    shape, axes, cast = _batch_shape(n, image)
    x, dy, weight = _normal(*shape), _normal(*shape, seed=1), _normal(shape[1], seed=2)
    _, mean, rstd = F.batch_norm(x, weight=weight, training=True, return_stats=True)
    m, r = mean.astype(np.float32), rstd.astype(np.float32)
    columns = [array.reshape(cast) for array in (weight, m, r)]
    sides: dict[str, Side] = {
        "fastnn": lambda: F.batch_norm_backward(dy, x, weight, mean, rstd),
        "numpy": lambda: numpy_rivals.norm_backward(dy, x, axes, axes, *columns),
    }
    if torch is not None:
        kernel = torch.ops.aten.native_batch_norm_backward
        tdy, tx, w, tm, tr = _tensors(torch, dy, x, weight, m, r)
        sides["torch"] = lambda: kernel(tdy, tx, w, None, None, tm, tr, True, 1e-5, (True, True, True))
    return Case(n, (0, 1, 2), sides, _close)


def softmax_cross_entropy(n: int, torch: Any, classes: int = 1024) -> Case:
    """Mean loss and gradient of (n / classes, classes) logits."""
    logits = _normal(n // classes, classes)
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
    return Case(logits.size, (0, 1, 1), sides, _close)


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
    "SGD, momentum": sgd,
    "AdamW": adamw,
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


def _normal(*shape: int, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def _tensors(torch: Any, *arrays: Array) -> list[Any]:
    return [torch.from_numpy(array) for array in arrays]


def _torch_optimizers(torch: Any, name: str, values: Array, grads: Arrays, **options: float) -> dict[str, Side]:
    def side(**mode: bool) -> Side:
        params = [torch.tensor(value, requires_grad=True) for value in values]
        for param, grad in zip(params, grads, strict=True):
            param.grad = torch.from_numpy(grad)
        optimizer = getattr(torch.optim, name)(params, lr=1e-3, **options, **mode)
        return _stepping(optimizer, [param.detach() for param in params])

    modes = {"torch": {"foreach": False}, "torch foreach": {"foreach": True}, "torch fused": {"fused": True}}
    return {} if torch is None else {name: side(**mode) for name, mode in modes.items()}


def _stepping(optimizer: Any, result: object, *arguments: object) -> Side:
    return lambda: (optimizer.step(*arguments), result)[1]


def _batch_shape(n: int, image: bool) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    if not image:
        return (n // 256, 256), (0,), (1, 256)
    side = 8 if n < 1 << 20 else 32
    return (n // (64 * side * side), 64, side, side), (0, 2, 3), (1, 64, 1, 1)


def _close(got: Arrays, want: Arrays) -> None:
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * float(np.abs(b).max()))


def _half_dropped(x: Array) -> Agree:
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
