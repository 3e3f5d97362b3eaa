"""A bias, an activation and dropout in one pass."""

from functools import partial
from typing import Any

import numpy as np
import reference
from c_api import ACTIVATIONS, C_MASK, C_P, HERE, generator
from calls import CALL_MASK, COLUMN, Call, X
from reference.activation import SLOPES, VALUES
from table import BLOCK, ROWS, SEED, STREAM, Array, Arrays, Kernel, P, Shape, normals

from fastnn import Generator
from fastnn import functional as F

CASES = {"gelu": (None, P), "tanh": (None, 0.0), "elu": (0.7, P), "identity": (None, P)}
BOUNDS = {"gelu": (4, 12)}  # all errors have the same sign, so a sum over rows accumulates them


def _inputs(names: str, shape: Shape, dtype: Any, rng: np.random.Generator) -> Arrays:
    return normals(names, shape, dtype, rng) | normals("bias", shape[1:], dtype, rng)


def _generator() -> Generator:
    g = Generator(SEED, STREAM)
    g.offset = 64 * BLOCK
    return g


def _sum(a: Arrays) -> Array:
    """Return x + bias, rounded as the kernel must round it."""
    return a["x"] + a["bias"]


def _dropped(x: Array, p: float) -> Array:
    return reference.dropout(x, p, reference.dropout_keep(x.size, p, SEED, STREAM, BLOCK).reshape(x.shape))


def _forward(name: str, a: Arrays, out: Array) -> Arrays:
    alpha, p = CASES[name]
    y = F.bias_activation(a["x"], a["bias"], name, p, alpha=alpha, generator=_generator(), out=out)
    return {"y": y}


def _forward_reference(name: str, a: Arrays) -> Arrays:
    alpha, p = CASES[name]
    return {"y": _dropped(VALUES[name](_sum(a), *([] if alpha is None else [alpha])), p)}


def _backward(name: str, a: Arrays, out: Array) -> Arrays:
    alpha, p = CASES[name]
    mask = F.DropoutMask(p, SEED, STREAM, BLOCK) if p else None
    dx, dbias = F.bias_activation_backward(a["dy"], a["x"], a["bias"], name, mask, alpha=alpha, out=out)
    return {"dx": dx, "dbias": dbias}


def _backward_reference(name: str, a: Arrays) -> Arrays:
    alpha, p = CASES[name]
    dx = _dropped(a["dy"], p) * SLOPES[name](_sum(a), *([] if alpha is None else [alpha]))
    return {"dx": dx, "dbias": dx.sum(0)}


KERNELS: dict[str, Kernel] = {}
for _name in CASES:
    _bounds = BOUNDS.get(_name, (3, 6))
    KERNELS[f"bias_activation-{_name}"] = Kernel(
        ROWS,
        partial(_inputs, "x"),
        partial(_forward, _name),
        partial(_forward_reference, _name),
        _bounds[0],
        in_place="x",
    )
    KERNELS[f"bias_activation_backward-{_name}"] = Kernel(
        ROWS,
        partial(_inputs, "dy x"),
        partial(_backward, _name),
        partial(_backward_reference, _name),
        _bounds[1],
        in_place="dy",
    )

CALLS = {
    "bias_activation": Call(
        F.bias_activation, {"x": X, "bias": COLUMN, "out": X}, ("out",), ("bias", "out"), ("x",), {"p": 0.5}
    ),
    "bias_activation_backward": Call(
        F.bias_activation_backward,
        {"x": X, "dy": X, "bias": COLUMN, "out": X},
        ("out",),
        ("bias", "out"),
        ("x", "dy"),
        {"mask": CALL_MASK},
    ),
}


def _c_bias_activation(c: Any, a: Any) -> Any:
    x, b, y = a(6, 9), a(9), a(6, 9)
    c.bias_activation(y, x, b, 6, 9, ACTIVATIONS.index("gelu"), 0.0, 0.0, C_P, HERE)
    return [y], [F.bias_activation(x, b, "gelu", p=C_P, generator=generator())]


def _c_bias_activation_backward(c: Any, a: Any) -> Any:
    dy, x, b, dx, db = a(6, 9), a(6, 9), a(9), a(6, 9), a(9)
    c.bias_activation_backward(dx, db, dy, x, b, 6, 9, ACTIVATIONS.index("gelu"), 0.0, 0.0, C_P, HERE)
    return [dx, db], list(F.bias_activation_backward(dy, x, b, "gelu", C_MASK))


C_CASES = {"bias_activation": _c_bias_activation, "bias_activation_backward": _c_bias_activation_backward}

SIGNATURES = (
    "bias_activation(x, bias=None, activation='gelu', p=0.0, training=True, *, alpha=None, generator=None, "
    "out=None, return_mask=False)",
    "bias_activation_backward(dy, x, bias, activation='gelu', mask=None, *, alpha=None, out=None)",
)
