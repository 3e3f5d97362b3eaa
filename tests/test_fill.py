"""Random fills: their values from the documented words, valid targets, refused arguments."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import reference
from support import DTYPES, THREADS, error_in_ulps, guarded, running, same_bits

from fastnn import Generator, _core, nn, random

NAN, INF = math.nan, math.inf
SIZES = (0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 1000)
FILLS: tuple[Callable[..., Any], ...] = (
    random.uniform_,
    random.normal_,
    random.trunc_normal_,
    random.bernoulli_,
    random.exponential_,
)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_uniform_bits(dtype: Any, size: int, isa: str) -> None:
    """Values in [0, 1) are exactly as documented, those in other intervals within two ulps."""
    out = np.empty(size, dtype)
    _core.uniform(out, 0.0, 1.0, 4, 5, 6 * 64)
    unit = reference.uniform01(size, dtype, 4, 5, 6)
    np.testing.assert_array_equal(out, unit)
    _core.uniform(out, -3.0, 5.0, 4, 5, 6 * 64)
    assert error_in_ulps(out, -3 + 8 * unit) <= 2
    for p in (0.0, 0.25, 0.3, 1.0):
        _core.bernoulli(out, p, 4, 5, 6 * 64)
        np.testing.assert_array_equal(out, unit < p)


def test_every_uniform_is_below_one() -> None:
    """2^28 words, which have nearly all 2^24 values of the upper bits, give exactly these values times 2^-24."""
    g, again, seen = Generator(1), Generator(1), np.zeros(2**24, bool)
    out = np.empty(2**24, np.float32)
    for _ in range(16):
        random.uniform_(out, generator=g)
        upper = again.random_raw(out.size) >> np.uint32(8)
        assert (out == upper * np.float64(2**-24)).all() and out.max() < 1
        seen[upper] = True
    assert seen[0] and seen[-1] and (~seen).sum() < 20


@pytest.mark.parametrize("dtype", DTYPES)
def test_uniform_never_reaches_the_end(dtype: Any) -> None:
    """The upper end is never drawn, even from one-step intervals, where half of the draws round to it, or empty."""
    for low in (1.0, -1.0, 1e5, 0.0):
        high = float(np.nextafter(dtype(low), dtype(np.inf)))
        out = random.uniform_(np.empty(10_000, dtype), low, high, Generator(1))
        np.testing.assert_array_equal(out, dtype(low))
    for high in (1.0, 3.0, 1000.1):
        for low in (high, np.nextafter(high, -9), high - 1e-3, -high):
            out = random.uniform_(np.empty(100_000, dtype), low, high, Generator(1))
            assert (out >= dtype(low)).all()
            assert (out < dtype(high)).all() or dtype(low) == dtype(high)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_normal_values(dtype: Any, size: int, isa: str) -> None:
    """Values are the Box-Muller transform of the documented uniforms, within four ulps of the largest."""
    out = np.empty(size, dtype)
    _core.normal(out, 0.0, 1.0, 4, 5, 6 * 64)
    z = reference.normal01(size, dtype, 4, 5, 6)
    assert error_in_ulps(out, z) <= 4
    _core.normal(out, 2.0, 0.5, 4, 5, 6 * 64)
    assert error_in_ulps(out, 2 + 0.5 * z) <= 4


# Intervals of the standard normal: around 0, lopsided, narrow, open, in both tails, and beyond the tails of doubles.
INTERVALS = [
    *((-2, 2), (-INF, INF), (-1, 0.5), (0, INF), (-INF, 0.25), (-1e-6, 1e-6), (-2.9, 2.9), (-2.91, 1), (1, 2)),
    *((2.9, 30), (2.99, 3), (-3.5, -2.5), (3, INF), (3.5, 3.6), (5, 6), (-40, -38), (-INF, -8), (37.5, 38.5)),
    *((100, INF), (-1e6, -1e5), (7, 7), (0.5, 0.5)),
]


@pytest.mark.parametrize("interval", INTERVALS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_truncated_normal_values(dtype: Any, interval: tuple[float, float], isa: str) -> None:
    """Values are the inverse distribution function at the documented uniforms, computed with scipy's log-tails."""
    a, b = interval
    out = np.empty(500, dtype)
    for mean, std in ((0.0, 1.0), (3.0, 0.25)):
        _core.trunc_normal(out, mean, std, mean + std * a, mean + std * b, 4, 5, 6 * 64)
        ranks, step = reference.ranks01(500, dtype, 4, 5, 6)
        want = mean + std * reference.truncated_quantile(ranks, step, a, b)
        scale = abs(mean) + std * max(1.0, min(max(abs(a), abs(b)), np.abs(want / std).max() + 1))
        assert error_in_ulps(out, want, scale) <= 8
        assert dtype(mean + std * a) <= out.min() and out.max() <= dtype(mean + std * b)


@pytest.mark.parametrize("dtype", DTYPES)
def test_exponential_values(dtype: Any, isa: str) -> None:
    """Values are -ln(1 - u) / lambd, where 1 - u is in (0, 1]."""
    for lambd in (1.0, 0.125, 10.0):
        out = np.empty(999, dtype)
        _core.exponential(out, lambd, 4, 5, 6 * 64)
        step = 2.0**-24 if dtype is np.float32 else 2.0**-53
        assert error_in_ulps(out, -np.log(reference.uniform01(999, dtype, 4, 5, 6) + step) / lambd) <= 2
        assert out.min() >= 0 and np.isfinite(out).all()


RANGES = [
    *((0, 1), (0, 10), (-3, 4), (2**63 - 1, 2**63), (-(2**63), 2**63)),
    *((0, 2**k + d) for k in (31, 32, 33, 40, 62) for d in (-1, 0, 1)),
    *((-(2**50), 3), (-(2**63), 2**63 - 1), (-(2**63), 5)),
]


@pytest.mark.parametrize("limits", RANGES)
def test_integers(limits: tuple[int, int], isa: str) -> None:
    """Values are low + floor((high - low) w / 2^64), in exact integers."""
    low, high = limits
    words = reference.philox_blocks(4, 5, 6, 32).astype(object).reshape(-1, 2, 2, 16)
    wide = (words[:, :, 0] * 2**32 + words[:, :, 1]).reshape(-1)[:999]
    out = random.integers_(np.empty(999, np.int64), low, high, Generator(4, 5).advance(6 * 64))
    assert out.tolist() == [low + (high - low) * w // 2**64 for w in wide]


def test_integers_as_numpy_names_them() -> None:
    """As in NumPy, a single limit is the upper one."""
    draws = [random.integers_(np.empty(99, np.int64), *limits, generator=Generator(1)) for limits in ((5,), (0, 5))]
    assert same_bits(*draws) and set(draws[0].tolist()) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("n", [0, 1, 2, 63, 64, 65, 257, 8192, 8193, 16384, 100_003, 2**19 + 1])
def test_permutation(n: int, isa: str) -> None:
    """A permutation has every number once and the same order for any number of threads; its words count as used."""
    orders = []
    for threads in THREADS:
        with running(isa, threads):
            g = Generator(1, 2)
            orders.append(random.permutation(n, g))
            assert g.offset == 2 * 64 * -(-n // 64)
            after = g.random_raw(64)
            assert not n or (after == Generator(1, 2).advance(2 * 64 * -(-n // 64)).random_raw(64)).all()
    np.testing.assert_array_equal(np.sort(orders[0]), np.arange(n))
    assert orders[0].dtype == np.int64 and all(same_bits(order, orders[0]) for order in orders)
    with running("base", 1):
        assert same_bits(random.permutation(n, Generator(1, 2)), orders[0])
    assert n < 64 or not same_bits(random.permutation(n, Generator(2, 2)), orders[0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_in_place(dtype: Any) -> None:
    """A fill writes only into the caller's memory and returns its argument, also a Parameter or a tensor."""
    for fill in FILLS:
        target = guarded((13, 7), dtype, 3)
        assert fill(target.array, generator=Generator(1)) is target.array
        target.check()
        parameter = nn.Parameter(np.zeros((13, 7), dtype))
        assert fill(parameter, generator=Generator(1)) is parameter
        assert same_bits(parameter.data, target.array)
    torch = pytest.importorskip("torch")
    for fill in FILLS:
        target = guarded((13, 7), dtype, 3)
        tensor = torch.zeros(13, 7, dtype=torch.float32 if dtype is np.float32 else torch.float64, requires_grad=True)
        assert fill(tensor, generator=Generator(1)) is tensor
        assert same_bits(tensor.detach().numpy(), fill(target.array, generator=Generator(1)))


def test_array_of_a_tensor_keeps_it() -> None:
    """The array of a tensor stays valid after the last name of the tensor is gone."""
    torch = pytest.importorskip("torch")
    array = random.fill.as_array(torch.arange(10.0))
    torch.zeros(10)
    np.testing.assert_array_equal(array, np.arange(10.0))
    with pytest.raises(TypeError, match=r"^tensor: got bfloat16, want float32 or float64"):
        random.uniform_(torch.zeros(3, dtype=torch.bfloat16))
    with pytest.raises(ValueError, match=r"^tensor: got strided memory, want"):
        random.uniform_(torch.zeros(3, 4).T)


def _spoiled(kind: str, dtype: Any) -> Any:
    target = np.zeros((3, 4), dtype)
    if kind == "read-only":
        target.flags.writeable = False
    return {"strided": target.T, "byte order": target.astype(target.dtype.newbyteorder()), "list": [0.0]}.get(
        kind, target
    )


@pytest.mark.parametrize("kind", ["read-only", "strided", "byte order", "list", "dtype"])
def test_refused_targets(kind: str) -> None:
    """Bad targets are refused before a random number is drawn."""
    error = ValueError if kind in ("read-only", "strided") else TypeError
    for fill in (*FILLS, lambda t, generator: random.integers_(t, 5, generator=generator)):
        g = Generator(1)
        wrong = np.int32 if kind == "dtype" else np.int64 if fill not in FILLS else np.float64
        target = _spoiled(kind, wrong)
        with pytest.raises(error, match=r"^tensor: got .*, want "):
            fill(target, generator=g)
        assert g.offset == 0 and not np.any(target)


REFUSALS: list[tuple[str, tuple[Any, ...], str]] = [
    ("uniform_", (NAN, 1.0), "^a: got nan, want"),
    ("uniform_", (0.0, INF), "^b: got inf, want"),
    ("uniform_", (2.0, 1.0), "^a: got 2.0, want at most b = 1.0"),
    ("normal_", (NAN, 1.0), "^mean: got nan, want"),
    ("normal_", (0.0, -1.0), "^std: got -1.0, want"),
    ("normal_", (0.0, NAN), "^std: got nan, want"),
    ("normal_", (0.0, INF), "^std: got inf, want"),
    ("trunc_normal_", (INF,), "^mean: got inf, want"),
    ("trunc_normal_", (0.0, -1.0), "^std: got -1.0, want"),
    ("trunc_normal_", (0.0, NAN), "^std: got nan, want"),
    ("trunc_normal_", (0.0, 1.0, NAN), "^a: got nan, want at most b"),
    ("trunc_normal_", (0.0, 1.0, 2.0, 1.0), "^a: got 2.0, want at most b = 1.0"),
    ("trunc_normal_", (0.0, 1.0, INF, INF), r"^a: got \[inf, inf\], want an interval"),
    ("trunc_normal_", (0.0, 0.0, 1.0, 2.0), r"^a: got \[1.0, 2.0\], want an interval"),
    ("bernoulli_", (1.5,), "^p: got 1.5, want"),
    ("bernoulli_", (NAN,), "^p: got nan, want"),
    ("exponential_", (0.0,), "^lambd: got 0.0, want"),
    ("exponential_", (-1.0,), "^lambd: got -1.0, want"),
    ("exponential_", (NAN,), "^lambd: got nan, want"),
    ("exponential_", (INF,), "^lambd: got inf, want"),
]


@pytest.mark.parametrize(("name", "args", "sentence"), REFUSALS)
def test_refusals(name: str, args: tuple[Any, ...], sentence: str) -> None:
    """Bad options are refused; nothing is written and no random number is drawn."""
    target, generator = np.zeros((3, 3)), Generator(1)
    with pytest.raises(ValueError, match=sentence):
        getattr(random, name)(target, *args, generator=generator)
    assert not target.any() and generator.offset == 0


def test_integer_refusals() -> None:
    """Empty intervals, limits that int64 cannot hold, and negative lengths are refused."""
    target, g = np.zeros(3, np.int64), Generator(1)
    for limits in ((0,), (5, 5), (5, 4), (0, 2**63 + 1), (-(2**63) - 1, 0)):
        with pytest.raises(ValueError, match=r"^low: got the interval \[.*\), want"):
            random.integers_(target, *limits, generator=g)
    with pytest.raises(TypeError):
        random.integers_(target, 1.5, generator=g)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^n: got -1, want"):
        random.permutation(-1, g)
    assert g.offset == 0 and not target.any()


def test_empty() -> None:
    """Fills accept empty arrays and draw nothing; the permutation of no elements is empty."""
    g, target = Generator(1), np.empty((0, 3))
    for fill in FILLS:
        assert fill(target, generator=g) is target
    assert random.integers_(np.empty(0, np.int64), 5, generator=g).shape == (0,)
    assert random.permutation(0, g).shape == (0,) and g.offset == 0


def test_constant() -> None:
    """A standard deviation of zero gives the mean."""
    for dtype in DTYPES:
        np.testing.assert_array_equal(random.normal_(np.empty(99, dtype), 2.0, 0.0), 2.0)
        np.testing.assert_array_equal(random.trunc_normal_(np.empty(99, dtype), 1.5, 0.0), 1.5)
        for a, b in ((1.5, 2.0), (-1.0, 1.5), (1.5, 1.5)):  # the mean is an end of the interval
            np.testing.assert_array_equal(random.trunc_normal_(np.empty(99, dtype), 1.5, 0.0, a, b), 1.5)
        for a, b in ((1.6, 2.0), (-1.0, 1.4)):
            with pytest.raises(ValueError, match=r"got .*, want "):
                random.trunc_normal_(np.empty(99, dtype), 1.5, 0.0, a, b)
