"""Dropout."""

from functools import partial

import numpy as np
import numpy.typing as npt
import reference

from fastnn import functional as F
from kernels.table import BLOCK, FLAT, SEED, STREAM, Arrays, Kernel, P, normals


def _keep(a: Arrays) -> npt.NDArray[np.bool_]:
    return reference.dropout_keep(a["x"].size, P, SEED, STREAM, BLOCK)


KERNELS = {
    "dropout": Kernel(
        FLAT,
        partial(normals, "x"),
        lambda a, out: {"y": F.dropout_backward(a["x"], F.DropoutMask(P, SEED, STREAM, BLOCK), out=out)},
        lambda a: {"y": reference.dropout(a["x"], P, _keep(a))},
        1,
        in_place="x",
        elementwise=True,
    ),
}
