"""Residual, dropout and layer norm in one pass."""

from functools import partial
from typing import Any

import numpy as np
import reference
from c_api import C_MASK, C_P, HERE, generator
from calls import AFFINE, CALL_MASK, COLUMN, COLUMNS, ROW, Call, X
from table import BLOCK, LARGE, ROWS, SEED, STREAM, Array, Arrays, Kernel, P, Shape, normals

from fastnn import _core
from fastnn import functional as F

SHAPES = (*(shape for shape in ROWS if shape != (3, LARGE)), (3, 10_007))
MASK = F.DropoutMask(P, SEED, STREAM, BLOCK)


def _sum(a: Arrays, p: float) -> Array:
    """Add in the arrays' own dtype, because the norm that follows amplifies the rounding of its input."""
    keep = reference.dropout_keep(a["x"].size, p, SEED, STREAM, BLOCK).reshape(a["x"].shape)
    total: Array = np.where(keep, a["x"] * a["x"].dtype.type(1 / (1 - p)), 0).astype(a["x"].dtype)
    return total + a["residual"] if "residual" in a else total


def _inputs(names: str, shape: Shape, dtype: Any, rng: np.random.Generator) -> Arrays:
    return normals(names, shape, dtype, rng) | normals("weight bias", shape[1:], dtype, rng)


def _forward(p: float, a: Arrays, out: Array) -> Arrays:
    shape = a["x"].shape[1:]
    y = _core.dropout_add_layer_norm(
        a["x"], a.get("residual"), shape, a["weight"], a["bias"], p, SEED, STREAM, BLOCK, 1e-5, True, out
    )
    return dict(zip(("y", "sum", "mean", "rstd"), y, strict=True))


def _forward_reference(p: float, a: Arrays) -> Arrays:
    total = _sum(a, p)
    y, mean, rstd = reference.layer_norm(total, 1, a["weight"], a["bias"])
    return {"y": y, "sum": reference.wide(total), "mean": mean, "rstd": rstd}


def _backward_inputs(shape: Shape, dtype: Any, rng: np.random.Generator) -> Arrays:
    a = _inputs("dy x dsum", shape, dtype, rng)
    _, a["mean"], a["rstd"] = (
        reference.layer_norm(a["x"], 1) if a["x"].size else (0, np.zeros(shape[0]), np.ones(shape[0]))
    )
    return a


NAMES = ("dresidual", "dx", "dweight", "dbias")


def _backward(a: Arrays, out: Array) -> Arrays:
    dx, dresidual, dweight, dbias = F.dropout_add_layer_norm_backward(
        a["dy"], a["x"], a["weight"], a["mean"], a["rstd"], MASK, dsum=a["dsum"], out=out
    )
    return dict(zip(NAMES, (dresidual, dx, dweight, dbias), strict=True))


def _backward_reference(a: Arrays) -> Arrays:
    dx, dweight, dbias = reference.layer_norm_backward(a["dy"], a["x"], 1, a["weight"])
    total = dx + reference.wide(a["dsum"])
    keep = reference.dropout_keep(total.size, P, SEED, STREAM, BLOCK).reshape(total.shape)
    return dict(zip(NAMES, (total, reference.dropout(total, P, keep), dweight, dbias), strict=True))


def _sum_only(a: Arrays, out: Array) -> Arrays:
    return {
        "y": _core.dropout_add_layer_norm(
            a["x"], a["residual"], None, None, None, P, SEED, STREAM, BLOCK, 0.0, False, out
        )[0]
    }


KERNELS = {
    "dropout_add_layer_norm": Kernel(
        SHAPES, partial(_inputs, "x residual"), partial(_forward, P), partial(_forward_reference, P), 8, in_place="x"
    ),
    "dropout_add_layer_norm-no_residual": Kernel(
        SHAPES[::5], partial(_inputs, "x"), partial(_forward, P), partial(_forward_reference, P), 8, in_place="x"
    ),
    "dropout_add_layer_norm-no_dropout": Kernel(
        SHAPES[::5],
        partial(_inputs, "x residual"),
        partial(_forward, 0.0),
        partial(_forward_reference, 0.0),
        8,
        in_place="x",
    ),
    "dropout_add_layer_norm-no_norm": Kernel(
        SHAPES[::5], partial(_inputs, "x residual"), _sum_only, lambda a: {"y": _sum(a, P)}, 2, in_place="residual"
    ),
    "dropout_add_layer_norm_backward": Kernel(
        SHAPES, _backward_inputs, _backward, _backward_reference, 7, in_place="dy"
    ),
}

CALLS = {
    "dropout_add_layer_norm": Call(
        F.dropout_add_layer_norm,
        {"x": X, "residual": X, **AFFINE, "out": X},
        ("out",),
        ("residual", "weight", "bias", "out"),
        ("x", "residual"),
        {"normalized_shape": COLUMNS, "p": 0.5},
    ),
    "dropout_add_layer_norm-sum": Call(
        F.dropout_add_layer_norm, {"x": X, "residual": X, "out": X}, ("out",), ("residual", "out"), ("x", "residual")
    ),
    "dropout_add_layer_norm_backward": Call(
        F.dropout_add_layer_norm_backward,
        {"sum": X, "dy": X, "weight": COLUMN, "mean": ROW, "rstd": ROW, "dsum": X, "out": X},
        ("out",),
        ("weight", "dsum", "out"),
        ("sum", "dy"),
        {"mask": CALL_MASK},
    ),
}


def _c_dropout_add_layer_norm(c: Any, a: Any) -> Any:
    x, r, w, b, y, s = a(6, 9), a(6, 9), a(9), a(9), a(6, 9), a(6, 9)
    mean, rstd = np.empty(6), np.empty(6)
    c.dropout_add_layer_norm(y, s, mean, rstd, x, r, w, b, 6, 9, 1e-3, C_P, HERE)
    want = F.dropout_add_layer_norm(x, r, 9, w, b, C_P, 1e-3, generator=generator(), return_stats=True)
    return [y, s, mean, rstd], list(want[:4])


def _c_dropout_add_layer_norm_backward(c: Any, a: Any) -> Any:
    x, dy, dsum, w, dx, dr, dw, db = a(90, 9), a(90, 9), a(90, 9), a(9), a(90, 9), a(90, 9), a(9), a(9)
    _, mean, rstd = F.layer_norm(x, 9, w, return_stats=True)
    c.dropout_add_layer_norm_backward(dx, dr, dw, db, dy, dsum, x, w, mean, rstd, 90, 9, C_P, HERE)
    return [dx, dr, dw, db], list(F.dropout_add_layer_norm_backward(dy, x, w, mean, rstd, C_MASK, dsum=dsum))


C_CASES = {
    "dropout_add_layer_norm": _c_dropout_add_layer_norm,
    "dropout_add_layer_norm_backward": _c_dropout_add_layer_norm_backward,
}

SIGNATURES = (
    "NormedSum(y, sum, mean, rstd, mask)",
    "dropout_add_layer_norm(x, residual=None, normalized_shape=None, weight=None, bias=None, p=0.0, eps=1e-05, "
    "training=True, *, generator=None, out=None, return_stats=False)",
    "dropout_add_layer_norm_backward(dy, sum, weight, mean, rstd, mask=None, *, dsum=None, out=None)",
)
