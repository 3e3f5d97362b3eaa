"""The memory probe of the benchmarks: arrays that are read and written, only written, or only read."""

from functools import partial
from typing import Any

import numpy as np
from table import LARGE, Array, Arrays, Kernel, Shape, normals

from fastnn import _core

Pattern = tuple[int, int, int]
PATTERNS = ((1, 0, 0), (1, 0, 1), (2, 0, 1), (3, 0, 1), (0, 1, 0), (0, 1, 1), (0, 1, 2), (0, 0, 1))
SHAPES = (*((n,) for n in (0, 1, 7, 63, 64, 65, 127, 257)), (LARGE,))


def _names(pattern: Pattern) -> tuple[list[str], list[str]]:
    return [f"updated{i}" for i in range(pattern[0])], [f"read{i}" for i in range(pattern[2])]


def _inputs(pattern: Pattern, shape: Shape, dtype: Any, rng: np.random.Generator) -> Arrays:
    updated, read = _names(pattern)
    return normals(" ".join(["like", *updated, *read]), shape, dtype, rng)


def _run(pattern: Pattern, a: Arrays, out: Array) -> Arrays:
    updated, read = _names(pattern)
    written = {"written": out} if pattern[1] else {}
    _core.stream([a[name] for name in updated], list(written.values()), [a[name] for name in read])
    return {name: a[name] for name in updated} | written


def _reference(pattern: Pattern, a: Arrays) -> Arrays:
    """The kernel writes or adds one plus the sum of the arrays that are read."""
    updated, read = _names(pattern)
    value = np.ones(a["like"].shape) + sum(a[name].astype(np.float64) for name in read)
    return {name: a[name] + value for name in updated} | {"written": value}


KERNELS = {
    f"stream-{'-'.join(map(str, pattern))}": Kernel(
        SHAPES,
        partial(_inputs, pattern),
        partial(_run, pattern),
        partial(_reference, pattern),
        2,
        updated=tuple(_names(pattern)[0]),
    )
    for pattern in PATTERNS
}
