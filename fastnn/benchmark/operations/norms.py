"""Norms. `norm`, `norm_backward` and `track` are written as by a NumPy user, over any axes."""

from functools import partial
from typing import Any

import numpy as np

from fastnn import functional as F
from fastnn._types import AnyArray
from fastnn.benchmark.case import Arrays, Case, Side, close, normal_array, operation, tensors_of

Axes = int | tuple[int, ...]


def norm(x: AnyArray, axes: Axes, weight: AnyArray, bias: AnyArray) -> AnyArray:
    """Normalise over `axes`; weight and bias broadcast against x."""
    y: AnyArray = x - x.mean(axes, keepdims=True)
    y *= 1 / np.sqrt(np.square(y).mean(axes, keepdims=True) + np.float32(1e-5))
    y *= weight
    y += bias
    return y


def track(running: Arrays, x: AnyArray, axes: Axes) -> None:
    """Move the running mean and unbiased variance by a tenth towards the batch's."""
    for average, new in zip(running, (x.mean(axes), x.var(axes, ddof=1)), strict=True):
        average *= 0.9
        average += 0.1 * new


def norm_backward(
    dy: AnyArray, x: AnyArray, axes: Axes, others: Axes, weight: AnyArray, mean: AnyArray, rstd: AnyArray
) -> tuple[AnyArray, AnyArray, AnyArray]:
    """dx = rstd * (g - mean(g) - xhat * mean(g * xhat)), g = dy * weight, means over `axes`; sums over `others`."""
    xhat = x - mean
    xhat *= rstd
    product = dy * xhat
    dweight, dbias = product.sum(others), dy.sum(others)
    dx = dy * weight
    product *= weight
    xhat *= product.mean(axes, keepdims=True)
    dx -= dx.mean(axes, keepdims=True)
    dx -= xhat
    dx *= rstd
    return dx, dweight, dbias


@operation("layer_norm")
def layer_norm(n: int, torch: Any) -> Case:
    """Rows of 512."""
    x, weight, bias = normal_array(n // 512, 512), normal_array(512, seed=1), normal_array(512, seed=2)
    sides: dict[str, Side] = {"fastnn": lambda: F.layer_norm(x, 512, weight, bias)}
    sides["numpy"] = lambda: norm(x, -1, weight, bias)
    if torch is not None:
        t, *affine = tensors_of(torch, x, weight, bias)
        sides["torch"] = lambda: torch.layer_norm(t, (512,), *affine)
    return Case(n, (0, 1, 1), sides, close)


@operation("layer_norm backward")
def layer_norm_backward(n: int, torch: Any) -> Case:
    """dx, dweight and dbias of rows of 512."""
    x, dy, weight = normal_array(n // 512, 512), normal_array(n // 512, 512, seed=1), normal_array(512, seed=2)
    _, mean, rstd = F.layer_norm(x, 512, weight, return_stats=True)
    m, r = mean[:, None].astype(np.float32), rstd[:, None].astype(np.float32)
    sides: dict[str, Side] = {
        "fastnn": lambda: F.layer_norm_backward(dy, x, weight, mean, rstd),
        "numpy": lambda: norm_backward(dy, x, -1, 0, weight, m, r),
    }
    if torch is not None:
        kernel = torch.ops.aten.native_layer_norm_backward
        tdy, tx, tm, tr, w = tensors_of(torch, dy, x, m, r, weight)
        sides["torch"] = lambda: kernel(tdy, tx, (512,), tm, tr, w, w, (True, True, True))
    return Case(n, (0, 1, 2), sides, close)


@operation("batch_norm")
def batch_norm(n: int, torch: Any, image: bool = False) -> Case:
    """Training forward, running statistics included, over (N, 256), or (N, 64, H, W) images."""
    shape, axes, cast = _batch_shape(n, image)
    x, weight, bias = normal_array(*shape), normal_array(shape[1], seed=1), normal_array(shape[1], seed=2)
    ours, theirs, peers = ([np.zeros(shape[1], np.float32), np.ones(shape[1], np.float32)] for _ in range(3))

    def numpy_side() -> AnyArray:
        track(theirs, x, axes)
        return norm(x, axes, weight.reshape(cast), bias.reshape(cast))

    sides: dict[str, Side] = {
        "fastnn": lambda: F.batch_norm(x, ours[0], ours[1], weight, bias, training=True),
        "numpy": numpy_side,
    }
    if torch is not None:
        tensors = tensors_of(torch, x, weight, bias, *peers)
        sides["torch"] = lambda: torch.batch_norm(*tensors, True, 0.1, 1e-5, False)
    return Case(n, (0, 1, 1), sides, close)


@operation("batch_norm backward")
def batch_norm_backward(n: int, torch: Any, image: bool = False) -> Case:
    """dx, dweight and dbias of training."""
    shape, axes, cast = _batch_shape(n, image)
    x, dy, weight = normal_array(*shape), normal_array(*shape, seed=1), normal_array(shape[1], seed=2)
    _, mean, rstd = F.batch_norm(x, weight=weight, training=True, return_stats=True)
    m, r = mean.astype(np.float32), rstd.astype(np.float32)
    columns = [array.reshape(cast) for array in (weight, m, r)]
    sides: dict[str, Side] = {
        "fastnn": lambda: F.batch_norm_backward(dy, x, weight, mean, rstd),
        "numpy": lambda: norm_backward(dy, x, axes, axes, *columns),
    }
    if torch is not None:
        kernel = torch.ops.aten.native_batch_norm_backward
        tdy, tx, w, tm, tr = tensors_of(torch, dy, x, weight, m, r)
        sides["torch"] = lambda: kernel(tdy, tx, w, None, None, tm, tr, True, 1e-5, (True, True, True))
    return Case(n, (0, 1, 2), sides, close)


operation("batch_norm image")(partial(batch_norm, image=True))
operation("batch_norm image backward")(partial(batch_norm_backward, image=True))


@operation("group_norm")
def group_norm(n: int, torch: Any) -> Case:
    """8 groups of 8 channels, images of 8 x 8."""
    x, weight, bias = normal_array(n // 4096, 64, 8, 8), normal_array(64, seed=1), normal_array(64, seed=2)
    grouped, w, b = x.reshape(-1, 8, 8, 64), weight.reshape(8, 8, 1), bias.reshape(8, 8, 1)
    sides: dict[str, Side] = {
        "fastnn": lambda: F.group_norm(x, 8, weight, bias),
        "numpy": lambda: norm(grouped, (2, 3), w, b).reshape(x.shape),
    }
    if torch is not None:
        t, *affine = tensors_of(torch, x, weight, bias)
        sides["torch"] = lambda: torch.group_norm(t, 8, *affine)
    return Case(n, (0, 1, 1), sides, close)


@operation("group_norm backward")
def group_norm_backward(n: int, torch: Any) -> Case:
    """dx, dweight and dbias of 8 groups of 8 channels, images of 8 x 8."""
    shape = (n // 4096, 64, 8, 8)
    x, dy, weight = normal_array(*shape), normal_array(*shape, seed=1), normal_array(64, seed=2)
    _, mean, rstd = F.group_norm(x, 8, weight, return_stats=True)
    m, r = (a.astype(np.float32).reshape(-1, 8, 1, 1) for a in (mean, rstd))
    gdy, gx, w = dy.reshape(-1, 8, 8, 64), x.reshape(-1, 8, 8, 64), weight.reshape(8, 8, 1)

    def numpy_side() -> tuple[AnyArray, ...]:
        dx, dweight, dbias = norm_backward(gdy, gx, (2, 3), (0, 3), w, m, r)
        return dx.reshape(shape), dweight.ravel(), dbias.ravel()

    sides: dict[str, Side] = {
        "fastnn": lambda: F.group_norm_backward(dy, x, 8, weight, mean, rstd),
        "numpy": numpy_side,
    }
    if torch is not None:
        kernel = torch.ops.aten.native_group_norm_backward
        tdy, tx, tm, tr, tw = tensors_of(torch, dy, x, m.reshape(-1, 8), r.reshape(-1, 8), weight)
        sides["torch"] = lambda: kernel(tdy, tx, tm, tr, tw, shape[0], 64, 64, 8, (True, True, True))
    return Case(n, (0, 1, 2), sides, close)


@operation("weight_norm")
def weight_norm(n: int, torch: Any) -> Case:
    """Rows of 512."""
    v, g = normal_array(n // 512, 512), normal_array(n // 512, 1, seed=1)
    sides: dict[str, Side] = {
        "fastnn": lambda: F.weight_norm(v, g),
        "numpy": lambda: v * (g / np.sqrt(np.square(v).sum(1, keepdims=True))),
    }
    if torch is not None:
        tensors = tensors_of(torch, v, g)
        sides["torch"] = lambda: torch._weight_norm(*tensors)
    return Case(n, (0, 1, 1), sides, close)


@operation("weight_norm backward")
def weight_norm_backward(n: int, torch: Any) -> Case:
    """dv and dg of rows of 512."""
    v, dw, g = normal_array(n // 512, 512), normal_array(n // 512, 512, seed=1), normal_array(n // 512, 1, seed=2)
    _, norms = F.weight_norm(v, g, return_norm=True)
    size = norms.astype(np.float32)

    def numpy_side() -> tuple[AnyArray, AnyArray]:
        dg = (dw * v).sum(1, keepdims=True) / size
        dv = v * (-dg / size)
        dv += dw
        dv *= g / size
        return dv, dg

    sides: dict[str, Side] = {"fastnn": lambda: F.weight_norm_backward(dw, v, g, norms), "numpy": numpy_side}
    if torch is not None:
        kernel, tensors = torch.ops.aten._weight_norm_interface_backward, tensors_of(torch, dw, v, g, size)
        sides["torch"] = lambda: kernel(*tensors, 0)
    return Case(n, (0, 1, 2), sides, close)


def _batch_shape(n: int, image: bool) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    if not image:
        return (n // 256, 256), (0,), (1, 256)
    side = 8 if n < 1 << 20 else 32
    return (n // (64 * side * side), 64, side, side), (0, 2, 3), (1, 64, 1, 1)
