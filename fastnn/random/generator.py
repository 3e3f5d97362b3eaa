"""Generators: positions in random streams."""

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
"""Number of 32-bit words in a block: 16 consecutive Philox counters of four words each."""

_CHILDREN = ((1, 2**32), (2**32, 2**16), (2**48, 2**15))
"""(factor, limit) of streams below 1, 2**32, 2**48: child i of a stream is stream + (i + 1) * factor; i + 1 < limit."""

AT_THE_END = "the stream ends there, use another one, such as generator.spawn(1)[0]"

_LOCK = threading.Lock()  # one lock for all generators, so that a generator can be copied and pickled


def _renew_lock() -> None:
    global _LOCK
    _LOCK = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)  # the thread that held the lock exists only in the parent


def _word64(name: str, value: Any, remedy: str = "0 is the least") -> int:
    return integer(name, value, end=2**64, want=f"an integer in [0, 2**64); {remedy}")


def _next_block(offset: int) -> int:
    return -(-offset // BLOCK_WORDS) * BLOCK_WORDS


class Generator:
    """A position in a random stream.

    Every draw begins at `offset` and moves it to the next multiple of 64, so no two draws share a word.

    Args:
        seed: the Philox key, an integer in [0, 2**64).
        stream: an integer in [0, 2**64); the streams of a seed never overlap.

    Attributes:
        seed, stream: as given.
        offset: position in the stream in 32-bit words, in [0, 2**64).
        spawned: number of generators that it has spawned.

    Raises:
        ValueError: seed or stream is out of range.
    """

    __slots__ = ("offset", "seed", "spawned", "stream")

    def __init__(self, seed: SupportsIndex, stream: SupportsIndex = 0) -> None:
        self.seed = _word64("seed", seed)
        self.stream = _word64("stream", stream)
        self.offset = 0
        self.spawned = 0

    @property
    def state(self) -> dict[str, int]:
        """The complete state: seed, stream, offset, spawned. Assigning restores all of it, or nothing if it raises.

        Raises (on assignment):
            TypeError: the value is not a mapping.
            ValueError: the keys are wrong, or a value is not an integer in [0, 2**64).
        """
        return {name: getattr(self, name) for name in ("seed", "stream", "offset", "spawned")}

    @state.setter
    def state(self, state: Mapping[str, SupportsIndex]) -> None:
        if not isinstance(state, Mapping):
            raise TypeError(f"state: got {type(state).__name__}, want a mapping as returned by `state`; save it again")
        missing, unknown = ([k for k in a if k not in b] for a, b in ((self.state, state), (state, self.state)))
        if missing or unknown:
            raise ValueError(
                f"state: got keys without {missing} and with unknown {unknown}, want {[*self.state]}; "
                "assign what state returned"
            )
        values = {name: _word64(name, state[name]) for name in self.state}
        with _LOCK:
            for name, value in values.items():
                setattr(self, name, value)

    def spawn(self, n: SupportsIndex) -> list["Generator"]:
        """Return n generators with streams that no other generator has: for workers, layers, epochs.

        Their streams have the same seed and are numbered: a fresh `Generator(seed)` spawns streams 1, 2, 3 ... A
        generator, its children and their children never overlap. The root can spawn 2**32 - 1 generators, each of these
        2**16 - 1, and each of those 2**15 - 1.

        Raises:
            ValueError: n < 0, or the generator cannot spawn n more.
        """
        n = _word64("n", n)
        step, room = next(((s, r) for s, r in _CHILDREN if self.stream < s), (0, 1))
        with _LOCK:
            first = self.spawned + 1
            if self.spawned + n >= room:
                raise ValueError(f"n: got {n}, want at most {room - first}, as many as stream {self.stream} can spawn; "
                                 "spawn from a generator closer to the root")  # fmt: skip
            self.spawned += n
        return [Generator(self.seed, self.stream + i * step) for i in range(first, first + n)]

    def advance(self, n: SupportsIndex) -> "Generator":
        """Move forward by n words, as if they had been drawn, and return the generator.

        A float32 value takes one word, a float64 value or an integer takes two. So a part of an array can get the
        values that it has when the whole array is filled: after `advance(i)`, those of a float32 array from element i
        on.

        Raises:
            ValueError: n < 0, or the new position is beyond the stream's end at 2**64 words.
        """
        n = _word64("n", n)
        with _LOCK:
            self.offset = _word64("offset", self.offset + n, AT_THE_END)
        return self

    def random_raw(self, n: SupportsIndex) -> npt.NDArray[np.uint32]:
        """Return the next n words of the stream, (n,).

        Word 64 b + 16 w + lane is word w of Philox's output for the counter 16 b + lane; the counter's upper half is
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
        """Reserve `words` words, see `reserve`, and return run(offset); if run raises, the words are given back."""
        offset = self.reserve(words, align)
        try:
            return run(offset)
        except BaseException:
            self.give_back(offset, words)
            raise

    def reserve(self, words: int, align: int = BLOCK_WORDS) -> int:
        """Reserve `words` words from an offset that is a multiple of `align`, and return that offset.

        Raises:
            ValueError: words < 0, or they reach beyond the stream's end at 2**64 words.
        """
        words = integer("words", words, want="an integer in [0, 2**63); 0 is the least")
        align = integer("align", align, 1, want="an integer in [1, 2**63); 1 is the least")
        with _LOCK:
            first = -(-self.offset // align) * align
            if words:
                self.offset = _word64("offset", _next_block(first + words), AT_THE_END)
        return first

    def give_back(self, first: int, words: int) -> None:
        """Undo an unused `reserve(words)` that returned `first`, unless more words have been reserved since."""
        with _LOCK:
            if words and self.offset == _next_block(first + words):
                self.offset = first

    def __repr__(self) -> str:
        return f"Generator(seed={self.seed}, stream={self.stream}, offset={self.offset})"


# In quotes, since NumPy imports numpy.random on first access, which takes longer than importing all of this package.
RandomSource = Union[Generator, "np.random.Generator", SupportsIndex]
"""Types of a `generator` argument: an integer is the seed of a new generator; a NumPy generator draws such a seed."""

default_generator = Generator(int.from_bytes(os.urandom(8), "little"))
"""The generator that is used where none is given; seeded by the operating system until `manual_seed` is called."""


def manual_seed(seed: SupportsIndex) -> Generator:
    """Restart the default generator at the beginning of `seed`'s stream 0 and return it."""
    default_generator.state = Generator(seed).state
    return default_generator


def as_generator(generator: RandomSource | None) -> Generator:
    """Return the generator that an argument stands for; None is the default generator.

    Raises:
        TypeError: the argument has another type.
        ValueError: an integer is outside [0, 2**64).
    """
    if generator is None:
        return default_generator
    if isinstance(generator, Generator):
        return generator
    if isinstance(generator, SupportsIndex) and not isinstance(generator, bool):
        return Generator(_word64("generator", generator))
    if isinstance(generator, np.random.Generator):
        return Generator(generator.integers(2**64, dtype=np.uint64))
    raise TypeError(f"generator: got {type(generator).__name__}, want a fastnn.Generator, NumPy's or an integer "
                    "seed; pass 0, for example")  # fmt: skip
