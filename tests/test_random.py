"""The random streams: published vectors, the layout that the header documents, and the statistics of what comes out."""

import copy
import itertools
import math
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import reference
from support import DTYPES, Array, error_in_ulps, running, same_bits

import fastnn
from fastnn import Generator, _core, init
from fastnn import functional as F

DRAWS = 2**20

# Random123 1.09, tests/kat_vectors: counter, key, result of philox4x32 with 10 rounds.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def _words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_known_answers(counter: str, key: str, result: str, isa: str) -> None:
    """The published vectors, from the reference and from the compiled kernel: counter = (index, stream)."""
    c, k, want = _words(counter), _words(key), _words(result)
    assert reference.philox4x32(np.array(c), (k[0], k[1])).tolist() == want
    index, stream, seed = (low + 2**32 * high for low, high in ((c[0], c[1]), (c[2], c[3]), (k[0], k[1])))
    words = _core.philox(seed, stream, index // 16, 1)
    assert words[0, index % 16 :: 16].tolist() == want


BLOCKS = [0, 1, 2**28 - 2, 2**32 - 1, 2**60 - 3]


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("seed", [0, 1, 2**32, 2**64 - 1, 0x123456789ABCDEF])
def test_layout(seed: int, block: int, isa: str) -> None:
    """Whole blocks against the reference, also across a carry between the counter's halves."""
    for stream in (0, 1, 2**32, 2**64 - 1):
        words = _core.philox(seed, stream, block, 3)
        assert words.shape == (3, 64) and words.dtype == np.uint32
        np.testing.assert_array_equal(words, reference.philox_blocks(seed, stream, block, 3))


def test_no_blocks() -> None:
    """Zero blocks are an array of shape (0, 64)."""
    assert _core.philox(1, 2, 3, 0).shape == (0, 64)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.25, 0.5, 0.9, 1 - 2**-16, 1.0, 2**-20, 1 - 2**-20])
@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout_mask(dtype: Any, p: float) -> None:
    """Which elements stay, for sizes around a block's 128 elements."""
    generator = Generator(7, 3)
    for size in (0, 1, 63, 64, 65, 127, 128, 129, 1000):
        block = generator.block
        y, mask = F.dropout(np.ones(size, dtype), p, generator=generator, return_mask=True)
        keep = reference.dropout_keep(size, p, 7, 3, block)
        np.testing.assert_array_equal(y != 0, keep & (p < 1))
        assert mask == (p, 7, 3, block, None)
        assert generator.block == block + (-(-size // 128) if p else 0)
        assert same_bits(F.dropout_backward(np.ones(size, dtype), mask), y)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_dropped_is_zero(p: float, value: float) -> None:
    """A dropped NaN or infinity is exactly 0; evaluation copies the input and takes no random number."""
    generator, x = Generator(1), np.full(999, value)
    y, mask = F.dropout(x, p, generator=generator, return_mask=True)
    np.testing.assert_array_equal(y, np.where(F.dropout_backward(np.ones(999), mask) != 0, value, 0.0))
    block = generator.block
    y, mask = F.dropout(x, p, False, generator=generator, return_mask=True)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(F.dropout_backward(x, mask), x)
    assert generator.block == block


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_keep_rate(p: float) -> None:
    """The share of kept elements is 1 - p at five sigma, and the mean of the result is 1."""
    y = F.dropout(np.ones(DRAWS), p, generator=Generator(99))
    assert abs(np.count_nonzero(y) - DRAWS * (1 - p)) < 5 * math.sqrt(DRAWS * p * (1 - p)) + DRAWS * 2**-17
    assert set(np.unique(y)) == {0.0, 1 / (1 - p)}


def test_two_calls_never_share_a_mask() -> None:
    """Draws of every size and kind take blocks of their own, one behind the other."""
    generator, taken = Generator(5), 0
    for size in range(1, 300):
        _, mask = F.dropout(np.ones(size), 0.5, generator=generator, return_mask=True)
        assert mask.block == taken
        taken += -(-size // 128)
        for dtype, share in ((np.float32, 64), (np.float64, 32)):
            for fill in (init.uniform_, init.normal_):
                assert generator.block == taken
                fill(np.empty(size, dtype), generator=generator)
                taken += -(-size // share)
    assert generator.block == taken
    masks = {F.dropout(np.ones(100), generator=generator).tobytes() for _ in range(500)}
    assert len(masks) == 500


def test_python_threads_never_share_a_mask() -> None:
    """Eight threads that draw from one generator: the kernel releases the GIL, the position has to be taken first."""
    generator, x = Generator(5), np.ones(50_000, dtype=np.float32)
    with running(fastnn.isa(), 1), ThreadPoolExecutor(8) as pool:
        drawn = pool.map(lambda _: F.dropout(x, 0.5, generator=generator, return_mask=True)[1].block, range(400))
        assert len(set(drawn)) == 400
        pool.map(lambda _: init.uniform_(np.empty(50_000), generator=generator), range(100))
    assert generator.block == 400 * 391 + 100 * 1563


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 1000])
@pytest.mark.parametrize("dtype", DTYPES)
def test_uniform_bits(dtype: Any, size: int, isa: str) -> None:
    """[0, 1) exactly as documented, other intervals within two ulps."""
    out = np.empty(size, dtype)
    _core.uniform(out, 0.0, 1.0, 4, 5, 6)
    unit = reference.uniform01(size, dtype, 4, 5, 6)
    np.testing.assert_array_equal(out, unit)
    _core.uniform(out, -3.0, 5.0, 4, 5, 6)
    assert error_in_ulps(out, -3 + 8 * unit) <= 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_uniform_never_reaches_the_end(dtype: Any) -> None:
    """Intervals of one step, where rounding would give the end for half of all draws; and of none."""
    for low in (1.0, -1.0, 1e5, 0.0):
        high = float(np.nextafter(dtype(low), dtype(np.inf)))
        out = init.uniform_(np.empty(10_000, dtype), low, high, Generator(1))
        np.testing.assert_array_equal(out, dtype(low))
    for high in (1.0, 3.0, 1000.1):
        for low in (high, np.nextafter(high, -9), high - 1e-3, -high):
            out = init.uniform_(np.empty(100_000, dtype), low, high, Generator(1))
            assert (out >= dtype(low)).all()
            assert (out < dtype(high)).all() or dtype(low) == dtype(high)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 1000])
@pytest.mark.parametrize("dtype", DTYPES)
def test_normal_values(dtype: Any, size: int, isa: str) -> None:
    """Box and Muller's transform of the documented uniforms, within four ulps of the largest."""
    out = np.empty(size, dtype)
    _core.normal(out, 0.0, 1.0, 4, 5, 6)
    z = reference.normal01(size, dtype, 4, 5, 6)
    assert error_in_ulps(out, z) <= 4
    _core.normal(out, 2.0, 0.5, 4, 5, 6)
    assert error_in_ulps(out, 2 + 0.5 * z) <= 4


def _kolmogorov(sample: Array, cdf: Array) -> float:
    """sqrt(n) times the largest distance between the sorted sample's steps and its distribution function."""
    n = len(sample)
    return math.sqrt(n) * max(float((cdf - np.arange(n) / n).max()), float((np.arange(1, n + 1) / n - cdf).max()))


# 2 exp(-2 d^2) is the chance of more than d; this is that of five sigma.
KOLMOGOROV = math.sqrt(-math.log(5.7e-7 / 2) / 2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_distributions(dtype: Any) -> None:
    """A Kolmogorov-Smirnov test, the first four moments and the correlation of neighbours at five sigma."""
    u = np.sort(init.uniform_(np.empty(DRAWS, dtype), generator=Generator(21)).astype(np.float64))
    assert _kolmogorov(u, u) < KOLMOGOROV
    z = init.normal_(np.empty(DRAWS, dtype), generator=Generator(22)).astype(np.float64)
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**power).mean() - mean) < 5 * math.sqrt(variance / DRAWS), power
    for lag in (1, 16, 32, 64):
        assert abs((z[lag:] * z[:-lag]).mean()) < 5 / math.sqrt(DRAWS - lag), lag
    z = np.sort(z)
    assert _kolmogorov(z, 0.5 + 0.5 * np.array([math.erf(v) for v in (z / math.sqrt(2)).tolist()])) < KOLMOGOROV


def test_streams_and_seeds_are_apart() -> None:
    """Other seed, stream or block: other numbers, without correlation."""
    draws = []
    for seed, stream in itertools.product((0, 1, 2**63), (0, 1, 2**63)):
        draws.append(init.normal_(np.empty(2**16), generator=Generator(seed, stream)))
    correlation = np.corrcoef(draws) - np.eye(len(draws))
    assert np.abs(correlation).max() < 5.5 / math.sqrt(2**16)


def test_generator_position() -> None:
    """reserve hands out whole blocks of 64 words; a draw is a function of (seed, stream, block) alone."""
    generator = Generator(3, 4)
    assert [generator.reserve(n) for n in (1, 64, 65, 0, 128)] == [0, 1, 2, 4, 4]
    assert generator.block == 6 and "seed=3, stream=4, block=6" in repr(generator)
    first = init.normal_(np.empty(50), generator=generator)
    generator.block = 6
    assert same_bits(init.normal_(np.empty(50), generator=generator), first)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g))])
def test_generator_copies(duplicate: Callable[[Generator], Generator]) -> None:
    """A copy, also one sent to another process, goes on from the same place and on its own."""
    generator = Generator(3, 4)
    generator.reserve(1000)
    twin = duplicate(generator)
    assert repr(twin) == repr(generator)
    want = init.normal_(np.empty(50), generator=generator)
    assert same_bits(init.normal_(np.empty(50), generator=twin), want)


@pytest.mark.parametrize("bad", [-1, 2**64, 1.0, "1", None, True])
def test_generator_refusals(bad: Any) -> None:
    """Seeds and streams outside [0, 2**64) and of other types, by name."""
    with pytest.raises(ValueError, match=r"^seed: got .*, want an integer in \[0, 2\*\*64\)"):
        Generator(bad)
    with pytest.raises(ValueError, match=r"^stream: got .*, want an integer in \[0, 2\*\*64\)"):
        Generator(0, bad)
    state = repr(fastnn.random.default_generator)
    with pytest.raises(ValueError, match=r"^seed: got"):
        fastnn.manual_seed(bad)
    assert repr(fastnn.random.default_generator) == state


def test_manual_seed() -> None:
    """Restarts what every call without a generator draws from, and hands that generator out."""
    draws = []
    for seed in (5, 5, 6):
        assert fastnn.manual_seed(seed) is fastnn.random.default_generator
        draws.append((F.dropout(np.ones(300)), init.xavier_normal_(np.empty((30, 10)))))
    assert same_bits(draws[0][0], draws[1][0]) and same_bits(draws[0][1], draws[1][1])
    assert not same_bits(draws[0][0], draws[2][0])
    generator = fastnn.manual_seed(5)
    assert (generator.seed, generator.stream, generator.block) == (5, 0, 0)
