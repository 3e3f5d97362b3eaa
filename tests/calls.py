"""One good call of every function that takes arrays, and ways to spoil an array: the tables behind test_border.py."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from support import Array

from fastnn import functional as F
from fastnn import init

MASK = F.DropoutMask(0.5, 1, 2, 3)
ROWS, COLUMNS = 6, 4


@dataclass(frozen=True)
class Call:
    """A function with keyword arguments that are all right.

    Attributes:
        run: the function.
        shapes: of its array arguments, float64 unless they are labels; the first is the one the others are held to.
        written: arguments that are changed in place.
        optional: arguments that may be None.
        same: inputs that `out` may be.
        options: what else is passed.
        labels, places: arguments that hold classes, or places in a window.
    """

    run: Callable[..., Any]
    shapes: dict[str, tuple[int, ...]]
    written: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    same: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    places: tuple[str, ...] = ()

    def arrays(self) -> dict[str, Array]:
        """Fresh arguments."""
        rng = np.random.default_rng(1)
        made = {name: rng.uniform(0.5, 2, shape) for name, shape in self.shapes.items()}
        made |= {name: np.zeros(self.shapes[name], np.int64) for name in self.labels}
        return made | {name: np.zeros(self.shapes[name], np.uint8) for name in self.places}

    def __call__(self, **arrays: Any) -> Any:
        return self.run(**arrays, **self.options)


X, ROW, COLUMN = (ROWS, COLUMNS), (ROWS,), (COLUMNS,)
IMAGE = (*X, 3)
POOLED = {"dy": (ROWS, COLUMNS - 1, 2), "indices": (ROWS, COLUMNS - 1, 2), "out": IMAGE}
_STATS = {"running_mean": COLUMN, "running_var": COLUMN}
_AFFINE = {"weight": COLUMN, "bias": COLUMN}
_NORM_GRADIENT = {"x": X, "dy": X, "weight": COLUMN}

# The gradient of the last two is taken from the output y.
_NAMES = ("relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "sigmoid", "tanh")
_AT = {name: "y" if name in ("sigmoid", "tanh") else "x" for name in _NAMES}
ACTIVATIONS = {name: Call(getattr(F, name), {"x": X, "out": X}, ("out",), ("out",), ("x",)) for name in _NAMES} | {
    f"{name}_backward": Call(getattr(F, f"{name}_backward"), {at: X, "dy": X, "out": X}, ("out",), ("out",), (at, "dy"))
    for name, at in _AT.items()
}

DROPOUTS = {
    "dropout2d": Call(F.dropout2d, {"x": IMAGE, "out": IMAGE}, ("out",), ("out",), ("x",)),
    "alpha_dropout": Call(F.alpha_dropout, {"x": X, "out": X}, ("out",), ("out",), ("x",)),
    **{
        f.__name__: Call(f, {"dy": shape, "out": shape}, ("out",), ("out",), ("dy",), {"mask": MASK})
        for f, shape in ((F.dropout2d_backward, IMAGE), (F.alpha_dropout_backward, X))
    },
}

_SHAPE = {"normalized_shape": COLUMNS}
_OVER = ("out",)
ROW_NORMS = {
    "rms_norm": Call(F.rms_norm, {"x": X, "weight": COLUMN, "out": X}, _OVER, ("weight", "out"), ("x",), _SHAPE),
    "rms_norm_backward": Call(
        F.rms_norm_backward, _NORM_GRADIENT | {"rrms": ROW, "out": X}, _OVER, ("weight", "out"), ("x", "dy")
    ),
    "dropout_add_layer_norm": Call(
        F.dropout_add_layer_norm,
        {"x": X, "residual": X, **_AFFINE, "out": X},
        _OVER,
        ("residual", "weight", "bias", "out"),
        ("x", "residual"),
        _SHAPE | {"p": 0.5},
    ),
    "dropout_add_layer_norm-sum": Call(
        F.dropout_add_layer_norm, {"x": X, "residual": X, "out": X}, _OVER, ("residual", "out"), ("x", "residual")
    ),
    "dropout_add_layer_norm_backward": Call(
        F.dropout_add_layer_norm_backward,
        {"sum": X, "dy": X, "weight": COLUMN, "mean": ROW, "rstd": ROW, "dsum": X, "out": X},
        _OVER,
        ("weight", "dsum", "out"),
        ("sum", "dy"),
        {"mask": MASK},
    ),
}

BATCH_NORMS = {}
for _last, _x in ((False, IMAGE), (True, (ROWS, 3, COLUMNS))):
    BATCH_NORMS[f"batch_norm-fused_{'last' if _last else 'first'}"] = Call(
        F.batch_norm,
        {"x": _x, "residual": _x, **_STATS, **_AFFINE, "out": _x},
        ("running_mean", "running_var", "out"),
        ("residual", "weight", "bias", "out"),
        ("x", "residual"),
        {"training": True, "activation": "relu", "channels_last": _last},
    )
    BATCH_NORMS[f"batch_norm_backward-fused_{'last' if _last else 'first'}"] = Call(
        F.batch_norm_backward,
        {"x": _x, "dy": _x, "weight": COLUMN, "mean": COLUMN, "rstd": COLUMN, "y": _x, "out": _x},
        _OVER,
        ("weight", "y", "out"),
        ("x", "dy", "y"),
        {"residual": True, "channels_last": _last},
    )

_POOL: dict[str, Any] = {"kernel_size": 2, "stride": 1}
CALLS = {
    **ACTIVATIONS,
    **DROPOUTS,
    **ROW_NORMS,
    **BATCH_NORMS,
    "bias_activation": Call(
        F.bias_activation, {"x": X, "bias": COLUMN, "out": X}, ("out",), ("bias", "out"), ("x",), {"p": 0.5}
    ),
    "bias_activation_backward": Call(
        F.bias_activation_backward,
        {"x": X, "dy": X, "bias": COLUMN, "out": X},
        ("out",),
        ("bias", "out"),
        ("x", "dy"),
        {"mask": MASK},
    ),
    "dropout": Call(F.dropout, {"x": X, "out": X}, ("out",), ("out",), ("x",)),
    "dropout_backward": Call(F.dropout_backward, {"dy": X, "out": X}, ("out",), ("out",), ("dy",), {"mask": MASK}),
    "layer_norm": Call(
        F.layer_norm,
        {"x": X, **_AFFINE, "out": X},
        ("out",),
        ("weight", "bias", "out"),
        ("x",),
        {"normalized_shape": COLUMNS},
    ),
    "layer_norm_backward": Call(
        F.layer_norm_backward,
        {**_NORM_GRADIENT, "mean": ROW, "rstd": ROW, "out": X},
        ("out",),
        ("weight", "out"),
        ("x", "dy"),
    ),
    "batch_norm-train": Call(
        F.batch_norm,
        {"x": X, **_STATS, **_AFFINE, "out": X},
        ("running_mean", "running_var", "out"),
        ("weight", "bias", "out"),
        ("x",),
        {"training": True},
    ),
    "batch_norm-eval": Call(
        F.batch_norm, {"x": X, **_STATS, **_AFFINE, "out": X}, ("out",), ("weight", "bias", "out"), ("x",)
    ),
    "batch_norm_backward": Call(
        F.batch_norm_backward,
        {**_NORM_GRADIENT, "mean": COLUMN, "rstd": COLUMN, "out": X},
        ("out",),
        ("weight", "out"),
        ("x", "dy"),
    ),
    "group_norm": Call(
        F.group_norm, {"x": X, **_AFFINE, "out": X}, ("out",), ("weight", "bias", "out"), ("x",), {"num_groups": 2}
    ),
    "group_norm_backward": Call(
        F.group_norm_backward,
        {**_NORM_GRADIENT, "mean": (ROWS, 2), "rstd": (ROWS, 2), "out": X},
        ("out",),
        ("weight", "out"),
        ("x", "dy"),
        {"num_groups": 2},
    ),
    "instance_norm": Call(
        F.instance_norm,
        {"x": IMAGE, **_STATS, **_AFFINE, "out": IMAGE},
        ("running_mean", "running_var", "out"),
        ("weight", "bias", "out"),
        ("x",),
    ),
    "instance_norm_backward": Call(
        F.instance_norm_backward,
        {"x": IMAGE, "dy": IMAGE, "weight": COLUMN, "mean": X, "rstd": X, "out": IMAGE},
        ("out",),
        ("weight", "out"),
        ("x", "dy"),
    ),
    "weight_norm": Call(F.weight_norm, {"v": X, "g": (ROWS, 1), "out": X}, ("out",), ("out",), ("v",)),
    "weight_norm_backward": Call(
        F.weight_norm_backward,
        {"v": X, "dw": X, "g": (ROWS, 1), "norm": (ROWS, 1), "out": X},
        ("out",),
        ("out",),
        ("v", "dw"),
    ),
    "max_pool2d": Call(F.max_pool2d, {"x": IMAGE, "out": POOLED["dy"]}, _OVER, _OVER, options=_POOL),
    "max_pool2d_backward": Call(
        F.max_pool2d_backward, POOLED, _OVER, _OVER, options={"input_size": IMAGE} | _POOL, places=("indices",)
    ),
    "softmax_cross_entropy": Call(
        F.softmax_cross_entropy,
        {"logits": X, "labels": ROW, "weight": COLUMN, "out": X},
        ("out",),
        ("weight", "out"),
        ("logits",),
        labels=("labels",),
    ),
    "softmax_cross_entropy-probabilities": Call(
        F.softmax_cross_entropy, {"logits": X, "labels": X, "out": X}, ("out",), ("out",), ("logits",)
    ),
    "nll_loss": Call(
        F.nll_loss,
        {"input": X, "target": ROW, "weight": COLUMN, "out": X},
        ("out",),
        ("weight", "out"),
        ("input",),
        labels=("target",),
    ),
    "softmax": Call(F.softmax, {"x": X, "out": X}, ("out",), ("out",), ("x",)),
    "softmax_backward": Call(F.softmax_backward, {"y": X, "dy": X, "out": X}, ("out",), ("out",), ("y", "dy")),
    "log_softmax": Call(F.log_softmax, {"x": X, "out": X}, ("out",), ("out",), ("x",)),
    "log_softmax_backward": Call(F.log_softmax_backward, {"y": X, "dy": X, "out": X}, ("out",), ("out",), ("y", "dy")),
    **{
        f.__name__: Call(f, {"input": X, "target": X, "out": X}, ("out",), ("out",), ("input",))
        for f in (F.mse_loss, F.l1_loss, F.huber_loss, F.kl_div)
    },
    "binary_cross_entropy_with_logits": Call(
        F.binary_cross_entropy_with_logits,
        {"input": X, "target": X, "weight": X, "pos_weight": COLUMN, "out": X},
        ("out",),
        ("weight", "pos_weight", "out"),
        ("input",),
    ),
    "uniform_": Call(init.uniform_, {"tensor": X}, ("tensor",)),
    "normal_": Call(init.normal_, {"tensor": X}, ("tensor",)),
    "kaiming_normal_": Call(init.kaiming_normal_, {"tensor": X}, ("tensor",)),
}


def strided(a: Array) -> Array:
    """Every second element of a larger array."""
    wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)
    wide[..., ::2] = a
    return wide[..., ::2]


def misaligned(a: Array) -> Array:
    """At an odd address."""
    raw = np.zeros(a.nbytes + 1, np.uint8)
    view: Array = raw[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def read_only(a: Array) -> Array:
    """A copy that may not be written."""
    a = a.copy()
    a.flags.writeable = False
    return a


def swapped(a: Array) -> Array:
    """The same values with the other byte order."""
    return a.astype(a.dtype.newbyteorder("S"))


# kind -> how to make it, what it raises, and how the sentence names it.
WRONG: dict[str, tuple[Callable[[Array], Any], type[Exception], str]] = {
    "list": (lambda a: a.tolist(), TypeError, "got list, want a numpy.ndarray"),
    "None": (lambda a: None, TypeError, "got NoneType, want a numpy.ndarray"),
    "float": (lambda a: 1.0, TypeError, "got float, want a numpy.ndarray"),
    "float16": (lambda a: a.astype(np.float16), TypeError, "got dtype float16, want native float32 or float64"),
    "longdouble": (lambda a: a.astype(np.longdouble), TypeError, "got dtype float128, want native float32 or float64"),
    "int64": (lambda a: a.astype(np.int64), TypeError, "got dtype int64, want native float32 or float64"),
    "bool": (lambda a: a.astype(bool), TypeError, "got dtype bool, want native float32 or float64"),
    "complex": (lambda a: a.astype(complex), TypeError, "got dtype complex128, want native float32 or float64"),
    "object": (lambda a: a.astype(object), TypeError, "got dtype object, want native float32 or float64"),
    "swapped": (swapped, TypeError, "got dtype >f8, want native float32 or float64"),
    "strided": (strided, ValueError, "got strided memory, want C-contiguous memory"),
    "reversed": (lambda a: a[::-1], ValueError, "got strided memory, want C-contiguous memory"),
    "broadcast": (lambda a: np.broadcast_to(a[:1], a.shape), ValueError, "got strided memory, want C-contiguous"),
    "misaligned": (misaligned, ValueError, "got misaligned memory, want an address that is a multiple"),
}
# These need two axes, a target, or something to differ from.
FORTRAN = (np.asfortranarray, ValueError, "got strided memory, want C-contiguous memory")
READ_ONLY = (read_only, ValueError, "got a read-only array, want a writable one")
OTHER_DTYPE = (lambda a: a.astype(np.float32), TypeError, "got float32, want float64")
OTHER_SHAPE = (lambda a: np.concatenate([a, a]), ValueError, r"got shape \(.*, want \(.*\)")
EXTRA_AXIS = (lambda a: a[..., None].copy(), ValueError, r"got shape \(.*, 1\), want ")
