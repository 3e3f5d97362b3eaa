"""Initialises all parameters of a model according to their layers and the activations after them."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from fastnn._parameter import Parameter
from fastnn.init.orthogonal import orthogonal_
from fastnn.init.scaled import calculate_gain, kaiming_normal_, lecun_normal_, xavier_normal_
from fastnn.init.structured import ones_, zeros_
from fastnn.nn.module import Module
from fastnn.nn.norm import Norm
from fastnn.random import Generator, RandomSource, as_generator

Model = TypeVar("Model", bound=Module)
Fill = Callable[[Any, Generator, Any], object]


def _he(weight: Any, generator: Generator, _: Any) -> None:
    kaiming_normal_(weight, nonlinearity="relu", generator=generator)


def _xavier(weight: Any, generator: Generator, _: Any) -> None:
    xavier_normal_(weight, generator=generator)


def _slope(name: str, param: float | None) -> float:
    """Return the slope below 0 of a ReLU, or of a leaky one, whose default is 0.01 as in `calculate_gain`."""
    return param if param is not None else 0.01 if name == "leaky_relu" else 0.0


def _auto(weight: Any, generator: Generator, activation: Any) -> None:
    name, param = getattr(activation, "nonlinearity", ("linear", None))
    if name in ("relu", "leaky_relu"):
        kaiming_normal_(weight, a=_slope(name, param), nonlinearity=name, generator=generator)
    else:
        xavier_normal_(weight, calculate_gain(name, param), generator)


RULES: dict[str, Fill] = {
    "auto": _auto,
    "he": _he,
    "kaiming": _he,
    "xavier": _xavier,
    "glorot": _xavier,
    "lecun": lambda weight, generator, _: lecun_normal_(weight, generator),
    "orthogonal": lambda weight, generator, _: orthogonal_(weight, generator=generator),
}


def initialize(model: Model, rule: str = "auto", seed: RandomSource | None = None) -> Model:
    """Set every weight and bias of a model, and return the model.

    Weights, the parameters with two or more dimensions, get normal values. With "auto", weights before ReLU and similar
    activations (leaky ReLU with its slope, ELU, GELU, SiLU, Softplus) get He initialisation with fan_in; weights before
    tanh and sigmoid get Xavier initialisation with `calculate_gain`; weights before no activation, as in the last
    layer, get Xavier initialisation with gain 1, which keeps both logits and gradients small. Norms and dropout in
    between are ignored. Biases become 0, weights of norms 1, and their running statistics those of a new layer. Other
    one-dimensional parameters are not changed.

    Args:
        model: a `fastnn.nn.Module`. "Before" refers to the order of its members.
        rule: "auto", or one rule for all weights: "he" or "kaiming" (for ReLU), "xavier" or "glorot", "lecun",
            "orthogonal".
        seed: source of the numbers: each weight gets its own stream, spawned by its position among the weights, so that
            changing the shape of one weight changes no other. None spawns from the default generator.

    Raises:
        TypeError: model is not a Module.
        ValueError: the rule is unknown, or the model has no parameters.

    Sources: K. He et al., ICCV 2015, section 2.2; X. Glorot, Y. Bengio, AISTATS 2010, section 4.2; for "orthogonal"
    A. Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks", ICLR 2014.
    """
    if not isinstance(model, Module):
        raise TypeError(f"model: got {type(model).__name__}, want a fastnn.nn.Module; he_normal_ fills arrays")
    if rule not in RULES:
        raise ValueError(f"rule: got {rule!r}, want one of {', '.join(RULES)}; leave it out for 'auto'")
    if not any(True for _ in model.parameters()):
        raise ValueError(
            "model: got a model without parameters, want at least one layer with parameters; add an nn.Linear"
        )
    modules = list(_walk(model))
    weights = [(i, p) for i, module in enumerate(modules) for p in _weights(module)]
    places = {id(p): (i, p) for i, p in reversed(weights)}  # a shared weight counts at its first position
    first = [place for place in weights if places[id(place[1])] == place]
    for (i, weight), generator in zip(first, as_generator(seed).spawn(len(first)), strict=True):
        RULES[rule](weight, generator, _activation_after(modules, i))
    for module in modules:
        _reset(module)
    return model


def _own(module: Module) -> Iterator[tuple[str, Parameter]]:
    return ((name, value) for name, value in module._members() if isinstance(value, Parameter))


def _walk(module: Module) -> Iterator[Module]:
    """Yield the modules of a tree, parents first; shared modules come once per position."""
    yield module
    for _, child in module.named_children():
        yield from _walk(child)


def _weights(module: Module) -> list[Parameter]:
    return [] if isinstance(module, Norm) else [p for _, p in _own(module) if len(p.shape) > 1]


def _activation_after(modules: list[Module], i: int) -> Module | None:
    for module in modules[i + 1 :]:
        if hasattr(module, "nonlinearity"):
            return module
        if _weights(module):
            return None
    return None


def _reset(module: Module) -> None:
    for name, parameter in _own(module):
        if name == "bias":
            zeros_(parameter)
        elif isinstance(module, Norm):
            ones_(parameter)
    for name, value in (("running_mean", 0), ("running_var", 1), ("num_batches_tracked", 0)):
        if getattr(module, name, None) is not None:
            getattr(module, name)[...] = value
