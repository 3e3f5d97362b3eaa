"""Activations."""

from functools import partial
from typing import Any

from c_api import ACTIVATIONS, like
from calls import Call, X
from reference import activation as reference
from table import FLAT, Array, Arrays, Kernel, normals

from fastnn import functional as F

FROM_OUTPUT = {"sigmoid": reference.sigmoid_backward, "tanh": reference.tanh_backward}


def _forward(name: str, options: tuple[Any, ...], a: Arrays, out: Array) -> Arrays:
    return {"y": getattr(F, name)(a["x"], *options, out=out)}


def _backward(name: str, options: tuple[Any, ...], a: Arrays, out: Array) -> Arrays:
    return {"dx": getattr(F, f"{name}_backward")(*a.values(), *options, out=out)}


def _row(name: str, variant: str, options: tuple[Any, ...], bounds: tuple[float, float]) -> dict[str, Kernel]:
    """Return the forward and backward kernels; the reference is gelu_tanh's if the option says so."""
    named = "gelu_tanh" if options == ("tanh",) else name
    numbers = tuple(o for o in options if not isinstance(o, str))
    gradient = FROM_OUTPUT.get(name, partial(reference.times_slope, reference.SLOPES[named]))
    gradient = reference.relu_backward if name == "relu" else gradient
    return {
        f"{name}{variant}": Kernel(
            FLAT,
            partial(normals, "x"),
            partial(_forward, name, options),
            lambda a: {"y": reference.VALUES[named](a["x"], *numbers)},
            bounds[0],
            in_place="x",
            elementwise=True,
        ),
        f"{name}_backward{variant}": Kernel(
            FLAT,
            partial(normals, "dy y" if name in FROM_OUTPUT else "dy x"),
            partial(_backward, name, options),
            lambda a: {"dx": gradient(*a.values(), *numbers)},
            bounds[1],
            in_place="dy",
            elementwise=True,
        ),
    }


KERNELS: dict[str, Kernel] = {
    **_row("relu", "", (), (0, 0)),
    **_row("leaky_relu", "", (), (1, 1)),
    **_row("leaky_relu", "-0.3", (0.3,), (1, 1)),
    **_row("elu", "", (), (1, 2)),
    **_row("elu", "-1.7", (1.7,), (1, 2)),
    **_row("gelu", "", (), (2, 2)),
    **_row("gelu", "-tanh", ("tanh",), (2, 3)),
    **_row("silu", "", (), (2, 2)),
    **_row("sigmoid", "", (), (1, 2)),
    **_row("tanh", "", (), (1, 2)),
    **_row("softplus", "", (), (2, 2)),
    **_row("softplus", "-3", (3.0, 2.0), (2, 3)),
}

CALLS: dict[str, Call] = {}
for _name in ("relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "sigmoid", "tanh"):
    _at = "y" if _name in FROM_OUTPUT else "x"
    CALLS[_name] = Call(getattr(F, _name), {"x": X, "out": X}, ("out",), ("out",), ("x",))
    CALLS[f"{_name}_backward"] = Call(
        getattr(F, f"{_name}_backward"), {_at: X, "dy": X, "out": X}, ("out",), ("out",), (_at, "dy")
    )


def _c_activation(c: Any, a: Any) -> Any:
    x, got, want = a(4, 9), [], []
    for kind, name in enumerate(ACTIVATIONS[1:], 1):
        y = like(x)[0]
        option = {"leaky_relu": 0.01, "elu": 1.0, "softplus": 1.0}.get(name, 0.0)
        c.activation(y, x, x.size, kind, option, 20.0)
        got.append(y)
        want.append(F.gelu(x, "tanh") if name == "gelu_tanh" else getattr(F, name)(x))
    return got, want


def _c_activation_backward(c: Any, a: Any) -> Any:
    x, dy, dx = a(4, 9), a(4, 9), a(4, 9)
    c.activation_backward(dx, dy, x, x.size, ACTIVATIONS.index("silu"), 0.0, 0.0)
    return [dx], [F.silu_backward(dy, x)]


C_CASES = {"activation": _c_activation, "activation_backward": _c_activation_backward}

SIGNATURES = (
    "elu(x, alpha=1.0, *, out=None)",
    "elu_backward(dy, x, alpha=1.0, *, out=None)",
    "gelu(x, approximate='none', *, out=None)",
    "gelu_backward(dy, x, approximate='none', *, out=None)",
    "leaky_relu(x, negative_slope=0.01, *, out=None)",
    "leaky_relu_backward(dy, x, negative_slope=0.01, *, out=None)",
    "relu(x, *, out=None)",
    "relu_backward(dy, x, *, out=None)",
    "sigmoid(x, *, out=None)",
    "sigmoid_backward(dy, y, *, out=None)",
    "silu(x, *, out=None)",
    "silu_backward(dy, x, *, out=None)",
    "softplus(x, beta=1.0, threshold=20.0, *, out=None)",
    "softplus_backward(dy, x, beta=1.0, threshold=20.0, *, out=None)",
    "tanh(x, *, out=None)",
    "tanh_backward(dy, y, *, out=None)",
)
