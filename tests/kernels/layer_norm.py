"""Norms over trailing axes."""

from functools import partial
from typing import Any

import numpy as np
import reference

from fastnn import functional as F
from kernels.table import GRADIENTS, ROWS, Array, Arrays, Kernel, Shape, normals


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
