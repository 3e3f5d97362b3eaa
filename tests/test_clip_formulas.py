"""Clipping follows max_norm / (norm + 1e-6), also where the 1e-6 matters; gradients are zeroed to the last element."""

import math
from typing import Any

import numpy as np
import pytest
from support import DTYPES, Array, guarded, same_bits
from variants import NAMES, full_state, make

from fastnn import nn, optim
from fastnn.optim import clip_grad_norm_, clip_grad_value_

INF = math.inf
SIZES = (1, 0, 63, 64, 65, 255, 256, 257, 16_383, 16_384, 16_385, 32_769)
NORMS = pytest.mark.parametrize("norm_type", [0.5, 1.0, 2.0, 3.0, INF])
OF_DTYPE = pytest.mark.parametrize("dtype", DTYPES)


def _gradients(dtype: Any, seed: int = 1) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(n).astype(dtype) for n in SIZES]


def _norm(grads: list[Array], p: float) -> float:
    values = np.abs(np.concatenate([g.ravel() for g in grads]).astype(np.float64))
    return float(values.max() if p == INF else (values**p).sum() ** (1 / p))


@NORMS
@OF_DTYPE
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0, 1.0 + 1e-9, 2.0, INF])
@pytest.mark.parametrize("held", [False, True])
def test_norm(held: bool, share: float, dtype: Any, norm_type: float) -> None:
    """Each element of an array or of a Parameter's gradient is scaled in its own dtype, or none changes."""
    grads = _gradients(dtype)
    given: list[Any] = [nn.Parameter(np.zeros_like(g)) for g in grads] if held else [g.copy() for g in grads]
    for parameter, grad in zip(given, grads, strict=True):
        if held:
            parameter.grad = grad
    want = _norm(grads, norm_type)
    limit = INF if share == INF else share * want
    norm = clip_grad_norm_(given, limit, norm_type)
    assert type(norm) is float and norm == pytest.approx(want, rel=1e-12)
    factor = min(1.0, limit / (norm + 1e-6))
    for one, grad in zip(given, grads, strict=True):
        assert same_bits(one.grad if held else one, grad * dtype(factor))


@NORMS
@pytest.mark.parametrize(
    ("values", "want"),
    [([], 0.0), ([0.0, -0.0], 0.0), ([3.0, -INF, 1.0], INF), ([1.0, math.nan], math.nan)],
)
def test_norms_at_the_ends(values: list[float], want: float, norm_type: float) -> None:
    """Nothing, zeros, infinity and NaN."""
    found = clip_grad_norm_([np.array(values), np.zeros(0), np.zeros(3)], INF, norm_type)
    assert found == pytest.approx(want, abs=0, nan_ok=True)


@pytest.mark.parametrize("norm_type", [0.5, 1.0, 3.0, INF])
@pytest.mark.parametrize("size", [5e-324, 1e-200, 1e300, 1.5e308])
def test_norms_beyond_doubles_powers(size: float, norm_type: float) -> None:
    """The largest value is taken out of the sum, whose powers would be 0 or infinite."""
    want = size * 2.0 ** (1 / norm_type) if size < 1e308 or norm_type in (3, INF) else INF
    found = clip_grad_norm_([np.array([size, -size])], INF, norm_type)
    assert found == pytest.approx(want, rel=1e-12, abs=0)


@NORMS
@OF_DTYPE
@pytest.mark.parametrize("size", [1e-9, 1e-6, 3e-6, 1e-4])
def test_small_norms(size: float, dtype: Any, norm_type: float) -> None:
    """The 1e-6 in the denominator counts: a norm of 3e-6 that is clipped to 1e-6 becomes a quarter of itself."""
    grad = np.array([size, 0], dtype)
    assert clip_grad_norm_([grad], 1e-6, norm_type) == pytest.approx(size, rel=1e-6)
    assert grad[0] == pytest.approx(size * min(1.0, 1e-6 / (size + 1e-6)), rel=1e-6) and grad[1] == 0


@OF_DTYPE
@pytest.mark.parametrize("size", [1e-6, 3e-6, 5.0])
def test_small_norms_within_a_step(size: float, dtype: Any) -> None:
    """A step uses the same factor, and the gradient stays as it was."""
    param, grad = np.zeros(2, dtype), np.array([0, size], dtype)
    optimizer = optim.SGD([param], lr=1.0, clip_grad_norm=1e-6)
    optimizer.step([grad])
    assert param[1] == pytest.approx(-size * min(1.0, 1e-6 / (size + 1e-6)), rel=1e-6) and param[0] == 0
    assert grad[1] == dtype(size) and optimizer.last_grad_norm == pytest.approx(size, rel=1e-6)


@OF_DTYPE
@pytest.mark.parametrize("limit", [0.0, 0.7, 100.0, INF])
def test_value(limit: float, dtype: Any) -> None:
    """Every element is clipped to the limit; NaN stays, infinity does not."""
    grads = _gradients(dtype)
    grads[2][:3] = [np.nan, np.inf, -np.inf]
    want = [np.clip(g, dtype(-limit), dtype(limit)) for g in grads]
    assert clip_grad_value_(grads, limit) is None  # type: ignore[func-returns-value]
    assert all(map(same_bits, grads, want))


FORMATS = [(np.float32, None), (np.float64, None), (np.float32, "bfloat16"), (np.float32, "int8")]


@pytest.mark.parametrize(("dtype", "state_dtype"), FORMATS)
@pytest.mark.parametrize("name", NAMES)
def test_zeroed_to_the_last(name: str, dtype: Any, state_dtype: Any) -> None:
    """A step zeroes gradients of any size and no byte beside them, also a skipped step; a gradient left out stays."""
    params = [np.zeros(n, dtype) for n in SIZES]
    options = full_state(name) | {"state_dtype": state_dtype, "zero_grad_after_step": True}
    optimizer = make(name, params, **options, clip_grad_norm=1e9)
    for seed, spoiled in ((1, False), (2, True), (3, False)):
        guards = [guarded(n, dtype, 1, g) for n, g in zip(SIZES, _gradients(dtype, seed), strict=True)]
        grads: list[Any] = [g.array for g in guards]
        left = grads[seed + 3].copy()
        if spoiled:
            grads[-1][-1] = np.nan
        optimizer.step([None if i == seed + 3 else g for i, g in enumerate(grads)])
        for i, guard in enumerate(guards):
            guard.check()
            assert same_bits(grads[i], left if i == seed + 3 else np.zeros(SIZES[i], dtype)), SIZES[i]
    assert optimizer.skipped_steps == 1


@pytest.mark.parametrize("name", NAMES)
def test_one_norm_of_both_dtypes(name: str) -> None:
    """The norm is that of all gradients, whatever their dtypes and order, and all are scaled by it."""
    rng = np.random.default_rng(6)
    for dtypes in ([np.float32, np.float64], [np.float64, np.float32, np.float64], [np.float32, np.float64] * 2):
        grads = [rng.standard_normal(40).astype(dtype) for dtype in dtypes]
        params, apart = ([np.ones(40, dtype) for dtype in dtypes] for _ in range(2))
        optimizer = make(name, params, clip_grad_norm=0.5)
        optimizer.step(grads)
        norm = np.linalg.norm(np.concatenate([g.astype(np.float64) for g in grads]))
        assert optimizer.last_grad_norm == pytest.approx(norm, rel=1e-6)
        make(name, apart).step([(g * (0.5 / norm)).astype(g.dtype) for g in grads])
        for a, b in zip(params, apart, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4)


def test_zeroing_of_gradients_that_are_given() -> None:
    """Gradients given to a step over Parameters are zeroed, and the Parameters' own gradients stay."""
    parameters = [nn.Parameter(np.ones(3)), nn.Parameter(np.ones(4))]
    for parameter in parameters:
        parameter.grad = np.full(parameter.shape, 5.0)
    given = [np.full(3, 2.0), np.full(4, 3.0)]
    optim.SGD(parameters, lr=0.1, zero_grad_after_step=True).step(given)
    assert not any(g.any() for g in given) and all((p.grad == 5).all() for p in parameters)
    assert [p.data[0] for p in parameters] == [pytest.approx(0.8), pytest.approx(0.7)]


@NORMS
def test_norm_without_any_element(norm_type: float) -> None:
    """The norm of no gradients, or of empty ones alone, is 0."""
    for nothing in ([], [np.zeros(0)], [np.zeros((0, 3)), np.zeros((2, 0), np.float32)], [nn.Parameter(np.ones(3))]):
        assert clip_grad_norm_(nothing, 1.0, norm_type) == 0
        assert clip_grad_norm_(nothing, 0.0, norm_type, error_if_nonfinite=True, foreach=False) == 0
        clip_grad_value_(nothing, 1.0, True)
