"""exp, log, tanh and erf are within 2 units in the last place everywhere; special values are right."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from support import DTYPES, Array, same_bits

from fastnn import _core
from fastnn import functional as F

STRIDE, CHUNK = 257, 1 << 20
_erf = np.vectorize(math.erf, otypes=[np.float64])
EXACT: dict[str, Callable[[Array], Array]] = {"exp": np.exp, "log": np.log, "tanh": np.tanh, "erf": _erf}
LARGEST = {"exp": 1.02, "log": 0.91, "tanh": 0.61, "erf": 1.57}
each = pytest.mark.parametrize("name", EXACT)


def _all_float32(stride: int) -> Iterator[Array]:
    """Yield every `stride`-th of all bit patterns, in chunks."""
    for first in range(0, 2**32, CHUNK * stride):
        bits = np.arange(first, min(first + CHUNK * stride, 2**32), stride, dtype=np.uint64)
        yield bits.astype(np.uint32).view(np.float32)


def _ulps(got: Array, exact: Any) -> float:
    """Return the largest error where the exact value rounds to a finite number; other results must be equal."""
    info = np.finfo(got.dtype)
    with np.errstate(all="ignore"):
        rounded = exact.astype(got.dtype)
    usual = np.isfinite(rounded) & np.isfinite(got)
    np.testing.assert_array_equal(got[~usual], rounded[~usual])
    zero = exact == 0
    np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(exact[zero]))
    got, exact = got[usual], exact[usual]
    exponent = np.maximum(np.frexp(exact)[1], info.minexp + 1) - info.nmant - 1
    distance = np.abs(got.astype(exact.dtype) - exact)
    return float(np.ldexp(distance, -exponent).max(initial=0))


@each
def test_float32(name: str) -> None:
    """Every 257th float32 has no larger error than csrc/steps/special.h states for all 2^32."""
    with np.errstate(all="ignore"):
        worst = max(_ulps(_core.elementary(name, x), EXACT[name](x.astype(np.float64))) for x in _all_float32(STRIDE))
    assert worst <= LARGEST[name]


def _erf_series(x: Array) -> Array:
    """2 / sqrt(pi) e^(-x^2) sum 2^n x^(2n + 1) / (2n + 1)!!, whose terms all have one sign; for |x| <= 6."""
    term, n = x.copy(), 0
    total = term.copy()
    while np.abs(term).max() > 1e-25:
        n += 1
        term = term * 2 * x * x / (2 * n + 1)
        total += term
    return 2 / np.sqrt(np.longdouble("3.14159265358979323846264338327950288")) * np.exp(-x * x) * total


@each
@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="no wider number to compare with")
def test_float64(name: str) -> None:
    """Dense samples at every scale are within 2 ulp, compared with long double."""
    rng = np.random.default_rng(3)
    scales = [rng.standard_normal(200_000) * s for s in (1e-3, 0.3, 1, 3, 200)] + [rng.uniform(0.5, 2, 400_000)]
    x = np.concatenate(scales)
    exact = {"erf": _erf_series, "exp": np.exp, "log": np.log, "tanh": np.tanh}[name]
    x = np.abs(x) if name == "log" else x[np.abs(x) < 6] if name == "erf" else x
    assert _ulps(_core.elementary(name, x), exact(x.astype(np.longdouble))) <= 2


@each
@pytest.mark.parametrize("dtype", DTYPES)
def test_special_values(name: str, dtype: Any, isa: str) -> None:
    """NaN, infinities, signed zeros, and the smallest and largest numbers give the right values."""
    info = np.finfo(dtype)
    ends = [np.inf, 0.0, info.smallest_subnormal, 7 * info.smallest_subnormal, info.tiny, info.max]
    x = np.array([np.nan, *ends, *(-e for e in ends)], dtype)
    with np.errstate(all="ignore"):
        assert _ulps(_core.elementary(name, x), EXACT[name](x.astype(np.float64))) <= 2


@each
@pytest.mark.parametrize("dtype", DTYPES)
def test_same_bits(name: str, dtype: Any, isa: str) -> None:
    """Arrays give the same bits on every ISA as the C++ function gives for a single element."""
    with np.errstate(all="ignore"):
        x = next(_all_float32(65_521)).astype(dtype)[:5003]
    alone = np.concatenate([_core.elementary(name, x[i : i + 1]) for i in range(x.size)])
    assert same_bits(_core.elementary(name, x), alone)


def _rms(got: Array, exact: Array) -> float:
    """Return the root mean square of the relative error."""
    return float(np.sqrt(np.mean((got / exact - 1) ** 2)))


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


# name -> the function, its exact value, the largest error in ulp, and the rms of the relative error in units of that
# of the exact value rounded to float32
DENSE: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array], float, float]] = {
    "tanh": (F.tanh, np.tanh, 0.6, 1.001),
    "sigmoid": (F.sigmoid, _sigmoid, 1.7, 1.7),
    "silu": (F.silu, lambda x: x * _sigmoid(x), 1.7, 1.6),
}


@pytest.mark.parametrize("name", DENSE)
def test_accuracy_of_activations(name: str, isa: str) -> None:
    """A dense sweep of [-10, 10] has errors no larger than stated, and no larger on average than PyTorch's."""
    function, exact, largest, factor = DENSE[name]
    x = np.linspace(-10, 10, 300_000, dtype=np.float32)
    want = exact(x.astype(np.float64))
    got = function(x)
    assert _ulps(got, want) <= largest
    assert _rms(got, want) <= factor * _rms(want.astype(np.float32), want)
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.nn.functional, name)(torch.from_numpy(x)).numpy()
    assert _rms(got, want) <= 1.001 * _rms(theirs, want)


def test_another_name() -> None:
    with pytest.raises(ValueError, match=r"^name: got 'sinh', want exp, log, tanh or erf$"):
        _core.elementary("sinh", np.ones(3))
