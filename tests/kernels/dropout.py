"""Dropout."""

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import reference
from c_api import C_MASK, C_P, HERE, generator
from calls import CALL_MASK, IMAGE, Call, X
from table import BLOCK, FLAT, SEED, SIZES, STREAM, Arrays, Kernel, P, normals

from fastnn import _core
from fastnn import functional as F


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

_OVER = ("out",)
CALLS = {
    "dropout": Call(F.dropout, {"x": X, "out": X}, _OVER, _OVER, ("x",)),
    "dropout_backward": Call(F.dropout_backward, {"dy": X, "out": X}, _OVER, _OVER, ("dy",), {"mask": CALL_MASK}),
    "dropout2d": Call(F.dropout2d, {"x": IMAGE, "out": IMAGE}, _OVER, _OVER, ("x",)),
    "dropout2d_backward": Call(
        F.dropout2d_backward, {"dy": IMAGE, "out": IMAGE}, _OVER, _OVER, ("dy",), {"mask": CALL_MASK}
    ),
    "alpha_dropout": Call(F.alpha_dropout, {"x": X, "out": X}, _OVER, _OVER, ("x",)),
    "alpha_dropout_backward": Call(
        F.alpha_dropout_backward, {"dy": X, "out": X}, _OVER, _OVER, ("dy",), {"mask": CALL_MASK}
    ),
}


def _c_dropout(c: Any, a: Any) -> Any:
    x, y = a(7, 50), a(7, 50)
    c.dropout(y, x, x.size, C_P, HERE)
    return [y], [F.dropout(x, C_P, generator=generator())]


def _c_dropout2d(c: Any, a: Any) -> Any:
    x, y = a(7, 5, 4), a(7, 5, 4)
    c.dropout2d(y, x, 35, 4, C_P, HERE)
    return [y], [F.dropout2d(x, C_P, generator=generator())]


def _c_alpha_dropout(c: Any, a: Any) -> Any:
    x, y, dx = a(7, 50), a(7, 50), a(7, 50)
    c.alpha_dropout(y, x, x.size, C_P, 0, HERE)
    c.alpha_dropout(dx, x, x.size, C_P, 1, HERE)
    return [y, dx], [F.alpha_dropout(x, C_P, generator=generator()), F.alpha_dropout_backward(x, C_MASK)]


C_CASES = {"dropout": _c_dropout, "dropout2d": _c_dropout2d, "alpha_dropout": _c_alpha_dropout}

SIGNATURES = (
    "DropoutMask(p, seed, stream, block, scale=None)",
    "alpha_dropout(x, p=0.5, training=True, *, generator=None, out=None, return_mask=False)",
    "alpha_dropout_backward(dy, mask, *, out=None)",
    "dropout(x, p=0.5, training=True, *, inverted=True, generator=None, out=None, return_mask=False)",
    "dropout2d(x, p=0.5, training=True, *, generator=None, out=None, return_mask=False)",
    "dropout2d_backward(dy, mask, *, out=None)",
    "dropout_backward(dy, mask, *, out=None)",
)
