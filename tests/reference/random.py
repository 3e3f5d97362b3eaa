"""Counter-based random numbers, and dropout."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from reference.types import Array, Float64, wide

_LOW = np.uint64(0xFFFFFFFF)


def philox4x32(counter: Array, key: tuple[int, int], rounds: int = 10) -> npt.NDArray[np.uint32]:
    """Philox4x32: (..., 4) counter words and a key of two words give (..., 4) random words.

    J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.3 and table 2.
    """
    c0, c1, c2, c3 = (counter[..., i].astype(np.uint64) for i in range(4))
    k0, k1 = key
    for _ in range(rounds):
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (
            (p1 >> np.uint64(32)) ^ c1 ^ np.uint64(k0),
            p1 & _LOW,
            (p0 >> np.uint64(32)) ^ c3 ^ np.uint64(k1),
            p0 & _LOW,
        )
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return np.stack([c0, c1, c2, c3], -1).astype(np.uint32)


def philox_blocks(seed: int, stream: int, block: int, blocks: int) -> npt.NDArray[np.uint32]:
    """Return (blocks, 64) words. A block is 16 consecutive counters; word 16 * w + lane is word w of counter `lane`."""
    indices = [16 * block + i for i in range(16 * blocks)]
    words = [(i % 2**32, i // 2**32 % 2**32, stream % 2**32, stream // 2**32) for i in indices]
    counter = np.array(words, dtype=np.uint32).reshape(-1, 4)
    drawn = philox4x32(counter, (seed % 2**32, seed // 2**32))
    return drawn.reshape(blocks, 16, 4).transpose(0, 2, 1).reshape(blocks, 64)


def dropout_keep(size: int, p: float, seed: int, stream: int, block: int) -> npt.NDArray[np.bool_]:
    """Return which elements are kept. A block serves 128: first the low halves of its words, then the high halves."""
    words = philox_blocks(seed, stream, block, -(-size // 128))
    bits = np.concatenate([words & np.uint32(0xFFFF), words >> np.uint32(16)], axis=1).reshape(-1)[:size]
    return bits >= math.floor(p * 65536 + 0.5)


def _fraction53(words: npt.NDArray[np.uint32], pair: int) -> Float64:
    """Return (blocks, 16) integers below 2**53 from the words 2 * pair and 2 * pair + 1 of each counter."""
    a, b = (words[:, 16 * w : 16 * (w + 1)].astype(np.float64) for w in (2 * pair, 2 * pair + 1))
    return np.floor(a / 2**5) * 2**26 + np.floor(b / 2**6)


def uniform01(size: int, dtype: Any, seed: int, stream: int, block: int) -> Float64:
    """Uniform values in [0, 1): 24 bits of one word for float32, 53 bits of two words for float64."""
    if dtype == np.float32:
        words = philox_blocks(seed, stream, block, -(-size // 64))
        return np.floor(words.reshape(-1)[:size] / 2**8) * 2.0**-24
    words = philox_blocks(seed, stream, block, -(-size // 32))
    pairs = [_fraction53(words, pair) for pair in (0, 1)]
    return np.concatenate(pairs, axis=1).reshape(-1)[:size] * 2.0**-53


def normal01(size: int, dtype: Any, seed: int, stream: int, block: int) -> Float64:
    """Standard normal values. G. Box, M. Muller, Ann. Math. Stat. 29 (1958): r cos(2 pi u2), r sin(2 pi u2)."""
    if dtype == np.float32:
        words = philox_blocks(seed, stream, block, -(-size // 64)).reshape(-1, 2, 2, 16)
        bits = np.floor(words / 2**8) * 2.0**-24
        u1, u2, axis = bits[:, :, 0] + 2.0**-24, bits[:, :, 1], 2
    else:
        words = philox_blocks(seed, stream, block, -(-size // 32))
        u1, u2, axis = (_fraction53(words, 0) + 1) * 2.0**-53, _fraction53(words, 1) * 2.0**-53, 1
    r = np.sqrt(-2 * np.log(u1))
    z = np.stack([r * np.cos(2 * math.pi * u2), r * np.sin(2 * math.pi * u2)], axis=axis)
    return z.reshape(-1)[:size]


def ranks01(size: int, dtype: Any, seed: int, stream: int, block: int) -> tuple[Float64, float]:
    """Return integers of 31 or 53 bits, and the step that turns them into uniform values in [0, 1)."""
    if dtype == np.float32:
        return np.floor(philox_blocks(seed, stream, block, -(-size // 64)).reshape(-1)[:size] / 2.0), 2.0**-31
    return uniform01(size, dtype, seed, stream, block) * 2.0**53, 2.0**-53


def truncated_quantile(rank: Float64, step: float, a: float, b: float) -> Float64:
    """Return z with Phi(z) = Phi(a) + u (Phi(b) - Phi(a)), where u is the middle of the rank's step.

    In an interval within a tail, z is computed from the end that is nearer to 0, with u at the lower end of the step.
    """
    if a >= 3 or b <= -3:
        near, far = (a, b) if a >= 3 else (-b, -a)
        share = -np.expm1(special.log_ndtr(-far) - special.log_ndtr(-near))
        z = -special.ndtri_exp(special.log_ndtr(-near) + np.log1p(-rank * step * share))
        return z if a >= 3 else -z
    below, above = special.ndtr(a), special.ndtr(-b)
    width = special.ndtr(b) - below if a < 0 else special.ndtr(-a) - above
    low = below + (rank + 0.5) * step * width
    high = above + (1 / step - 1 - rank + 0.5) * step * width
    return np.where(low < high, special.ndtri(low), -special.ndtri(high))


def dropout(x: Array, p: float, keep: npt.NDArray[np.bool_]) -> Float64:
    """x / (1 - p) where `keep`, else exactly 0. Srivastava et al., JMLR 15 (2014), in the inverted form."""
    return np.where(keep, wide(x) / (1 - p), 0.0) if p < 1 else np.zeros(x.shape)


def alpha_dropout(x: Array, p: float, keep: npt.NDArray[np.bool_]) -> Float64:
    """a x + b, where x is -1.758... for dropped elements. Klambauer et al., NIPS 2017, section 3."""
    alpha = -1.7580993408473766
    a = ((1 - p) * (1 + p * alpha**2)) ** -0.5
    return a * np.where(keep, wide(x), alpha) - a * p * alpha


def alpha_dropout_backward(dy: Array, p: float, keep: npt.NDArray[np.bool_]) -> Float64:
    """a dy for kept elements, else 0."""
    a = ((1 - p) * (1 + p * 1.7580993408473766**2)) ** -0.5
    return np.where(keep, a * wide(dy), 0.0)
