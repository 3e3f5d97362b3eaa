"""2^24 draws of every distribution agree with scipy's functions."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special, stats
from support import DTYPES, Array

from fastnn import Generator, random

DRAWS = 2**24
CELLS = 2**12


def _truncated(a: float, b: float) -> Callable[[Array], Array]:
    return lambda x: (special.ndtr(x) - special.ndtr(a)) / (special.ndtr(b) - special.ndtr(a))


def _tail(a: float) -> Callable[[Array], Array]:
    return lambda x: -np.expm1(special.log_ndtr(-x) - special.log_ndtr(-a))


Draw = Callable[[Any, Generator], Any]
# Name, draw, and distribution function.
CONTINUOUS: list[tuple[str, Draw, Callable[[Array], Array]]] = [
    ("uniform", lambda x, g: random.uniform_(x, -1.0, 3.0, g), lambda x: (x + 1) / 4),
    ("normal", lambda x, g: random.normal_(x, generator=g), special.ndtr),
    ("exponential", lambda x, g: random.exponential_(x, 2.0, g), lambda x: -np.expm1(-2 * x)),
    ("within 2", lambda x, g: random.trunc_normal_(x, generator=g), _truncated(-2, 2)),
    ("lopsided", lambda x, g: random.trunc_normal_(x, 0.0, 1.0, -0.5, 4.0, g), _truncated(-0.5, 4)),
    ("tail", lambda x, g: random.trunc_normal_(x, 0.0, 1.0, 5.0, math.inf, g), _tail(5)),
]


def _likely(p: float) -> bool:
    return 1e-6 <= p <= 1 - 1e-6


@pytest.mark.parametrize(("name", "draw", "cdf"), CONTINUOUS, ids=[c[0] for c in CONTINUOUS])
@pytest.mark.parametrize("dtype", DTYPES)
def test_continuous(dtype: Any, name: str, draw: Draw, cdf: Callable[[Array], Array]) -> None:
    """Draws pass Kolmogorov-Smirnov and chi-square tests, have the right first four moments, and are uncorrelated.

    The distribution function maps the draws to uniform values; the moments are those of these values, which all exist.
    """
    u = np.empty(DRAWS)
    x = draw(np.empty(DRAWS, dtype), Generator(20, 1))
    for part, of_x in zip(np.split(u, 16), np.split(x, 16), strict=True):
        part[...] = cdf(of_x.astype(np.float64))
    cells = np.bincount(np.minimum(u * CELLS, CELLS - 1).astype(np.int64), minlength=CELLS)
    assert _likely(stats.chisquare(cells).pvalue), "chi-square"
    for power in (1, 2, 3, 4):
        mean, variance = 1 / (power + 1), 1 / (2 * power + 1) - 1 / (power + 1) ** 2
        assert abs((u**power).mean() - mean) < 5 * math.sqrt(variance / DRAWS), power
    z = (u - 0.5) * math.sqrt(12)
    for lag in (1, 2, 15, 16, 17, 32, 63, 64, 65, 1024):
        assert abs(np.dot(z[lag:], z[:-lag])) < 5 * math.sqrt(DRAWS - lag), lag
    u.sort()
    u -= np.arange(DRAWS) / DRAWS
    distance = max(u.max(), 1 / DRAWS - u.min())
    assert _likely(stats.kstwobign.sf(distance * math.sqrt(DRAWS))), "Kolmogorov-Smirnov"


@pytest.mark.parametrize("p", [0.05, 0.125, 0.5, 0.9])
@pytest.mark.parametrize("dtype", DTYPES)
def test_bernoulli(dtype: Any, p: float) -> None:
    """The number of ones, and of runs of four, is that of a binomial distribution."""
    ones = random.bernoulli_(np.empty(DRAWS, dtype), p, Generator(21)) != 0
    for count, n, chance in ((ones.sum(), DRAWS, p), (ones.reshape(-1, 4).all(axis=1).sum(), DRAWS // 4, p**4)):
        assert _likely(stats.binom.cdf(count, n, chance)) and _likely(stats.binom.sf(count - 1, n, chance))


@pytest.mark.parametrize("limits", [(0, 10), (-5, 4091), (0, 2**62), (-(2**63), 2**63)])
def test_integers(limits: tuple[int, int]) -> None:
    """All values, or all parts of the range, are equally frequent, and so are pairs of neighbours."""
    low, high = limits
    x = random.integers_(np.empty(DRAWS, np.int64), low, high, Generator(22))
    width = high - low
    cells = min(width, CELLS)
    place = (x.astype(np.float64) - low) / width * cells if width > CELLS else (x - low).astype(np.float64)
    place = np.minimum(place, cells - 1).astype(np.int64)
    assert _likely(stats.chisquare(np.bincount(place, minlength=cells)).pvalue)
    few = place * min(cells, 10) // cells
    pairs = few[::2] * few.max() + few[::2] + few[1::2]
    assert _likely(stats.chisquare(np.bincount(pairs)).pvalue)


@pytest.mark.parametrize(("n", "times"), [(4, 2**15), (5, 2**15)])
def test_permutations_are_equally_likely(n: int, times: int) -> None:
    """All orders of a few numbers pass a chi-square test."""
    g, counts = Generator(23), dict.fromkeys(itertools.permutations(range(n)), 0)
    for _ in range(times):
        counts[tuple(random.permutation(n, g).tolist())] += 1
    assert _likely(stats.chisquare([*counts.values()]).pvalue)


def test_long_permutations() -> None:
    """In permutations with several buckets, positions, neighbours and fixed points have the right frequencies."""
    n, g = 2**20, Generator(24)
    cells, neighbours, fixed = np.zeros((32, 32)), np.zeros(32), 0
    for _ in range(16):
        order = random.permutation(n, g)
        np.add.at(cells, (np.arange(n) * 32 // n, order * 32 // n), 1)
        neighbours += np.bincount((order[1:] - order[:-1]) % n * 32 // n, minlength=32)
        fixed += int((order == np.arange(n)).sum())
    # Rows and columns of the table of positions have fixed sums.
    statistic = float(((cells - 16 * n / 1024) ** 2).sum() / (16 * n / 1024))
    assert _likely(stats.chi2.sf(statistic, 31 * 31)) and _likely(stats.chisquare(neighbours).pvalue)
    assert _likely(stats.poisson.cdf(fixed, 16)) and _likely(stats.poisson.sf(fixed - 1, 16))


def test_streams_are_apart() -> None:
    """Seeds, streams and spawned streams are uncorrelated, also at the lags within a block."""
    n = 2**18
    sources = [Generator(seed, stream) for seed, stream in itertools.product((0, 1, 2**63), (0, 1, 2**63))]
    sources += [g for parent in (Generator(5), *Generator(5).spawn(2)) for g in parent.spawn(3)]
    sources.append(Generator(0).advance(n))
    assert len({(g.seed, g.stream, g.offset) for g in sources}) >= len(sources) - 2
    unique = {(g.seed, g.stream, g.offset): g for g in sources}.values()
    draws = np.stack([random.normal_(np.empty(n, np.float32), generator=g) for g in unique])
    correlation = np.corrcoef(draws) - np.eye(len(draws))
    assert np.abs(correlation).max() < 5 / math.sqrt(n)
    for lag in (1, 64):
        assert np.abs(np.corrcoef(draws[:, lag:], draws[:, :-lag])[: len(draws), len(draws) :]).max() < 5 / math.sqrt(n)
