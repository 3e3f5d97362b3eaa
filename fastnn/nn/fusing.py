"""A Linear layer, the activation and the dropout after it as one call, which gives the same bits."""

from collections.abc import Sequence
from typing import Any

from fastnn._types import Array
from fastnn.nn import activation
from fastnn.nn.activation import Activation
from fastnn.nn.layers import Dropout, Linear
from fastnn.nn.module import Backward, Module

_FUSED = (Linear, Dropout, activation.ReLU, activation.LeakyReLU, activation.ELU, activation.GELU, activation.SiLU)
_CALLS: dict[type[Module], Any] = {kind: kind.__call__ for kind in _FUSED}


def fusable(layer: Module, after: Sequence[Module]) -> list[Module]:
    """Return those of the two layers after a Linear layer that `run_fused` runs with it; none after any other layer."""
    found: list[Module] = []
    if type(layer) is not Linear or not _is_ours(layer):
        return found
    for follower in after:
        if isinstance(follower, Dropout) and _is_ours(follower) and follower.training:
            return [*found, follower]
        if found or not (isinstance(follower, Activation) and _is_ours(follower) and follower._fusable()):
            break
        found.append(follower)
    return found


def _is_ours(layer: Module) -> bool:
    """Return whether calling the layer runs our code: subclasses and replaced methods are called as they are."""
    return type(layer).__call__ is _CALLS.get(type(layer))


def run_fused(linear: Any, followers: Sequence[Module], x: Array) -> tuple[Array, Backward]:
    """Return what the layers give one after the other; the closure is that of all of them."""
    options: dict[str, Any] = {}
    for layer in followers:
        if isinstance(layer, Activation) and (same := layer._fusable()):
            options["activation"], options["alpha"] = same
        else:
            options["dropout"] = layer
    y, backward = linear._run_with(x, **options)
    return y, backward


def pass_on(dy: Array, input_grad: bool = True) -> Array | None:
    """The closure of a follower: that of the Linear layer does its work."""
    return dy
