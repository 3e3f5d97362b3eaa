"""Group, instance and weight norm in hard cases: large means, huge values, empty arrays, statistics, refusals."""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import reference
from support import DTYPES, HARD, Array, all_close, hard_values, same_bits

from fastnn import functional as F

RNG = np.random.default_rng(23)
SHAPES = [(5, 60), (4, 6, 33), (3, 6, 7, 9)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("shape", SHAPES)
def test_group_norm_hard(shape: tuple[int, ...], kind: str, dtype: Any, isa: str) -> None:
    """A mean of 1e4 deviations, or values of 1e30: errors to 1e-5, forward and backward; statistics to 1e-9."""
    x, dy = hard_values(RNG, kind, shape, dtype), RNG.standard_normal(shape).astype(dtype)
    weight, bias = RNG.standard_normal((2, shape[1])).astype(dtype)
    y, mean, rstd = F.group_norm(x, 3, weight, bias, return_stats=True)
    want = reference.group_norm(x, 3, weight, bias)
    all_close([y], [want[0]])
    np.testing.assert_allclose(mean, want[1], rtol=1e-9)
    np.testing.assert_allclose(rstd, want[2], rtol=1e-9)
    got = F.group_norm_backward(dy, x, 3, weight, mean, rstd)
    all_close(got, reference.group_norm_backward(dy, x, 3, weight, *want[1:]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("shape", SHAPES[1:])
def test_instance_norm_hard(shape: tuple[int, ...], kind: str, dtype: Any, isa: str) -> None:
    """The same bounds hold, and for the running statistics, too, if the dtype can hold the variance."""
    x, dy = hard_values(RNG, kind, shape, dtype), RNG.standard_normal(shape).astype(dtype)
    weight, bias, running_mean = RNG.standard_normal((3, 6)).astype(dtype)
    running_var = RNG.uniform(0.5, 2, 6).astype(dtype)
    want = reference.instance_norm(x, running_mean, running_var, weight, bias)
    y, mean, rstd = F.instance_norm(x, running_mean, running_var, weight, bias, return_stats=True)
    all_close([y, running_mean], [want[0], want[3]])
    assert want[4] is not None
    np.testing.assert_allclose(running_var, want[4] if kind != "1e30" or dtype == np.float64 else np.inf, rtol=1e-5)
    np.testing.assert_allclose(mean, want[1], rtol=1e-9)
    np.testing.assert_allclose(rstd, want[2], rtol=1e-9)
    got = F.instance_norm_backward(dy, x, weight, mean, rstd)
    all_close(got, reference.group_norm_backward(dy, x, 6, weight, *want[1:3]))


@pytest.mark.parametrize("dim", [0, 1, 2, None])
@pytest.mark.parametrize("scale", [1e-30, 1e30])
@pytest.mark.parametrize("dtype", DTYPES)
def test_weight_norm_hard(dtype: Any, scale: float, dim: int | None, isa: str) -> None:
    """Weights of 1e30 and 1e-30, whose squares float32 cannot hold, give the right norm."""
    v, dw = (scale * RNG.standard_normal((4, 5, 6))).astype(dtype), RNG.standard_normal((4, 5, 6)).astype(dtype)
    g = RNG.standard_normal([n if axis == dim else 1 for axis, n in enumerate(v.shape)]).astype(dtype)
    w, norm = F.weight_norm(v, g, dim, return_norm=True)
    want = reference.weight_norm(v, g, dim)
    all_close([w], [want[0]])
    np.testing.assert_allclose(norm, want[1], rtol=1e-12)
    all_close(F.weight_norm_backward(dw, v, g, norm, dim), reference.weight_norm_backward(dw, v, g, dim))


@pytest.mark.parametrize("dtype", DTYPES)
def test_weight_norm_subnormal(dtype: Any, isa: str) -> None:
    """g / ||v|| may exceed the largest float32 while w is in range; zeros stay zeros."""
    v = np.array([[3e-42, 0, 4e-42]], dtype=dtype)
    w = F.weight_norm(v, np.ones((1, 1), dtype))
    np.testing.assert_allclose(w, reference.weight_norm(v, np.ones((1, 1), dtype))[0], rtol=1e-6)
    assert w[0, 1] == 0


def test_weight_norm_of_zeros(isa: str) -> None:
    """A row of zeros, which has no direction, gives NaN as in torch; other rows are not affected."""
    v, g = RNG.standard_normal((3, 40)), RNG.standard_normal((3, 1))
    v[1] = 0
    w, norm = F.weight_norm(v, g, return_norm=True)
    assert norm[1, 0] == 0 and np.isnan(w[1]).all() and np.isfinite(w[[0, 2]]).all()
    dv, dg = F.weight_norm_backward(np.ones_like(v), v, g, norm)
    assert np.isnan(dv[1]).all() and np.isnan(dg[1]).all()
    assert np.isfinite(dv[[0, 2]]).all() and np.isfinite(dg[[0, 2]]).all()


def test_weight_norm_without_axes(isa: str) -> None:
    """With dim=None, g and the norm may have shape () or all ones; the numbers are the same."""
    v, dw = RNG.standard_normal((2, 3, 5, 7))
    w, norm = F.weight_norm(v, np.array(1.5), None, return_norm=True)
    other, norms = F.weight_norm(v, np.full((1, 1, 1), 1.5), None, return_norm=True)
    assert norm.shape == () and norms.shape == (1, 1, 1) and same_bits(w, other) and norm == norms.item()
    dv, dg = F.weight_norm_backward(dw, v, np.array(1.5), norm, None)
    others = F.weight_norm_backward(dw, v, np.full((1, 1, 1), 1.5), norms, None)
    assert dg.shape == () and same_bits(dv, others[0]) and dg == others[1].item()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.filterwarnings("ignore:.*invalid value:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:.*divide by zero:RuntimeWarning")
def test_special_values(dtype: Any, value: float, isa: str) -> None:
    """One NaN or infinity, at any position of x or dy, spoils its group and no other."""
    shape, groups = (2, 4, 19), 2
    for i in np.ndindex(shape):
        x, dy = RNG.standard_normal((2, *shape)).astype(dtype)
        weight, bias = RNG.standard_normal((2, 4)).astype(dtype)
        _, mean, rstd = reference.group_norm(x, groups)
        x_bad, dy_bad = x.copy(), dy.copy()
        x_bad[i] = dy_bad[i] = value
        y, bad_mean, _ = F.group_norm(x_bad, groups, weight, bias, return_stats=True)
        np.testing.assert_array_equal(np.isnan(y), np.isnan(reference.group_norm(x_bad, groups, weight, bias)[0]))
        assert np.isfinite(bad_mean).sum() == bad_mean.size - 1
        for got, exact in zip(
            F.group_norm_backward(dy_bad, x, groups, weight, mean, rstd),
            reference.group_norm_backward(dy_bad, x, groups, weight, mean, rstd),
            strict=True,
        ):
            np.testing.assert_array_equal(np.isnan(got), np.isnan(exact))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 41)])
def test_constant_and_single_values(shape: tuple[int, ...], dtype: Any, isa: str) -> None:
    """A group without variance gives the bias, also a group of one value and a batch of one."""
    x, bias = np.full(shape, 12345.678, dtype), RNG.standard_normal(4).astype(dtype)
    want = np.broadcast_to(bias.reshape(4, *(1,) * (x.ndim - 2)), shape)
    for groups in (1, 2, 4):
        np.testing.assert_allclose(F.group_norm(x, groups, None, bias), want, atol=1e-5)
        np.testing.assert_allclose(F.group_norm(x[:1], groups, None, bias), want[:1], atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(70, 6), (4, 6, 21)])
def test_no_weight_is_ones_and_zeros(shape: tuple[int, ...], dtype: Any, isa: str) -> None:
    """Weight and bias of None give the same bits as ones and zeros, forward and backward."""
    x, dy = RNG.standard_normal((2, *shape)).astype(dtype)
    one, zero = np.ones(6, dtype), np.zeros(6, dtype)
    y, mean, rstd = F.group_norm(x, 3, return_stats=True)
    np.testing.assert_array_equal(y, F.group_norm(x, 3, one, zero))
    plain, weighted = (F.group_norm_backward(dy, x, 3, weight, mean, rstd) for weight in (None, one))
    assert all(map(same_bits, plain, weighted))


def test_related_norms(isa: str) -> None:
    """One group is layer norm, and as many groups as channels are instance norm; dx may be written over x."""
    x, dy = RNG.standard_normal((2, 3, 4, 35))
    np.testing.assert_allclose(F.group_norm(x, 1), F.layer_norm(x, (4, 35)), rtol=1e-12, atol=1e-12)
    y, mean, rstd = F.group_norm(x, 4, return_stats=True)
    assert same_bits(y, F.instance_norm(x))
    dx, _, _ = F.group_norm_backward(dy, x, 4, None, mean, rstd)
    assert F.group_norm_backward(dy, x, 4, None, mean, rstd, out=x)[0] is x and same_bits(x, dx)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(4, 3, 5), (4, 3, 5, 2), (1, 3, 2)])
def test_running_statistics(shape: tuple[int, ...], dtype: Any, isa: str) -> None:
    """Ten calls update the running statistics as in torch; with use_input_stats=False they are only used."""
    mean, var = np.zeros(3, dtype), np.ones(3, dtype)
    want_mean: Array | None = np.zeros(3)
    want_var: Array | None = np.ones(3)
    for _ in range(10):
        x = (2 * RNG.standard_normal(shape) + 3).astype(dtype)
        F.instance_norm(x, mean, var, momentum=0.2)
        _, _, _, want_mean, want_var = reference.instance_norm(x, want_mean, want_var, momentum=0.2)
    bound = 20 * np.finfo(dtype).eps
    np.testing.assert_allclose(mean, want_mean, rtol=bound, atol=bound)  # type: ignore[arg-type]
    np.testing.assert_allclose(var, want_var, rtol=bound)  # type: ignore[arg-type]
    mean.flags.writeable = var.flags.writeable = False
    y, used, rstd = F.instance_norm(x, mean, var, use_input_stats=False, return_stats=True)
    assert used.shape == rstd.shape == (3,) and same_bits(y, F.batch_norm(x, mean, var))


@pytest.mark.parametrize("shape", [(0, 4), (0, 4, 5), (2, 4, 0), (2, 0, 5), (0, 0), (2, 0)])
def test_empty(shape: tuple[int, ...], isa: str) -> None:
    """Without elements or channels, shapes and running statistics stay the same, bit for bit; gradients are zeros."""
    x, channels = np.empty(shape), shape[1]
    y, mean, rstd = F.group_norm(x, 2, return_stats=True)
    assert y.shape == shape and mean.shape == rstd.shape == (shape[0], 2) and not mean.any() and not rstd.any()
    d = F.group_norm_backward(x, x, 2, None, mean, rstd)
    assert d[0].shape == shape and same_bits(d[1], np.zeros(channels)) and same_bits(d[2], np.zeros(channels))
    if len(shape) == 2:
        return
    running_mean, running_var = RNG.standard_normal(channels), RNG.uniform(1, 2, channels)
    old = running_mean.copy(), running_var.copy()
    y, mean, rstd = F.instance_norm(x, running_mean, running_var, return_stats=True)
    assert y.shape == shape and mean.shape == rstd.shape == shape[:2]
    assert same_bits(running_mean, old[0]) and same_bits(running_var, old[1])
    d = F.instance_norm_backward(x, x, None, mean, rstd)
    assert d[0].shape == shape and same_bits(d[1], np.zeros(channels)) and same_bits(d[2], np.zeros(channels))


@pytest.mark.parametrize(("shape", "dim"), [((0, 3), 0), ((3, 0), 0), ((3, 0), None), ((3, 0), 1), ((0,), 0)])
def test_empty_weight_norm(shape: tuple[int, ...], dim: int | None, isa: str) -> None:
    """Without elements the norm is 0."""
    v, g = np.empty(shape), np.ones([n if axis == dim else 1 for axis, n in enumerate(shape)])
    w, norm = F.weight_norm(v, g, dim, return_norm=True)
    assert w.shape == shape and same_bits(norm, np.zeros_like(g))
    assert F.weight_norm_backward(v, v, g, norm, dim)[1].shape == g.shape


X = np.ones((2, 6, 3))
STATS = np.ones((2, 3))


def _group(**options: Any) -> Any:
    return F.group_norm(X, **{"num_groups": 3} | options)


def _instance(**options: Any) -> Any:
    return F.instance_norm(X, **options)


def _groups_backward(num_groups: int) -> Any:
    return F.group_norm_backward(X, X, num_groups, None, STATS, STATS)


def _dim(dim: int) -> Any:
    return F.weight_norm(X, np.ones((2, 1, 1)), dim)


@pytest.mark.parametrize(
    ("run", "option", "value"),
    [
        *((_group, "num_groups", v) for v in (0, -1, 4, 12)),
        *((_groups_backward, "num_groups", v) for v in (0, -3, 4)),
        *((f, "eps", v) for f in (_group, _instance) for v in (math.nan, math.inf, -1e-5)),
        *((_instance, "momentum", v) for v in (math.nan, math.inf, -0.1, 1.1)),
        *((_dim, "dim", v) for v in (-1, 3)),
    ],
)
def test_options(run: Callable[..., Any], option: str, value: float) -> None:
    """Group numbers that do not divide the channels, negative or NaN options, and missing axes are refused."""
    with pytest.raises(ValueError, match=f"^{option}: got {re.escape(repr(value))}, want "):
        run(**{option: value})


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1), (1, 3, 1, 1), (0, 3, 1)])
def test_one_value_per_instance(shape: tuple[int, ...]) -> None:
    """One value per instance, which has no variance, is refused and changes nothing; running statistics accept it."""
    x, mean, var = np.ones(shape), np.zeros(3), np.ones(3)
    with pytest.raises(ValueError, match=r"^x: got one value per instance, shape .*, want at least two, .*; .+"):
        F.instance_norm(x, mean, var, out=x)
    assert (x == 1).all() and not mean.any() and (var == 1).all()
    assert F.instance_norm(x, mean, var, use_input_stats=False).shape == shape


@pytest.mark.parametrize("other", ["x", "weight", "running_var"])
def test_running_statistics_overlap(other: str) -> None:
    """Running statistics that share memory with an input or with each other are refused."""
    arrays: dict[str, Array] = {"x": X.copy(), "weight": np.ones(6), "running_var": np.ones(6)}
    buffer = np.ones(arrays[other].size + 5)
    arrays |= {other: buffer[:-5].reshape(arrays[other].shape), "running_mean": buffer[-6:]}
    with pytest.raises(ValueError, match=f"^running_mean: got memory that overlaps {other}, want .*; .+"):
        F.instance_norm(**arrays)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("run", "sentence"),
    [
        (lambda: F.group_norm(np.ones(3), 1), r"^x: got shape \(3,\), want \(N, C\)"),
        (lambda: F.instance_norm(np.ones(3)), r"^x: got shape \(3,\), want \(N, C\)"),
        (lambda: F.instance_norm(X, np.ones(6)), "^running_.*: got only running_mean, want both"),
        (lambda: F.instance_norm(X, None, np.ones(6)), "^running_.*: got no running_mean, want both"),
        (lambda: F.instance_norm(X, use_input_stats=False), "^running_.*: got no running_mean, want both"),
        (lambda: F.weight_norm(np.array(1.0), np.array(1.0)), r"^dim: got 0, want an axis in \[0, 0\)"),
        (lambda: F.weight_norm(X, np.array(1.0)), r"^g: got shape \(\), want \(2, 1, 1\)"),
        (lambda: F.weight_norm(X, np.ones(1), None), r"^g: got shape \(1,\), want \(1, 1, 1\)"),
    ],
)
def test_shapes(run: Callable[[], Any], sentence: str) -> None:
    """A wrong number of axes, and one running statistic without the other, are refused."""
    with pytest.raises(ValueError, match=sentence):
        run()
