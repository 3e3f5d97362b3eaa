"""The table of kernels: how to call each one, what it has to give, on which shapes.

Every entry gets its inputs as a dict of arrays and hands back a dict of outputs, the reference under the same
names; so one test body serves them all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import reference

from fastnn import _core
from fastnn import functional as F

Array = npt.NDArray[Any]
Arrays = dict[str, Any]
Shape = tuple[int, ...]

SIZES = range(258)
LARGE = 100_003
SEED, STREAM, BLOCK, P = 2**63 + 12345, 2**40 + 7, 2**32 - 1, 0.375


@dataclass(frozen=True)
class Kernel:
    """One row of the table.

    Attributes:
        shapes: of the main input, which is also the shape of the first output.
        inputs: (shape, dtype, rng) -> arrays.
        run: (arrays, out) -> outputs.
        reference: arrays -> outputs in float64.
        bound: the largest allowed error, in eps of the output's dtype times its largest |value| (see test_kernels.py).
        updated: which inputs are written in place; they are outputs too.
        in_place: the input that `out` may be, if any.
        elementwise: an output element depends on the elements at its own place only.
    """

    shapes: tuple[Shape, ...]
    inputs: Callable[[Shape, Any, np.random.Generator], Arrays]
    run: Callable[[Arrays, Array], Arrays]
    reference: Callable[[Arrays], Arrays]
    bound: float
    updated: tuple[str, ...] = ()
    in_place: str = ""
    elementwise: bool = False


def _normals(names: str, shape: Shape, dtype: Any, rng: np.random.Generator) -> Arrays:
    return {name: rng.standard_normal(shape).astype(dtype) for name in names.split()}


FLAT = (*((n,) for n in SIZES), (LARGE,), (3 * LARGE,))
ROWS = (*((3, n) for n in SIZES), *((n, 5) for n in SIZES[1:]), (3, LARGE), (LARGE, 5), (1009, 97))
CHANNELS = (
    *((5, n) for n in SIZES),
    *((n + 2, 3) for n in SIZES),
    *((2, 3, 1, n) for n in SIZES[1:]),
    (5, LARGE),
    (LARGE, 3),
    (2, 3, 1, LARGE),
    (17, 19, 13, 11),
    (3, 1, 300, 301),
)


def _layer_norm_inputs(names: str, shape: Shape, dtype: Any, rng: np.random.Generator) -> Arrays:
    a = _normals(names, shape, dtype, rng) | _normals("weight bias", shape[1:], dtype, rng)
    x = a["x"].astype(np.float64)
    if "dy" in a and x.size:
        _, a["mean"], a["rstd"] = reference.layer_norm(x, 1)
    elif "dy" in a:
        a["mean"], a["rstd"] = np.zeros(shape[0]), np.ones(shape[0])
    return a


def _layer_norm(a: Arrays, out: Array) -> Arrays:
    y = F.layer_norm(a["x"], a["x"].shape[1:], a["weight"], a["bias"], out=out, return_stats=True)
    return dict(zip(("y", "mean", "rstd"), y, strict=True))


def _layer_norm_reference(a: Arrays) -> Arrays:
    return dict(zip(("y", "mean", "rstd"), reference.layer_norm(a["x"], 1, a["weight"], a["bias"]), strict=True))


GRADIENTS = ("dx", "dweight", "dbias")


def _layer_norm_backward(a: Arrays, out: Array) -> Arrays:
    d = F.layer_norm_backward(a["dy"], a["x"], a["weight"], a["mean"], a["rstd"], out=out)
    return dict(zip(GRADIENTS, d, strict=True))


def _layer_norm_backward_reference(a: Arrays) -> Arrays:
    return dict(zip(GRADIENTS, reference.layer_norm_backward(a["dy"], a["x"], 1, a["weight"]), strict=True))


def _batch_norm_inputs(names: str, shape: Shape, dtype: Any, rng: np.random.Generator) -> Arrays:
    a = _normals(names, shape, dtype, rng) | _normals("weight bias running_mean", (shape[1],), dtype, rng)
    a["running_var"] = rng.uniform(0.5, 2, shape[1]).astype(dtype)
    if "dy" in a:
        a["mean"] = np.asarray(a["running_mean"], dtype=np.float64)
        a["rstd"] = 1 / np.sqrt(a["running_var"] + np.float64(1e-5))
    return a


def _train_inputs(names: str, shape: Shape, dtype: Any, rng: np.random.Generator) -> Arrays:
    a = _batch_norm_inputs(names, shape, dtype, rng)
    if "dy" in a and a["x"].size:
        _, a["mean"], a["rstd"], _, _ = reference.batch_norm(a["x"])
    return a


BATCH = ("y", "mean", "rstd", "running_mean", "running_var")


def _batch_norm(training: bool, a: Arrays, out: Array) -> Arrays:
    mean, var = a["running_mean"], a["running_var"]
    y = F.batch_norm(a["x"], mean, var, a["weight"], a["bias"], training, 0.3, out=out, return_stats=True)
    return dict(zip(BATCH, (*y, mean, var), strict=True))


def _batch_norm_reference(training: bool, a: Arrays) -> Arrays:
    names = ("x", "running_mean", "running_var", "weight", "bias")
    y = reference.batch_norm(**{name: a[name] for name in names}, training=training, momentum=0.3)
    return dict(zip(BATCH, y, strict=True))


def _batch_norm_backward(training: bool, a: Arrays, out: Array) -> Arrays:
    d = F.batch_norm_backward(a["dy"], a["x"], a["weight"], a["mean"], a["rstd"], training, out=out)
    return dict(zip(GRADIENTS, d, strict=True))


def _batch_norm_backward_reference(training: bool, a: Arrays) -> Arrays:
    names = ("dy", "x", "weight", "mean", "rstd")
    d = reference.batch_norm_backward(**{name: a[name] for name in names}, training=training)
    return dict(zip(GRADIENTS, d, strict=True))


def _entropy_inputs(shape: Shape, dtype: Any, rng: np.random.Generator) -> Arrays:
    labels = rng.integers(0, shape[1], shape[0]) if shape[1] else np.zeros(0, dtype=np.int64)
    return {"logits": (3 * rng.standard_normal(shape)).astype(dtype), "labels": labels}


def _entropy(a: Arrays, out: Array) -> Arrays:
    loss, dlogits = F.softmax_cross_entropy(a["logits"], a["labels"], out=out)
    return {"dlogits": dlogits, "loss": loss}


def _entropy_reference(a: Arrays) -> Arrays:
    loss, dlogits = reference.softmax_cross_entropy(a["logits"], a["labels"])
    return {"dlogits": dlogits, "loss": loss}


def _keep(a: Arrays) -> npt.NDArray[np.bool_]:
    return reference.dropout_keep(a["x"].size, P, SEED, STREAM, BLOCK)


def _fill(kernel: Callable[..., None], a: Arrays, out: Array) -> Arrays:
    kernel(out, 0.0, 1.0, SEED, STREAM, BLOCK)
    return {"out": out}


def _fill_reference(draw: Callable[..., Array], a: Arrays) -> Arrays:
    return {"out": draw(a["like"].size, a["like"].dtype, SEED, STREAM, BLOCK)}


KERNELS = {
    "relu": Kernel(
        FLAT,
        partial(_normals, "x"),
        lambda a, out: {"y": F.relu(a["x"], out=out)},
        lambda a: {"y": reference.relu(a["x"])},
        0,
        in_place="x",
        elementwise=True,
    ),
    "relu_backward": Kernel(
        FLAT,
        partial(_normals, "dy x"),
        lambda a, out: {"dx": F.relu_backward(a["dy"], a["x"], out=out)},
        lambda a: {"dx": reference.relu_backward(a["dy"], a["x"])},
        0,
        in_place="dy",
        elementwise=True,
    ),
    "dropout": Kernel(
        FLAT,
        partial(_normals, "x"),
        lambda a, out: {"y": F.dropout_backward(a["x"], F.DropoutMask(P, SEED, STREAM, BLOCK), out=out)},
        lambda a: {"y": reference.dropout(a["x"], P, _keep(a))},
        1,
        in_place="x",
        elementwise=True,
    ),
    "uniform": Kernel(
        FLAT,
        partial(_normals, "like"),
        partial(_fill, _core.uniform),
        partial(_fill_reference, reference.uniform01),
        0,
    ),
    "normal": Kernel(
        FLAT,
        partial(_normals, "like"),
        partial(_fill, _core.normal),
        partial(_fill_reference, reference.normal01),
        4,
    ),
    "layer_norm": Kernel(ROWS, partial(_layer_norm_inputs, "x"), _layer_norm, _layer_norm_reference, 3, in_place="x"),
    "layer_norm_backward": Kernel(
        ROWS,
        partial(_layer_norm_inputs, "dy x"),
        _layer_norm_backward,
        _layer_norm_backward_reference,
        6,
        in_place="dy",
    ),
    "softmax_cross_entropy": Kernel(ROWS[1:], _entropy_inputs, _entropy, _entropy_reference, 2, in_place="logits"),
}
for _training, _inputs in ((True, _train_inputs), (False, _batch_norm_inputs)):
    _mode = "train" if _training else "eval"
    KERNELS[f"batch_norm-{_mode}"] = Kernel(
        CHANNELS,
        partial(_inputs, "x"),
        partial(_batch_norm, _training),
        partial(_batch_norm_reference, _training),
        3,
        updated=("running_mean", "running_var") if _training else (),
        in_place="x",
    )
    KERNELS[f"batch_norm_backward-{_mode}"] = Kernel(
        CHANNELS,
        partial(_inputs, "dy x"),
        partial(_batch_norm_backward, _training),
        partial(_batch_norm_backward_reference, _training),
        6,
        in_place="dy",
    )
