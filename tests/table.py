"""A row of the table of kernels, and the shapes on which kernels are tested."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Arrays = dict[str, Any]
Shape = tuple[int, ...]

SIZES = range(258)
LARGE = 100_003
SEED, STREAM, BLOCK, P = 2**63 + 12345, 2**40 + 7, 2**32 - 1, 0.375


@dataclass(frozen=True)
class Kernel:
    """One row of the table.

    Attributes:
        shapes: shapes of the main input.
        inputs: (shape, dtype, rng) -> arrays.
        run: (arrays, out) -> outputs.
        reference: arrays -> outputs in float64.
        bound: the largest allowed error, in eps of the output's dtype times its largest |value| (see test_kernels.py).
        updated: inputs that are written in place; they are outputs too.
        in_place: the input that `out` may be, if any.
        elementwise: whether an output element depends only on the input elements at the same position.
        result: computes the first output's shape from the main input's.
    """

    shapes: tuple[Shape, ...]
    inputs: Callable[[Shape, Any, np.random.Generator], Arrays]
    run: Callable[[Arrays, Array], Arrays]
    reference: Callable[[Arrays], Arrays]
    bound: float
    updated: tuple[str, ...] = ()
    in_place: str = ""
    elementwise: bool = False
    result: Callable[[Shape], Shape] = lambda shape: shape


def normals(names: str, shape: Shape, dtype: Any, rng: np.random.Generator) -> Arrays:
    return {name: rng.standard_normal(shape).astype(dtype) for name in names.split()}


FLAT = (*((n,) for n in SIZES), (LARGE,), (3 * LARGE,))
ROWS = (*((3, n) for n in SIZES), *((n, 5) for n in SIZES[1:]), (3, LARGE), (LARGE, 5), (1009, 97))
CHANNELS = (
    *((5, n) for n in SIZES),
    *((n + 2, 3) for n in SIZES),
    *((2, 3, 1, n) for n in SIZES[1:]),
    (5, LARGE),
    (LARGE, 3),
    (2, 3, 1, LARGE),
    (17, 19, 13, 11),
    (3, 1, 300, 301),
)

GRADIENTS = ("dx", "dweight", "dbias")
