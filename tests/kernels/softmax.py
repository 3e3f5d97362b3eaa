"""Softmax and log-softmax over the last axis and over an earlier one."""

from functools import partial
from typing import Any

import numpy as np
import reference
from c_api import Case
from calls import Call, X
from table import LARGE, ROWS, SIZES, Arrays, Kernel, Shape, normals

from fastnn import functional as F

INNER = (
    *((2, 3, n) for n in SIZES[1:]),
    *((1, n, 9) for n in SIZES[1:]),
    (2, 3, LARGE),
    (2, LARGE, 3),
    (5, 0, 3),
    (17, 21, 133),
)
LAST = (*ROWS[1:], (5, 1024), (3, 2049), ())


def _x(shape: Shape, dtype: Any, rng: np.random.Generator) -> Arrays:
    return {"x": (3 * rng.standard_normal(shape)).astype(dtype)}


def _gradient_inputs(forward: Any, dim: int, shape: Shape, dtype: Any, rng: np.random.Generator) -> Arrays:
    a = normals("dy x", shape, dtype, rng)
    return {"dy": a["dy"], "y": forward(a["x"], dim).astype(dtype) if a["x"].size else a["x"]}


def _kernels(name: str, dim: int, shapes: tuple[Shape, ...]) -> dict[str, Kernel]:
    forward, backward = getattr(F, name), getattr(F, f"{name}_backward")
    want, want_backward = getattr(reference, name), getattr(reference, f"{name}_backward")
    suffix = "" if dim == -1 else "-inner"
    return {
        f"{name}{suffix}": Kernel(
            shapes,
            _x,
            lambda a, out: {"y": forward(a["x"], dim, out=out)},
            lambda a: {"y": want(a["x"], dim if a["x"].ndim else None)},
            3,
            in_place="x",
        ),
        f"{name}_backward{suffix}": Kernel(
            shapes,
            partial(_gradient_inputs, lambda x, d: want(x, d if x.ndim else None), dim),
            lambda a, out: {"dx": backward(a["dy"], a["y"], dim, out=out)},
            lambda a: {"dx": want_backward(a["dy"], a["y"], dim if a["y"].ndim else None)},
            3,
            in_place="dy",
        ),
    }


KERNELS = (
    _kernels("softmax", -1, LAST)
    | _kernels("softmax", -2, INNER)
    | _kernels("log_softmax", -1, LAST)
    | _kernels("log_softmax", -2, INNER)
)

CALLS: dict[str, Call] = {}
for _name in ("softmax", "log_softmax"):
    CALLS[_name] = Call(getattr(F, _name), {"x": X, "out": X}, ("out",), ("out",), ("x",))
    CALLS[f"{_name}_backward"] = Call(
        getattr(F, f"{_name}_backward"), {"y": X, "dy": X, "out": X}, ("out",), ("out",), ("y", "dy")
    )


def _c_cases(name: str) -> dict[str, Case]:
    def forward(c: Any, a: Any) -> Any:
        x, y = a(3, 7, 2), a(3, 7, 2)
        getattr(c, name)(y, x, 3, 7, 2)
        return [y], [getattr(F, name)(x, 1)]

    def backward(c: Any, a: Any) -> Any:
        dy, y, dx = a(3, 7, 2), a(3, 7, 2), a(3, 7, 2)
        getattr(c, f"{name}_backward")(dx, dy, y, 3, 7, 2)
        return [dx], [getattr(F, f"{name}_backward")(dy, y, 1)]

    return {name: forward, f"{name}_backward": backward}


C_CASES = _c_cases("softmax") | _c_cases("log_softmax")

SIGNATURES = (
    "log_softmax(x, dim=-1, *, out=None)",
    "log_softmax_backward(dy, y, dim=-1, *, out=None)",
    "softmax(x, dim=-1, *, out=None)",
    "softmax_backward(dy, y, dim=-1, *, out=None)",
)
