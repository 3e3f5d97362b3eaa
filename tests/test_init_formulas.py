"""Initialisers follow their formulas, value by value, for the numbers that their generator gives."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from support import DTYPES, guarded, same_bits

from fastnn import Generator, init
from fastnn import random as draws

GAINS = {
    **dict.fromkeys(("linear", "conv1d", "conv2d", "conv3d", "sigmoid"), 1.0),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), 1.0),
    "tanh": 5 / 3,
    "relu": 2**0.5,
    "selu": 0.75,
}
# The slope of leaky_relu, and its gain.
SLOPES = {
    None: (2 / 1.0001) ** 0.5,
    0.0: 2**0.5,
    0.01: (2 / 1.0001) ** 0.5,
    0.2: (2 / 1.04) ** 0.5,
    1: 1.0,
    -2: 0.4**0.5,
}


@pytest.mark.parametrize("name", GAINS)
def test_gains(name: str) -> None:
    """Gains equal PyTorch's; the parameter matters only for leaky_relu."""
    assert init.calculate_gain(name) == init.calculate_gain(name, 0.3) == pytest.approx(GAINS[name], rel=1e-15)


@pytest.mark.parametrize("slope", SLOPES)
def test_leaky_gains(slope: float | None) -> None:
    """The gain is sqrt(2 / (1 + slope^2))."""
    assert init.calculate_gain("leaky_relu", slope) == pytest.approx(SLOPES[slope], rel=1e-15)
    assert slope is not None or init.calculate_gain("leaky_relu") == init.calculate_gain("leaky_relu", 0.01)


# Shape (out, in, kernel ...) -> fan_in and fan_out.
FANS = {(3, 5): (5, 3), (7, 2, 3): (6, 21), (4, 3, 2, 5): (30, 40), (2, 3, 1, 2, 2): (12, 8), (1, 1): (1, 1)}
OF_SHAPE = pytest.mark.parametrize("shape", FANS)


def _check(found: Any, std: float, shape: tuple[int, ...], dtype: Any, is_normal: bool) -> None:
    """Assert that values are the unit draw times the deviation; a uniform draw of deviation 1 ends at sqrt(3)."""
    draw = draws.normal_ if is_normal else draws.uniform_
    unit = draw(np.empty(shape, dtype), 0.0, 1.0, Generator(5)).astype(np.float64)
    want = unit * std if is_normal else (2 * unit - 1) * std * math.sqrt(3)
    np.testing.assert_allclose(found, want, rtol=0, atol=8 * np.finfo(dtype).eps * std)


@OF_SHAPE
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kind", "is_normal"), [("normal_", True), ("uniform_", False)])
def test_by_fans(kind: str, is_normal: bool, dtype: Any, shape: tuple[int, ...]) -> None:
    """Xavier, Kaiming (He) and LeCun initialisers, with their aliases, modes and gains, have the right deviation."""
    fan_in, fan_out = FANS[shape]

    def fill(name: str, *args: Any) -> Any:
        return getattr(init, f"{name}_{kind}")(np.empty(shape, dtype), *args, generator=Generator(5))

    for name in ("xavier", "glorot"):
        for args, gain in (((), 1.0), ((2.5,), 2.5)):
            _check(fill(name, *args), gain * math.sqrt(2 / (fan_in + fan_out)), shape, dtype, is_normal)
    for name in ("kaiming", "he"):
        for args, gain, fan in (
            ((), 2**0.5, fan_in),
            ((1,), 1.0, fan_in),
            ((0.2, "fan_out"), (2 / 1.04) ** 0.5, fan_out),
            ((0.2, "fan_out", "tanh"), 5 / 3, fan_out),
            ((0, "fan_in", "relu"), 2**0.5, fan_in),
        ):
            _check(fill(name, *args), gain / math.sqrt(fan), shape, dtype, is_normal)
    _check(fill("lecun"), 1 / math.sqrt(fan_in), shape, dtype, is_normal)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (7,), (2, 3, 4)])
def test_constants(shape: tuple[int, ...], dtype: Any) -> None:
    """The constant is written bit for bit, whatever the memory held before, and nowhere else."""
    calls = [("ones_", (), 1.0), ("zeros_", (), 0.0)]
    calls += [("constant_", (value,), value) for value in (0.1, -0.0, math.inf, -math.inf, math.nan, 3, 3.4e38)]
    for name, args, value in calls:
        target = guarded(shape, dtype, 3, fill=math.nan)
        assert getattr(init, name)(target.array, *args) is target.array
        target.check()
        assert same_bits(target.array, np.full(shape, value, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (3, 7), (7, 3), (1, 5), (5, 1)])
def test_identity(shape: tuple[int, int], dtype: Any) -> None:
    """Ones are written on the diagonal, zeros elsewhere, and nothing outside the array."""
    target = guarded(shape, dtype, 3, fill=math.nan)
    assert init.eye_(target.array) is target.array
    target.check()
    assert same_bits(target.array, np.eye(*shape, dtype=dtype))


KERNELS = [(1,), (2,), (3,), (4,), (2, 3), (4, 1), (1, 2, 3), (4, 2, 5)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_deltas(kernel: tuple[int, ...], dtype: Any) -> None:
    """Output channel d of a group has a one in the middle of input channel d, if there is such a channel."""
    for groups, out, channels in itertools.product((1, 2, 3), (1, 2, 4), (1, 2, 3)):
        shape = (groups * out, channels, *kernel)
        want = np.zeros(shape, dtype)
        for group, d in itertools.product(range(groups), range(min(out, channels))):
            want[(group * out + d, d, *(size // 2 for size in kernel))] = 1
        target = guarded(shape, dtype, 3, fill=math.nan)
        assert init.dirac_(target.array, groups) is target.array
        target.check()
        assert same_bits(target.array, want)


@pytest.mark.parametrize("rows", [1, 5, 10, 20, 30, 100])
def test_number_of_zeros(rows: int) -> None:
    """Each column has ceil(sparsity * rows) zeros, for every hundredth."""
    for hundredths in range(101):
        zeros = init.sparse_(np.empty((rows, 4)), hundredths / 100, generator=Generator(4)) == 0
        assert (zeros.sum(axis=0) == math.ceil(hundredths / 100 * rows)).all()
