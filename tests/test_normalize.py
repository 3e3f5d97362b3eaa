"""Normalize: its statistics, how it is saved with its model, refused arguments."""

import math
import tracemalloc

import numpy as np
import pytest
from support import DTYPES

from fastnn import nn
from fastnn.data import Normalize
from fastnn.data.normalize import BLOCK

RNG = np.random.default_rng(3)

SHAPES = {  # shape of the statistics -> shape of x, and the axes that the statistics are taken over
    3: ((40, 3), 0),
    4: ((10, 4, 5, 6), (0, 2, 3)),
    (4, 5): ((30, 4, 5), 0),
    (2,): ((12, 2, 7), (0, 2)),
    (): ((20, 3), (0, 1)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_normalize(shape, dtype):
    x_shape, axes = SHAPES[shape]
    x = RNG.normal(5, 3, x_shape).astype(dtype)
    before, exact = x.copy(), x.astype(np.float64)
    module = Normalize(shape, dtype=dtype)
    assert module.fit(x) is module
    tight = {"rtol": 4 * np.finfo(dtype).eps, "atol": 1e-14}
    np.testing.assert_allclose(module.mean, exact.mean(axes), **tight)
    np.testing.assert_allclose(module.std, exact.std(axes), **tight)
    y, backward = module(x)
    expected = (exact - exact.mean(axes, keepdims=True)) / exact.std(axes, keepdims=True)
    np.testing.assert_allclose(y, expected, atol=20 * np.finfo(dtype).eps)
    assert y.dtype == dtype and (y == module.transform(x)).all()
    np.testing.assert_allclose(module.inverse_transform(y), x, atol=20 * np.finfo(dtype).eps)
    dy = RNG.normal(size=x_shape).astype(dtype)
    np.testing.assert_allclose(backward(dy), dy / exact.std(axes, keepdims=True), rtol=1e-5)
    assert backward(dy, input_grad=False) is None
    assert (x == before).all()


def test_large_data_is_not_copied():
    x = RNG.standard_normal((13 * BLOCK // 2 + 5, 2), np.float32) + 3  # the last block is small
    tracemalloc.start()
    module = Normalize(2).fit(x)
    assert tracemalloc.get_traced_memory()[1] < x.nbytes
    tracemalloc.stop()
    np.testing.assert_allclose(module.mean, x.mean(0, np.float64), rtol=1e-7)
    np.testing.assert_allclose(module.std, x.std(0, np.float64), rtol=1e-7)


@pytest.mark.parametrize(("dtype", "large"), [(np.float32, 2.0**20), (np.float64, 2.0**40)])
def test_a_large_mean_takes_nothing_from_the_deviation(dtype, large):
    """The deviation keeps its digits for a large mean; E[x^2] - E[x]^2 would be off by thousands."""
    x = (large + np.array([[-1], [0], [0], [1]])).astype(dtype)
    module = Normalize(1, dtype=dtype).fit(x)
    assert module.mean == large and module.std == dtype(math.sqrt(0.5))


@pytest.mark.parametrize("dtype", DTYPES)
def test_constant_features_become_zero(dtype):
    """Constant features become 0, though the mean of 1,000 times 0.1 is not 0.1; tiny ones, 1e-30, are not constant."""
    x = np.stack([np.full(1000, 0.1), np.full(1000, -7e30), 1e-30 * RNG.normal(size=1000)], axis=1).astype(dtype)
    module = Normalize(3, dtype=dtype).fit(x)
    assert module.std[:2].tolist() == [1, 1]
    y = module.transform(x)
    assert (y[:, :2] == 0).all() and y[:, 2].std() == pytest.approx(1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_subnormal_deviations_divide_nothing(dtype):
    """A subnormal deviation counts as 1, because dividing by it would turn even 1 into infinity."""
    x = np.zeros((4, np.int64(2)), dtype)
    x[0] = np.finfo(dtype).smallest_subnormal * 3
    module = Normalize(np.int64(2), dtype=dtype).fit(x)
    assert (module.std == 1).all() and np.isfinite(module.transform(np.full((1, 2), 3, dtype))).all()


def test_the_least_deviation():
    """The smallest normal deviation is a deviation; half of it counts as 1."""
    least = np.finfo(np.float32).tiny
    module = Normalize(2).fit(np.array([[-least, -least / 2], [least, least / 2]], np.float32))
    assert module.std.tolist() == [least, 1] and module.transform(np.array([[least, 3]], np.float32)).tolist() == [
        [1, 3]
    ]


def test_repr_of_normalize():
    """The text shows the shape and the dtype, which is float32 by default."""
    assert repr(Normalize(3)) == "Normalize((3,), dtype=float32)"
    assert repr(Normalize((2, 3), dtype=np.float64)) == "Normalize((2, 3), dtype=float64)"


def test_normalize_is_saved_with_its_model():
    x = RNG.normal(2, 3, (50, 4)).astype(np.float32)
    model = nn.Sequential(Normalize(4), nn.Linear(4, 2))
    names = [*model.state_dict()]
    model[0].fit(x)
    assert names == [*model.state_dict()] == ["0.mean", "0.std", "1.weight", "1.bias"]
    assert [*Normalize(4).state_dict()] == ["mean", "std"]
    other = nn.Sequential(Normalize(4), nn.Linear(4, 2))
    other.load_state_dict(model.state_dict())
    assert (other(x)[0] == model(x)[0]).all()
    logits, backward = model(x)
    # the model is linear, so any step works
    numeric = (model(x + np.float32(0.5))[0] - model(x - np.float32(0.5))[0]).sum()
    assert backward(np.ones_like(logits)).sum() == pytest.approx(numeric, rel=1e-3)


def test_backward_belongs_to_its_call():
    module = Normalize(1).fit(np.array([[0], [2]], np.float32))
    _, backward = module(np.ones((1, 1), np.float32))
    module.fit(np.array([[0], [20]], np.float32))
    assert backward(np.ones((1, 1), np.float32)) == 1


GRID = np.ones((4, 3), np.float32)
FITTED = Normalize(3).fit(GRID)


def spoiled(value, *place, shape=(4, 3)):
    x = np.ones(shape, np.float32)
    x[place] = value
    return x


BAD_NORMALIZE = {
    "x: got nan at row 2, column 1, want finite": lambda: Normalize(3).fit(spoiled(np.nan, 2, 1)),
    "x: got -inf at row 3, column 0, want": lambda: Normalize(3).fit(spoiled(-np.inf, 3, 0)),
    "x: got inf at row 1, column 2, 0, 3, want": lambda: Normalize(3).fit(
        spoiled(np.inf, 1, 2, 0, 3, shape=(2, 3, 4, 4))
    ),
    r"x: got shape \(0, 3\), want at least one sample": lambda: Normalize(3).fit(GRID[:0]),
    r"x: got shape \(4, 3\), want \(N, 2, ...\)": lambda: Normalize(2).fit(GRID),
    r"x: got shape \(3,\), want \(N, 3, ...\)": lambda: FITTED.transform(GRID[0]),
    r"x: got shape \(\), want \(N, ...\)": lambda: Normalize(()).fit(np.array(1, np.float32)),
    "x: got float64, want a float32 array": lambda: FITTED.transform(GRID.astype(np.float64)),
    "x: got list, want a float32 array": lambda: FITTED([[1.0, 2.0, 3.0]]),
    r"x: got values up to 1e\+300": lambda: Normalize(1, dtype=np.float64).fit(np.array([[1e300], [-1e300]])),
    r"x: got values up to 1e\+200, want a variance": lambda: Normalize(2, dtype=np.float64).fit(
        np.array([[1, 1e200], [2, -1e200]])
    ),
    r"x: got values up to 1.7e\+308, want a variance": lambda: Normalize(1, dtype=np.float64).fit(
        np.array([[1.7e308], [1.7e308], [-1e308]])
    ),
    r"x: got values up to 1.7e\+308, want a variance within": lambda: Normalize((), dtype=np.float64).fit(
        np.array([1.7e308, -1.7e308] * 8)  # parts of the sum may be infinite and of opposite signs
    ),
    "mean, std: got none so far": lambda: Normalize(3).transform(GRID),
    "got none so far": lambda: Normalize(3).inverse_transform(GRID),
    "none so far": lambda: Normalize(3)(GRID),
    r"dy: got float32 \(4,\), want float32 \(4, 3\)": lambda: FITTED(GRID)[1](GRID[:, 0]),
    r"dy: got float64 \(4, 3\), want float32 \(4, 3\)": lambda: FITTED(GRID)[1](GRID.astype(np.float64)),
    "shape: got 0": lambda: Normalize(0),
    r"shape: got -1": lambda: Normalize((3, -1)),
    "dtype: got int64": lambda: Normalize(3, dtype=np.int64),
}


@pytest.mark.parametrize("sentence", BAD_NORMALIZE)
def test_normalize_refuses(sentence):
    with pytest.raises((TypeError, ValueError, RuntimeError), match=sentence):
        BAD_NORMALIZE[sentence]()


def test_refused_data_leaves_the_statistics():
    module = Normalize(3).fit(spoiled(5, 0, 0))
    before = module.mean.copy(), module.std.copy()
    with pytest.raises(ValueError, match="nan"):
        module.fit(spoiled(np.nan, 2, 1))
    assert (module.mean == before[0]).all() and (module.std == before[1]).all()


@pytest.mark.parametrize("size", [1e-100, 1e-154, 1e-162, 1e-200, 1e-300, 1e-307])
@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_tiny_deviations(size, offset):
    """Deviations whose squares underflow are measured like others, beside a feature of another size."""
    x = np.array([[1.0, 1.0], [3.0, 2.0], [4.0, 9.0]]) * [size, 1.0] + [offset * size, 0.0]
    module = Normalize(2, dtype=np.float64).fit(x)
    want = np.sqrt(14 / 9) * size
    assert module.std == pytest.approx([want, np.sqrt(38 / 3)], rel=1e-12)
    assert module.transform(x).std(axis=0) == pytest.approx([1, 1], rel=1e-12)
