"""Types of the references' arguments and results."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


def wide(x: Any) -> Float64:
    """Return a float64 copy of `x`."""
    return np.array(x, dtype=np.float64)
