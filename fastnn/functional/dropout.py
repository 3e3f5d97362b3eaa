"""Dropout, forward and backward."""

from typing import Literal, NamedTuple, overload

from fastnn import _core
from fastnn.functional._types import Array
from fastnn.random import Generator, default_generator


class DropoutMask(NamedTuple):
    """All that backward needs to draw a dropout mask again: no mask is ever stored."""

    p: float
    seed: int
    stream: int
    block: int


@overload
def dropout(
    x: Array,
    p: float = ...,
    training: bool = ...,
    *,
    generator: Generator | None = ...,
    out: Array | None = ...,
    return_mask: Literal[False] = ...,
) -> Array: ...
@overload
def dropout(
    x: Array,
    p: float = ...,
    training: bool = ...,
    *,
    generator: Generator | None = ...,
    out: Array | None = ...,
    return_mask: Literal[True],
) -> tuple[Array, DropoutMask]: ...
def dropout(
    x: Array,
    p: float = 0.5,
    training: bool = True,
    *,
    generator: Generator | None = None,
    out: Array | None = None,
    return_mask: bool = False,
) -> Array | tuple[Array, DropoutMask]:
    """Set each element to 0 with probability `p`, multiply the others by 1 / (1 - p).

    An element is dropped when its 16 random bits are below p * 2**16, rounded to the nearest integer; so the
    probability is `p` to within 2**-17. A dropped value is exactly 0, also where x is NaN or infinite.

    Args:
        x: any shape.
        p: probability of dropping, in [0, 1].
        training: False copies x unchanged.
        generator: where the bits come from; the default generator if None.
        out: where to write; may be `x`.
        return_mask: also return what `dropout_backward` needs.

    Source: N. Srivastava et al., "Dropout", JMLR 15 (2014), in the inverted form that needs no work at inference.
    """
    g = default_generator if generator is None else generator
    words = -(-getattr(x, "size", 0) // 2) if training else 0
    mask = DropoutMask(p if training else 0.0, g.seed, g.stream, g.reserve(words))
    try:
        y = _core.dropout(x, *mask, out)
    except BaseException:
        g.give_back(mask.block, words)
        raise
    return (y, mask) if return_mask else y


def dropout_backward(dy: Array, mask: DropoutMask, *, out: Array | None = None) -> Array:
    """dx = dy / (1 - p) where `mask` kept the element, else 0. `out` may be `dy`."""
    return _core.dropout_backward(dy, *mask, out)
