"""Passes over gradients."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from table import FLAT, Array, Arrays, Kernel, normals

from fastnn import _core, optim

FACTOR, LOW, HIGH = 0.3, -0.5, 1.25


def _norm(a: Arrays, out: Array) -> Arrays:
    return {"norm": _core.clip_norm([a["grad"]], ["grad"], np.inf)}


def _norm_reference(a: Arrays) -> Arrays:
    return {"norm": np.sqrt((a["grad"].astype(np.float64) ** 2).sum())}


def _changed(change: Callable[..., None], options: tuple[float, ...], a: Arrays, out: Array) -> Arrays:
    change([a["grad"]], ["grad"], *options)
    return {"grad": a["grad"]}


KERNELS = {
    "sum_squares": Kernel(FLAT, partial(normals, "grad"), _norm, _norm_reference, 2),
    "scale": Kernel(
        FLAT,
        partial(normals, "grad"),
        partial(_changed, _core.scale, (FACTOR,)),
        lambda a: {"grad": a["grad"].astype(np.float64) * FACTOR},
        1,
        updated=("grad",),
        elementwise=True,
    ),
    "clamp": Kernel(
        FLAT,
        partial(normals, "grad"),
        partial(_changed, _core.clamp, (LOW, HIGH)),
        lambda a: {"grad": np.clip(a["grad"].astype(np.float64), LOW, HIGH)},
        0,
        updated=("grad",),
        elementwise=True,
    ),
}


def _c_sum_squares(c: Any, a: Any) -> Any:
    grads, sizes, total = [a(300), a(0), a(5)], np.array([300, 0, 5]), np.empty(1)
    c.sum_squares(total, grads, sizes, 3)
    return [np.sqrt(total[0])], [optim.clip_grad_norm_(grads, np.inf)]


def _c_scale(c: Any, a: Any) -> Any:
    grads, sizes = [a(300), a(5)], np.array([300, 5])
    want = [g * g.dtype.type(FACTOR) for g in grads]
    c.scale(grads, sizes, 2, FACTOR)
    return grads, want


def _c_clamp(c: Any, a: Any) -> Any:
    grads, sizes = [a(300), a(5)], np.array([300, 5])
    want = [np.clip(g, LOW, HIGH) for g in grads]
    c.clamp(grads, sizes, 2, LOW, HIGH)
    return grads, want


C_CASES = {"sum_squares": _c_sum_squares, "scale": _c_scale, "clamp": _c_clamp}
