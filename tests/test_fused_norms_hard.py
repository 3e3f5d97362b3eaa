"""Fused and RMS norms in hard cases: large means, huge values, special values, empty arrays; and refused arguments."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import reference
from kernels import CALLS
from support import DTYPES, HARD, Array, all_close, hard_values, refused, same_bits

from fastnn import Generator
from fastnn import functional as F

RNG = np.random.default_rng(41)
NAN, INF = math.nan, math.inf


def _first(x: Array, last: bool) -> Array:
    return np.ascontiguousarray(np.moveaxis(x, -1, 1)) if last else x


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("shape", [(300, 5), (6, 5, 7, 5), (70, 1, 5)])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", HARD)
def test_batch_norm_hard(kind: str, dtype: Any, shape: tuple[int, ...], last: bool, isa: str) -> None:
    """A mean of 1e4 deviations, or values of 1e30, with residual and relu: errors to 1e-5, statistics to 1e-9."""
    x, (r, dy) = hard_values(RNG, kind, shape, dtype), RNG.standard_normal((2, *shape)).astype(dtype)
    c = shape[-1 if last else 1]
    weight, bias = RNG.standard_normal((2, c)).astype(dtype)
    y, mean, rstd = F.batch_norm(
        x, None, None, weight, bias, True, residual=r, activation="relu", channels_last=last, return_stats=True
    )
    plain, *stats, _, _ = reference.batch_norm(_first(x, last), None, None, weight, bias)
    all_close([_first(y, last)], [np.maximum(plain + _first(r, last), 0)])
    for got, want in zip((mean, rstd), stats, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9)
    dx, *sums = F.batch_norm_backward(dy, x, weight, mean, rstd, y=y, residual=True, channels_last=last)
    g = np.where(y > 0, dy, 0).astype(dtype)
    want = reference.batch_norm_backward(_first(g, last), _first(x, last), weight, *stats)
    all_close([_first(dx, last), *sums[:2]], want)
    assert same_bits(sums[2], g)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("n", [5, 128, 501])
def test_rms_norm_hard(n: int, kind: str, dtype: Any, isa: str) -> None:
    """Results are right to 1e-5, forward and backward."""
    x, dy, weight = (
        hard_values(RNG, kind, (7, n), dtype),
        RNG.standard_normal((7, n)).astype(dtype),
        np.full(n, 0.7, dtype),
    )
    y, rrms = F.rms_norm(x, n, weight, 1e-5, return_stats=True)
    want = reference.rms_norm(x, 1, weight)
    all_close([y], [want[0]])
    np.testing.assert_allclose(rrms, want[1], rtol=1e-9)
    all_close(F.rms_norm_backward(dy, x, weight, rrms), reference.rms_norm_backward(dy, x, 1, weight)[:2])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", HARD)
def test_residual_norm_hard(kind: str, dtype: Any, isa: str) -> None:
    """Results are right to 1e-5 where the sum itself loses no digits."""
    x, r, dy = (hard_values(RNG, k, (7, 501), dtype) for k in (kind, kind, "mean 1e4"))
    done = F.dropout_add_layer_norm(x, r, 501, return_stats=True)
    want = reference.layer_norm(x + r, 1)
    all_close([done.y], [want[0]])
    got = F.dropout_add_layer_norm_backward(dy, done.sum, None, done.mean, done.rstd, done.mask)
    exact = reference.layer_norm_backward(dy, x + r, 1)
    atol = 1e-5 * np.abs(dy * done.rstd.max()).max()
    np.testing.assert_allclose(got[1], exact[0], rtol=1e-5, atol=atol)
    all_close(got[2:], exact[1:])


SIZES = {np.float32: (1e-40, 1e-30, 1e30, 1e38), np.float64: (1e-310, 1e-200, 1e150, 1e200, 1e300)}


@pytest.mark.parametrize(("dtype", "size"), [(d, s) for d, sizes in SIZES.items() for s in sizes])
def test_finite_never_gives_nan(dtype: Any, size: float, isa: str) -> None:
    """Finite values of any size, of one sign or both, never give NaN, unless the sum of the parts overflows."""
    for x in (RNG.uniform(0.5, 1, (6, 33)) * size, RNG.uniform(-1, 1, (6, 33)) * size):
        x, dy = x.astype(dtype), RNG.standard_normal((6, 33)).astype(dtype)
        y, rrms = F.rms_norm(x, 33, return_stats=True)
        results = [y, rrms, *F.rms_norm_backward(dy, x, None, rrms)]
        for last in (True, False):
            y, mean, rstd = F.batch_norm(
                x, training=True, residual=dy, activation="relu", channels_last=last, return_stats=True
            )
            results += y, *F.batch_norm_backward(dy, x, None, mean, rstd, y=y, residual=True, channels_last=last)
        done = F.dropout_add_layer_norm(x, dy, 33, p=0.3, return_stats=True)
        results += done.y, *F.dropout_add_layer_norm_backward(dy, done.sum, None, done.mean, done.rstd, done.mask)
        assert not any(np.isnan(a).any() for a in results)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.filterwarnings("ignore:.*invalid value:RuntimeWarning")
def test_special_values_stay_in_their_row_or_channel(dtype: Any, value: float, isa: str) -> None:
    """One special value makes its row or channel NaN; all other results have the bits of the clean run."""
    clean, dy = RNG.standard_normal((2, 3, 67)).astype(dtype)
    runs: dict[str, tuple[int, Callable[[Array], Any]]] = {
        "rms": (1, lambda x: F.rms_norm(x, 67)),
        "sum": (1, lambda x: F.dropout_add_layer_norm(x, dy, 67)),
        "first": (0, lambda x: F.batch_norm(x, training=True, residual=dy)),
        "last": (0, lambda x: F.batch_norm(x, training=True, residual=dy, channels_last=True)),
    }
    for axis, run in runs.values():
        want = run(clean)
        for i in range(67):
            x = clean.copy()
            x[1, i] = value
            y = run(x)
            spoiled = np.zeros(x.shape, bool)
            spoiled[(1, slice(None)) if axis else (slice(None), i)] = True
            assert same_bits(y[~spoiled], want[~spoiled])
            assert np.isnan(y[1, i]) and not np.isin(y[spoiled], want[spoiled]).any()


OF_CHANNELS: dict[str, Callable[..., Any]] = {
    "layer": lambda x, w, b: F.layer_norm(x.reshape(-1, x.shape[1]), x.shape[1], w, b),
    "dropout": lambda x, w, b: F.dropout_add_layer_norm(x.reshape(-1, x.shape[1]), None, x.shape[1], w, b, p=0.0),
    "batch": lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
    "batch, eval": lambda x, w, b: F.batch_norm(x, np.zeros(x.shape[1]), np.ones(x.shape[1]), w, b),
    "batch, columns": lambda x, w, b: F.batch_norm(x.reshape(-1, x.shape[1]), None, None, w, b, training=True),
    "batch, relu": lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True, activation="relu"),
    "group": lambda x, w, b: F.group_norm(x, 2, w, b),
    "group, columns": lambda x, w, b: F.group_norm(x.reshape(-1, x.shape[1]), 2, w, b),
    "instance": lambda x, w, b: F.instance_norm(x, None, None, w, b),
}


@pytest.mark.parametrize("name", OF_CHANNELS)
def test_weight_and_bias_alone(name: str, isa: str) -> None:
    """Either of weight and bias may be missing, whatever the layout; it then counts as ones or zeros."""
    run = OF_CHANNELS[name]
    for shape in ((3, 6, 5, 4), (2, 70, 3, 3), (9, 6, 1, 1)):
        x, n = RNG.standard_normal(shape), shape[1]
        weight, bias = RNG.standard_normal((2, n))
        if name == "instance" and shape[2] == 1:
            continue
        assert same_bits(run(x, None, bias), run(x, np.ones(n), bias))
        assert same_bits(run(x, weight, None), run(x, weight, np.zeros(n)))
        assert not same_bits(run(x, None, bias), run(x, None, None))


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("last", [False, True])
def test_gradients_in_evaluation_depend_on_their_own_element(last: bool, value: float, isa: str) -> None:
    x, dy = RNG.standard_normal((2, 4, 3, 35))
    statistics, gradients = RNG.random((2, 35 if last else 3)) + 1, []
    for first in (0.0, value):
        x.flat[0] = first
        _, mean, rstd = F.batch_norm(x, *statistics, channels_last=last, return_stats=True)
        gradients.append(F.batch_norm_backward(dy, x, None, mean, rstd, False, channels_last=last)[0].flat[1:])
    assert same_bits(*gradients)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_nan_passes_the_relu_after_a_norm(training: bool, last: bool, isa: str) -> None:
    """NaN in the input or the residual stays NaN behind the ReLU; infinity becomes infinity or 0."""
    x, residual = RNG.standard_normal((2, 4, 3, 35))
    if last:
        x, residual = (np.ascontiguousarray(np.moveaxis(a, 1, -1)) for a in (x, residual))
    statistics = None if training else np.ones(3)
    for poisoned in (x, residual):
        poisoned.flat[100] = NAN
        y = F.batch_norm(
            x, statistics, statistics, training=training, residual=residual, activation="relu", channels_last=last
        )
        assert np.isnan(y.flat[100]) and np.isnan(y).sum() == (140 if training and poisoned is x else 1)
        poisoned.flat[100] = 0
        residual.flat[7:9] = INF, -INF
        y = F.batch_norm(
            x, statistics, statistics, training=training, residual=residual, activation="relu", channels_last=last
        )
        assert y.flat[7] == INF and y.flat[8] == 0
        residual.flat[7:9] = 0


def test_dropped_values_are_zero(isa: str) -> None:
    """A dropped NaN or infinity adds 0 to the residual."""
    x, r = RNG.standard_normal((2, 9, 67))
    _, mask = F.dropout(x, 0.5, generator=Generator(3), return_mask=True)
    keep = F.dropout_backward(np.ones_like(x), mask) != 0
    for value in (NAN, INF, -INF):
        poisoned = np.where(keep, x, value)
        for norm in (None, 67):
            want = F.dropout_add_layer_norm(x, r, norm, p=0.5, generator=Generator(3))
            assert same_bits(F.dropout_add_layer_norm(poisoned, r, norm, p=0.5, generator=Generator(3)), want)
    dy = np.full((9, 67), NAN)
    dx, dr, _, _ = F.dropout_add_layer_norm_backward(dy, x, None, np.zeros(9), np.ones(9), mask)
    assert (dx[~keep] == 0).all() and np.isnan(dx[keep]).all() and np.isnan(dr).all()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 4, 4), (2, 3, 0), (4, 0), (0, 0), (4, 0, 5)])
def test_empty_batch_norm(shape: tuple[int, ...], last: bool, training: bool, isa: str) -> None:
    """Empty batches keep shapes and running statistics bit for bit; gradients are zeros."""
    c = shape[-1 if last else 1]
    mean, var = RNG.standard_normal(c), RNG.uniform(1, 2, c)
    old = mean.copy(), var.copy()
    x = np.empty(shape)
    # leaves values in the scratch memory
    F.batch_norm_backward(*RNG.standard_normal((2, 4, 6)), None, np.zeros(6), np.ones(6))
    y, used, rstd = F.batch_norm(
        x, mean, var, training=training, residual=x, activation="relu", channels_last=last, return_stats=True
    )
    assert y.shape == shape and used.shape == rstd.shape == (c,)
    assert same_bits(mean, old[0]) and same_bits(var, old[1])
    for scale in (None, np.ones(c)):
        dx, dw, db, dr = F.batch_norm_backward(
            x, x, scale, used, rstd, training, y=y, residual=True, channels_last=last
        )
        assert dx.shape == dr.shape == shape and same_bits(dw, np.zeros(c)) and same_bits(db, np.zeros(c))


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0), (2, 0, 5)])
def test_empty_rows(shape: tuple[int, ...], isa: str) -> None:
    """Empty rows keep shapes, and gradients of the weight are zeros."""
    x, n = np.empty(shape), shape[-1]
    y, rrms = F.rms_norm(x, n, return_stats=True)
    dx, dw = F.rms_norm_backward(x, x, None, rrms)
    assert y.shape == dx.shape == shape and rrms.shape == shape[:-1] and same_bits(dw, np.zeros(n))
    g = Generator(1)
    for p in (0.0, 0.5):
        for norm in (None, n):
            done = F.dropout_add_layer_norm(x, x, norm, p=p, generator=g, return_stats=True)
            assert done.y.shape == done.sum.shape == shape and done.mean.shape == done.rstd.shape == shape[:-1]
        dx, dr, dw, db = F.dropout_add_layer_norm_backward(x, x, None, done.mean, done.rstd, done.mask, dsum=x)
        assert dx.shape == dr.shape == shape and same_bits(dw, np.zeros(n)) and same_bits(db, np.zeros(n))
    assert g.offset == 0


FUSED = ["batch_norm-fused_first", "batch_norm-fused_last"]


@pytest.mark.parametrize("activation", ["gelu", "RELU", "relu ", "", 1, True, b"relu", ["relu"]])
@pytest.mark.parametrize("name", FUSED)
def test_activation(name: str, activation: Any) -> None:
    """Only None and "relu" are accepted as activation."""
    arrays, options = CALLS[name].arrays(), CALLS[name].options | {"activation": activation}
    refused(lambda: F.batch_norm(**arrays, **options), arrays, ValueError, "^activation: got .*, want None or 'relu'")


@pytest.mark.parametrize("shape", [(1, 3), (1, 1, 3), (1, 1, 1, 3)])
def test_one_value_per_channel(shape: tuple[int, ...]) -> None:
    """Training refuses one value per channel, which has no variance, also with channels last; evaluation accepts it."""
    arrays = {k: np.ones(shape) for k in ("x", "residual", "out")} | {
        "running_mean": np.ones(3),
        "running_var": np.ones(3),
    }
    options: dict[str, Any] = {"activation": "relu", "channels_last": True}
    sentence = r"^x: got one value per channel, shape \(1, .*3\), want at least two in training.*; .+"
    refused(lambda: F.batch_norm(**arrays, training=True, **options), arrays, ValueError, sentence)
    assert F.batch_norm(**arrays, **options) is arrays["out"]


@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize(
    ("option", "value"),
    [*(("momentum", v) for v in (NAN, -0.1, 1.1)), *(("eps", v) for v in (NAN, INF, -1e-5))],
)
def test_batch_norm_options(name: str, option: str, value: float) -> None:
    """Bad options are refused before anything is written."""
    arrays, options = CALLS[name].arrays(), CALLS[name].options | {option: value}
    refused(lambda: F.batch_norm(**arrays, **options), arrays, ValueError, f"^{option}: got {value}, want ")


@pytest.mark.parametrize("name", ["rms_norm", "dropout_add_layer_norm"])
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        *(({"eps": v}, f"^eps: got {v}, want ") for v in (NAN, INF, -1e-5)),
        *(
            ({"normalized_shape": s}, r"^x: got shape \(6, 4\), want a shape that ends in")
            for s in (3, (), (6,), (2, 6, 4), -1)
        ),
    ],
)
def test_row_norm_options(name: str, options: dict[str, Any], sentence: str) -> None:
    """Bad options are refused before anything is written or drawn."""
    call = CALLS[name]
    arrays = call.arrays()
    for p in ({"p": 0.5}, {"p": 0.5, "training": False}) if "p" in call.options else ({},):
        refused(lambda p=p: call.run(**arrays, **call.options | p | options), arrays, ValueError, sentence)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("run", "sentence"),
    [
        (
            lambda: F.batch_norm(np.ones(3), training=True, channels_last=True),
            r"^x: got shape \(3,\), want .*\(N, \.\.\., C\)",
        ),
        (
            lambda: F.batch_norm_backward(*2 * (np.ones(3),), None, *2 * (np.ones(3),), channels_last=True),
            r"^x: got shape \(3,\), want .*\(N, \.\.\., C\)",
        ),
        (
            lambda: F.batch_norm(np.ones((6, 3, 4)), training=True, weight=np.ones(3), channels_last=True),
            r"^weight: got shape \(3,\), want \(4,\); .+",
        ),
        (
            lambda: F.batch_norm(np.ones((6, 3, 4)), np.ones(3), np.ones(3), channels_last=True),
            r"^running_mean: got shape \(3,\), want \(4,\); .+",
        ),
        (lambda: F.dropout_add_layer_norm(np.ones(())), r"^x: got shape \(\), want"),
    ],
)
def test_shapes(run: Callable[[], Any], sentence: str) -> None:
    """The number of axes and the length of the last axis are checked."""
    refused(run, {}, ValueError, sentence)
