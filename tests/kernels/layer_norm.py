"""Norms over trailing axes."""

from functools import partial
from typing import Any

import numpy as np
import reference
from calls import AFFINE, COLUMN, COLUMNS, NORM_GRADIENT, ROW, Call, X
from table import GRADIENTS, ROWS, Array, Arrays, Kernel, Shape, normals

from fastnn import functional as F


def _layer_norm_inputs(names: str, shape: Shape, dtype: Any, rng: np.random.Generator) -> Arrays:
    a = normals(names, shape, dtype, rng) | normals("weight bias", shape[1:], dtype, rng)
    x = a["x"].astype(np.float64)
    if "dy" in a and x.size:
        _, a["mean"], a["rstd"] = reference.layer_norm(x, 1)
    elif "dy" in a:
        a["mean"], a["rstd"] = np.zeros(shape[0]), np.ones(shape[0])
    return a


def _layer_norm(a: Arrays, out: Array) -> Arrays:
    y = F.layer_norm(a["x"], a["x"].shape[1:], a["weight"], a["bias"], out=out, return_stats=True)
    return dict(zip(("y", "mean", "rstd"), y, strict=True))


def _layer_norm_reference(a: Arrays) -> Arrays:
    return dict(zip(("y", "mean", "rstd"), reference.layer_norm(a["x"], 1, a["weight"], a["bias"]), strict=True))


def _layer_norm_backward(a: Arrays, out: Array) -> Arrays:
    d = F.layer_norm_backward(a["dy"], a["x"], a["weight"], a["mean"], a["rstd"], out=out)
    return dict(zip(GRADIENTS, d, strict=True))


def _layer_norm_backward_reference(a: Arrays) -> Arrays:
    return dict(zip(GRADIENTS, reference.layer_norm_backward(a["dy"], a["x"], 1, a["weight"]), strict=True))


def _rms_inputs(names: str, shape: Shape, dtype: Any, rng: np.random.Generator) -> Arrays:
    a = normals(names, shape, dtype, rng) | normals("weight", shape[1:], dtype, rng)
    if "dy" in a:
        a["rstd"] = reference.rms_norm(a["x"], 1)[1] if a["x"].size else np.ones(shape[0])
    return a


def _rms(a: Arrays, out: Array) -> Arrays:
    y = F.rms_norm(a["x"], a["x"].shape[1:], a["weight"], 1e-5, out=out, return_stats=True)
    return dict(zip(("y", "rstd"), y, strict=True))


def _rms_reference(a: Arrays) -> Arrays:
    return dict(zip(("y", "rstd"), reference.rms_norm(a["x"], 1, a["weight"]), strict=True))


def _rms_backward(a: Arrays, out: Array) -> Arrays:
    return dict(zip(GRADIENTS, F.rms_norm_backward(a["dy"], a["x"], a["weight"], a["rstd"], out=out), strict=False))


def _rms_backward_reference(a: Arrays) -> Arrays:
    return dict(zip(GRADIENTS, reference.rms_norm_backward(a["dy"], a["x"], 1, a["weight"]), strict=False))


KERNELS = {
    "layer_norm": Kernel(ROWS, partial(_layer_norm_inputs, "x"), _layer_norm, _layer_norm_reference, 3, in_place="x"),
    "layer_norm_backward": Kernel(
        ROWS,
        partial(_layer_norm_inputs, "dy x"),
        _layer_norm_backward,
        _layer_norm_backward_reference,
        6,
        in_place="dy",
    ),
    "rms_norm": Kernel(ROWS, partial(_rms_inputs, "x"), _rms, _rms_reference, 6, in_place="x"),
    "rms_norm_backward": Kernel(
        ROWS, partial(_rms_inputs, "dy x"), _rms_backward, _rms_backward_reference, 6, in_place="dy"
    ),
}

_AXES = {"normalized_shape": COLUMNS}
CALLS = {
    "layer_norm": Call(F.layer_norm, {"x": X, **AFFINE, "out": X}, ("out",), ("weight", "bias", "out"), ("x",), _AXES),
    "layer_norm_backward": Call(
        F.layer_norm_backward,
        {**NORM_GRADIENT, "mean": ROW, "rstd": ROW, "out": X},
        ("out",),
        ("weight", "out"),
        ("x", "dy"),
    ),
    "rms_norm": Call(F.rms_norm, {"x": X, "weight": COLUMN, "out": X}, ("out",), ("weight", "out"), ("x",), _AXES),
    "rms_norm_backward": Call(
        F.rms_norm_backward, NORM_GRADIENT | {"rrms": ROW, "out": X}, ("out",), ("weight", "out"), ("x", "dy")
    ),
}


def _c_layer_norm(c: Any, a: Any) -> Any:
    x, w, b, y = a(6, 9), a(9), a(9), a(6, 9)
    mean, rstd = np.empty(6), np.empty(6)
    c.layer_norm(y, mean, rstd, x, w, b, 6, 9, 1e-3)
    return [y, mean, rstd], list(F.layer_norm(x, 9, w, b, 1e-3, return_stats=True))


def _c_layer_norm_backward(c: Any, a: Any) -> Any:
    x, dy, w, dx, dw, db = a(90, 9), a(90, 9), a(9), a(90, 9), a(9), a(9)
    _, mean, rstd = F.layer_norm(x, 9, w, return_stats=True)
    c.layer_norm_backward(dx, dw, db, dy, x, w, mean, rstd, 90, 9)
    return [dx, dw, db], list(F.layer_norm_backward(dy, x, w, mean, rstd))


def _c_rms_norm(c: Any, a: Any) -> Any:
    x, w, y, rrms = a(6, 9), a(9), a(6, 9), np.empty(6)
    c.rms_norm(y, rrms, x, w, 6, 9, 1e-3)
    return [y, rrms], list(F.rms_norm(x, 9, w, 1e-3, return_stats=True))


def _c_rms_norm_backward(c: Any, a: Any) -> Any:
    x, dy, dx, dw = a(90, 9), a(90, 9), a(90, 9), a(9)
    _, rrms = F.rms_norm(x, 9, return_stats=True)
    c.rms_norm_backward(dx, dw, dy, x, None, rrms, 90, 9)
    return [dx, dw], list(F.rms_norm_backward(dy, x, None, rrms))


C_CASES = {
    "layer_norm": _c_layer_norm,
    "layer_norm_backward": _c_layer_norm_backward,
    "rms_norm": _c_rms_norm,
    "rms_norm_backward": _c_rms_norm_backward,
}

SIGNATURES = (
    "layer_norm(x, normalized_shape, weight=None, bias=None, eps=1e-05, *, out=None, return_stats=False)",
    "layer_norm_backward(dy, x, weight, mean, rstd, *, out=None)",
    "rms_norm(x, normalized_shape, weight=None, eps=None, *, out=None, return_stats=False)",
    "rms_norm_backward(dy, x, weight, rrms, *, out=None)",
)
