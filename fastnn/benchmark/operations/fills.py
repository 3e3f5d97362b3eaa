"""Random fills of a weight, in place."""

import math
from functools import partial
from typing import Any

import numpy as np

from fastnn import init, random
from fastnn._types import AnyArray
from fastnn.benchmark.case import Agree, Arrays, Case, Side, operation


@operation("init.uniform_")
def uniform(n: int, torch: Any) -> Case:
    """Values in [-0.1, 0.1)."""
    ours, theirs, rng = np.ones(n, np.float32), np.ones(n, np.float32), np.random.default_rng(0)

    def numpy_side() -> AnyArray:
        rng.random(dtype=np.float32, out=theirs)
        np.multiply(theirs, np.float32(0.2), out=theirs)
        return np.subtract(theirs, np.float32(0.1), out=theirs)

    sides: dict[str, Side] = {"fastnn": lambda: init.uniform_(ours, -0.1, 0.1), "numpy": numpy_side}
    if torch is not None:
        sides["torch"] = partial(torch.ones(n).uniform_, -0.1, 0.1)
    return Case(n, (0, 1, 0), sides, _moments(0, 0.2 / math.sqrt(12)))


@operation("init.normal_")
def normal(n: int, torch: Any) -> Case:
    """Normal values of standard deviation 0.1."""
    ours, theirs, rng = np.ones(n, np.float32), np.ones(n, np.float32), np.random.default_rng(0)

    def numpy_side() -> AnyArray:
        rng.standard_normal(dtype=np.float32, out=theirs)
        return np.multiply(theirs, np.float32(0.1), out=theirs)

    sides: dict[str, Side] = {"fastnn": lambda: init.normal_(ours, 0.0, 0.1), "numpy": numpy_side}
    if torch is not None:
        sides["torch"] = partial(torch.ones(n).normal_, 0.0, 0.1)
    return Case(n, (0, 1, 0), sides, _moments(0, 0.1))


@operation("init.trunc_normal_")
def trunc_normal(n: int, torch: Any) -> Case:
    """Normal values, truncated at two standard deviations; NumPy redraws values beyond them."""
    ours, theirs, rng = np.ones(n, np.float32), np.ones(n, np.float32), np.random.default_rng(0)

    def numpy_side() -> AnyArray:
        rng.standard_normal(dtype=np.float32, out=theirs)
        beyond = np.flatnonzero(np.abs(theirs) > 2)
        while len(beyond):
            theirs[beyond] = rng.standard_normal(len(beyond), dtype=np.float32)
            beyond = beyond[np.abs(theirs[beyond]) > 2]
        return theirs

    sides: dict[str, Side] = {"fastnn": lambda: init.trunc_normal_(ours), "numpy": numpy_side}
    if torch is not None:
        sides["torch"] = partial(torch.nn.init.trunc_normal_, torch.ones(n))
    return Case(n, (0, 1, 0), sides, _moments(0, 0.8796256610342398))


@operation("random.bernoulli_")
def bernoulli(n: int, torch: Any) -> Case:
    """Ones with a probability of 0.3, else zeros."""
    ours, theirs, rng = np.ones(n, np.float32), np.ones(n, np.float32), np.random.default_rng(0)
    sides: dict[str, Side] = {
        "fastnn": lambda: random.bernoulli_(ours, 0.3),
        "numpy": lambda: np.less(rng.random(n, dtype=np.float32), 0.3, out=theirs, casting="unsafe"),
    }
    if torch is not None:
        sides["torch"] = partial(torch.ones(n).bernoulli_, 0.3)
    return Case(n, (0, 1, 0), sides, _moments(0.3, math.sqrt(0.3 * 0.7)))


@operation("random.exponential_")
def exponential(n: int, torch: Any) -> Case:
    """Exponentially distributed values of mean 1."""
    ours, theirs, rng = np.ones(n, np.float32), np.ones(n, np.float32), np.random.default_rng(0)
    sides: dict[str, Side] = {
        "fastnn": lambda: random.exponential_(ours),
        "numpy": lambda: rng.standard_exponential(dtype=np.float32, out=theirs),
    }
    if torch is not None:
        sides["torch"] = torch.ones(n).exponential_
    return Case(n, (0, 1, 0), sides, _moments(1, 1))


def _moments(mean: float, std: float) -> Agree:
    """Require this mean and standard deviation, to 6 standard errors of the mean."""

    def agree(got: Arrays, _: Arrays) -> None:
        values = got[0].astype(np.float64)
        error = 6 / math.sqrt(values.size)
        np.testing.assert_allclose(values.mean(), mean, atol=error * std)
        np.testing.assert_allclose(values.std(), std, rtol=error)

    return agree
