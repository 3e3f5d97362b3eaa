"""Dropout, forward and backward."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, overload

import numpy as np

from fastnn import _core
from fastnn._types import Array
from fastnn.random import BLOCK_WORDS, RandomSource, as_generator

__all__ = [
    "DropoutMask",
    "alpha_dropout",
    "alpha_dropout_backward",
    "dropout",
    "dropout2d",
    "dropout2d_backward",
    "dropout_backward",
]


class DropoutMask(NamedTuple):
    """The values from which backward draws a dropout mask again, so that no mask is stored.

    `scale` multiplies the kept elements; None stands for 1 / (1 - p).
    """

    p: float
    seed: int
    stream: int
    block: int
    scale: float | None = None


@overload
def dropout(
    x: Array,
    p: float = ...,
    training: bool = ...,
    *,
    inverted: bool = ...,
    generator: RandomSource | None = ...,
    out: Array | None = ...,
    return_mask: Literal[False] = ...,
) -> Array: ...
@overload
def dropout(
    x: Array,
    p: float = ...,
    training: bool = ...,
    *,
    inverted: bool = ...,
    generator: RandomSource | None = ...,
    out: Array | None = ...,
    return_mask: Literal[True],
) -> tuple[Array, DropoutMask]: ...
def dropout(
    x: Array,
    p: float = 0.5,
    training: bool = True,
    *,
    inverted: bool = True,
    generator: RandomSource | None = None,
    out: Array | None = None,
    return_mask: bool = False,
) -> Array | tuple[Array, DropoutMask]:
    """Set each element to 0 with probability `p` and multiply the others by 1 / (1 - p).

    An element is dropped when its 16 random bits are below p * 2**16, rounded to the nearest integer; so the
    probability is `p` to within 2**-17. A dropped value is exactly 0, even if x is NaN or infinite.

    Args:
        x: any shape.
        p: probability of dropping, in [0, 1].
        training: False copies x unchanged.
        inverted: False selects the original form: training does not scale the kept elements, and evaluation multiplies
            all elements by 1 - p.
        generator: source of the random bits; None for the default generator.
        out: where to write; may be `x`.
        return_mask: also return the mask that `dropout_backward` needs.

    Source: N. Srivastava et al., "Dropout", JMLR 15 (2014), section 10 for the form that needs no work at inference.
    """
    scale = None if inverted else 1.0
    if not (training or inverted):
        scale = 1 - p if 0 <= p <= 1 else None  # the kernel raises for any other p
    y, mask = drawn(generator, p, training, np.size(x), scale, lambda mask: _core.dropout(x, *mask, 0, "x", out))
    return (y, mask) if return_mask else y


def dropout_backward(dy: Array, mask: DropoutMask, *, out: Array | None = None) -> Array:
    """dx = dy times the factor of `dropout` for kept elements, 0 for dropped ones. `out` may be `dy`."""
    return _core.dropout(dy, *mask, 0, "dy", out)


@overload
def dropout2d(
    x: Array,
    p: float = ...,
    training: bool = ...,
    *,
    generator: RandomSource | None = ...,
    out: Array | None = ...,
    return_mask: Literal[False] = ...,
) -> Array: ...
@overload
def dropout2d(
    x: Array,
    p: float = ...,
    training: bool = ...,
    *,
    generator: RandomSource | None = ...,
    out: Array | None = ...,
    return_mask: Literal[True],
) -> tuple[Array, DropoutMask]: ...
def dropout2d(
    x: Array,
    p: float = 0.5,
    training: bool = True,
    *,
    generator: RandomSource | None = None,
    out: Array | None = None,
    return_mask: bool = False,
) -> Array | tuple[Array, DropoutMask]:
    """Drop whole channels: the elements of each x[n, c] are all dropped or all kept.

    Args:
        x: (N, C) or (N, C, ...), as images are (N, C, H, W).
        p, training, generator, out, return_mask: as for `dropout`.

    Source: J. Tompson et al., "Efficient Object Localization Using Convolutional Networks", CVPR 2015, section 3.2.
    """
    channels = int(np.prod(np.shape(x)[:2]))
    y, mask = drawn(generator, p, training, channels, None, lambda mask: _core.dropout(x, *mask, 2, "x", out))
    return (y, mask) if return_mask else y


def dropout2d_backward(dy: Array, mask: DropoutMask, *, out: Array | None = None) -> Array:
    """dx = dy / (1 - p) in the channels that `dropout2d` kept, else 0. `out` may be `dy`."""
    return _core.dropout(dy, *mask, 2, "dy", out)


@overload
def alpha_dropout(
    x: Array,
    p: float = ...,
    training: bool = ...,
    *,
    generator: RandomSource | None = ...,
    out: Array | None = ...,
    return_mask: Literal[False] = ...,
) -> Array: ...
@overload
def alpha_dropout(
    x: Array,
    p: float = ...,
    training: bool = ...,
    *,
    generator: RandomSource | None = ...,
    out: Array | None = ...,
    return_mask: Literal[True],
) -> tuple[Array, DropoutMask]: ...
def alpha_dropout(
    x: Array,
    p: float = 0.5,
    training: bool = True,
    *,
    generator: RandomSource | None = None,
    out: Array | None = None,
    return_mask: bool = False,
) -> Array | tuple[Array, DropoutMask]:
    """Dropout for SELU networks: keeps the mean and variance of activations with mean 0 and variance 1.

    With alpha = -1.7580993408473766, the limit of SELU, a = ((1 - p) (1 + p alpha**2))**-0.5 and b = -a p alpha, an
    element becomes a x + b, or a alpha + b where it is dropped. p = 1 gives zeros, as in PyTorch.

    Args:
        x: any shape.
        p, training, generator, out, return_mask: as for `dropout`.

    Source: G. Klambauer et al., "Self-Normalizing Neural Networks", NIPS 2017, section 3.
    """
    y, mask = drawn(
        generator, p, training, np.size(x), None, lambda mask: _core.alpha_dropout(x, *mask[:4], False, out)
    )
    return (y, mask) if return_mask else y


def alpha_dropout_backward(dy: Array, mask: DropoutMask, *, out: Array | None = None) -> Array:
    """dx = a dy where `alpha_dropout` kept the element, else 0. `out` may be `dy`."""
    return _core.alpha_dropout(dy, *mask[:4], True, out)


def drawn(
    generator: RandomSource | None,
    p: float,
    training: bool,
    elements: int,
    scale: float | None,
    run: Callable[[DropoutMask], Any],
) -> tuple[Any, DropoutMask]:
    """Return run(mask) with a fresh mask for `elements` elements; if run raises, the random bits are given back.

    Args:
        p: the mask's probability; 0 is used instead if `training` is False, but an invalid p is passed on to the
            kernel, which raises.
    """
    p = p if training or not 0 <= p <= 1 else 0.0
    g, words = as_generator(generator), -(-elements // 2) if p else 0

    def run_at(offset: int) -> tuple[Any, DropoutMask]:
        mask = DropoutMask(p, g.seed, g.stream, offset // BLOCK_WORDS, scale)
        return run(mask), mask

    return g.draw(words, run_at)
