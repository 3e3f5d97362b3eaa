"""Norms in hard cases: large means, huge values, empty arrays; and running statistics."""

from typing import Any

import numpy as np
import pytest
import reference
from support import DTYPES, Array, same_bits

from fastnn import functional as F

RNG = np.random.default_rng(5)


def _values(kind: str, shape: tuple[int, ...], dtype: Any) -> Array:
    x = RNG.standard_normal(shape)
    scaled = {"mean 1e4": x + 1e4, "mean -1e4": x - 1e4, "1e30": x * 1e30}[kind]
    return np.asarray(scaled, dtype=dtype)


HARD = ["mean 1e4", "mean -1e4", "1e30"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", HARD)
def test_layer_norm_hard(kind: str, dtype: Any, isa: str) -> None:
    """A mean of 1e4 deviations, or values of 1e30: errors to 1e-5, forward and backward."""
    x, dy = _values(kind, (7, 501), dtype), RNG.standard_normal((7, 501)).astype(dtype)
    weight, bias = RNG.standard_normal((2, 501)).astype(dtype)
    y, mean, rstd = F.layer_norm(x, 501, weight, bias, return_stats=True)
    want = reference.layer_norm(x, 1, weight, bias)
    np.testing.assert_allclose(y, want[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(mean, want[1], rtol=1e-9)
    np.testing.assert_allclose(rstd, want[2], rtol=1e-9)
    for got, exact in zip(
        F.layer_norm_backward(dy, x, weight, mean, rstd), reference.layer_norm_backward(dy, x, 1, weight), strict=True
    ):
        np.testing.assert_allclose(got, exact, rtol=1e-5, atol=1e-5 * np.abs(exact).max())


@pytest.mark.parametrize("shape", [(300, 5), (6, 5, 7, 9), (4, 5, 11)])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", HARD)
def test_batch_norm_hard(kind: str, dtype: Any, shape: tuple[int, ...], isa: str) -> None:
    """The bounds are those of layer norm, for (N, C), (N, C, L) and (N, C, H, W)."""
    x, dy = _values(kind, shape, dtype), RNG.standard_normal(shape).astype(dtype)
    weight, bias = RNG.standard_normal((2, 5)).astype(dtype)
    y, mean, rstd = F.batch_norm(x, None, None, weight, bias, True, return_stats=True)
    want = reference.batch_norm(x, None, None, weight, bias)
    np.testing.assert_allclose(y, want[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(mean, want[1], rtol=1e-9)
    np.testing.assert_allclose(rstd, want[2], rtol=1e-9)
    exact = reference.batch_norm_backward(dy, x, weight, want[1], want[2])
    for got, d in zip(F.batch_norm_backward(dy, x, weight, mean, rstd), exact, strict=True):
        np.testing.assert_allclose(got, d, rtol=1e-5, atol=1e-5 * np.abs(d).max())


@pytest.mark.parametrize("mean", [0.0, 3.5, 3.99, 4.01, 5.0, 100.0])
@pytest.mark.parametrize("n", [5, 501, 5000])
def test_statistics_are_float64(n: int, mean: float, isa: str) -> None:
    """Statistics of float32 data have errors to 1e-12 on both sides of 4 deviations, where a second pass begins."""
    x = (RNG.standard_normal((6, n)) + mean).astype(np.float32)
    x[::2] -= np.float32(mean)  # neighbours of rows, and of columns, that need no second pass
    wide = x.astype(np.float64)
    want = wide.mean(1), 1 / np.sqrt(wide.var(1) + 1e-5)
    columns, image = np.ascontiguousarray(x.T), x.reshape(1, 6, n, 1)
    for got in (
        F.layer_norm(x, n, return_stats=True)[1:],
        F.group_norm(image, 6, return_stats=True)[1:],
        F.batch_norm(columns, training=True, return_stats=True)[1:],
        F.batch_norm(image, training=True, return_stats=True)[1:],
    ):
        np.testing.assert_allclose(got[0].ravel(), want[0], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(got[1].ravel(), want[1], rtol=1e-12)
    root = F.rms_norm(x, n, eps=1e-5, return_stats=True)[1]
    np.testing.assert_allclose(root, 1 / np.sqrt(np.square(wide).mean(1) + 1e-5), rtol=1e-12)


def test_gradient_sums_do_not_overflow(isa: str) -> None:
    """Gradients whose float32 sums overflow give finite dx, within 1e-5 of the reference."""
    x, dy = RNG.standard_normal((5, 300)).astype(np.float32), np.full((5, 300), 4e37, np.float32)
    dy[:, ::2] *= np.float32(1.5)
    _, mean, rstd = F.layer_norm(x, 300, return_stats=True)
    want = reference.layer_norm_backward(dy, x, 1)[0]
    np.testing.assert_allclose(F.layer_norm_backward(dy, x, None, mean, rstd)[0], want, atol=1e-5 * np.abs(want).max())
    columns, high = np.ascontiguousarray(x.T), np.ascontiguousarray(dy.T)
    _, mean, rstd = F.batch_norm(columns, training=True, return_stats=True)
    want = reference.batch_norm_backward(high, columns, None, mean, rstd)[0]
    got = F.batch_norm_backward(high, columns, None, mean, rstd)[0]
    np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())


@pytest.mark.parametrize("dtype", DTYPES)
def test_constant_rows(dtype: Any, isa: str) -> None:
    """A row without variance gives the bias, without a division by zero, even far from zero."""
    x = np.full((3, 41), 12345.678, dtype=dtype)
    bias = RNG.standard_normal(41).astype(dtype)
    np.testing.assert_allclose(F.layer_norm(x, 41, None, bias), np.tile(bias, (3, 1)), atol=1e-5)
    np.testing.assert_allclose(F.batch_norm(x, None, None, None, bias, True), np.tile(bias, (3, 1)), atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_weight_is_ones_and_zeros(dtype: Any, isa: str) -> None:
    """Weight and bias of None give the same bits as ones and zeros, forward and backward."""
    x, dy = RNG.standard_normal((2, 9, 33)).astype(dtype)
    one, zero = np.ones(33, dtype), np.zeros(33, dtype)
    y, mean, rstd = F.layer_norm(x, 33, return_stats=True)
    np.testing.assert_array_equal(y, F.layer_norm(x, 33, one, zero))
    plain, weighted = (F.layer_norm_backward(dy, x, weight, mean, rstd) for weight in (None, one))
    assert all(map(same_bits, plain, weighted))
    y, mean, rstd = F.batch_norm(x, training=True, return_stats=True)
    np.testing.assert_array_equal(y, F.batch_norm(x, None, None, one, zero, True))
    plain, weighted = (F.batch_norm_backward(dy, x, weight, mean, rstd) for weight in (None, one))
    assert all(map(same_bits, plain, weighted))


def test_normalized_shape_of_several_axes() -> None:
    """(2, 3, 4, 5) normalised over (4, 5) equals (6, 20) normalised over 20."""
    x = RNG.standard_normal((2, 3, 4, 5))
    weight, bias = RNG.standard_normal((2, 4, 5))
    y, mean, rstd = F.layer_norm(x, (4, 5), weight, bias, return_stats=True)
    assert mean.shape == rstd.shape == (2, 3)
    flat, flat_mean, _ = F.layer_norm(x.reshape(6, 20), 20, weight.ravel(), bias.ravel(), return_stats=True)
    assert same_bits(y.reshape(6, 20), flat) and same_bits(mean.ravel(), flat_mean)
    _, dweight, dbias = F.layer_norm_backward(x, x, weight, mean, rstd)
    assert dweight.shape == dbias.shape == (4, 5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (4, 3, 5, 2)])
def test_running_statistics(shape: tuple[int, ...], dtype: Any, isa: str) -> None:
    """Ten training steps update the running statistics as in torch; evaluation uses and does not change them."""
    mean, var = np.zeros(3, dtype), np.ones(3, dtype)
    want_mean, want_var = np.zeros(3), np.ones(3)
    for _ in range(10):
        x = (2 * RNG.standard_normal(shape) + 3).astype(dtype)
        F.batch_norm(x, mean, var, training=True, momentum=0.2)
        _, _, _, new_mean, new_var = reference.batch_norm(x, want_mean, want_var, momentum=0.2)
        assert new_mean is not None and new_var is not None
        want_mean, want_var = new_mean, new_var
    bound = 20 * np.finfo(dtype).eps
    np.testing.assert_allclose(mean, want_mean, rtol=bound, atol=bound)
    np.testing.assert_allclose(var, want_var, rtol=bound)
    before = mean.copy(), var.copy()
    y = F.batch_norm(x, mean, var)
    np.testing.assert_allclose(y, reference.batch_norm(x, mean, var, training=False)[0], rtol=bound, atol=bound)
    assert same_bits(mean, before[0]) and same_bits(var, before[1])


@pytest.mark.parametrize("momentum", [0.0, 1.0])
def test_momentum_ends(momentum: float) -> None:
    """Momentum 0 keeps the old statistics bit for bit, 1 replaces them."""
    x, mean, var = RNG.standard_normal((8, 3)), RNG.standard_normal(3), RNG.uniform(1, 2, 3)
    old = mean.copy(), var.copy()
    F.batch_norm(x, mean, var, training=True, momentum=momentum)
    np.testing.assert_allclose(mean, x.mean(0) if momentum else old[0], rtol=1e-13 * momentum)
    np.testing.assert_allclose(var, x.var(0, ddof=1) if momentum else old[1], rtol=1e-13 * momentum)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 4, 4), (2, 3, 0), (4, 0), (0, 0), (4, 0, 5)])
def test_empty_batch(shape: tuple[int, ...], training: bool, isa: str) -> None:
    """Without elements or channels, shapes and running statistics stay the same, bit for bit; gradients are zeros."""
    mean, var = RNG.standard_normal(shape[1]), RNG.uniform(1, 2, shape[1])
    old = mean.copy(), var.copy()
    x = np.empty(shape)
    y, used_mean, rstd = F.batch_norm(x, mean, var, training=training, return_stats=True)
    assert y.shape == shape and used_mean.shape == rstd.shape == (shape[1],)
    assert same_bits(mean, old[0]) and same_bits(var, old[1])
    dx, dweight, dbias = F.batch_norm_backward(x, x, None, used_mean, rstd, training)
    assert dx.shape == shape
    np.testing.assert_array_equal(dweight, np.zeros(shape[1]))
    np.testing.assert_array_equal(dbias, np.zeros(shape[1]))


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0), (2, 0, 5)])
def test_empty_layer_norm(shape: tuple[int, ...], isa: str) -> None:
    """Without rows or columns, shapes stay; the gradients of weight and bias are zeros."""
    x = np.empty(shape)
    y, mean, rstd = F.layer_norm(x, shape[-1], return_stats=True)
    assert y.shape == shape and mean.shape == rstd.shape == shape[:-1]
    dx, dweight, dbias = F.layer_norm_backward(x, x, None, mean, rstd)
    assert dx.shape == shape
    np.testing.assert_array_equal(dweight, np.zeros(shape[-1]))
    np.testing.assert_array_equal(dbias, np.zeros(shape[-1]))
