"""Array types and dtypes that the whole package shares."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]
"""An array of the dtypes that the kernels compute with: float32 or float64."""
AnyArray = npt.NDArray[Any]
"""An array of any dtype."""
Float64 = npt.NDArray[np.float64]
Labels = npt.NDArray[np.integer]

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
