"""Random fills."""

from collections.abc import Callable
from functools import partial

import reference

from fastnn import _core
from kernels.table import BLOCK, FLAT, SEED, STREAM, Array, Arrays, Kernel, normals


def _fill(kernel: Callable[..., None], a: Arrays, out: Array) -> Arrays:
    kernel(out, 0.0, 1.0, SEED, STREAM, BLOCK)
    return {"out": out}


def _fill_reference(draw: Callable[..., Array], a: Arrays) -> Arrays:
    return {"out": draw(a["like"].size, a["like"].dtype, SEED, STREAM, BLOCK)}


KERNELS = {
    "uniform": Kernel(
        FLAT,
        partial(normals, "like"),
        partial(_fill, _core.uniform),
        partial(_fill_reference, reference.uniform01),
        0,
    ),
    "normal": Kernel(
        FLAT,
        partial(normals, "like"),
        partial(_fill, _core.normal),
        partial(_fill_reference, reference.normal01),
        4,
    ),
}
