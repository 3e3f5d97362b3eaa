"""State in bfloat16 and in bytes: the random bits that round each element, and the rounded values."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from reference.random import philox_blocks
from reference.types import Array, Float32

Bits = npt.NDArray[np.uint32]
CHUNK, SCALED = 256, 64  # elements that share a block of Philox, and elements that share a scale
LOWEST, HIGHEST = 33 << 3, 252 << 3  # range of the scales, as exponents with three bits of mantissa


def rounding_bits(sizes: Sequence[int], seed: int, stream: int, block: int) -> list[Bits]:
    """Return 20 random bits for each element of tensors stepped together; each tensor begins with a new block.

    The i-th element of a quarter uses the i-th word of its chunk's block, rotated right by one byte for each quarter.
    """
    found = []
    for size in sizes:
        chunks = -(-size // CHUNK)
        words = philox_blocks(seed, stream, block, chunks).astype(np.uint64)
        turned = [words >> np.uint64(8 * q) | words << np.uint64(32 - 8 * q) for q in range(4)]
        bits = (np.stack(turned, 1) & np.uint64(0xFFFFFFFF)) >> np.uint64(12)
        found.append(bits.reshape(-1)[:size].astype(np.uint32))
        block += chunks
    return found


def bfloat16(values: Array, bits: Bits) -> Float32:
    """Round float32 by the upper 16 bits: away from 0 with a probability equal to the dropped fraction."""
    x = np.asarray(values, np.float32).view(np.uint32)
    finite = np.isfinite(values)
    return ((x + np.where(finite, bits >> 4, 0).astype(np.uint32)) & np.uint32(0xFFFF0000)).view(np.float32)


def _int8_block(values: Float32, bits: Bits, is_signed: bool) -> Float32:
    shorts = ((values.view(np.uint32) & np.uint32(0x7FFFFFFF)) + bits >> np.uint32(20)).astype(np.int64)
    infinite = shorts > HIGHEST
    largest = int(shorts[~infinite].max(initial=0))
    last = max(LOWEST, -(-largest // 8) * 8)  # the smallest power of two that is not below any of them
    base = last - (126 if is_signed else 254)
    codes = np.maximum(shorts, base) - base
    kept = np.where(infinite, np.inf, ((base + codes) << 20).astype(np.uint32).view(np.float32)).astype(np.float32)
    return np.where(codes == 0, np.float32(0), np.copysign(kept, values)) if is_signed else kept


def int8(values: Array, bits: Bits, is_signed: bool) -> Float32:
    """Keep three bits of mantissa, and exponents down to 2^16 below the block's scale, or 2^32 for unsigned values."""
    values = np.asarray(values, np.float32)
    starts = range(0, len(values), SCALED)
    blocks = [_int8_block(values[s : s + SCALED], bits[s : s + SCALED], is_signed) for s in starts]
    return np.concatenate([*blocks, np.zeros(0, np.float32)])
