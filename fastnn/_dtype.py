"""The dtype of parameters and statistics that are made without a dtype of their own."""

import numpy as np
import numpy.typing as npt

from fastnn._allocation import current
from fastnn._checks import float_dtype

_default: np.dtype[np.floating] = np.dtype(np.float32)


def set_default_dtype(d: npt.DTypeLike) -> None:
    """Set the dtype that layers and `Normalize` get from now on if they are made without `dtype`; float32 at first.

    The setting holds for all threads of the process. Existing layers and functions of arrays are not affected.

    Args:
        d: float32 or float64.

    Raises:
        TypeError: d is another dtype.
    """
    global _default
    _default = float_dtype(d)


def get_default_dtype() -> np.dtype[np.floating]:
    """Return the dtype that layers get if they are made without `dtype`: float32 or float64."""
    return _default


def chosen_dtype(dtype: npt.DTypeLike | None) -> np.dtype[np.floating]:
    """Return `dtype` as a NumPy dtype; None stands for the default one. Raises like `float_dtype`."""
    if dtype is not None:
        return float_dtype(dtype)
    budget = current()
    return _default if budget is None or budget.dtype is None else budget.dtype
