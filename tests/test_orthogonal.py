"""orthogonal_: reflections applied one by one, orthonormality, Haar moments, edge cases, refused arguments."""

import inspect
import math
from typing import Any

import numpy as np
import pytest
from support import DTYPES, Array, guarded

import fastnn
from fastnn import Generator, init, nn

SHAPES = [
    *[(1, 1), (1, 7), (7, 1), (2, 2), (3, 5), (5, 3)],
    *[(64, 64), (65, 64), (64, 65), (65, 65), (128, 63), (300, 129), (129, 300), (70, 1200), (1200, 70)],
    (330, 1160),  # more than one tile of an added product in each direction
    *[(8, 3, 5), (64, 3, 7, 7), (130, 3, 3, 2), (2, 3, 2, 2, 2)],
]


def orthonormal(values: Array) -> Array:
    """Return the float64 (m, n), m >= n, whose columns must be orthonormal."""
    matrix = values.reshape(len(values), -1).astype(np.float64)
    return matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T


def departure(values: Array) -> float:
    """Return the largest element of |Q^T Q - I|."""
    q = orthonormal(values)
    return float(np.abs(q.T @ q - np.eye(q.shape[1])).max())


def one_by_one(normals: Array) -> Array:
    """Return Stewart's product for (m, n) normal values: one reflection after the other, then the signs."""
    m, n = normals.shape
    q = np.eye(m, n)
    signs = np.ones(n)
    for k in reversed(range(n)):
        v = normals[k:, k].copy()
        signs[k] = math.copysign(1, v[0])
        v[0] += signs[k] * (np.linalg.norm(v) or 1)
        q[k:] -= np.outer(2 / (v @ v) * v, v @ q[k:])
    return q * -signs


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_product_of_reflections(shape: tuple[int, ...], dtype: Any) -> None:
    """The result is orthonormal up to rounding, and is the product that its normal values define."""
    got = init.orthogonal_(np.empty(shape, dtype), generator=Generator(5))
    normals = orthonormal(init.normal_(np.empty(shape, dtype), generator=Generator(5)))
    tolerance = 1e-12 if dtype is np.float64 else 1e-5
    np.testing.assert_allclose(orthonormal(got), one_by_one(normals), rtol=0, atol=tolerance)
    assert departure(got) <= (2e-14 if dtype is np.float64 else 4e-6)


@pytest.mark.parametrize(("shape", "dtype"), [((1024, 1024), np.float32), ((1100, 1100), np.float64)])
def test_large(shape: tuple[int, ...], dtype: Any) -> None:
    """The departure from orthonormality does not grow with the number of blocks."""
    assert departure(init.orthogonal_(np.empty(shape, dtype), generator=Generator(6))) <= 25 * np.finfo(dtype).eps


def test_one_vector_is_its_normals_direction() -> None:
    """A row or column is the normal vector divided by its length, a single number its sign."""
    for shape in ((1, 9), (9, 1), (1, 1)):
        normals = init.normal_(np.empty(shape), generator=Generator(8))
        got = init.orthogonal_(np.empty(shape), generator=Generator(8))
        np.testing.assert_allclose(got, normals / np.linalg.norm(normals), rtol=1e-14)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("n", "dtype"), [(4, np.float64), (3, np.float32)])
def test_haar_distribution(n: int, dtype: Any, turned: bool) -> None:
    """Trace moments on O(n), determinants and every E q_ij q_kl are right to five sigma, also after a rotation."""
    generator, turn = Generator(20), np.eye(n)
    if turned:
        turn[:2, :2] = [[0.6, -0.8], [0.8, 0.6]]
    q = np.array([init.orthogonal_(np.empty((n, n), dtype), 1.0, generator) for _ in range(2000)]) @ turn
    trace, square = np.trace(q, axis1=1, axis2=2), np.trace(q @ q, axis1=1, axis2=2)
    determinants = np.linalg.det(q)
    np.testing.assert_allclose(np.abs(determinants), 1, rtol=1e-5)
    for values, mean in ((trace, 0), (trace**2, 1), (square, 1), (trace**4, 3), (determinants, 0), (trace**3, 0)):
        assert abs(values.mean() - mean) <= 5 * values.std() / math.sqrt(len(q))
    flat = q.reshape(len(q), -1)
    pairs = flat[:, :, None] * flat[:, None, :]
    assert (np.abs(flat.mean(axis=0)) <= 5 * flat.std(axis=0) / math.sqrt(len(q))).all()
    assert (np.abs(pairs.mean(axis=0) - np.eye(n * n) / n) <= 5 * pairs.std(axis=0) / math.sqrt(len(q))).all()


def test_haar_distribution_of_rows() -> None:
    """No direction is preferred if there are fewer rows than columns."""
    generator = Generator(21)
    q = np.array([init.orthogonal_(np.empty((2, 5)), 1.0, generator) for _ in range(2000)]).reshape(-1, 10)
    pairs = q[:, :, None] * q[:, None, :]
    assert (np.abs(q.mean(axis=0)) <= 5 * q.std(axis=0) / math.sqrt(len(q))).all()
    assert (np.abs(pairs.mean(axis=0) - np.eye(10) / 5) <= 5 * pairs.std(axis=0) / math.sqrt(len(q))).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("gain", [2, math.sqrt(2), -0.3, 0.0, 1e38])
def test_gain(gain: float, dtype: Any) -> None:
    """The result is the matrix times gain, rounded once."""
    for shape in ((40, 70), (70, 40)):
        one = init.orthogonal_(np.empty(shape, dtype), generator=Generator(9))
        got = init.orthogonal_(np.empty(shape, dtype), gain, Generator(9))
        np.testing.assert_array_equal(got, one * dtype(gain))


@pytest.mark.parametrize("dtype", DTYPES)
def test_generator(dtype: Any) -> None:
    """A generator, by default the global one, determines the matrix, with one normal value per element."""
    first, again = Generator(3), Generator(3)
    a, b = (init.orthogonal_(np.empty((30, 20), dtype), generator=g) for g in (first, again))
    np.testing.assert_array_equal(a, b)
    assert first.offset == 64 * -(-a.nbytes // 4 // fastnn.random.BLOCK_WORDS)
    assert not np.array_equal(a, init.orthogonal_(np.empty((30, 20), dtype), generator=first))
    fastnn.manual_seed(3)
    np.testing.assert_array_equal(a, init.orthogonal_(np.empty((30, 20), dtype)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(13, 7), (7, 13), (6, 5, 3, 3), (150, 70), (70, 150)])
def test_in_place(shape: tuple[int, ...], dtype: Any) -> None:
    """The fill writes only into the caller's memory and returns its argument, also a Parameter."""
    target = guarded(shape, dtype, 3)
    assert init.orthogonal_(target.array, generator=Generator(1)) is target.array
    target.check()
    parameter = nn.Parameter(np.full(shape, math.nan, dtype))
    assert init.orthogonal_(parameter, generator=Generator(1)) is parameter
    assert departure(parameter.data) <= 25 * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(5, 5), (70, 66), (3, 8)])
@pytest.mark.parametrize("value", [0.0, -0.0, 1e-30, 1e-300])
def test_vectors_that_vanish(value: float, shape: tuple[int, ...], dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Normal values that are all zero, or whose squares are, still give an orthogonal matrix."""
    monkeypatch.setattr("fastnn.init.orthogonal.normal_", lambda data, **_: data.fill(value))
    assert departure(init.orthogonal_(np.empty(shape, dtype))) <= 25 * np.finfo(dtype).eps


def read_only() -> Array:
    """Return an array that must not be written."""
    array = np.zeros((4, 4))
    array.flags.writeable = False
    return array


REFUSALS: dict[str, tuple[Array, Any, type[Exception], str]] = {
    "vector": (np.zeros(5), 1.0, ValueError, r"^tensor: got shape \(5,\), want at least two dimensions; reshape"),
    "number": (np.zeros(()), 1.0, ValueError, r"^tensor: got shape \(\), want at least two dimensions; reshape"),
    "nan": (np.zeros((3, 3)), math.nan, ValueError, "^gain: got nan, want a finite number"),
    "infinity": (np.zeros((3, 3)), -math.inf, ValueError, "^gain: got -inf, want a finite number"),
    "too large": (np.zeros((3, 3), np.float32), 1e39, ValueError, r"^gain: got 1e\+39, want .*dtype can hold"),
    "read-only": (read_only(), 1.0, ValueError, "^tensor: .*read-only"),
    "strided": (np.zeros((4, 8))[:, ::2], 1.0, ValueError, "^tensor: .*strided"),
    "transposed": (np.zeros((4, 8)).T, 1.0, ValueError, "^tensor: .*strided"),
    "integers": (np.zeros((4, 4), np.int64), 1.0, TypeError, "^tensor: got .*int64"),
    "half": (np.zeros((4, 4), np.float16), 1.0, TypeError, "^tensor: got .*float16"),
    "byte order": (np.zeros((4, 4), np.dtype(np.float32).newbyteorder()), 1.0, TypeError, "^tensor: got .*f4"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(case: str) -> None:
    """Bad arguments are refused; nothing is written and no random number is drawn."""
    target, gain, error, sentence = REFUSALS[case]
    generator = Generator(1)
    with pytest.raises(error, match=sentence):
        init.orthogonal_(target, gain, generator)
    assert not target.any() and generator.offset == 0


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (8, 3, 2, 2), (3, 8, 2)])
def test_torch(shape: tuple[int, ...]) -> None:
    """The arguments are torch's, and the same side of the matrix is orthonormal."""
    torch = pytest.importorskip("torch")
    ours, theirs = (inspect.signature(module.orthogonal_).parameters for module in (init, torch.nn.init))
    assert {k: p.default for k, p in ours.items()} == {k: p.default for k, p in theirs.items()}
    assert list(ours) == list(theirs)
    peer = torch.nn.init.orthogonal_(torch.empty(shape, dtype=torch.float64), 1.5).numpy().reshape(shape[0], -1)
    got = init.orthogonal_(np.empty(shape), 1.5, Generator(2)).reshape(shape[0], -1)
    if shape[0] >= peer.shape[1]:
        peer, got = peer.T, got.T
    np.testing.assert_allclose(got @ got.T, peer @ peer.T, rtol=0, atol=1e-13)
