"""Fills whose scale depends on a tensor's shape and on the activation after the layer.

Sources: K. He et al., "Delving Deep into Rectifiers", ICCV 2015, section 2.2; X. Glorot, Y. Bengio,
"Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010, section 4.2.
"""

import math

from fastnn._checks import FLOAT32_MAX
from fastnn.random import RandomSource
from fastnn.random.fill import Target, as_array, normal_, real, uniform_

_LINEAR = ("linear", *(f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3)))
_GAINS = dict.fromkeys((*_LINEAR, "sigmoid"), 1.0) | {"tanh": 5 / 3, "relu": math.sqrt(2), "selu": 0.75}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the factor for a standard deviation of sqrt(1 / fan) in a layer before `nonlinearity`.

    Args:
        nonlinearity: linear, conv1d ... conv_transpose3d, sigmoid, tanh, relu, selu or leaky_relu.
        param: the negative slope of leaky_relu; None for 0.01.

    Raises:
        ValueError: the name is unknown, and the message lists the known ones; or param is not finite.
        TypeError: param is not a number.
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else _finite("param", param)) ** 2))
    if nonlinearity not in _GAINS:
        raise ValueError(f"nonlinearity: got {nonlinearity!r}, want one of {', '.join([*_GAINS, 'leaky_relu'])}; "
                         "use 'linear' for a layer without one")  # fmt: skip
    return _GAINS[nonlinearity]


def xavier_uniform_(tensor: Target, gain: float = 1.0, generator: RandomSource | None = None) -> Target:
    """Fill with uniform values in +-gain * sqrt(6 / (fan_in + fan_out))."""
    bound = math.sqrt(3) * _xavier_std(tensor, gain)
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Target, gain: float = 1.0, generator: RandomSource | None = None) -> Target:
    """Fill with normal values of standard deviation gain * sqrt(2 / (fan_in + fan_out))."""
    return normal_(tensor, 0.0, _xavier_std(tensor, gain), generator)


def kaiming_uniform_(
    tensor: Target,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: RandomSource | None = None,
) -> Target:
    """Fill with uniform values in +-gain * sqrt(3 / fan).

    Args:
        tensor: (out, in) or (out, in, ...), at least two dimensions.
        a: the negative slope, for leaky_relu.
        mode: "fan_in" keeps the scale of the forward signal, "fan_out" that of the gradients.
        nonlinearity: the activation after the layer, see `calculate_gain`.
    """
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Target,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: RandomSource | None = None,
) -> Target:
    """Fill with normal values of standard deviation gain / sqrt(fan); arguments as in `kaiming_uniform_`."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def lecun_uniform_(tensor: Target, generator: RandomSource | None = None) -> Target:
    """Fill with uniform values in +-sqrt(3 / fan_in).

    Source: Y. LeCun et al., "Efficient BackProp", in: Neural Networks: Tricks of the Trade, 1998, section 4.6.
    """
    return kaiming_uniform_(tensor, nonlinearity="linear", generator=generator)


def lecun_normal_(tensor: Target, generator: RandomSource | None = None) -> Target:
    """Fill with normal values of standard deviation 1 / sqrt(fan_in); same source as `lecun_uniform_`."""
    return kaiming_normal_(tensor, nonlinearity="linear", generator=generator)


glorot_uniform_, glorot_normal_ = xavier_uniform_, xavier_normal_
he_uniform_, he_normal_ = kaiming_uniform_, kaiming_normal_


def _fans(tensor: object) -> tuple[int, int]:
    shape = as_array(tensor).shape
    if len(shape) < 2:
        raise ValueError(f"tensor: got shape {shape}, want at least two dimensions, since fan_in and fan_out need "
                         "them; fill vectors with uniform_ or normal_")  # fmt: skip
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def _xavier_std(tensor: object, gain: float) -> float:
    factor = _finite("gain", gain)
    if factor < 0:
        raise ValueError(f"gain: got {gain!r}, want a finite number >= 0; pass 1, for example")
    return factor * math.sqrt(2 / max(1, sum(_fans(tensor))))  # both fans of an empty tensor may be 0


def _kaiming_std(tensor: object, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode: got {mode!r}, want 'fan_in' or 'fan_out'; leave it out for 'fan_in'")
    fan = _fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, _finite("a", a)) / math.sqrt(max(1, fan))


def _finite(name: str, value: object) -> float:
    number = real(name, value)
    if not abs(number) < FLOAT32_MAX:
        raise ValueError(f"{name}: got {value!r}, want a finite number; pass 1, for example")
    return number
