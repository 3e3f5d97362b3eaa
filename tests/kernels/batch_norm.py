"""Batch norm."""

from functools import partial
from typing import Any

import numpy as np
import reference

from fastnn import functional as F
from kernels.table import CHANNELS, GRADIENTS, Array, Arrays, Kernel, Shape, normals


def _batch_norm_inputs(names: str, shape: Shape, dtype: Any, rng: np.random.Generator) -> Arrays:
    a = normals(names, shape, dtype, rng) | normals("weight bias running_mean", (shape[1],), dtype, rng)
    a["running_var"] = rng.uniform(0.5, 2, shape[1]).astype(dtype)
    if "dy" in a:
        a["mean"] = np.asarray(a["running_mean"], dtype=np.float64)
        a["rstd"] = 1 / np.sqrt(a["running_var"] + np.float64(1e-5))
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
