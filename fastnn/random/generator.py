"""Where in a random stream the next numbers are drawn."""

import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, SupportsIndex, TypeVar, Union

import numpy as np
import numpy.typing as npt

from fastnn import _core
from fastnn._checks import integer

Result = TypeVar("Result")

BLOCK_WORDS = 64
"""32-bit words in a block: 16 consecutive Philox counters of four words each."""

_CHILDREN = ((1, 2**32), (2**32, 2**16), (2**48, 2**15))
"""Of a stream below 1, 2**32, 2**48: its child i is that stream + (i + 1) * the first number; i + 1 < the second."""

_LOCK = threading.Lock()  # one for all, so that a generator can be copied and pickled


def _renew_lock() -> None:
    global _LOCK
    _LOCK = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)  # the thread that held it stays with the parent


def _word64(name: str, value: Any) -> int:
    return integer(name, value, end=2**64, want="an integer in [0, 2**64)")


def _next_block(offset: int) -> int:
    return -(-offset // BLOCK_WORDS) * BLOCK_WORDS


class Generator:
    """A position in one random stream.

    Every draw begins at `offset` and leaves it at the next multiple of 64, so no two draws share a word.

    Args:
        seed: any integer in [0, 2**64): the Philox key.
        stream: any integer in [0, 2**64); two streams of a seed never overlap.

    Attributes:
        seed, stream: as given.
        offset: 32-bit words of the stream that are behind it, in [0, 2**64).
        spawned: how many generators it has spawned.

    Raises:
        ValueError: seed or stream outside that range.
    """

    __slots__ = ("offset", "seed", "spawned", "stream")

    def __init__(self, seed: SupportsIndex, stream: SupportsIndex = 0) -> None:
        self.seed = _word64("seed", seed)
        self.stream = _word64("stream", stream)
        self.offset = 0
        self.spawned = 0

    @property
    def state(self) -> dict[str, int]:
        """All there is to it: seed, stream, offset, spawned. Assigning restores it, all or nothing.

        Raises (on assignment):
            TypeError: no mapping.
            ValueError: other keys, or a value that is no integer in [0, 2**64).
        """
        return {name: getattr(self, name) for name in ("seed", "stream", "offset", "spawned")}

    @state.setter
    def state(self, state: Mapping[str, SupportsIndex]) -> None:
        if not isinstance(state, Mapping):
            raise TypeError(f"state: got {type(state).__name__}, want a mapping as `state` gives; save it again")
        missing, unknown = ([k for k in a if k not in b] for a, b in ((self.state, state), (state, self.state)))
        if missing or unknown:
            raise ValueError(f"state: got keys without {missing} and with unknown {unknown}, want {[*self.state]}")
        values = {name: _word64(name, state[name]) for name in self.state}
        with _LOCK:
            for name, value in values.items():
                setattr(self, name, value)

    def spawn(self, n: SupportsIndex) -> list["Generator"]:
        """Generators of streams that nobody else has: for workers, layers, epochs.

        They are streams of the same seed, numbered: those of a fresh `Generator(seed)` are its streams 1, 2, 3 ...
        A generator, what it spawns and what these spawn never overlap. The root has room for 2**32 - 1 of them, each
        of these for 2**16 - 1, and those for 2**15 - 1.

        Raises:
            ValueError: n < 0, or no room for so many.
        """
        n = _word64("n", n)
        step, room = next(((s, r) for s, r in _CHILDREN if self.stream < s), (0, 1))
        with _LOCK:
            first = self.spawned + 1
            if self.spawned + n >= room:
                raise ValueError(f"n: got {n}, want at most {room - first}, for which stream {self.stream} has room; "
                                 "spawn from a generator nearer to the root")  # fmt: skip
            self.spawned += n
        return [Generator(self.seed, self.stream + i * step) for i in range(first, first + n)]

    def advance(self, n: SupportsIndex) -> "Generator":
        """Go on by n words, as if they had been drawn, and return the generator.

        A value takes one word in float32, two in float64 and in integers. So a part of an array can be filled as it
        would be with the whole: element i of a float32 array after `advance(i)`.

        Raises:
            ValueError: n < 0, or the stream's end at 2**64 words.
        """
        n = _word64("n", n)
        with _LOCK:
            self.offset = _word64("offset", self.offset + n)
        return self

    def random_raw(self, n: SupportsIndex) -> npt.NDArray[np.uint32]:
        """The next n words of the stream, (n,).

        Word 64 b + 16 w + lane is word w of what Philox makes of the counter 16 b + lane; the counter's upper half is
        the stream, the key is the seed.

        Raises:
            ValueError: n < 0.
        """
        n = _word64("n", n)

        def run(offset: int) -> npt.NDArray[np.uint32]:
            block, skip = divmod(offset, BLOCK_WORDS)
            words = _core.philox(self.seed, self.stream, block, -(-(skip + n) // BLOCK_WORDS))
            return words.reshape(-1)[skip : skip + n]

        return self.draw(n, run, 1)

    def draw(self, words: int, run: Callable[[int], Result], align: int = BLOCK_WORDS) -> Result:
        """run(offset) of `words` fresh words, see `reserve`; they are given back if it raises."""
        offset = self.reserve(words, align)
        try:
            return run(offset)
        except BaseException:
            self.give_back(offset, words)
            raise

    def reserve(self, words: int, align: int = BLOCK_WORDS) -> int:
        """Take `words` words, the first of which has an offset that `align` divides, and return that offset.

        Raises:
            ValueError: words < 0, or the stream's end at 2**64 words.
        """
        words, align = integer("words", words), integer("align", align, 1)
        with _LOCK:
            first = -(-self.offset // align) * align
            if words:
                self.offset = _word64("offset", _next_block(first + words))
        return first

    def give_back(self, first: int, words: int) -> None:
        """Undo a `reserve(words)` that returned `first` and was not used, unless somebody has drawn since."""
        with _LOCK:
            if words and self.offset == _next_block(first + words):
                self.offset = first

    def __repr__(self) -> str:
        return f"Generator(seed={self.seed}, stream={self.stream}, offset={self.offset})"


# In quotes, since NumPy imports its module when it is first asked for, which takes longer than all of this package.
RandomSource = Union[Generator, "np.random.Generator", SupportsIndex]
"""What a function takes for its generator: an integer is the seed of a fresh one; NumPy's gives such a seed."""

default_generator = Generator(int.from_bytes(os.urandom(8), "little"))
"""Used wherever no generator is given; seeded by the operating system until `manual_seed`."""


def manual_seed(seed: SupportsIndex) -> Generator:
    """Restart the default generator at the beginning of `seed`'s stream 0 and return it."""
    default_generator.state = Generator(seed).state
    return default_generator


def as_generator(generator: RandomSource | None) -> Generator:
    """The generator that an argument stands for; None is the default one.

    Raises:
        TypeError: something else.
        ValueError: an integer outside [0, 2**64).
    """
    if generator is None:
        return default_generator
    if isinstance(generator, Generator):
        return generator
    if isinstance(generator, SupportsIndex) and not isinstance(generator, bool):
        return Generator(_word64("generator", generator))
    if isinstance(generator, np.random.Generator):
        return Generator(generator.integers(2**64, dtype=np.uint64))
    raise TypeError(f"generator: got {type(generator).__name__}, want a fastnn.Generator, NumPy's or an integer seed")
