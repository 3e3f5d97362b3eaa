"""Batch norm."""

import itertools
from functools import partial
from typing import Any

import numpy as np
import reference
from calls import AFFINE, COLUMN, COLUMNS, IMAGE, NORM_GRADIENT, ROWS, RUNNING, Call, X
from table import CHANNELS, GRADIENTS, SIZES, Array, Arrays, Kernel, Shape, normals

from fastnn import functional as F


def _batch_norm_inputs(names: str, shape: Shape, dtype: Any, rng: np.random.Generator) -> Arrays:
    a = normals(names, shape, dtype, rng) | normals("weight bias running_mean", (shape[1],), dtype, rng)
    a["running_var"] = rng.uniform(0.5, 2, shape[1]).astype(dtype)
    if "dy" in a:
        a["mean"] = np.asarray(a["running_mean"], dtype=np.float64)
        a["rstd"] = 1 / np.sqrt(a["running_var"].astype(np.float64) + 1e-5)
    return a


def _train_inputs(names: str, shape: Shape, dtype: Any, rng: np.random.Generator) -> Arrays:
    a = _batch_norm_inputs(names, shape, dtype, rng)
    if "dy" in a and a["x"].size:
        _, a["mean"], a["rstd"], _, _ = reference.batch_norm(a["x"])
    return a


BATCH = ("y", "mean", "rstd", "running_mean", "running_var")


def _batch_norm(training: bool, a: Arrays, out: Array) -> Arrays:
    mean, var = a["running_mean"], a["running_var"]
    y = F.batch_norm(a["x"], mean, var, a["weight"], a["bias"], training, 0.3, out=out, return_stats=True)
    return dict(zip(BATCH, (*y, mean, var), strict=True))


def _batch_norm_reference(training: bool, a: Arrays) -> Arrays:
    names = ("x", "running_mean", "running_var", "weight", "bias")
    y = reference.batch_norm(**{name: a[name] for name in names}, training=training, momentum=0.3)
    return dict(zip(BATCH, y, strict=True))


def _batch_norm_backward(training: bool, a: Arrays, out: Array) -> Arrays:
    d = F.batch_norm_backward(a["dy"], a["x"], a["weight"], a["mean"], a["rstd"], training, out=out)
    return dict(zip(GRADIENTS, d, strict=True))


def _batch_norm_backward_reference(training: bool, a: Arrays) -> Arrays:
    names = ("dy", "x", "weight", "mean", "rstd")
    d = reference.batch_norm_backward(**{name: a[name] for name in names}, training=training)
    return dict(zip(GRADIENTS, d, strict=True))


KERNELS: dict[str, Kernel] = {}
for _training, _inputs in ((True, _train_inputs), (False, _batch_norm_inputs)):
    _mode = "train" if _training else "eval"
    KERNELS[f"batch_norm-{_mode}"] = Kernel(
        CHANNELS,
        partial(_inputs, "x"),
        partial(_batch_norm, _training),
        partial(_batch_norm_reference, _training),
        3,
        updated=("running_mean", "running_var") if _training else (),
        in_place="x",
    )
    KERNELS[f"batch_norm_backward-{_mode}"] = Kernel(
        CHANNELS,
        partial(_inputs, "dy x"),
        partial(_batch_norm_backward, _training),
        partial(_batch_norm_backward_reference, _training),
        6,
        in_place="dy",
    )


def _last(x: Array) -> Array:
    """Move the channels from last to second, as the reference expects: (N, ..., C) -> (N, C, ...)."""
    return np.ascontiguousarray(np.moveaxis(x, -1, 1))


def _fused_inputs(last: bool, shape: Shape, dtype: Any, rng: np.random.Generator) -> Arrays:
    a = _batch_norm_inputs("x residual", (shape[0], shape[-1 if last else 1]), dtype, rng)
    return a | normals("x residual", shape, dtype, rng)


def _fused(last: bool, a: Arrays, out: Array) -> Arrays:
    mean, var = a["running_mean"], a["running_var"]
    y = F.batch_norm(
        a["x"], mean, var, a["weight"], a["bias"], True, 0.3, out=out, return_stats=True,
        residual=a["residual"], activation="relu", channels_last=last, unbiased=False,
    )  # fmt: skip
    return dict(zip(BATCH, (*y, mean, var), strict=True))


def _fused_reference(last: bool, a: Arrays) -> Arrays:
    x = _last(a["x"]) if last else a["x"]
    names = ("running_mean", "running_var", "weight", "bias")
    y, mean, rstd, new_mean, _ = reference.batch_norm(x, **{name: a[name] for name in names}, momentum=0.3)
    y = np.moveaxis(y, 1, -1) if last else y
    over = (0, *range(2, x.ndim))
    new_var = 0.7 * reference.wide(a["running_var"]) + 0.3 * reference.wide(x).var(over)
    y = np.maximum(y + reference.wide(a["residual"]), 0)
    return dict(zip(BATCH, (y, mean, rstd, new_mean, new_var), strict=True))


FUSED = ("dx", "dresidual", "dweight", "dbias")


def _fused_backward_inputs(last: bool, shape: Shape, dtype: Any, rng: np.random.Generator) -> Arrays:
    a = normals("dy x y", shape, dtype, rng) | normals("weight", (shape[-1 if last else 1],), dtype, rng)
    a["y"] = np.maximum(a["y"], 0)
    if a["x"].size:
        _, a["mean"], a["rstd"], _, _ = reference.batch_norm(_last(a["x"]) if last else a["x"])
    else:
        a["mean"] = a["rstd"] = np.zeros(a["weight"].shape)
    return a


def _fused_backward(last: bool, a: Arrays, out: Array) -> Arrays:
    dx, dweight, dbias, dresidual = F.batch_norm_backward(
        a["dy"], a["x"], a["weight"], a["mean"], a["rstd"], y=a["y"], residual=True, channels_last=last, out=out
    )
    return dict(zip(FUSED, (dx, dresidual, dweight, dbias), strict=True))


def _fused_backward_reference(last: bool, a: Arrays) -> Arrays:
    g = np.where(a["y"] > 0, reference.wide(a["dy"]), 0.0)
    x, dy = (_last(a["x"]), _last(g)) if last else (a["x"], g)
    dx, dweight, dbias = reference.batch_norm_backward(dy, x, a["weight"], a["mean"], a["rstd"])
    return dict(zip(FUSED, (np.moveaxis(dx, 1, -1) if last else dx, g, dweight, dbias), strict=True))


LAST = (
    *((2, 3, 1, n) for n in SIZES),
    *((n + 2, 3) for n in SIZES[::7]),
    (2, 70, 300, 3),
    (40, 50, 1, 70),
    (3, 2, 5000),
)
for _channels_last, _shapes in ((False, CHANNELS[1::9]), (True, LAST)):
    _layout = "last" if _channels_last else "first"
    KERNELS[f"batch_norm-fused_{_layout}"] = Kernel(
        _shapes,
        partial(_fused_inputs, _channels_last),
        partial(_fused, _channels_last),
        partial(_fused_reference, _channels_last),
        3,
        updated=("running_mean", "running_var"),
        in_place="residual",
    )
    KERNELS[f"batch_norm_backward-fused_{_layout}"] = Kernel(
        _shapes,
        partial(_fused_backward_inputs, _channels_last),
        partial(_fused_backward, _channels_last),
        partial(_fused_backward_reference, _channels_last),
        6,
        in_place="dy",
    )

CALLS = {
    "batch_norm-train": Call(
        F.batch_norm,
        {"x": X, **RUNNING, **AFFINE, "out": X},
        ("running_mean", "running_var", "out"),
        ("weight", "bias", "out"),
        ("x",),
        {"training": True},
    ),
    "batch_norm-eval": Call(
        F.batch_norm, {"x": X, **RUNNING, **AFFINE, "out": X}, ("out",), ("weight", "bias", "out"), ("x",)
    ),
    "batch_norm_backward": Call(
        F.batch_norm_backward,
        {**NORM_GRADIENT, "mean": COLUMN, "rstd": COLUMN, "out": X},
        ("out",),
        ("weight", "out"),
        ("x", "dy"),
    ),
}
for _channels_last, _shape in ((False, IMAGE), (True, (ROWS, 3, COLUMNS))):
    _layout = "last" if _channels_last else "first"
    CALLS[f"batch_norm-fused_{_layout}"] = Call(
        F.batch_norm,
        {"x": _shape, "residual": _shape, **RUNNING, **AFFINE, "out": _shape},
        ("running_mean", "running_var", "out"),
        ("residual", "weight", "bias", "out"),
        ("x", "residual"),
        {"training": True, "activation": "relu", "channels_last": _channels_last},
    )
    CALLS[f"batch_norm_backward-fused_{_layout}"] = Call(
        F.batch_norm_backward,
        {"x": _shape, "dy": _shape, "weight": COLUMN, "mean": COLUMN, "rstd": COLUMN, "y": _shape, "out": _shape},
        ("out",),
        ("weight", "y", "out"),
        ("x", "dy", "y"),
        {"residual": True, "channels_last": _channels_last},
    )


def _c_batch_norm(c: Any, a: Any) -> Any:
    got: list[Array] = []
    wanted: list[Array] = []
    for training, unbiased, relu in itertools.product((0, 1), repeat=3):
        x, w, b, r, y = a(5, 4, 3), a(4), a(4), a(5, 4, 3), a(5, 4, 3)
        ours = [a(4), np.abs(a(4))]
        theirs = [t.copy() for t in ours]
        mean, rstd = np.empty(4), np.empty(4)
        c.batch_norm(y, mean, rstd, *ours, x, w, b, r, 5, 4, 3, 0.1, 1e-3, training, unbiased, relu)
        options: dict[str, Any] = {"unbiased": bool(unbiased), "activation": "relu" if relu else None}
        want = F.batch_norm(x, *theirs, w, b, bool(training), 0.1, 1e-3, residual=r, return_stats=True, **options)
        got += [y, mean, rstd, *ours]
        wanted += [*want, *theirs]
    return got, wanted


def _c_batch_norm_backward(c: Any, a: Any) -> Any:
    got: list[Array] = []
    wanted: list[Array] = []
    for training in (0, 1):
        x, dy, w, dx, dr, dw, db = a(5, 4, 3), a(5, 4, 3), a(4), a(5, 4, 3), a(5, 4, 3), a(4), a(4)
        y, mean, rstd = F.batch_norm(x, None, None, w, None, True, activation="relu", return_stats=True)
        c.batch_norm_backward(dx, dr, dw, db, dy, x, y, w, mean, rstd, 5, 4, 3, training)
        dx2, dw2, db2, dr2 = F.batch_norm_backward(dy, x, w, mean, rstd, bool(training), y=y, residual=True)
        got += [dx, dr, dw, db]
        wanted += [dx2, dr2, dw2, db2]
    return got, wanted


C_CASES = {"batch_norm": _c_batch_norm, "batch_norm_backward": _c_batch_norm_backward}

SIGNATURES = (
    "batch_norm(x, running_mean=None, running_var=None, weight=None, bias=None, training=False, momentum=0.1, "
    "eps=1e-05, *, residual=None, activation=None, channels_last=False, unbiased=True, out=None, return_stats=False)",
    "batch_norm_backward(dy, x, weight, mean, rstd, training=True, *, y=None, residual=False, "
    "channels_last=False, out=None)",
)
