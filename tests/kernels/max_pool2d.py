"""Max pooling with adjacent windows, with gaps between them, overlapping, and reaching into the padding."""

from functools import partial
from typing import Any

import numpy as np
import reference
from calls import COLUMNS, IMAGE, ROWS, Call
from table import Array, Arrays, Kernel, Shape

from fastnn import functional as F

Sizes = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
MODES: dict[str, Sizes] = {
    "2": ((2, 2), (2, 2), (0, 0)),
    "2-padded": ((2, 2), (2, 2), (1, 1)),
    "3": ((3, 3), (2, 2), (1, 1)),
    "3-dense": ((3, 3), (1, 1), (1, 1)),
    "gaps": ((1, 2), (2, 5), (0, 1)),
    "far": ((2, 1), (50, 50), (0, 0)),
    "wide": ((2, 9), (1, 3), (1, 4)),
    "largest": ((15, 17), (4, 1), (7, 8)),
}
SHAPES = (
    *((2, 3, n) for n in range(2, 68)),
    *((n, 4, 5) for n in (0, 1, 7)),
    *((2, n, 19) for n in range(2, 12)),
    (2, 3, 1, 33, 257),
    (5, 129, 63),
    (2, 90, 91),
    (41, 24, 24),
)


def _inputs(shape: Shape, dtype: Any, rng: np.random.Generator) -> Arrays:
    """Draw from few distinct values, so that many are equal."""
    return {"x": rng.integers(-9, 9, shape).astype(dtype)}


def _forward(sizes: Sizes, a: Arrays, out: Array) -> Arrays:
    y, places = F.max_pool2d(a["x"], *sizes, return_indices=True, out=out)
    return {"y": y, "places": places.astype(y.dtype)}


def _forward_reference(sizes: Sizes, a: Arrays) -> Arrays:
    return dict(zip(("y", "places"), reference.max_pool2d(a["x"], *sizes), strict=True))


def _gradient_inputs(sizes: Sizes, shape: Shape, dtype: Any, rng: np.random.Generator) -> Arrays:
    y, places = reference.max_pool2d(rng.standard_normal(shape), *sizes)
    dy = rng.standard_normal(y.shape).astype(dtype)
    return {"dy": dy, "places": places.astype(np.uint8), "x": np.zeros(shape, dtype)}


def _backward(sizes: Sizes, a: Arrays, out: Array) -> Arrays:
    return {"dx": F.max_pool2d_backward(a["dy"], a["places"], a["x"].shape, *sizes, out=out)}


def _kernels(mode: str, sizes: Sizes) -> dict[str, Kernel]:
    fitting = tuple(s for s in SHAPES if min(reference.max_pool2d_outputs(s, *sizes)[-2:]) > 0)
    rows = {}
    rows[f"max_pool2d-{mode}"] = Kernel(
        fitting,
        _inputs,
        partial(_forward, sizes),
        partial(_forward_reference, sizes),
        0,
        result=lambda shape: reference.max_pool2d_outputs(shape, *sizes),
    )
    rows[f"max_pool2d_backward-{mode}"] = Kernel(
        fitting,
        partial(_gradient_inputs, sizes),
        partial(_backward, sizes),
        lambda a: {"dx": reference.max_pool2d_backward(a["dy"], a["places"], a["x"].shape, *sizes)},
        8,
    )
    return rows


KERNELS: dict[str, Kernel] = {}
for _mode, _sizes in MODES.items():
    KERNELS |= _kernels(_mode, _sizes)

_POOL: dict[str, Any] = {"kernel_size": 2, "stride": 1}
_POOLED = (ROWS, COLUMNS - 1, 2)
CALLS = {
    "max_pool2d": Call(F.max_pool2d, {"x": IMAGE, "out": _POOLED}, ("out",), ("out",), options=_POOL),
    "max_pool2d_backward": Call(
        F.max_pool2d_backward,
        {"dy": _POOLED, "indices": _POOLED, "out": IMAGE},
        ("out",),
        ("out",),
        options={"input_size": IMAGE} | _POOL,
        places=("indices",),
    ),
}


def _c_max_pool2d(c: Any, a: Any) -> Any:
    x, y, bare, index = a(4, 7, 20), a(4, 3, 10), a(4, 3, 10), np.empty((4, 3, 10), np.uint8)
    c.max_pool2d(y, index, x, 4, 7, 20, 3, 2, 2, 2, 0, 0)
    c.max_pool2d(bare, None, x, 4, 7, 20, 3, 2, 2, 2, 0, 0)
    want = F.max_pool2d(x, (3, 2), 2, return_indices=True)
    return [y, index, bare], [*want, want[0]]


def _c_max_pool2d_backward(c: Any, a: Any) -> Any:
    x, dx, dy = a(4, 7, 20), a(4, 7, 20), a(4, 7, 21)
    _, index = F.max_pool2d(x, (3, 4), 1, (1, 2), return_indices=True)
    c.max_pool2d_backward(dx, dy, index, 4, 7, 20, 3, 4, 1, 1, 1, 2)
    return [dx], [F.max_pool2d_backward(dy, index, x.shape, (3, 4), 1, (1, 2))]


C_CASES = {"max_pool2d": _c_max_pool2d, "max_pool2d_backward": _c_max_pool2d_backward}

SIGNATURES = (
    "max_pool2d(x, kernel_size, stride=None, padding=0, *, return_indices=False, out=None)",
    "max_pool2d_backward(dy, indices, input_size, kernel_size, stride=None, padding=0, *, out=None)",
)
