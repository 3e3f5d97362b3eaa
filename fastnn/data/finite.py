"""What must be finite."""

import numpy as np

from fastnn.nn.module import Array

_ROWS = 4096  # at a time, so that what tells them finite needs little memory


def check_finite(name: str, x: Array) -> None:
    """Refuse samples of which one is NaN or infinite, by its place."""
    for start in range(0, len(x), _ROWS):
        is_finite = np.isfinite(x[start : start + _ROWS])
        if not is_finite.all():
            row, *column = (int(i) for i in np.argwhere(~is_finite)[0])
            place = f"row {start + row}, column {', '.join(map(str, column))}" if column else f"row {start + row}"
            raise ValueError(f"{name}: got {x[(start + row, *column)]} at {place}, want finite numbers; clean the data")
