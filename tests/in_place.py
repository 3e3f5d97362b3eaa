"""One valid call of every function that only writes into its arguments: fills, clipping, optimizer steps."""

import math
from collections.abc import Callable
from functools import partial
from inspect import getmembers, isfunction, signature
from typing import Any

import numpy as np
from calls import Call
from support import Array
from variants import NAMES, VARIANTS, full_state, make

from fastnn import init, random
from fastnn.optim import clip_grad_norm_, clip_grad_value_

Shape = tuple[int, ...]

FILLS: dict[str, Callable[..., Any]] = {
    name: f
    for module in (random, init)
    for name, f in getmembers(module, isfunction)
    if name in module.__all__ and name.endswith("_")
}
_ANY_SHAPE = {"constant_", "ones_", "zeros_", *(name for name in FILLS if hasattr(random, name))}
_FILL_OPTIONS: dict[str, dict[str, Any]] = {
    "constant_": {"val": 2.5},
    "sparse_": {"sparsity": 0.5},
    "integers_": {"low": 100},
}


def fills(shape: Shape) -> dict[str, Call]:
    """Return a call of every fill of `fastnn.random` and `fastnn.init`, with axes added where a fill needs more."""
    calls = {}
    for name, fill in FILLS.items():
        axes = 3 if name == "dirac_" else 1 if name in _ANY_SHAPE else 2
        grown = shape + (3, 2)[: max(0, axes - len(shape))]
        options = _FILL_OPTIONS.get(name, {}) | ({"generator": 1} if "generator" in signature(fill).parameters else {})
        integers = ("tensor",) if name == "integers_" else ()
        calls[name] = Call(fill, {"tensor": grown}, ("tensor",), options=options, labels=integers)
    return calls


def _clip(clip: Callable[..., Any], limits: tuple[float, ...], **arrays: Array) -> Any:
    return clip(list(arrays.values()), *limits)


def clips(shape: Shape) -> dict[str, Call]:
    """Return calls that clip two gradients: by the norms computed in kernels and in NumPy, and by value."""
    names = ("parameters[0]", "parameters[1]")
    limits = {"2": (0.5,), "1": (0.5, 1.0), "inf": (0.5, math.inf)}
    rows = {f"clip_grad_norm_-{p}": partial(_clip, clip_grad_norm_, limit) for p, limit in limits.items()}
    rows["clip_grad_value_"] = partial(_clip, clip_grad_value_, (1.0,))
    return {name: Call(run, dict.fromkeys(names, shape), names) for name, run in rows.items()}


PARAMS, GRADS = ("params[0]", "params[1]"), ("params[0].grad", "params[1].grad")
_CLEARED: dict[str, Any] = {"clip_grad_norm": 0.5, "zero_grad_after_step": True}
STEPS: dict[str, tuple[str, dict[str, Any]]] = {
    f"{name}-{'-'.join(map(str, options))}-{i}": (name, options) for i, (name, options) in enumerate(VARIANTS)
}
EXTRAS = {"cleared": _CLEARED, **{kind: {"state_dtype": kind, "generator": 1} for kind in ("bfloat16", "int8")}}
MORE_STEPS = {f"{name}-{kind}": (name, full_state(name) | more) for kind, more in EXTRAS.items() for name in NAMES}


def _step(name: str, options: dict[str, Any], **arrays: Array) -> list[Any]:
    """Take two steps, the first of which creates the state; return the state."""
    params = [arrays[p] for p in PARAMS]
    optimizer = make(name, params, **options)
    for _ in range(2):
        optimizer.step([arrays[g] for g in GRADS])
    return [np.copy(value) for p in params for value in optimizer.state_of(p).values()]


def _steps(table: dict[str, tuple[str, dict[str, Any]]], shape: Shape) -> dict[str, Call]:
    """Return calls in which the second parameter has one row more than the first."""
    calls, shapes = {}, dict(zip(PARAMS + GRADS, 2 * (shape, (shape[0] + 1, *shape[1:])), strict=True))
    for row, (name, options) in table.items():
        written = PARAMS + (GRADS if "zero_grad_after_step" in options else ())
        calls[row] = Call(partial(_step, name, options), shapes, written)
    return calls


def steps(shape: Shape) -> dict[str, Call]:
    """Return calls of every optimizer with every option that changes its formula."""
    return _steps(STEPS, shape)


def more_steps(shape: Shape) -> dict[str, Call]:
    """Return calls of every optimizer that clip and clear the gradients, or keep the state in fewer bits."""
    return _steps(MORE_STEPS, shape)


def in_dtype(arrays: dict[str, Array], dtype: Any) -> dict[str, Array]:
    """Convert floats to `dtype`, except saved statistics, which are always float64, and keep integers as they are."""
    fixed = ("mean", "rstd", "rrms", "norm")
    return {k: a.astype(dtype) if a.dtype.kind == "f" and k not in fixed else a for k, a in arrays.items()}


def leaves(result: Any) -> list[Array]:
    """Return the arrays and numbers that a function returned, as a flat list."""
    if isinstance(result, tuple | list):
        return [leaf for part in result for leaf in leaves(part)]
    return [] if result is None else [np.copy(result)]
