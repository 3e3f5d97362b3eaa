"""Dropout."""

from functools import partial

import numpy as np
import numpy.typing as npt
import reference

from fastnn import _core
from fastnn import functional as F
from kernels.table import BLOCK, FLAT, SEED, SIZES, STREAM, Arrays, Kernel, P, normals


def _keep(a: Arrays) -> npt.NDArray[np.bool_]:
    return reference.dropout_keep(a["x"].size, P, SEED, STREAM, BLOCK)


MASK = F.DropoutMask(P, SEED, STREAM, BLOCK)


def _keep_channels(a: Arrays) -> npt.NDArray[np.bool_]:
    n, c, *inner = a["x"].shape
    keep = reference.dropout_keep(n * c, P, SEED, STREAM, BLOCK)
    return np.repeat(keep, int(np.prod(inner))).reshape(a["x"].shape)


KERNELS = {
    "dropout": Kernel(
        FLAT,
        partial(normals, "x"),
        lambda a, out: {"y": F.dropout_backward(a["x"], MASK, out=out)},
        lambda a: {"y": reference.dropout(a["x"], P, _keep(a))},
        1,
        in_place="x",
        elementwise=True,
    ),
    "dropout2d": Kernel(
        (*((n, 3, 5) for n in SIZES), (7, 11), (3, 7, 1, 40_001), (2, 0, 5), (2, 3, 0)),
        partial(normals, "x"),
        lambda a, out: {"y": F.dropout2d_backward(a["x"], MASK, out=out)},
        lambda a: {"y": reference.dropout(a["x"], P, _keep_channels(a))},
        1,
        in_place="x",
    ),
    "alpha_dropout": Kernel(
        FLAT,
        partial(normals, "x"),
        lambda a, out: {"y": _core.alpha_dropout(a["x"], P, SEED, STREAM, BLOCK, False, out)},
        lambda a: {"y": reference.alpha_dropout(a["x"], P, _keep(a))},
        2,
        in_place="x",
        elementwise=True,
    ),
    "alpha_dropout_backward": Kernel(
        FLAT,
        partial(normals, "x"),
        lambda a, out: {"y": F.alpha_dropout_backward(a["x"], MASK, out=out)},
        lambda a: {"y": reference.alpha_dropout_backward(a["x"], P, _keep(a))},
        1,
        in_place="x",
        elementwise=True,
    ),
}
