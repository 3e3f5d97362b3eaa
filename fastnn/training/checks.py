"""What the trainer refuses before anything is trained."""

import numpy as np
import numpy.typing as npt

from fastnn.nn.module import FLOATS, Array

Labels = npt.NDArray[np.integer]
Data = tuple[Array, Labels]


def check_samples(name: str, x: Array) -> None:
    """Refuse what is no float array of at least one sample."""
    if not isinstance(x, np.ndarray) or x.dtype not in FLOATS:
        got = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
        raise TypeError(f"{name}: got {got}, want a float32 or float64 array; convert it with np.asarray")
    if x.ndim == 0 or len(x) == 0:
        raise ValueError(f"{name}: got shape {x.shape}, want at least one sample; axis 0 counts samples")


def checked(name: str, data: Data) -> Data:
    """`data`, refused unless it is (x, y) with one integer label for every sample."""
    if not isinstance(data, tuple) or len(data) != 2:
        raise TypeError(f"{name}: got {type(data).__name__}, want a tuple (x, y) of two arrays; pass (x, y)")
    x, y = data
    check_samples(f"{name} x", x)
    if not isinstance(y, np.ndarray) or not np.issubdtype(y.dtype, np.integer):
        got = y.dtype if isinstance(y, np.ndarray) else type(y).__name__
        raise TypeError(f"{name} y: got {got}, want an integer array; convert it with np.asarray")
    if y.shape != (len(x),):
        raise ValueError(f"{name} y: got shape {y.shape}, want ({len(x)},), one for each sample of x; add the others")
    return x, y


def check_positive(name: str, value: int) -> None:
    """Refuse what is no positive integer."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value <= 0:
        raise ValueError(f"{name}: got {value!r}, want a positive integer; 1 is the least")
