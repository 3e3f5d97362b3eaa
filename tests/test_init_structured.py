"""constant_, ones_, zeros_, eye_, dirac_ and sparse_: torch's results, memory, counts, frequencies, refusals."""

import inspect
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from support import DTYPES, guarded, same_bits

import fastnn
from fastnn import Generator, init, nn

NAN, INF = math.nan, math.inf
DIRACS = [
    *[((5, 3, 3), 1), ((3, 5, 4), 1), ((4, 4, 1), 2), ((6, 2, 3, 5), 3), ((6, 5, 2, 2), 2), ((7, 3, 1, 1), 7)],
    *[((4, 2, 3, 2, 1), 2), ((8, 3, 3, 3, 3), 4)],
]
FILLS: list[tuple[str, tuple[int, ...], tuple[Any, ...]]] = [
    *[("constant_", shape, (value,)) for shape in ((), (7,), (2, 3, 4)) for value in (0.1, -0.0, INF, NAN, 3)],
    *[(name, shape, ()) for shape in ((), (5,), (2, 3)) for name in ("ones_", "zeros_")],
    *[("eye_", shape, ()) for shape in ((1, 1), (4, 4), (3, 7), (7, 3))],
    *[("dirac_", shape, (groups,)) for shape, groups in DIRACS],
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "shape", "args"), FILLS)
def test_torchs_values(name: str, shape: tuple[int, ...], args: tuple[Any, ...], dtype: Any) -> None:
    """Values equal torch's bit for bit, whatever the memory held before, and nothing else is written."""
    torch = pytest.importorskip("torch")
    target = guarded(shape, dtype, 3, fill=NAN)
    assert getattr(init, name)(target.array, *args) is target.array
    target.check()
    peer = getattr(torch.nn.init, name)(torch.from_numpy(np.full(shape, 9, dtype)), *args)
    assert same_bits(target.array, peer.numpy())


def test_arguments_are_torchs() -> None:
    """Argument names, their order and defaults equal torch's."""
    theirs = pytest.importorskip("torch").nn.init
    for name in ("constant_", "ones_", "zeros_", "eye_", "dirac_", "sparse_"):
        ours, peers = (inspect.signature(getattr(module, name)).parameters for module in (init, theirs))
        assert list(ours) == list(peers)
        assert {k: p.default for k, p in ours.items()} == {k: p.default for k, p in peers.items()}


def test_a_delta_hands_on_its_input() -> None:
    """Two groups of three outputs over two inputs: the third output of each group has no input to pass on."""
    got = init.dirac_(np.full((6, 2, 3), NAN), groups=2)
    want = np.zeros((6, 2, 3))
    want[0, 0, 1] = want[1, 1, 1] = want[3, 0, 1] = want[4, 1, 1] = 1
    np.testing.assert_array_equal(got, want)


def test_parameters() -> None:
    """A Parameter is filled in its own memory and returned."""
    for name, shape, args in (
        ("constant_", (3,), (2.5,)),
        ("ones_", (3,), ()),
        ("zeros_", (3,), ()),
        ("eye_", (3, 2), ()),
        ("dirac_", (3, 2, 3), ()),
        ("sparse_", (5, 4), (0.5, 1.0, Generator(1))),
    ):
        values = np.full(shape, NAN)
        parameter = nn.Parameter(values)
        assert getattr(init, name)(parameter, *args) is parameter
        assert parameter.data is values and not np.isnan(values).any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sparsity", [0, 0.0, 0.1, 0.5, 0.55, 0.999, 1.0])
@pytest.mark.parametrize("shape", [(20, 30), (1000, 3), (500, 100), (1, 5), (5, 1)])
def test_sparse(shape: tuple[int, int], sparsity: float, dtype: Any) -> None:
    """Each column is 0 at its ceil(sparsity * rows) smallest keys, and elsewhere has the generator's normal values."""
    target = guarded(shape, dtype, 3, fill=NAN)
    assert init.sparse_(target.array, sparsity, 0.5, Generator(4)) is target.array
    target.check()
    generator, zeros = Generator(4), target.array == 0
    normals = init.normal_(np.empty(shape, dtype), 0.0, 0.5, generator)
    keys = init.uniform_(np.empty(shape[::-1]), generator=generator).T
    np.testing.assert_array_equal(zeros, keys.argsort(axis=0).argsort(axis=0) < math.ceil(sparsity * shape[0]))
    np.testing.assert_array_equal(target.array[~zeros], normals[~zeros])


@pytest.mark.parametrize("shape", [(20, 30), (100, 3), (7, 5)])
def test_torchs_sparse(shape: tuple[int, int]) -> None:
    """Each column has as many zeros as in torch, however sparsity * rows is rounded."""
    torch = pytest.importorskip("torch")
    for sparsity in np.arange(101) / 100:
        peer = torch.nn.init.sparse_(torch.empty(shape, dtype=torch.float64), sparsity).numpy()
        zeros = init.sparse_(np.empty(shape), sparsity, generator=Generator(4)) == 0
        np.testing.assert_array_equal((peer == 0).sum(axis=0), zeros.sum(axis=0))


def test_sparse_places() -> None:
    """All ten choices of two rows out of five are equally frequent, to five sigma, and columns are independent."""
    columns = 20000
    zeros = init.sparse_(np.empty((5, columns)), 0.4, 1.0, Generator(5)) == 0
    counts = Counter(tuple(np.flatnonzero(column)) for column in zeros.T)
    assert len(counts) == 10
    assert all(abs(count - columns / 10) <= 5 * math.sqrt(columns * 0.1 * 0.9) for count in counts.values())
    same = (zeros[:, 1:] == zeros[:, :-1]).all(axis=0).mean()
    assert abs(same - 0.1) <= 5 * math.sqrt(0.1 * 0.9 / columns)


def test_sparse_default_std() -> None:
    """The default deviation is 0.01, to five sigma."""
    values = init.sparse_(np.empty((100, 100)), 0.3, generator=Generator(6))
    kept = values[values != 0]
    assert abs(kept.std() / 0.01 - 1) <= 5 / math.sqrt(2 * kept.size)


def test_sparse_generator() -> None:
    """A generator, by default the global one, determines all values; the two draws share no number."""
    first = Generator(3)
    a = init.sparse_(np.empty((30, 20)), 0.5, 1.0, first)
    assert first.offset == 2 * 64 * math.ceil(30 * 20 * 2 / fastnn.random.BLOCK_WORDS)
    assert not np.array_equal(a, init.sparse_(np.empty((30, 20)), 0.5, 1.0, first))
    fastnn.manual_seed(3)
    np.testing.assert_array_equal(a, init.sparse_(np.empty((30, 20)), 0.5, 1.0))


GROUPS = "^groups: got {}, want a positive integer that divides the 6 output channels"
REFUSALS: list[tuple[str, tuple[int, ...], tuple[Any, ...], str]] = [
    ("constant_", (3,), (1e39,), r"^val: got 1e\+39, want a number that the tensor's dtype can hold; use float64"),
    ("constant_", (3,), (-1e39,), r"^val: got -1e\+39, want a number that the tensor's dtype can hold; use float64"),
    ("eye_", (3,), (), r"^tensor: got shape \(3,\), want two dimensions; reshape"),
    ("eye_", (3, 3, 1), (), r"^tensor: got shape \(3, 3, 1\), want two dimensions; reshape"),
    ("dirac_", (3, 3), (), r"^tensor: got shape \(3, 3\), want \(out, in, \.\.\.\) with one to three kernel"),
    ("dirac_", (1,) * 6, (), r"^tensor: got shape \(1, 1, 1, 1, 1, 1\), want \(out, in"),
    *[("dirac_", (6, 2, 3), (g,), GROUPS.format(repr(g))) for g in (4, 0, -2, 7, 2.0, NAN, None, True)],
    ("sparse_", (3,), (0.5,), r"^tensor: got shape \(3,\), want two dimensions; reshape"),
    ("sparse_", (3, 3, 3), (0.5,), r"^tensor: got shape \(3, 3, 3\), want two dimensions; reshape"),
    *[("sparse_", (3, 3), (s,), f"^sparsity: got {s}, want a fraction in") for s in (-0.1, 1.1, NAN, INF)],
    *[("sparse_", (3, 3), (0.5, std), f"^std: got {std}, want") for std in (-1.0, NAN, INF)],
    ("sparse_", (3, 3), (0.5, 1e39), "^std: got .*want numbers that the tensor's dtype can hold"),
]


@pytest.mark.parametrize(("name", "shape", "args", "sentence"), REFUSALS)
def test_refusals(name: str, shape: tuple[int, ...], args: tuple[Any, ...], sentence: str) -> None:
    """Bad arguments are refused; nothing is written and no random number is drawn."""
    target, generator = np.full(shape, 9, np.float32), Generator(1)
    more = {"generator": generator} if name == "sparse_" else {}
    with pytest.raises(ValueError, match=sentence):
        getattr(init, name)(target, *args, **more)
    assert (target == 9).all() and generator.offset == 0
