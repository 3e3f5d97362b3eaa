"""Random streams: published vectors, the layout that the header documents, and the statistics of the results."""

import itertools
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import reference
from support import DTYPES, running, same_bits

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
    """The reference and the compiled kernel give the published vectors, where counter = (index, stream)."""
    c, k, want = _words(counter), _words(key), _words(result)
    assert reference.philox4x32(np.array(c), (k[0], k[1])).tolist() == want
    index, stream, seed = (low + 2**32 * high for low, high in ((c[0], c[1]), (c[2], c[3]), (k[0], k[1])))
    words = _core.philox(seed, stream, index // 16, 1)
    assert words[0, index % 16 :: 16].tolist() == want


BLOCKS = [0, 1, 2**28 - 2, 2**32 - 1, 2**60 - 3]


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("seed", [0, 1, 2**32, 2**64 - 1, 0x123456789ABCDEF])
def test_layout(seed: int, block: int, isa: str) -> None:
    """Whole blocks equal the reference's, also across a carry between the halves of the counter."""
    for stream in (0, 1, 2**32, 2**64 - 1):
        words = _core.philox(seed, stream, block, 3)
        assert words.shape == (3, 64) and words.dtype == np.uint32
        np.testing.assert_array_equal(words, reference.philox_blocks(seed, stream, block, 3))
        np.testing.assert_array_equal(_core.philox_scalar(seed, stream, block, 3), words)


def test_no_blocks() -> None:
    """Zero blocks are an array of shape (0, 64)."""
    assert _core.philox(1, 2, 3, 0).shape == (0, 64)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.25, 0.5, 0.9, 1 - 2**-16, 1.0, 2**-20, 1 - 2**-20])
@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout_mask(dtype: Any, p: float) -> None:
    """The kept elements are the reference's, for sizes around the 128 elements of a block."""
    generator = Generator(7, 3)
    for size in (0, 1, 63, 64, 65, 127, 128, 129, 1000):
        offset = generator.offset
        y, mask = F.dropout(np.ones(size, dtype), p, generator=generator, return_mask=True)
        keep = reference.dropout_keep(size, p, 7, 3, offset // 64)
        np.testing.assert_array_equal(y != 0, keep & (p < 1))
        assert mask == (p, 7, 3, offset // 64, None)
        assert generator.offset == offset + (64 * -(-size // 128) if p else 0)
        assert same_bits(F.dropout_backward(np.ones(size, dtype), mask), y)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_dropped_is_zero(p: float, value: float) -> None:
    """A dropped NaN or infinity is exactly 0; evaluation copies the input and draws no random number."""
    generator, x = Generator(1), np.full(999, value)
    y, mask = F.dropout(x, p, generator=generator, return_mask=True)
    np.testing.assert_array_equal(y, np.where(F.dropout_backward(np.ones(999), mask) != 0, value, 0.0))
    offset = generator.offset
    y, mask = F.dropout(x, p, False, generator=generator, return_mask=True)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(F.dropout_backward(x, mask), x)
    assert generator.offset == offset


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_keep_rate(p: float) -> None:
    """The share of kept elements is 1 - p, to five sigma, and the mean of the result is 1."""
    y = F.dropout(np.ones(DRAWS), p, generator=Generator(99))
    assert abs(np.count_nonzero(y) - DRAWS * (1 - p)) < 5 * math.sqrt(DRAWS * p * (1 - p)) + DRAWS * 2**-17
    assert set(np.unique(y)) == {0.0, 1 / (1 - p)}


def test_two_calls_never_share_a_mask() -> None:
    """Draws of every size and kind take their own blocks, one after the other."""
    generator, taken = Generator(5), 0
    for size in range(1, 300):
        _, mask = F.dropout(np.ones(size), 0.5, generator=generator, return_mask=True)
        assert mask.block == taken
        taken += -(-size // 128)
        for dtype, share in ((np.float32, 64), (np.float64, 32)):
            for fill in (init.uniform_, init.normal_):
                assert generator.offset == 64 * taken
                fill(np.empty(size, dtype), generator=generator)
                taken += -(-size // share)
    assert generator.offset == 64 * taken
    masks = {F.dropout(np.ones(100), generator=generator).tobytes() for _ in range(500)}
    assert len(masks) == 500


def test_python_threads_never_share_a_mask() -> None:
    """Eight threads that draw from one generator get different blocks, although the kernel releases the GIL."""
    generator, x = Generator(5), np.ones(50_000, dtype=np.float32)
    with running(fastnn.isa(), 1), ThreadPoolExecutor(8) as pool:
        drawn = pool.map(lambda _: F.dropout(x, 0.5, generator=generator, return_mask=True)[1].block, range(400))
        assert len(set(drawn)) == 400
        pool.map(lambda _: init.uniform_(np.empty(50_000), generator=generator), range(100))
    assert generator.offset == 64 * (400 * 391 + 100 * 1563)


def test_streams_and_seeds_are_apart() -> None:
    """Another seed, stream or block gives other numbers, without correlation."""
    draws = []
    for seed, stream in itertools.product((0, 1, 2**63), (0, 1, 2**63)):
        draws.append(init.normal_(np.empty(2**16), generator=Generator(seed, stream)))
    correlation = np.corrcoef(draws) - np.eye(len(draws))
    assert np.abs(correlation).max() < 5.5 / math.sqrt(2**16)
