"""Section [network]: a list of layers; each gets the size of its input from the layer before it."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fastnn import init, nn
from fastnn.data import Normalize
from fastnn.nn.activation import Activation
from fastnn.nn.listing import Container
from fastnn.nn.norm import Norm
from fastnn.runs.config.options import ConfigError, Part, Table, checked, chosen, is_complete, keys

WIDTHS = ("in_features", "num_features", "normalized_shape")
"""The arguments of layers for the size of their input, which the layer before determines."""
OUT = "out_features"

LAYERS = {name: item for name in nn.__all__ if isinstance(item := getattr(nn, name), type)
          and issubclass(item, nn.Module) and item is not nn.Module and not issubclass(item, Container)
          and is_complete(item, *WIDTHS)}  # fmt: skip


class Network:
    """The section, with `layers` in its long form.

    Args:
        layers: tables, each with the `type` and the options of a class of `fastnn.nn`. Sizes of inputs are never given;
            `out` stands for `out_features`, and may be left out of the last table: it is the number of classes.
        init: a rule of `fastnn.init.initialize`.
        seed: seed of the initial weights; by default that of the training.
    """

    def __init__(self, layers: Sequence[dict[str, Any]], init: str = "auto", seed: int | None = None) -> None:
        self.layers, self.init, self.seed = layers, init, seed


class Short:
    """The short form of `layers`: for each hidden size Linear, norm, activation and dropout, and a Linear at the end.

    Args:
        hidden: sizes of the hidden layers.
        activation, norm: names of layers; no norm by default.
        dropout: a probability; no dropout layers if it is 0.
    """

    def __init__(
        self, hidden: Sequence[int], activation: str = "ReLU", norm: str | None = None, dropout: float = 0.0
    ) -> None:
        self.hidden, self.activation, self.norm, self.dropout = hidden, activation, norm, dropout

    def parts(self) -> Iterator[Part]:
        """Yield the layers, with the keys of the short form for error messages."""
        for i, size in enumerate(self.hidden):
            yield Part(f"network.hidden[{i}]", nn.Linear, {OUT: size})
            if self.norm is not None:
                yield Part("network.norm", LAYERS[self.norm], {})
            yield Part("network.activation", LAYERS[self.activation], {})
            if self.dropout:
                yield Part("network.dropout", nn.Dropout, {"p": self.dropout})
        yield Part("network", nn.Linear, {})


def read_network(table: Table, problems: list[str]) -> tuple[list[Part], Network]:
    """Return the layers and the other keys of the section, and add its mistakes to the problems."""
    is_short = "layers" not in table
    known = keys(Network) | keys(Short)
    other = keys(Network if is_short else Short)
    known = {name: key._replace(required=key.required and name not in other) for name, key in known.items()}
    options = checked(table, "network", known, problems)
    if not is_short and (both := [name for name in keys(Short) if name in table]):
        problems.append(f"network.{both[0]}: got it beside layers, want either layers or the short form")
    rest: dict[str, Any] = {name: options.pop(name) for name in ("init", "seed") if name in options}
    _check_rule(rest, problems)
    network = Network(options.get("layers", []), **rest)
    if not is_short:
        return _read_layers(network.layers, problems), network
    for name, base in (("activation", Activation), ("norm", Norm)):
        if name in options:
            some = {key: layer for key, layer in LAYERS.items() if issubclass(layer, base)}
            if chosen(options, "network", name, some, problems) is None:
                del options[name]
    return list(Short(**options).parts()) if "hidden" in options else [], network


def build_layers(parts: Sequence[Part], features: int, classes: int) -> list[nn.Module]:
    """Build every layer for samples (N, features) and logits (N, classes), and run it once.

    Raises:
        ConfigError: a layer cannot be built, or does not accept the result of the layer before it.
    """
    x = np.zeros((2, features), np.float32)
    layers = []
    for part in parts:
        layer, x = _built(part, x, classes)
        layers.append(layer)
    return layers


def build_model(network: Network, parts: Sequence[Part], train: tuple[Any, Any], normalize: bool) -> nn.Sequential:
    """Build the model for the training part of the data, and initialise its weights."""
    x, y = train
    classes = y.shape[1] if y.ndim > 1 else 1 if y.dtype.kind == "f" else int(y.max()) + 1
    model = nn.Sequential(*build_layers(parts, x.shape[1], max(classes, 1)))
    if network.seed is None:
        init.initialize(model, network.init)
    else:
        init.initialize(model, network.init, network.seed)
    return nn.Sequential(Normalize(x.shape[1], dtype=x.dtype).fit(x), *model) if normalize else model


def _built(part: Part, x: Any, classes: int) -> tuple[nn.Module, Any]:
    """Build a layer and return it with its result for x; errors use the names of the file."""
    accepted = inspect.signature(part.make).parameters
    given: dict[str, Any] = {name: x.shape[1] for name in WIDTHS if name in accepted}
    if OUT in accepted:
        given[OUT] = classes
    if "dtype" in accepted:
        given["dtype"] = x.dtype
    try:
        layer: nn.Module = part.make(**given | part.options)
        y, _ = layer(x)
    except (TypeError, ValueError) as error:
        sentence = str(error).replace(OUT, "out")
        if "[" not in part.place or "hidden" in part.place:  # the short form has one name for class and option
            sentence = f": {sentence.partition(': ')[2]}"
        raise ConfigError([f"{part.place}.{sentence}".replace(".:", ":")]) from None
    return layer, y


def _read_layers(tables: Sequence[Mapping[str, Any]], problems: list[str]) -> list[Part]:
    parts = []
    sized = [i for i, table in enumerate(tables) if OUT in keys(LAYERS.get(str(table.get("type")), nn.ReLU))]
    for i, table in enumerate(tables):
        place = f"network.layers[{i}]"
        layer = chosen(table, place, "type", LAYERS, problems)
        if layer is None:
            continue
        known = {{OUT: "out"}.get(name, name): key for name, key in keys(layer, "dtype", "generator", *WIDTHS).items()}
        if "out" in known:
            known["out"] = known["out"]._replace(required=i != sized[-1])
        options = checked({k: v for k, v in table.items() if k != "type"}, place, known, problems)
        parts.append(Part(place, layer, {{"out": OUT}.get(name, name): value for name, value in options.items()}))
    if not tables:
        problems.append("network.layers: got none, want at least one")
    return parts


def _check_rule(rest: dict[str, Any], problems: list[str]) -> None:
    try:
        init.initialize(nn.Linear(1, 1), rest.get("init", "auto"), rest.get("seed", 0))
    except (TypeError, ValueError) as error:
        name, _, rest_of_it = str(error).partition(": ")
        problems.append(f"network.{ {'rule': 'init', 'generator': 'seed'}.get(name, name) }: {rest_of_it}")
