"""Softmax and losses. A loss comes with its gradient, the mean over rows or elements."""

from functools import partial
from typing import Any

import numpy as np

from fastnn import functional as F
from fastnn._types import AnyArray
from fastnn.benchmark.case import Case, Side, close, normal_array, operation, tensors_of


@operation("softmax")
def softmax(n: int, torch: Any) -> Case:
    """Rows of 512."""
    x = normal_array(n // 512, 512)

    def numpy_side() -> AnyArray:
        y: AnyArray = np.exp(x - x.max(1, keepdims=True))
        y /= y.sum(1, keepdims=True)
        return y

    sides: dict[str, Side] = {"fastnn": lambda: F.softmax(x), "numpy": numpy_side}
    if torch is not None:
        t = torch.from_numpy(x)
        sides["torch"] = lambda: torch.softmax(t, 1)
    return Case(n, (0, 1, 1), sides, close)


@operation("softmax backward")
def softmax_backward(n: int, torch: Any) -> Case:
    """From the output, rows of 512."""
    dy, y = normal_array(n // 512, 512), F.softmax(normal_array(n // 512, 512, seed=1))

    def numpy_side() -> AnyArray:
        dx: AnyArray = dy - (dy * y).sum(1, keepdims=True)
        dx *= y
        return dx

    sides: dict[str, Side] = {"fastnn": lambda: F.softmax_backward(dy, y), "numpy": numpy_side}
    if torch is not None:
        kernel, tensors = torch.ops.aten._softmax_backward_data, tensors_of(torch, dy, y)
        sides["torch"] = lambda: kernel(*tensors, 1, torch.float32)
    return Case(n, (0, 1, 2), sides, close)


@operation("log_softmax")
def log_softmax(n: int, torch: Any) -> Case:
    """Rows of 512."""
    x = normal_array(n // 512, 512)

    def numpy_side() -> AnyArray:
        y: AnyArray = x - x.max(1, keepdims=True)
        y -= np.log(np.exp(y).sum(1, keepdims=True))
        return y

    sides: dict[str, Side] = {"fastnn": lambda: F.log_softmax(x), "numpy": numpy_side}
    if torch is not None:
        t = torch.from_numpy(x)
        sides["torch"] = lambda: torch.log_softmax(t, 1)
    return Case(n, (0, 1, 1), sides, close)


@operation("log_softmax backward")
def log_softmax_backward(n: int, torch: Any) -> Case:
    """From the output, rows of 512."""
    dy, y = normal_array(n // 512, 512), F.log_softmax(normal_array(n // 512, 512, seed=1))

    def numpy_side() -> AnyArray:
        dx: AnyArray = np.exp(y)
        dx *= -dy.sum(1, keepdims=True)
        dx += dy
        return dx

    sides: dict[str, Side] = {"fastnn": lambda: F.log_softmax_backward(dy, y), "numpy": numpy_side}
    if torch is not None:
        kernel, tensors = torch.ops.aten._log_softmax_backward_data, tensors_of(torch, dy, y)
        sides["torch"] = lambda: kernel(*tensors, 1, torch.float32)
    return Case(n, (0, 1, 2), sides, close)


def numpy_softmax_cross_entropy(logits: AnyArray, labels: AnyArray) -> tuple[Any, AnyArray]:
    """Mean loss and its gradient, as a NumPy user writes it."""
    rows = np.arange(len(logits))
    shifted = logits - logits.max(1, keepdims=True)
    dlogits = np.exp(shifted)
    total = dlogits.sum(1, keepdims=True)
    loss = np.log(total).mean() - shifted[rows, labels].mean()
    dlogits /= total * np.float32(len(rows))
    dlogits[rows, labels] -= np.float32(1 / len(rows))
    return loss, dlogits


@operation("softmax_cross_entropy")
def softmax_cross_entropy(n: int, torch: Any, classes: int = 1024) -> Case:
    """(n / classes, classes) logits."""
    logits = normal_array(n // classes, classes)
    labels = np.random.default_rng(1).integers(0, classes, len(logits))
    sides: dict[str, Side] = {
        "fastnn": lambda: F.softmax_cross_entropy(logits, labels),
        "numpy": lambda: numpy_softmax_cross_entropy(logits, labels),
    }
    if torch is not None:
        sides["torch"] = _torch_loss(torch, torch.nn.functional.cross_entropy, logits, labels)
    return Case(logits.size, (0, 1, 1), sides, close)


@operation("softmax_cross_entropy, probabilities")
def softmax_cross_entropy_soft(n: int, torch: Any) -> Case:
    """(n / 512, 512) logits, and a probability for each class."""
    logits, target = normal_array(n // 512, 512), F.softmax(normal_array(n // 512, 512, seed=1))

    def numpy_side() -> tuple[Any, AnyArray]:
        shifted = logits - logits.max(1, keepdims=True)
        dlogits = np.exp(shifted)
        total = dlogits.sum(1, keepdims=True)
        loss = np.log(total).mean() - np.vdot(shifted, target) / len(logits)
        dlogits /= total
        dlogits -= target
        dlogits *= np.float32(1 / len(logits))
        return loss, dlogits

    sides: dict[str, Side] = {"fastnn": lambda: F.softmax_cross_entropy(logits, target), "numpy": numpy_side}
    if torch is not None:
        sides["torch"] = _torch_loss(torch, torch.nn.functional.cross_entropy, logits, target)
    return Case(logits.size, (0, 1, 2), sides, close)


@operation("nll_loss")
def nll_loss(n: int, torch: Any) -> Case:
    """(n / 512, 512) logarithms of probabilities; those of the labels are read, the gradient is mostly zeros."""
    x = F.log_softmax(normal_array(n // 512, 512))
    labels = np.random.default_rng(1).integers(0, 512, len(x))

    def numpy_side() -> tuple[Any, AnyArray]:
        rows, dx = np.arange(len(x)), np.zeros_like(x)
        dx[rows, labels] = -1 / len(x)
        return -x[rows, labels].mean(), dx

    sides: dict[str, Side] = {"fastnn": lambda: F.nll_loss(x, labels), "numpy": numpy_side}
    if torch is not None:
        sides["torch"] = _torch_loss(torch, torch.nn.functional.nll_loss, x, labels)
    return Case(x.size, (0, 1, 0), sides, close)


@operation("mse_loss")
def mse_loss(n: int, torch: Any) -> Case:
    """The square of the difference."""
    x, target = normal_array(n), normal_array(n, seed=1)

    def numpy_side() -> tuple[Any, AnyArray]:
        d: AnyArray = x - target
        loss = np.vdot(d, d) / n
        d *= np.float32(2 / n)
        return loss, d

    sides: dict[str, Side] = {"fastnn": lambda: F.mse_loss(x, target), "numpy": numpy_side}
    if torch is not None:
        sides["torch"] = _torch_loss(torch, torch.nn.functional.mse_loss, x, target)
    return Case(n, (0, 1, 2), sides, close)


@operation("l1_loss")
def l1_loss(n: int, torch: Any) -> Case:
    """The magnitude of the difference."""
    x, target = normal_array(n), normal_array(n, seed=1)

    def numpy_side() -> tuple[Any, AnyArray]:
        d: AnyArray = x - target
        loss = np.abs(d).mean()
        np.sign(d, out=d)
        d *= np.float32(1 / n)
        return loss, d

    sides: dict[str, Side] = {"fastnn": lambda: F.l1_loss(x, target), "numpy": numpy_side}
    if torch is not None:
        sides["torch"] = _torch_loss(torch, torch.nn.functional.l1_loss, x, target)
    return Case(n, (0, 1, 2), sides, close)


@operation("huber_loss")
def huber_loss(n: int, torch: Any) -> Case:
    """Half the square of the difference, and linear from 1 on."""
    x, target = normal_array(n), normal_array(n, seed=1)

    def numpy_side() -> tuple[Any, AnyArray]:
        d: AnyArray = x - target
        g = np.clip(d, -1, 1)
        d -= g / 2
        loss = np.vdot(d, g) / n
        g *= np.float32(1 / n)
        return loss, g

    sides: dict[str, Side] = {"fastnn": lambda: F.huber_loss(x, target), "numpy": numpy_side}
    if torch is not None:
        sides["torch"] = _torch_loss(torch, torch.nn.functional.huber_loss, x, target)
    return Case(n, (0, 1, 2), sides, close)


@operation("smooth_l1_loss")
def smooth_l1_loss(n: int, torch: Any) -> Case:
    """The square of the difference, and linear from 1/2 on."""
    x, target = normal_array(n), normal_array(n, seed=1)

    def numpy_side() -> tuple[Any, AnyArray]:
        d: AnyArray = x - target
        g = np.clip(2 * d, -1, 1)
        d -= g / 4
        loss = np.vdot(d, g) / n
        g *= np.float32(1 / n)
        return loss, g

    sides: dict[str, Side] = {"fastnn": lambda: F.smooth_l1_loss(x, target, beta=0.5), "numpy": numpy_side}
    if torch is not None:
        sides["torch"] = _torch_loss(torch, partial(torch.nn.functional.smooth_l1_loss, beta=0.5), x, target)
    return Case(n, (0, 1, 2), sides, close)


@operation("gaussian_nll_loss")
def gaussian_nll_loss(n: int, torch: Any) -> Case:
    """Means and variances, one for each target."""
    x, target = normal_array(n), normal_array(n, seed=1)
    var = np.random.default_rng(2).random(n, dtype=np.float32) + np.float32(0.5)

    def numpy_side() -> tuple[Any, AnyArray, AnyArray]:
        inverse = 1 / np.maximum(var, np.float32(1e-6))
        d = (x - target) * inverse
        loss = (np.vdot(d, d / inverse) - np.log(inverse).sum(dtype=float)) / (2 * n)
        return loss, d * np.float32(1 / n), (inverse - d * d) * np.float32(0.5 / n)

    sides: dict[str, Side] = {"fastnn": lambda: F.gaussian_nll_loss(x, target, var), "numpy": numpy_side}
    if torch is not None:
        leaves = [torch.from_numpy(a).requires_grad_() for a in (x, var)]
        targets = torch.from_numpy(target)

        def torch_side() -> object:
            loss = torch.nn.functional.gaussian_nll_loss(leaves[0], targets, leaves[1])
            return loss.detach(), *torch.autograd.grad(loss, leaves)

        sides["torch"] = torch_side
    return Case(n, (0, 2, 3), sides, close)


@operation("binary_cross_entropy_with_logits")
def binary_cross_entropy_with_logits(n: int, torch: Any) -> Case:
    """Targets in [0, 1)."""
    x, target = normal_array(n), np.random.default_rng(1).random(n, dtype=np.float32)

    def numpy_side() -> tuple[Any, AnyArray]:
        loss = (np.logaddexp(0, x) - x * target).mean()
        g: AnyArray = 1 / (1 + np.exp(-x))
        g -= target
        g *= np.float32(1 / n)
        return loss, g

    function = F.binary_cross_entropy_with_logits
    sides: dict[str, Side] = {"fastnn": lambda: function(x, target), "numpy": numpy_side}
    if torch is not None:
        sides["torch"] = _torch_loss(torch, torch.nn.functional.binary_cross_entropy_with_logits, x, target)
    return Case(n, (0, 1, 2), sides, close)


@operation("kl_div")
def kl_div(n: int, torch: Any) -> Case:
    """Logarithms of probabilities against probabilities."""
    x, target = normal_array(n) - 3, np.random.default_rng(1).random(n, dtype=np.float32) + np.float32(0.1)

    def numpy_side() -> tuple[Any, AnyArray]:
        d: AnyArray = np.log(target)
        d -= x
        return np.vdot(target, d) / n, target * np.float32(-1 / n)

    sides: dict[str, Side] = {"fastnn": lambda: F.kl_div(x, target, "batchmean"), "numpy": numpy_side}
    if torch is not None:
        function = partial(torch.nn.functional.kl_div, reduction="batchmean")
        sides["torch"] = _torch_loss(torch, function, x, target)
    return Case(n, (0, 1, 2), sides, close)


def _torch_loss(torch: Any, function: Any, input: AnyArray, target: AnyArray) -> Side:
    """Return the mean loss and its gradient, by autograd."""
    leaf, targets = torch.from_numpy(input).requires_grad_(), torch.from_numpy(target)

    def side() -> object:
        loss = function(leaf, targets)
        return loss.detach(), torch.autograd.grad(loss, leaf)[0]

    return side
