"""Fills of a tensor with one distribution, in place."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from fastnn import _core
from fastnn.random import Generator, default_generator

Target = TypeVar("Target")


def uniform_(tensor: Target, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Target:
    """Fill with values uniform in [a, b); b itself never comes out unless a == b.

    Raises:
        ValueError: a or b not finite, or a > b.
    """
    return _fill(_core.uniform, tensor, a, b, generator)


def normal_(tensor: Target, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Target:
    """Fill with normal values, by the transform of G. Box and M. Muller, Ann. Math. Stat. 29 (1958).

    Raises:
        ValueError: mean not finite, or std not finite or negative.
    """
    return _fill(_core.normal, tensor, mean, std, generator)


def as_array(tensor: Any) -> Any:
    return tensor if isinstance(tensor, np.ndarray) else getattr(tensor, "data", tensor)


def _fill(kernel: Callable[..., None], tensor: Target, a: float, b: float, generator: Generator | None) -> Target:
    data, g = as_array(tensor), default_generator if generator is None else generator
    words = getattr(data, "nbytes", 0) // 4
    block = g.reserve(words)
    try:
        kernel(data, a, b, g.seed, g.stream, block)
    except BaseException:
        g.give_back(block, words)
        raise
    return tensor
