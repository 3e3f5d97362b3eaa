"""Activations."""

from functools import partial
from typing import Any

from reference import activation as reference

from fastnn import functional as F
from kernels.table import FLAT, Array, Arrays, Kernel, normals


def _forward(name: str, options: tuple[Any, ...], a: Arrays, out: Array) -> Arrays:
    return {"y": getattr(F, name)(a["x"], *options, out=out)}


def _backward(name: str, options: tuple[Any, ...], a: Arrays, out: Array) -> Arrays:
    return {"dx": getattr(F, f"{name}_backward")(*a.values(), *options, out=out)}


def _row(name: str, variant: str, options: tuple[Any, ...], bounds: tuple[float, float]) -> dict[str, Kernel]:
    """Forward and backward; the reference is that of gelu_tanh where the option says so."""
    named = "gelu_tanh" if options == ("tanh",) else name
    numbers = tuple(o for o in options if not isinstance(o, str))
    from_output = {"sigmoid": reference.sigmoid_backward, "tanh": reference.tanh_backward}
    gradient = from_output.get(name, partial(reference.times_slope, reference.SLOPES[named]))
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
            partial(normals, "dy y" if name in from_output else "dy x"),
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
