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


def fusable(layer: Module, after: Sequence[Module]) -> tuple[Module, ...]:
    """Return those of the two layers after a Linear layer that `run_fused` runs with it; none after any other layer."""
    if type(layer) is not Linear or not after or Linear.__call__ is not _CALLS[Linear]:
        return ()
    found: tuple[Module, ...] = ()
    for follower in after:
        kind = type(follower)
        if kind.__call__ is not _CALLS.get(kind):  # subclasses and replaced methods are called as they are
            break
        if isinstance(follower, Dropout):
            return (*found, follower) if follower.training and 0 <= follower.p <= 1 else found  # else it raises itself
        if found or not (isinstance(follower, Activation) and follower._fusable()):
            break
        found = (follower,)
    return found


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
