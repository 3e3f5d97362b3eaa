"""A bias, an activation and dropout in one pass."""

from functools import partial
from typing import Any

import numpy as np
import reference
from reference.activation import SLOPES, VALUES

from fastnn import Generator
from fastnn import functional as F
from kernels.table import BLOCK, ROWS, SEED, STREAM, Array, Arrays, Kernel, P, Shape, normals

CASES = {"gelu": (None, P), "tanh": (None, 0.0), "elu": (0.7, P), "identity": (None, P)}
BOUNDS = {"gelu": (4, 12)}  # errors of one sign, which a sum over rows adds up


def _inputs(names: str, shape: Shape, dtype: Any, rng: np.random.Generator) -> Arrays:
    return normals(names, shape, dtype, rng) | normals("bias", shape[1:], dtype, rng)


def _generator() -> Generator:
    g = Generator(SEED, STREAM)
    g.offset = 64 * BLOCK
    return g


def _sum(a: Arrays) -> Array:
    """x + bias, rounded as the kernel has to round it."""
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
