"""Runs layers one after the other, forward and backward; errors say which layer they come from."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fastnn._parameter import Parameter
from fastnn._types import Array
from fastnn.nn.fusing import fusable, pass_on, run_fused
from fastnn.nn.module import Backward, Module, call

Named = Mapping[str, Module]


class _Place(NamedTuple):
    """Where an error comes from: the dict that holds the layer, its path in there, and what it got."""

    layers: Named
    path: str
    sentence: str
    got: str


def run(layers: Named, x: Array) -> tuple[Array, list[Backward]]:
    """Return the result of the last layer, and the closure of each.

    Raises:
        TypeError, ValueError: what a layer raises, of the same class; the message begins with the layer's place and
            ends with what the layer and the first layer got.
    """
    y, names = x, list(layers)
    backwards: list[Backward] = []
    while len(backwards) < len(names):
        name, after = names[len(backwards)], [layers[n] for n in names[len(backwards) + 1 : len(backwards) + 3]]
        followers = fusable(layers[name], after)
        try:
            y, backward = run_fused(layers[name], followers, y) if followers else call(layers[name], y)
        except (TypeError, ValueError) as error:
            raise _placed(error, layers, name, y, x) from None
        backwards += [backward, *[pass_on] * len(followers)]
    return y, backwards


def unwind(layers: Named, backwards: Sequence[Backward], dy: Array, input_grad: bool) -> Array | None:
    """Run the closures in reverse and return dx; without `input_grad`, skip those before the first gradient."""
    first = 0 if input_grad else next((i for i, layer in enumerate(layers.values()) if _trains(layer)), len(layers))
    dx: Any = dy
    for i in range(len(layers) - 1, first - 1, -1):
        dx = backwards[i](dx, input_grad or i > first)
        if dx is None and i > first:
            raise TypeError(f"{type([*layers.values()][i]).__name__}: got None from its closure, want an array like "
                            "its input x; let backward return dx")  # fmt: skip
    return dx if input_grad else None


def _trains(layer: Module) -> bool:
    """Return whether a parameter of the layer's tree requires a gradient."""
    own = (value.requires_grad for value in vars(layer).values() if isinstance(value, Parameter))
    return any(own) or any(parameter.requires_grad for parameter in layer.parameters())


def _placed(error: Exception, layers: Named, name: str, x: Any, given: Any) -> Exception:
    """Return an error of the same class whose message says which layer raised it."""
    layer, inner = layers[name], getattr(error, "_place", None)
    key = f"[{name}]" if name.isdecimal() else f".{name}"
    if inner is None:
        place = _Place(layers, f"{key} {type(layer).__name__}({layer._options()})", str(error), _described(x))
    elif inner.layers is getattr(layer, "_layers", None):
        place = inner._replace(layers=layers, path=key + inner.path)
    else:  # a layer that calls a Sequential of its own
        place = inner._replace(layers=layers, path=f"{key} {type(layer).__name__} > {inner.path}")
    text = f"model{place.path}: {place.sentence}; this layer got {place.got}, the model {_described(given)}"
    placed = reworded(error, text)
    if placed is not error:
        vars(placed)["_place"] = place
    return placed


def reworded(error: Exception, text: str) -> Exception:
    """Return an error of the same class and traceback with another message; itself if its class needs more than one."""
    try:
        return type(error)(text).with_traceback(error.__traceback__)
    except TypeError:
        return error


def _described(x: Any) -> str:
    return f"{x.dtype} {x.shape}" if hasattr(x, "dtype") and hasattr(x, "shape") else type(x).__name__
