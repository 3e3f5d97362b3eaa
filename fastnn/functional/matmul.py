"""Matrix products, whose bits depend on nothing but the values: see "Products" in docs/kernels.md."""

from fastnn import _core
from fastnn._types import Array

__all__ = ["matmul"]


def matmul(a: Array, b: Array, *, out: Array | None = None) -> Array:
    """a @ b, with the shapes of `numpy.matmul`.

    An element is a chain of fused multiply-adds over K, cut into blocks of at most 384 terms that are added in order.
    So its bits do not depend on the machine, on the number of threads, or on the other rows and columns.

    Args:
        a: (..., M, K) or (K,), with any strides.
        b: (..., K, N) or (K,), with any strides. The axes before the last two are broadcast.
        out: where to write, C-contiguous; it must not overlap a or b.

    Returns:
        (..., M, N); without M for a vector a, without N for a vector b.
    """
    return _core.matmul(a, b, out)
