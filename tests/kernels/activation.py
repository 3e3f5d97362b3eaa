"""Activations."""

from functools import partial

import reference

from fastnn import functional as F
from kernels.table import FLAT, Kernel, normals

KERNELS = {
    "relu": Kernel(
        FLAT,
        partial(normals, "x"),
        lambda a, out: {"y": F.relu(a["x"], out=out)},
        lambda a: {"y": reference.relu(a["x"])},
        0,
        in_place="x",
        elementwise=True,
    ),
    "relu_backward": Kernel(
        FLAT,
        partial(normals, "dy x"),
        lambda a, out: {"dx": F.relu_backward(a["dy"], a["x"], out=out)},
        lambda a: {"dx": reference.relu_backward(a["dy"], a["x"])},
        0,
        in_place="dy",
        elementwise=True,
    ),
}
