"""The arrays that these functions take."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]
Float64 = npt.NDArray[np.float64]
Labels = npt.NDArray[np.integer]
