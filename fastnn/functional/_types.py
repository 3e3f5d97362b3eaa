"""The arrays that these functions take."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]
Float64 = npt.NDArray[np.float64]
Labels = npt.NDArray[np.integer]

_INT64 = np.dtype(np.int64)


def as_int64(labels: Any) -> Any:
    """Labels of any integer dtype and layout as the kernels read them; whatever else this is, the border refuses it."""
    if not isinstance(labels, np.ndarray) or (labels.dtype == _INT64 and labels.flags.carray):
        return labels
    if labels.dtype.kind not in "iu":
        return labels
    if labels.dtype.kind == "u" and labels.dtype.itemsize == 8:
        labels = np.minimum(labels, np.uint64(2**63 - 1))  # what int64 cannot hold must not become a negative label
    return np.require(labels, np.int64, ("C", "A"))
