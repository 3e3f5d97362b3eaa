"""A generator is a position in a stream: what moves it, what restores it, and what is accepted as one."""

import copy
import importlib
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import reference
from support import DTYPES, same_bits

import fastnn
from fastnn import Generator, init, nn, random
from fastnn import functional as F


def test_reserve() -> None:
    """A draw begins at a multiple of `align`, and the next draw at a new block of 64 words."""
    generator = Generator(3, 4)
    assert [generator.reserve(n) for n in (1, 64, 65, 0, 128)] == [0, 64, 128, 256, 256]
    assert generator.offset == 384 and "seed=3, stream=4, offset=384" in repr(generator)
    generator.offset = 5
    assert [generator.reserve(n, a) for n, a in ((0, 1), (0, 2), (0, 64), (3, 2))] == [5, 6, 64, 6]
    assert generator.offset == 64
    with pytest.raises(ValueError, match=r"^words: got -1, want"):
        generator.reserve(-1)


def test_give_back() -> None:
    """`give_back` undoes a draw, unless another draw has followed."""
    generator = Generator(3)
    generator.give_back(generator.reserve(100), 100)
    assert generator.offset == 0
    first = generator.reserve(100)
    generator.reserve(1)
    generator.give_back(first, 100)
    assert generator.offset == 192
    generator = Generator(3).advance(5)
    first = generator.reserve(0, 1)
    generator.reserve(3, 1)
    generator.give_back(first, 0)
    assert generator.offset == 64


@pytest.mark.parametrize(("size", "offset"), [(1, 64), (22, 64), (32, 64), (33, 128), (43, 128), (65, 192)])
def test_integers_take_two_words_each(size: int, offset: int) -> None:
    """A draw of integers moves the generator by two words for each, to the next multiple of 64."""
    generator = Generator(3)
    random.integers_(np.empty(size, np.int64), 10, generator=generator)
    assert generator.offset == offset


def test_a_seed_from_numpys_generator() -> None:
    """NumPy's generator draws a seed of 64 bits, anew each time."""
    numpys, again = np.random.default_rng(3), np.random.default_rng(3)
    for _ in range(3):
        made = random.as_generator(numpys)
        assert (made.seed, made.stream, made.offset) == (int(again.integers(2**64, dtype=np.uint64)), 0, 0)
        assert made.seed > 2**32


@pytest.mark.parametrize("dtype", [*DTYPES, np.int64])
def test_any_split(dtype: Any) -> None:
    """A part of an array that is filled after `advance` has the same bits as in the whole array."""

    def fill(array: Any, g: Generator, kind: str) -> Any:
        return (
            random.integers_(array, 1000, generator=g)
            if dtype is np.int64
            else getattr(random, kind)(array, generator=g)
        )

    words = np.dtype(dtype).itemsize // 4
    kinds = (
        ("integers_",) if dtype is np.int64 else ("uniform_", "normal_", "trunc_normal_", "bernoulli_", "exponential_")
    )
    for kind in kinds:
        whole = fill(np.empty(1000, dtype), Generator(1, 2), kind)
        for begin in (0, 1, 15, 16, 31, 32, 33, 63, 64, 65, 511):
            for end in (begin + 1, begin + 17, begin + 70, 1000):
                g = Generator(1, 2).advance(begin * words)
                assert same_bits(fill(np.empty(end - begin, dtype), g, kind), whole[begin:end]), (kind, begin, end)


def test_advance() -> None:
    """`advance` has the effect of drawing that many words; it refuses to go beyond the end of the stream."""
    generator = Generator(1)
    assert generator.advance(5) is generator and generator.advance(70).offset == 75
    assert generator.reserve(1, 1) == 75 and generator.offset == 128
    with pytest.raises(ValueError, match=r"^n: got -1, want"):
        generator.advance(-1)
    with pytest.raises(ValueError, match=r"^offset: got .*, want"):
        generator.advance(2**64 - 1)
    assert generator.offset == 128
    generator.state |= {"offset": 2**64 - 64}
    with pytest.raises(ValueError, match=r"^offset: got .*, want"):
        random.uniform_(np.empty(99), generator=generator)
    assert generator.offset == 2**64 - 64


@pytest.mark.parametrize("begin", [0, 1, 63, 64, 1000])
@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 200])
def test_random_raw(n: int, begin: int) -> None:
    """`random_raw` returns the words of the stream from any position."""
    generator = Generator(2**63 + 1, 7).advance(begin)
    words = reference.philox_blocks(2**63 + 1, 7, 0, 20).reshape(-1)
    np.testing.assert_array_equal(generator.random_raw(n), words[begin : begin + n])
    assert generator.offset == (-(-(begin + n) // 64) * 64 if n else begin)


def test_spawn() -> None:
    """Children are numbered streams; no two descendants of a generator share a stream."""
    root = Generator(9)
    assert [g.stream for g in root.spawn(3)] == [1, 2, 3] and [g.stream for g in root.spawn(2)] == [4, 5]
    assert root.spawn(0) == [] and root.offset == 0 and root.spawned == 5
    assert [g.stream for g in root.spawn(1)] == [6] and root.spawned == 6
    family = {0}
    for child in Generator(9).spawn(20):
        family.add(child.stream)
        for grandchild in child.spawn(20):
            family.add(grandchild.stream)
            family |= {g.stream for g in grandchild.spawn(20)}
    assert len(family) == 1 + 20 + 20**2 + 20**3 and max(family) < 2**63
    assert {g.seed for g in root.spawn(5)} == {9}


@pytest.mark.parametrize(
    ("stream", "room"), [(0, 2**32 - 1), (1, 2**16 - 1), (2**32, 2**15 - 1), (2**48, 0), (2**63, 0)]
)
def test_spawn_has_an_end(stream: int, room: int) -> None:
    """`spawn` refuses numbers whose streams would belong to others; then it spawns nothing."""
    generator = Generator(1, stream)
    with pytest.raises(ValueError, match=f"^n: got {room + 1}, want at most {room}, "):
        generator.spawn(room + 1)
    assert generator.spawned == 0
    generator.state |= {"spawned": max(room - 1, 0)}
    assert len(generator.spawn(min(room, 1))) == min(room, 1)
    with pytest.raises(ValueError, match=r"^n: got -1, want"):
        generator.spawn(-1)


def test_state() -> None:
    """A restored state continues at the same position, also for `spawn`."""
    generator = Generator(3, 4)
    generator.spawn(2)
    generator.reserve(1000)
    state = generator.state
    assert state == {"seed": 3, "stream": 4, "offset": 1024, "spawned": 2}
    want, child = init.normal_(np.empty(50), generator=generator), generator.spawn(1)[0]
    restored = Generator(0)
    restored.state = state
    assert same_bits(init.normal_(np.empty(50), generator=restored), want)
    assert restored.spawn(1)[0].state == child.state


@pytest.mark.parametrize("value", [-1, 2**64, 1.5, "x", None, True])
@pytest.mark.parametrize("key", ["seed", "stream", "offset", "spawned"])
def test_refused_states(key: str, value: Any) -> None:
    """A bad state is refused as a whole."""
    generator = Generator(3, 4)
    with pytest.raises(ValueError, match=rf"^{key}: got .*, want an integer in \[0, 2\*\*64\)"):
        generator.state = {"seed": 1, "stream": 1, "offset": 1, "spawned": 1, key: value}
    with pytest.raises(ValueError, match=r"^state: got keys .*, want"):
        generator.state = {k: v for k, v in generator.state.items() if k != key}
    with pytest.raises(TypeError, match=r"^state: got list, want"):
        generator.state = [1, 2, 3, 4]  # type: ignore[assignment]
    assert generator.state == Generator(3, 4).state


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g))])
def test_copies(duplicate: Callable[[Generator], Generator]) -> None:
    """A copy, also a pickled one, continues independently from the same position."""
    generator = Generator(3, 4)
    generator.reserve(1000)
    twin = duplicate(generator)
    assert repr(twin) == repr(generator)
    want = init.normal_(np.empty(50), generator=generator)
    assert same_bits(init.normal_(np.empty(50), generator=twin), want)


@pytest.mark.parametrize("bad", [-1, 2**64, 1.0, "1", None, True])
def test_refusals(bad: Any) -> None:
    """Seeds and streams outside [0, 2**64) and of other types are refused."""
    with pytest.raises(ValueError, match=r"^seed: got .*, want an integer in \[0, 2\*\*64\)"):
        Generator(bad)
    with pytest.raises(ValueError, match=r"^stream: got .*, want an integer in \[0, 2\*\*64\)"):
        Generator(0, bad)
    state = repr(fastnn.random.default_generator)
    with pytest.raises(ValueError, match=r"^seed: got"):
        fastnn.manual_seed(bad)
    assert repr(fastnn.random.default_generator) == state


def test_manual_seed() -> None:
    """manual_seed restarts the default generator and returns it."""
    draws = []
    for seed in (5, 5, 6):
        fastnn.random.default_generator.state = {"seed": 9, "stream": 3, "offset": 77, "spawned": 2}
        assert fastnn.manual_seed(seed) is fastnn.random.default_generator
        draws.append((F.dropout(np.ones(300)), init.xavier_normal_(np.empty((30, 10)))))
    assert same_bits(draws[0][0], draws[1][0]) and same_bits(draws[0][1], draws[1][1])
    assert not same_bits(draws[0][0], draws[2][0])
    fastnn.manual_seed(5).spawn(2)
    assert fastnn.manual_seed(5).state == Generator(5).state


def _linear(g: Any) -> Any:
    layer = nn.Linear(9, 9, generator=g)
    assert layer.bias is not None
    return np.append(layer.weight.data, layer.bias.data)


_FANS = [f"{by}_{kind}_" for by in ("xavier", "kaiming", "glorot", "he", "lecun") for kind in ("uniform", "normal")]
USES: dict[str, Callable[[Any], Any]] = {
    **{
        f"random.{name}": lambda g, name=name: getattr(random, name)(np.empty(99), generator=g)
        for name in ("uniform_", "normal_", "trunc_normal_", "bernoulli_", "exponential_")
    },
    "random.integers_": lambda g: random.integers_(np.empty(99, np.int64), 2**40, generator=g),
    "random.permutation": lambda g: random.permutation(99, g),
    **{
        f"init.{name}": lambda g, name=name: getattr(init, name)(np.empty((9, 9)), generator=g)
        for name in ("uniform_", "normal_", "trunc_normal_", "orthogonal_", *_FANS)
    },
    "init.sparse_": lambda g: init.sparse_(np.empty((9, 9)), 0.3, generator=g),
    "functional.dropout": lambda g: F.dropout(np.ones(999), generator=g),
    "functional.alpha_dropout": lambda g: F.alpha_dropout(np.ones(999), generator=g),
    "functional.dropout2d": lambda g: F.dropout2d(np.ones((9, 99, 2, 2)), generator=g),
    "functional.dropout_add_layer_norm": lambda g: F.dropout_add_layer_norm(np.ones((9, 9)), None, p=0.5, generator=g),
    "functional.bias_activation": lambda g: F.bias_activation(np.ones((9, 9)), None, p=0.5, generator=g),
    "functional.linear": lambda g: F.linear(np.ones((9, 9)), np.ones((9, 9)), p=0.5, generator=g),
    "nn.Dropout": lambda g: nn.Dropout(0.5, generator=g)(np.ones((9, 9)))[0],
    "nn.Linear": _linear,
}


BAD: dict[str, Callable[[Any, Generator], Any]] = {
    "uniform_": lambda x, g: random.uniform_(x, 2.0, 1.0, generator=g),
    "normal_": lambda x, g: random.normal_(x, 0.0, -1.0, generator=g),
    "trunc_normal_": lambda x, g: random.trunc_normal_(x, a=1.0, b=-1.0, generator=g),
    "bernoulli_": lambda x, g: random.bernoulli_(x, 2.0, generator=g),
    "exponential_": lambda x, g: random.exponential_(x, 0.0, generator=g),
    "integers_": lambda x, g: random.integers_(x.astype(np.int64), 3, 3, generator=g),
    "permutation": lambda x, g: random.permutation(-1, g),
    "orthogonal_": lambda x, g: init.orthogonal_(x, float("inf"), generator=g),
    "sparse_": lambda x, g: init.sparse_(x, 0.5, -1.0, generator=g),
    "sparse_'s share": lambda x, g: init.sparse_(x, 1.5, generator=g),
    "xavier_uniform_": lambda x, g: init.xavier_uniform_(x, float("nan"), generator=g),
    "kaiming_normal_": lambda x, g: init.kaiming_normal_(x, mode="fan", generator=g),
    "kaiming_uniform_": lambda x, g: init.kaiming_uniform_(x, nonlinearity="cos", generator=g),
    "Linear": lambda x, g: nn.Linear(3, 0, generator=g),
    "random_raw": lambda x, g: g.random_raw(-1),
    "advance": lambda x, g: g.advance(-1),
    "spawn": lambda x, g: g.spawn(-1),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused_draws_nothing(name: str) -> None:
    """A call with a bad option changes neither the generator nor the tensor."""
    generator = Generator(3).advance(100)
    before, x = generator.state, np.full((6, 6), 7.0)
    with pytest.raises(ValueError, match=r"got .*, want "):
        BAD[name](x, generator)
    assert generator.state == before and (x == 7).all()


@pytest.mark.parametrize("module", ["random", "init", "functional", "nn"])
def test_every_generator_argument_is_in_the_table(module: str) -> None:
    package = importlib.import_module(f"fastnn.{module}")
    for name in package.__all__:
        if name != "as_generator" and callable(function := getattr(package, name)):
            argument = inspect.signature(function).parameters.get("generator")
            assert argument is None or f"{module}.{name}" in USES, name


@pytest.mark.parametrize("use", USES)
def test_what_a_generator_may_be(use: str) -> None:
    """Every function accepts a seed, NumPy's generator or None as generator."""
    draw = USES[use]
    fastnn.manual_seed(5)
    assert same_bits(draw(0), draw(Generator(0))) and not same_bits(draw(0), draw(7))
    assert same_bits(draw(7), draw(Generator(7))) and same_bits(draw(np.int64(7)), draw(Generator(7)))
    assert same_bits(draw(np.random.default_rng(1)), draw(np.random.default_rng(1)))
    numpys = np.random.default_rng(1)
    assert not same_bits(draw(numpys), draw(numpys))
    fastnn.manual_seed(7)
    assert same_bits(draw(None), draw(Generator(7)))
    for bad in ("1", 1.0, True, np.random):
        with pytest.raises(
            TypeError, match=r"^generator: got \w+, want a fastnn.Generator, NumPy's or an integer seed"
        ):
            draw(bad)
    with pytest.raises(ValueError, match=r"^generator: got -1, want an integer in"):
        draw(-1)
