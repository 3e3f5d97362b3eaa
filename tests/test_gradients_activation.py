"""Activations agree with central differences, with torch, and with their fused forms."""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import reference.activation
from support import DTYPES, Array, check_gradients, same_bits, torch_leaves

from fastnn import Generator
from fastnn import functional as F

RNG = np.random.default_rng(23)

# name -> function, positional options, and the call in torch
CASES: dict[str, tuple[str, tuple[Any, ...], Callable[[Any, Any], Any]]] = {
    "relu": ("relu", (), lambda t, x: t.nn.functional.relu(x)),
    "leaky_relu": ("leaky_relu", (), lambda t, x: t.nn.functional.leaky_relu(x)),
    "leaky_relu-0.3": ("leaky_relu", (0.3,), lambda t, x: t.nn.functional.leaky_relu(x, 0.3)),
    "elu": ("elu", (), lambda t, x: t.nn.functional.elu(x)),
    "elu-1.7": ("elu", (1.7,), lambda t, x: t.nn.functional.elu(x, 1.7)),
    "gelu": ("gelu", (), lambda t, x: t.nn.functional.gelu(x)),
    "gelu-tanh": ("gelu", ("tanh",), lambda t, x: t.nn.functional.gelu(x, approximate="tanh")),
    "silu": ("silu", (), lambda t, x: t.nn.functional.silu(x)),
    "sigmoid": ("sigmoid", (), lambda t, x: t.sigmoid(x)),
    "tanh": ("tanh", (), lambda t, x: t.tanh(x)),
    "softplus": ("softplus", (), lambda t, x: t.nn.functional.softplus(x)),
    "softplus-3": ("softplus", (3.0, 2.0), lambda t, x: t.nn.functional.softplus(x, 3.0, 2.0)),
}
NAMES = ("identity", "relu", "leaky_relu", "elu", "gelu", "gelu_tanh", "silu", "sigmoid", "tanh", "softplus")


def _forward(case: str, x: Array) -> Array:
    name, options, _ = CASES[case]
    y: Array = getattr(F, name)(x, *options)
    return y


def _backward(case: str, dy: Array, x: Array) -> Array:
    name, options, _ = CASES[case]
    at = _forward(case, x) if name in ("sigmoid", "tanh") else x
    dx: Array = getattr(F, f"{name}_backward")(dy, at, *options)
    return dx


def _off_kink(x: Array) -> Array:
    return np.where(np.abs(x) < 1e-3, 0.1, x)


@pytest.mark.parametrize("case", CASES)
def test_central_differences(case: str) -> None:
    """Gradients agree with differences; x avoids the threshold of softplus-3, where the value jumps by e^-2 / 3."""
    x, dy = _off_kink(3 * RNG.standard_normal(500)), RNG.standard_normal(500)
    x = np.where(np.abs(3 * x - 2) < 0.01, 1.0, x)
    check_gradients(lambda: _forward(case, x), dy, (x,), (_backward(case, dy, x),))


def _of_reference(table: dict[str, Callable[..., Array]], case: str, x: Array) -> Array:
    name, options, _ = CASES[case]
    named = "gelu_tanh" if options == ("tanh",) else name
    return table[named](x, *(option for option in options if not isinstance(option, str)))


@pytest.mark.parametrize("scale", [1e-3, 1, 10, 100])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_reference(case: str, scale: float, isa: str) -> None:
    """Values and gradients at every scale are right to a relative error, except at the very end of a tail."""
    x, dy = scale * RNG.standard_normal(3000), RNG.standard_normal(3000)
    for found, want in (
        (_forward(case, x), _of_reference(reference.activation.VALUES, case, x)),
        (_backward(case, dy, x), dy * _of_reference(reference.activation.SLOPES, case, x)),
    ):
        np.testing.assert_allclose(found, want, rtol=1e-10, atol=1e-13 if case == "gelu-tanh" else 1e-15)


NAN, INF = np.nan, np.inf
# Values, then slopes, at NaN, infinity, minus infinity and 0, as in PyTorch.
SPECIAL: dict[str, tuple[list[float], list[float]]] = {
    "relu": ([NAN, INF, 0, 0], [1, 1, 0, 0]),
    "leaky_relu": ([NAN, INF, -INF, 0], [0.01, 1, 0.01, 0.01]),
    "leaky_relu-0.3": ([NAN, INF, -INF, 0], [0.3, 1, 0.3, 0.3]),
    "elu": ([NAN, INF, -1, 0], [NAN, 1, 0, 1]),
    "elu-1.7": ([NAN, INF, -1.7, 0], [NAN, 1, 0, 1.7]),
    "gelu": ([NAN, INF, NAN, 0], [NAN, NAN, NAN, 0.5]),
    "gelu-tanh": ([NAN, INF, NAN, 0], [NAN, NAN, NAN, 0.5]),
    "silu": ([NAN, INF, NAN, 0], [NAN, NAN, NAN, 0.5]),
    "sigmoid": ([NAN, 1, 0, 0.5], [NAN, 0, 0, 0.25]),
    "tanh": ([NAN, 1, -1, 0], [NAN, 0, 0, 1]),
    "softplus": ([NAN, INF, 0, math.log(2)], [NAN, 1, 0, 0.5]),
    "softplus-3": ([NAN, INF, 0, math.log(2) / 3], [NAN, 1, 0, 0.5]),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_special_values(case: str, dtype: Any, isa: str) -> None:
    """Special values are right in the middle and in the tail of a vector; both zeros have the same value and slope."""
    values, slopes = SPECIAL[case]
    x = np.tile(np.array([NAN, INF, -INF, 0, -0.0, 1], dtype), 11)
    y, dx = _forward(case, x).reshape(11, 6), _backward(case, np.ones_like(x), x).reshape(11, 6)
    tight = {"rtol": 2 * np.finfo(dtype).eps, "atol": 0}
    np.testing.assert_allclose(y[:, :5], [[*values, values[3]]] * 11, **tight)
    np.testing.assert_allclose(dx[:, :5], [[*slopes, slopes[3]]] * 11, **tight)


@pytest.mark.parametrize("beta", [0.5, 1.0, 4.0])
def test_softplus_at_its_threshold(beta: float, isa: str) -> None:
    """The linear part begins above the threshold, not at it."""
    x = np.array([2.0, np.nextafter(2.0, 3), 2.5]) / beta
    soft = math.log1p(math.exp(2.0)) / beta
    np.testing.assert_allclose(F.softplus(x, beta, 2.0), [soft, *x[1:]], rtol=1e-15)
    np.testing.assert_allclose(
        F.softplus_backward(np.ones(3), x, beta, 2.0), [1 / (1 + math.exp(-2)), 1, 1], rtol=1e-15
    )


def _torch(case: str, dy: Array, x: Array, dtype: Any) -> tuple[Array, Array]:
    torch, (leaf,) = torch_leaves(x.astype(dtype))
    y = CASES[case][2](torch, leaf)
    y.backward(torch.from_numpy(dy.astype(dtype)))
    return y.detach().numpy(), leaf.grad.numpy()


@pytest.mark.parametrize("case", CASES)
def test_torch_float64(case: str) -> None:
    for scale in (1e-3, 1, 10, 100):
        x, dy = scale * RNG.standard_normal(3000), RNG.standard_normal(3000)
        y, dx = _torch(case, dy, x, np.float64)
        np.testing.assert_allclose(_forward(case, x), y, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(_backward(case, dy, x), dx, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("scale", [1e-3, 1, 10])
@pytest.mark.parametrize("case", CASES)
def test_error_beside_torch(case: str, scale: float) -> None:
    """float32 compared with torch's float64 is no worse than torch's float32 or (except gelu) 2 eps of the largest
    value.

    dy are powers of two, so that multiplying by them does not round.
    """
    x = (scale * RNG.standard_normal(50_000)).astype(np.float32)
    dy = np.ldexp(np.float32(1), RNG.integers(-3, 3, x.size)).astype(np.float32)
    exact, theirs = (_torch(case, dy, x, dtype) for dtype in (np.float64, np.float32))
    for ours, their, want in zip((_forward(case, x), _backward(case, dy, x)), theirs, exact, strict=True):
        allowed = float(np.abs(their - want).max())
        if case != "gelu":
            allowed = max(allowed, float(2 * np.finfo(np.float32).eps * np.abs(want).max()))
        assert np.abs(ours - want).max() <= allowed


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_torch_special_values(case: str, dtype: Any, isa: str) -> None:
    """NaN and infinity appear where torch's float64 has them, not where torch overflows in float32."""
    x = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1e-30, -1e-30, 30, -30, 1e4, -1e4], dtype)
    y, dx = _torch(case, np.ones_like(x), x, np.float64)
    if case.startswith("elu"):
        dx[0] = np.nan  # where torch has 1 or NaN, depending on its instruction set
    np.testing.assert_allclose(_forward(case, x), y, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(_backward(case, np.ones_like(x), x), dx, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_finite_stays_finite(case: str, dtype: Any, isa: str) -> None:
    """Finite inputs of every size give finite results."""
    size = np.geomspace(np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max / 2, 2001, dtype=np.longdouble)
    x = np.concatenate([size, -size]).astype(dtype)
    assert np.isfinite(_forward(case, x)).all() and np.isfinite(_backward(case, np.ones_like(x), x)).all()


def test_gelu_float32(isa: str) -> None:
    """The errors are those stated in csrc/steps/gelu.h; far from 0 the value is exactly 0 or x, the slope 0 or 1."""
    x = np.linspace(-8, 8, 1_000_001, dtype=np.float32)
    wide = x.astype(np.float64)
    y, slope = F.gelu(x), F.gelu_backward(np.ones_like(x), x)
    error = np.abs(y - F.gelu(wide))
    assert (error <= 3e-7 + np.spacing(np.abs(y)) / 2).all()
    assert np.abs(slope - F.gelu_backward(np.ones_like(wide), wide)).max() <= 2e-7
    far = np.array([7, 14, 1e10, 3e38, -7, -14, -1e10, -3e38], np.float32)
    np.testing.assert_array_equal(F.gelu(far), np.maximum(far, 0))
    np.testing.assert_allclose(F.gelu_backward(np.ones_like(far), far), far > 0, atol=7e-7)


def _apart(name: str, x: Array, bias: Array | None) -> Array:
    """Compute activation(x + bias) with the separate functions."""
    z = x if bias is None else x + bias
    if name == "identity":
        return z
    return F.gelu(z, "tanh") if name == "gelu_tanh" else getattr(F, name)(z)


def _apart_backward(name: str, dy: Array, x: Array, bias: Array | None) -> Array:
    z = x if bias is None else x + bias
    if name == "identity":
        return dy
    if name == "gelu_tanh":
        return F.gelu_backward(dy, z, "tanh")
    dx: Array = getattr(F, f"{name}_backward")(dy, _apart(name, z, None) if name in ("sigmoid", "tanh") else z)
    return dx


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("shape", [(1031,), (9, 37), (3, 7, 129), (300, 3), (2, 5000)])
@pytest.mark.parametrize("name", NAMES)
def test_fused_has_the_bits_of_its_parts(name: str, shape: tuple[int, ...], p: float, dtype: Any) -> None:
    x, dy = (RNG.standard_normal(shape).astype(dtype) for _ in range(2))
    for bias in (None, RNG.standard_normal(shape[-1:]).astype(dtype)):
        y, mask = F.bias_activation(x, bias, name, p, generator=Generator(5, 6), return_mask=True)
        assert same_bits(y, F.dropout_backward(_apart(name, x, bias), mask))
        drawn = F.dropout_backward(dy, mask)
        for out in (None, dy.copy(), x.copy()):
            dx, dbias = F.bias_activation_backward(dy, x, bias, name, mask, out=out)
            assert same_bits(dx, _apart_backward(name, drawn, x, bias))
        assert (dbias is None) == (bias is None)
        if dbias is not None:
            np.testing.assert_allclose(dbias, dx.reshape(-1, shape[-1]).sum(0, np.float64), rtol=1e-4, atol=1e-4)


def test_fused_in_place() -> None:
    """Backward may write over x or dy, with a mask and without."""
    x, dy, bias = (RNG.standard_normal(s) for s in ((40, 70), (40, 70), (70,)))
    for mask in (None, F.DropoutMask(0.4, 1, 2, 3)):
        for name in ("tanh", "gelu"):
            want = F.bias_activation_backward(dy, x, bias, name, mask)
            for i in (0, 1):
                arrays = [dy.copy(), x.copy()]
                got = F.bias_activation_backward(*arrays, bias, name, mask, out=arrays[i])
                assert got[0] is arrays[i] and same_bits(got[0], want[0]) and same_bits(got[1], want[1])


def test_mask_of_dropout() -> None:
    """The mask is the one that dropout draws from the same generator, with as many blocks; p = 0 draws none."""
    x, a, b = RNG.standard_normal((70, 90)), Generator(3, 4), Generator(3, 4)
    y, mask = F.bias_activation(x, None, "identity", 0.25, generator=a, return_mask=True)
    want, same = F.dropout(x, 0.25, generator=b, return_mask=True)
    assert same_bits(y, want) and mask == same and a.offset == b.offset
    for options in ({"p": 0.0}, {"p": 0.5, "training": False}):
        y, mask = F.bias_activation(x, None, "identity", generator=a, return_mask=True, **options)
        assert same_bits(y, x) and mask.p == 0 and a.offset == b.offset


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", DTYPES)
def test_dropped_values_are_zero(dtype: Any, value: float, isa: str) -> None:
    """A dropped element is 0 even if x is not finite there, at every position; other elements do not change."""
    x = RNG.standard_normal((3, 67)).astype(dtype)
    bias = np.zeros(67, dtype)
    mask = F.DropoutMask(0.5, 7, 8, 9)
    kept = F.dropout_backward(np.ones_like(x), mask) != 0

    def forward() -> Array:
        g = Generator(7, 8)
        g.offset = 64 * 9
        return F.bias_activation(x, bias, "silu", 0.5, generator=g)

    clean = forward()
    for at in np.ndindex(x.shape):
        before, x[at] = x[at], value
        y = forward()
        rest = np.ones(x.shape, bool)
        rest[at] = False
        assert same_bits(y[rest], clean[rest]) and (np.isfinite(y[at]) or kept[at]) and (kept[at] or y[at] == 0)
        x[at] = before


def test_options_are_passed() -> None:
    x = RNG.standard_normal((5, 7))
    for name, option in [("leaky_relu", 0.6), ("elu", 0.6), ("softplus", 0.6), ("leaky_relu", 0), ("elu", 0.0)]:
        y = F.bias_activation(x, None, name, alpha=option)
        dx = F.bias_activation_backward(x, x, None, name, alpha=option)[0]
        assert same_bits(y, getattr(F, name)(x, option)) and same_bits(dx, getattr(F, f"{name}_backward")(x, x, option))
        if option == 0:
            assert same_bits(np.abs(y), np.maximum(x, 0)) and same_bits(np.abs(dx), np.abs(np.where(x > 0, x, 0)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("slope", [-2.0, -0.5, 0.0, 1.0, 2.5])
def test_any_slope(slope: float, dtype: Any, isa: str) -> None:
    """A slope or alpha may be negative, 0 or larger than 1."""
    x = np.concatenate([np.linspace(-3, 3, 61), [0.0, -0.0]]).astype(dtype)
    dy = np.linspace(1, 2, x.size).astype(dtype)
    assert same_bits(F.leaky_relu(x, slope), np.where(x > 0, x, dtype(slope) * x))
    assert same_bits(F.leaky_relu_backward(dy, x, slope), np.where(x > 0, dy, dtype(slope) * dy))
    wide = x.astype(np.float64)
    tolerance = 1e-6 if dtype is np.float32 else 1e-14
    want = np.where(x > 0, wide, slope * np.expm1(wide))
    np.testing.assert_allclose(F.elu(x, slope), want, rtol=tolerance, atol=1e-300)
    want = dy * np.where(x > 0, 1, slope * np.exp(wide))
    np.testing.assert_allclose(F.elu_backward(dy, x, slope), want, rtol=tolerance)


REFUSED: list[tuple[Callable[[Array], Any], str]] = [
    *(
        (call, f"^{name}: got {re.escape(repr(value))}, want a finite number")
        for value in (float("nan"), float("inf"), 1e39)
        for call, name in (
            (lambda x, v=value: F.leaky_relu(x, v), "negative_slope"),
            (lambda x, v=value: F.leaky_relu_backward(x, x, v), "negative_slope"),
            (lambda x, v=value: F.elu(x, v), "alpha"),
            (lambda x, v=value: F.softplus(x, v), "beta"),
            (lambda x, v=value: F.softplus(x, 1.0, v), "threshold"),
            (lambda x, v=value: F.bias_activation(x, None, "leaky_relu", alpha=v), "alpha"),
        )
    ),
    (lambda x: F.softplus(x, 0.0), "^beta: got 0.0, want a number > 0$"),
    (lambda x: F.softplus(x, -1.0), "^beta: got -1.0, want a number > 0$"),
    (lambda x: F.gelu(x, "erf"), "^approximate: got 'erf', want 'none' or 'tanh'$"),
    (lambda x: F.gelu_backward(x, x, "erf"), "^approximate: got 'erf', want 'none' or 'tanh'$"),
    (
        lambda x: F.bias_activation(x, None, "swish"),
        "^activation: got 'swish', want one of identity, relu, .*softplus$",
    ),
    (lambda x: F.bias_activation(x, alpha=0.5), "^alpha: got 0.5, want None for gelu, which has no option$"),
    (lambda x: F.bias_activation(x, p=1.5), r"^p: got 1.5, want a number in \[0"),
    (lambda x: F.bias_activation(x, p=float("nan")), r"^p: got nan, want a number in \[0"),
    (lambda x: F.bias_activation_backward(x, x, None, "gelu", F.DropoutMask(-0.1, 1, 2, 3)), "^p: got -0.1, want"),
    (lambda x: F.bias_activation(x[0, :1].reshape(())), re.escape("x: got shape (), want (..., C)")),
]


@pytest.mark.parametrize(("call", "sentence"), REFUSED)
def test_refusals(call: Callable[[Array], Any], sentence: str) -> None:
    """Options outside their range are refused."""
    with pytest.raises(ValueError, match=sentence):
        call(np.ones((2, 3), np.float32))


def test_no_elements() -> None:
    for shape in ((0,), (0, 3), (3, 0)):
        x = np.ones(shape)
        bias = np.ones(shape[-1:])
        assert same_bits(F.bias_activation(x, bias, p=0.5), x)
        dx, dbias = F.bias_activation_backward(x, x, bias)
        assert same_bits(dx, x) and same_bits(dbias, np.zeros_like(bias))
