"""Weight norm along the first axis, the last, a middle one, and over all elements."""

from functools import partial
from typing import Any

import numpy as np
import reference
from calls import ROW, Call, X
from table import CHANNELS, ROWS, SIZES, Array, Arrays, Kernel, Shape, normals

from fastnn import functional as F


def _dim(mode: str, v: Array) -> int | None:
    return {"first": 0, "middle": 1, "last": v.ndim - 1, "none": None}[mode]


def _inputs(names: str, mode: str, shape: Shape, dtype: Any, rng: np.random.Generator) -> Arrays:
    a = normals(names, shape, dtype, rng)
    a["v"] = (rng.uniform(0.5, 2, shape) * rng.choice((-1, 1), shape)).astype(dtype)  # for a single element, w is g / v
    dim = _dim(mode, a["v"])
    a |= normals("g", tuple(n if axis == dim else 1 for axis, n in enumerate(shape)), dtype, rng)
    if "dw" in a:
        over = tuple(axis for axis in range(len(shape)) if axis != dim)
        a["norm"] = np.sqrt((a["v"].astype(np.float64) ** 2).sum(over, keepdims=True))
    return a


def _forward(mode: str, a: Arrays, out: Array) -> Arrays:
    y = F.weight_norm(a["v"], a["g"], _dim(mode, a["v"]), out=out, return_norm=True)
    return dict(zip(("w", "norm"), y, strict=True))


def _forward_reference(mode: str, a: Arrays) -> Arrays:
    return dict(zip(("w", "norm"), reference.weight_norm(a["v"], a["g"], _dim(mode, a["v"])), strict=True))


def _backward(mode: str, a: Arrays, out: Array) -> Arrays:
    d = F.weight_norm_backward(a["dw"], a["v"], a["g"], a["norm"], _dim(mode, a["v"]), out=out)
    return dict(zip(("dv", "dg"), d, strict=True))


def _backward_reference(mode: str, a: Arrays) -> Arrays:
    d = reference.weight_norm_backward(a["dw"], a["v"], a["g"], _dim(mode, a["v"]))
    return dict(zip(("dv", "dg"), d, strict=True))


MIDDLE = (*((2, n, 3) for n in SIZES[::3]), *((3, 4, n) for n in SIZES[::3]), (2, 70, 1), (5, 6, 7, 8))
SHAPES = {"first": ROWS, "middle": MIDDLE, "last": CHANNELS, "none": (*ROWS[::5], (2, 3, 4, 5), (7,))}

KERNELS: dict[str, Kernel] = {}
for _mode, _shapes in SHAPES.items():
    KERNELS[f"weight_norm-{_mode}"] = Kernel(
        _shapes,
        partial(_inputs, "", _mode),
        partial(_forward, _mode),
        partial(_forward_reference, _mode),
        2,
        in_place="v",
    )
    KERNELS[f"weight_norm_backward-{_mode}"] = Kernel(
        _shapes,
        partial(_inputs, "dw", _mode),
        partial(_backward, _mode),
        partial(_backward_reference, _mode),
        6,
        in_place="dw",
    )

CALLS = {
    "weight_norm": Call(F.weight_norm, {"v": X, "g": (*ROW, 1), "out": X}, ("out",), ("out",), ("v",)),
    "weight_norm_backward": Call(
        F.weight_norm_backward,
        {"v": X, "dw": X, "g": (*ROW, 1), "norm": (*ROW, 1), "out": X},
        ("out",),
        ("out",),
        ("v", "dw"),
    ),
}


def _c_weight_norm(c: Any, a: Any) -> Any:
    v, g, w, norm = a(6, 5), a(6, 1), a(6, 5), np.empty((6, 1))
    c.weight_norm(w, norm, v, g, 1, 6, 5)
    return [w, norm], list(F.weight_norm(v, g, return_norm=True))


def _c_weight_norm_backward(c: Any, a: Any) -> Any:
    v, dw, g, dv, dg = a(6, 5), a(6, 5), a(6, 1), a(6, 5), a(6, 1)
    _, norm = F.weight_norm(v, g, return_norm=True)
    c.weight_norm_backward(dv, dg, dw, v, g, norm, 1, 6, 5)
    return [dv, dg], list(F.weight_norm_backward(dw, v, g, norm))


C_CASES = {"weight_norm": _c_weight_norm, "weight_norm_backward": _c_weight_norm_backward}

SIGNATURES = (
    "weight_norm(v, g, dim=0, *, out=None, return_norm=False)",
    "weight_norm_backward(dw, v, g, norm, dim=0, *, out=None)",
)
