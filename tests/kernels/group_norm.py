"""Norms over groups of channels, and over single channels."""

from functools import partial
from typing import Any

import numpy as np
import reference
from calls import AFFINE, COLUMN, IMAGE, NORM_GRADIENT, ROWS, RUNNING, Call, X
from table import CHANNELS, GRADIENTS, LARGE, SIZES, Array, Arrays, Kernel, Shape, normals

from fastnn import functional as F

STATS = ("y", "mean", "rstd")
TRACKED = (*STATS, "running_mean", "running_var")

GROUPED = (
    *((3, n) for n in SIZES),
    *((n, 6) for n in SIZES),
    *((2, 6, n) for n in SIZES),
    *((2, n, 5) for n in SIZES[::7]),
    (0, 6, 5),
    (3, LARGE),
    (LARGE, 6),
    (2, 3, LARGE),
    (17, 12, 13, 11),
    (1, 6, 100, 101),
)
INSTANCES = (
    *((2, 3, n + 2) for n in SIZES),
    *((n, 3, 4) for n in SIZES[::3]),
    *((2, n, 1, 2) for n in SIZES[::3]),
    (2, 3, 0),
    (2, 3, LARGE),
    (17, 12, 13, 11),
    (3, 1, 100, 101),
)


def _groups(x: Array) -> int:
    """Return the largest number of groups, at most six, that divides the channels."""
    return next(g for g in (6, 5, 4, 3, 2, 1) if x.shape[1] % g == 0)


def _inputs(names: str, instances: bool, shape: Shape, dtype: Any, rng: np.random.Generator) -> Arrays:
    a = normals(names, shape, dtype, rng) | normals("weight bias", (shape[1],), dtype, rng)
    if instances:
        a |= normals("running_mean", (shape[1],), dtype, rng)
        a["running_var"] = rng.uniform(0.5, 2, shape[1]).astype(dtype)
    if "dy" in a:
        groups = shape[1] if instances else _groups(a["x"])
        a["mean"], a["rstd"] = np.zeros((shape[0], groups)), np.ones((shape[0], groups))
        if a["x"].size:
            _, a["mean"], a["rstd"] = reference.group_norm(a["x"], groups)
    return a


def _group_norm(a: Arrays, out: Array) -> Arrays:
    y = F.group_norm(a["x"], _groups(a["x"]), a["weight"], a["bias"], out=out, return_stats=True)
    return dict(zip(STATS, y, strict=True))


def _group_norm_reference(a: Arrays) -> Arrays:
    y = reference.group_norm(a["x"], _groups(a["x"]), a["weight"], a["bias"])
    return dict(zip(STATS, y, strict=True))


def _group_norm_backward(a: Arrays, out: Array) -> Arrays:
    d = F.group_norm_backward(a["dy"], a["x"], _groups(a["x"]), a["weight"], a["mean"], a["rstd"], out=out)
    return dict(zip(GRADIENTS, d, strict=True))


def _backward_reference(a: Arrays) -> Arrays:
    groups = a["mean"].shape[1]
    d = reference.group_norm_backward(a["dy"], a["x"], groups, a["weight"], a["mean"], a["rstd"])
    return dict(zip(GRADIENTS, d, strict=True))


def _instance_norm(own: bool, a: Arrays, out: Array) -> Arrays:
    mean, var = a["running_mean"], a["running_var"]
    y = F.instance_norm(a["x"], mean, var, a["weight"], a["bias"], own, 0.3, out=out, return_stats=True)
    return dict(zip(TRACKED, (*y, mean, var), strict=True))


def _instance_norm_reference(own: bool, a: Arrays) -> Arrays:
    given = (a["x"], a["running_mean"], a["running_var"], a["weight"], a["bias"])
    y = reference.instance_norm(*given, momentum=0.3) if own else reference.batch_norm(*given, training=False)
    return dict(zip(TRACKED, y, strict=True))


def _instance_norm_backward(a: Arrays, out: Array) -> Arrays:
    d = F.instance_norm_backward(a["dy"], a["x"], a["weight"], a["mean"], a["rstd"], out=out)
    return dict(zip(GRADIENTS, d, strict=True))


def _running(a: Arrays) -> tuple[Array, Array]:
    """Return the mean and rstd that evaluation uses."""
    return a["running_mean"].astype(np.float64), 1 / np.sqrt(a["running_var"].astype(np.float64) + 1e-5)


def _instance_norm_backward_eval(a: Arrays, out: Array) -> Arrays:
    d = F.instance_norm_backward(a["dy"], a["x"], a["weight"], *_running(a), False, out=out)
    return dict(zip(GRADIENTS, d, strict=True))


def _instance_norm_backward_eval_reference(a: Arrays) -> Arrays:
    d = reference.batch_norm_backward(a["dy"], a["x"], a["weight"], *_running(a), training=False)
    return dict(zip(GRADIENTS, d, strict=True))


KERNELS = {
    "group_norm": Kernel(GROUPED, partial(_inputs, "x", False), _group_norm, _group_norm_reference, 3, in_place="x"),
    "group_norm_backward": Kernel(
        GROUPED, partial(_inputs, "dy x", False), _group_norm_backward, _backward_reference, 6, in_place="dy"
    ),
    "instance_norm-own": Kernel(
        INSTANCES,
        partial(_inputs, "x", True),
        partial(_instance_norm, True),
        partial(_instance_norm_reference, True),
        3,
        updated=("running_mean", "running_var"),
        in_place="x",
    ),
    "instance_norm-running": Kernel(
        CHANNELS[::17],
        partial(_inputs, "x", True),
        partial(_instance_norm, False),
        partial(_instance_norm_reference, False),
        3,
        in_place="x",
    ),
    "instance_norm_backward-own": Kernel(
        INSTANCES, partial(_inputs, "dy x", True), _instance_norm_backward, _backward_reference, 6, in_place="dy"
    ),
    "instance_norm_backward-running": Kernel(
        CHANNELS[::17],
        partial(_inputs, "dy x", True),
        _instance_norm_backward_eval,
        _instance_norm_backward_eval_reference,
        6,
        in_place="dy",
    ),
}

CALLS = {
    "group_norm": Call(
        F.group_norm, {"x": X, **AFFINE, "out": X}, ("out",), ("weight", "bias", "out"), ("x",), {"num_groups": 2}
    ),
    "group_norm_backward": Call(
        F.group_norm_backward,
        {**NORM_GRADIENT, "mean": (ROWS, 2), "rstd": (ROWS, 2), "out": X},
        ("out",),
        ("weight", "out"),
        ("x", "dy"),
        {"num_groups": 2},
    ),
    "instance_norm": Call(
        F.instance_norm,
        {"x": IMAGE, **RUNNING, **AFFINE, "out": IMAGE},
        ("running_mean", "running_var", "out"),
        ("weight", "bias", "out"),
        ("x",),
    ),
    "instance_norm_backward": Call(
        F.instance_norm_backward,
        {"x": IMAGE, "dy": IMAGE, "weight": COLUMN, "mean": X, "rstd": X, "out": IMAGE},
        ("out",),
        ("weight", "out"),
        ("x", "dy"),
    ),
}


def _c_group_norm(c: Any, a: Any) -> Any:
    x, w, b, y = a(3, 6, 5), a(6), a(6), a(3, 6, 5)
    mean, rstd = np.empty((3, 2)), np.empty((3, 2))
    c.group_norm(y, mean, rstd, x, w, b, 3, 6, 2, 5, 1e-3)
    return [y, mean, rstd], list(F.group_norm(x, 2, w, b, 1e-3, return_stats=True))


def _c_group_norm_backward(c: Any, a: Any) -> Any:
    x, dy, w, dx, dw, db = a(3, 6, 5), a(3, 6, 5), a(6), a(3, 6, 5), a(6), a(6)
    _, mean, rstd = F.group_norm(x, 2, w, return_stats=True)
    c.group_norm_backward(dx, dw, db, dy, x, w, mean, rstd, 3, 6, 2, 5)
    return [dx, dw, db], list(F.group_norm_backward(dy, x, 2, w, mean, rstd))


C_CASES = {"group_norm": _c_group_norm, "group_norm_backward": _c_group_norm_backward}

SIGNATURES = (
    "group_norm(x, num_groups, weight=None, bias=None, eps=1e-05, *, out=None, return_stats=False)",
    "group_norm_backward(dy, x, num_groups, weight, mean, rstd, *, out=None)",
    "instance_norm(x, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True, "
    "momentum=0.1, eps=1e-05, *, out=None, return_stats=False)",
    "instance_norm_backward(dy, x, weight, mean, rstd, use_input_stats=True, *, out=None)",
)
