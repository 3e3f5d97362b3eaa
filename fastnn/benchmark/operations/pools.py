"""Pooling. The ceiling counts only the larger array; the outputs are a quarter of it."""

from typing import Any

from fastnn import functional as F
from fastnn._types import AnyArray
from fastnn.benchmark.case import Case, Side, close, normal_array, operation, tensors_of


@operation("max_pool2d")
def max_pool2d(n: int, torch: Any) -> Case:
    """Windows of 2 x 2 over planes of 64 x 64."""
    x = normal_array(n // 4096, 1, 64, 64)
    windows = x.reshape(-1, 1, 32, 2, 32, 2)
    sides: dict[str, Side] = {"fastnn": lambda: F.max_pool2d(x, 2), "numpy": lambda: windows.max((3, 5))}
    if torch is not None:
        t = torch.from_numpy(x)
        sides["torch"] = lambda: torch.max_pool2d(t, 2)
    return Case(n, (0, 0, 1), sides, close)


@operation("max_pool2d backward")
def max_pool2d_backward(n: int, torch: Any) -> Case:
    """The same windows; fastnn and torch have kept the positions of the maxima, NumPy a mask of them."""
    x, dy = normal_array(n // 4096, 1, 64, 64), normal_array(n // 4096, 1, 32, 32, seed=1)
    y, places = F.max_pool2d(x, 2, return_indices=True)
    largest = x.reshape(-1, 1, 32, 2, 32, 2) == y[:, :, :, None, :, None]

    def numpy_side() -> AnyArray:
        dx: AnyArray = dy[:, :, :, None, :, None] * largest
        return dx.reshape(x.shape)

    sides: dict[str, Side] = {
        "fastnn": lambda: F.max_pool2d_backward(dy, places, x.shape, 2),
        "numpy": numpy_side,
    }
    if torch is not None:
        tdy, tx = tensors_of(torch, dy, x)
        kernel, indices = (
            torch.ops.aten.max_pool2d_with_indices_backward,
            torch.ops.aten.max_pool2d_with_indices(tx, 2)[1],
        )
        sides["torch"] = lambda: kernel(tdy, tx, (2, 2), (2, 2), (0, 0), (1, 1), False, indices)
    return Case(n, (0, 1, 0), sides, close)
