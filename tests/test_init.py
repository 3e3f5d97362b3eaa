"""Weight initialisation: bounds and deviations of torch's formulas, fans, gains, refused arguments."""

import inspect
import math
from typing import Any

import numpy as np
import pytest
from support import DTYPES, guarded

from fastnn import Generator, init, nn
from fastnn.random import default_generator

SHAPE = (300, 200, 3, 2)  # fan_in = 1200, fan_out = 1800
FAN = {"fan_in": 1200, "fan_out": 1800}
GAINS = [
    ("linear", None),
    ("conv2d", None),
    ("conv_transpose3d", None),
    ("sigmoid", None),
    ("tanh", None),
    ("relu", None),
    ("selu", None),
    ("leaky_relu", 0.2),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("gain", [1.0, 2.5])
def test_xavier(gain: float, dtype: Any) -> None:
    """The deviation is gain * sqrt(2 / (fan_in + fan_out)), to five sigma of its estimate."""
    std = gain * math.sqrt(2 / 3000)
    count = math.prod(SHAPE)
    normal = init.xavier_normal_(np.empty(SHAPE, dtype), gain, Generator(1)).astype(np.float64)
    assert abs(normal.std() / std - 1) < 5 / math.sqrt(2 * count) and abs(normal.mean()) < 5 * std / math.sqrt(count)
    uniform = init.xavier_uniform_(np.empty(SHAPE, dtype), gain, Generator(1)).astype(np.float64)
    bound = math.sqrt(3) * std
    assert -bound * (1 + 1e-7) <= uniform.min() < -bound * 0.999 and bound * 0.999 < uniform.max() < bound
    assert abs(uniform.std() / std - 1) < 5 / math.sqrt(count)


@pytest.mark.parametrize(("nonlinearity", "a"), GAINS)
@pytest.mark.parametrize("mode", FAN)
def test_kaiming(mode: str, nonlinearity: str, a: float | None) -> None:
    """The deviation is gain / sqrt(fan), for both fans and every gain."""
    slope = 0.0 if a is None else a
    std = init.calculate_gain(nonlinearity, slope) / math.sqrt(FAN[mode])
    normal = init.kaiming_normal_(np.empty(SHAPE), slope, mode, nonlinearity, Generator(2))
    assert abs(normal.std() / std - 1) < 5 / math.sqrt(2 * normal.size)
    uniform = init.kaiming_uniform_(np.empty(SHAPE), slope, mode, nonlinearity, Generator(2))
    bound = math.sqrt(3) * std
    assert -bound <= uniform.min() < -bound * 0.999 and bound * 0.999 < uniform.max() < bound


def test_gains_and_defaults_are_torchs() -> None:
    """Gains, argument names and defaults equal torch's."""
    theirs = pytest.importorskip("torch").nn.init
    for nonlinearity, param in GAINS:
        args = (nonlinearity,) if param is None else (nonlinearity, param)
        assert init.calculate_gain(*args) == pytest.approx(theirs.calculate_gain(*args), rel=1e-15)
    for name in (n for n in init.__all__ if hasattr(theirs, n)):
        ours, peers = (inspect.signature(getattr(module, name)).parameters for module in (init, theirs))
        assert list(ours) == list(peers)
        assert {k: p.default for k, p in ours.items()} == {k: p.default for k, p in peers.items()}


def test_leaky_gain_default() -> None:
    """The default slope of leaky_relu is torch's 0.01."""
    assert init.calculate_gain("leaky_relu") == math.sqrt(2 / (1 + 0.01**2))


@pytest.mark.parametrize("dtype", DTYPES)
def test_in_place(dtype: Any) -> None:
    """A fill writes only into the caller's memory and returns its argument, also a Parameter."""
    for fill in (init.uniform_, init.normal_, init.xavier_uniform_, init.kaiming_normal_):
        target = guarded((13, 7), dtype, 3)
        assert fill(target.array, generator=Generator(1)) is target.array
        target.check()
        parameter = nn.Parameter(np.zeros((13, 7), dtype))
        assert fill(parameter, generator=Generator(1)) is parameter
        np.testing.assert_array_equal(parameter.data, target.array)


ARGUMENTS: dict[str, tuple[Any, ...]] = {"constant_": (1.0,), "sparse_": (0.5,)}


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
@pytest.mark.parametrize("name", [name for name in init.__all__ if name.endswith("_")])
def test_empty(name: str, shape: tuple[int, ...]) -> None:
    """Empty arrays are returned unchanged, without a warning or a random number, as in PyTorch."""
    shape = (*shape, 3) if name == "dirac_" else shape
    before, fill = default_generator.state, getattr(init, name)
    for target in (np.empty(shape), np.empty(shape, np.float32), nn.Parameter(np.empty(shape))):
        assert fill(target, *ARGUMENTS.get(name, ())) is target and target.shape == shape
    assert default_generator.state == before


NAN, INF = math.nan, math.inf
REFUSALS: list[tuple[str, tuple[Any, ...], str]] = [
    ("xavier_uniform_", (NAN,), "got .*nan, want"),
    ("xavier_normal_", (-1.0,), "got -.*, want"),
    ("kaiming_normal_", (NAN,), "got nan, want"),
    ("kaiming_normal_", (0, "fan_avg"), "^mode: got 'fan_avg', want 'fan_in' or 'fan_out'"),
    ("kaiming_uniform_", (0, "fan_in", "swish"), "^nonlinearity: got 'swish', want one of linear, .*leaky_relu"),
]


@pytest.mark.parametrize(("name", "args", "sentence"), REFUSALS)
def test_refusals(name: str, args: tuple[Any, ...], sentence: str) -> None:
    """Bad options are refused; nothing is written and no random number is drawn."""
    target, generator = np.zeros((3, 3)), Generator(1)
    with pytest.raises(ValueError, match=sentence):
        getattr(init, name)(target, *args, generator=generator)
    assert not target.any() and generator.offset == 0


@pytest.mark.parametrize("name", ["xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_"])
def test_one_dimension_has_no_fan(name: str) -> None:
    """A vector, which has no fan, is refused."""
    with pytest.raises(ValueError, match=r"^tensor: got shape \(5,\), want at least two dimensions"):
        getattr(init, name)(np.empty(5))
