"""The case of a benchmark, and the registry of operations."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from fastnn._types import AnyArray

Arrays = Sequence[AnyArray]
Side = Callable[[], object]
Agree = Callable[[Arrays, Arrays], None]
Pattern = tuple[int, int, int]
"""The numbers of arrays that an operation updates (reads and writes), only writes, and only reads."""


class Case(NamedTuple):
    """One operation at one size, computed by several sides.

    `sides` maps "fastnn", "numpy" and, with torch, "torch" and its modes to a call; `agree(got, want)` raises
    AssertionError unless the arrays one side returned agree with those of fastnn.
    """

    elements: int
    pattern: Pattern
    sides: dict[str, Side]
    agree: Agree

    @property
    def bytes(self) -> int:
        """Return the least memory traffic: each array is read at most once and written at most once."""
        updated, written, read = self.pattern
        return 4 * self.elements * (2 * updated + written + read)


def normal_array(*shape: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Return standard normal values, float32."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def tensors_of(torch: Any, *arrays: AnyArray) -> list[Any]:
    """Return torch tensors over the same memory."""
    return [torch.from_numpy(array) for array in arrays]


def close(got: Arrays, want: Arrays) -> None:
    """Raise AssertionError unless arrays are equal to within 1e-4 of the largest value."""
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * float(np.abs(b).max()))


Make = Callable[[int, Any], Case]
CASES: dict[str, Make] = {}
"""Name -> make(elements, torch or None), of every operation in `fastnn.benchmark.operations`."""


M = TypeVar("M", bound=Make)


def operation(name: str) -> Callable[[M], M]:
    """Return a decorator that registers a function that makes a case, under the name that tables show.

    The function is named after the kernel that it measures, or the first one if there are several.
    """

    def register(make: M) -> M:
        CASES[name] = make
        return make

    return register
