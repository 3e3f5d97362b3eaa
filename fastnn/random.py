"""Counter-based random streams.

Every random value in fastnn is a function of (seed, stream, position): Philox4x32-10, J. K. Salmon et al.,
"Parallel random numbers: as easy as 1, 2, 3", SC 2011. A generator therefore holds no state but the position
of the next unused block, and the same numbers come out on every machine, ISA and thread count.
"""

import os
import threading
from typing import SupportsIndex

BLOCK_WORDS = 64
"""32-bit words in a block: 16 consecutive Philox counters of four words each."""

_LOCK = threading.Lock()  # one for all, so that a generator can be copied and pickled


def _renew_lock() -> None:
    global _LOCK
    _LOCK = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)  # the thread that held it stays with the parent


class Generator:
    """A position in one random stream.

    Args:
        seed: any integer in [0, 2**64): the Philox key.
        stream: any integer in [0, 2**64); two streams of a seed never overlap.

    Raises:
        ValueError: seed or stream outside that range.
    """

    __slots__ = ("block", "seed", "stream")

    def __init__(self, seed: SupportsIndex, stream: SupportsIndex = 0) -> None:
        for name, value in (("seed", seed), ("stream", stream)):
            if isinstance(value, bool) or not isinstance(value, SupportsIndex) or not 0 <= value.__index__() < 2**64:
                raise ValueError(f"{name}: got {value!r}, want an integer in [0, 2**64)")
        self.seed = seed.__index__()
        self.stream = stream.__index__()
        self.block = 0

    def reserve(self, words: int) -> int:
        """Take the blocks that hold `words` 32-bit words and return the index of the first one.

        Every draw begins at a fresh block, so no two draws share a word.

        Raises:
            ValueError: words < 0.
        """
        if words < 0:
            raise ValueError(f"words: got {words}, want a number >= 0")
        with _LOCK:
            first = self.block
            self.block += -(-words // BLOCK_WORDS)
        return first

    def give_back(self, first: int, words: int) -> None:
        """Undo a `reserve(words)` that returned `first` and was not used, unless somebody has drawn since."""
        with _LOCK:
            if self.block == first - (-words // BLOCK_WORDS):
                self.block = first

    def __repr__(self) -> str:
        return f"Generator(seed={self.seed}, stream={self.stream}, block={self.block})"


default_generator = Generator(int.from_bytes(os.urandom(8), "little"))
"""Used wherever no generator is given; seeded by the operating system until `manual_seed`."""


def manual_seed(seed: SupportsIndex) -> Generator:
    """Restart the default generator at the beginning of `seed`'s stream 0 and return it."""
    fresh = Generator(seed)
    default_generator.seed, default_generator.stream, default_generator.block = fresh.seed, fresh.stream, fresh.block
    return default_generator
