"""Section [network]: a list of layers; each gets the size of its input from the layer before it."""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fastnn import init, nn
from fastnn._options import Key, Part, Table, checked, is_complete, keys, resolved
from fastnn._problems import ConfigError, Problems, attempt
from fastnn.data import Normalize
from fastnn.nn.activation import Activation
from fastnn.nn.initialize import RULES
from fastnn.nn.listing import Container
from fastnn.nn.norm import Norm
from fastnn.runs.config.heads import head, outputs

WIDTHS = ("in_features", "num_features", "normalized_shape")
"""The arguments of layers for the size of their input, which the layer before determines."""
OUT = "out_features"
NONE = "none"
AROUND = ("norm", "activation", "dropout")
"""What may follow a Linear, in this order."""

LAYERS = {name: item for name in nn.__all__ if isinstance(item := getattr(nn, name), type)
          and issubclass(item, nn.Module) and item is not nn.Module and not issubclass(item, Container)
          and is_complete(item, *WIDTHS)}  # fmt: skip
BLOCKS = {"Residual": nn.Residual}
"""Layers that have layers of their own."""
ACTIVATIONS = {name: layer for name, layer in LAYERS.items() if issubclass(layer, Activation)} | {NONE: None}
NORMS = {name: layer for name, layer in LAYERS.items() if issubclass(layer, Norm) and layer is not nn.BatchNorm2d} | {
    NONE: None}  # fmt: skip
"""The norms of rows."""


class Network:
    """The section, with `layers` in its long form.

    Args:
        layers: tables, each with the `type` and the options of a class of `fastnn.nn`. Sizes of inputs are never given;
            `out` stands for `out_features`, and may be left out of the last table: it is the number of outputs.
        init: a rule of `fastnn.init.initialize`.
        seed: seed of the initial weights; by default that of the training.
    """

    def __init__(self, layers: Sequence[dict[str, Any]], init: str = "auto", seed: int | None = None) -> None:
        self.layers, self.init, self.seed = layers, init, seed


class Short:
    """The short form of `layers`: for each hidden size Linear, norm, activation and dropout, and a Linear at the end.

    Args:
        hidden: sizes of the hidden layers.
        activation, norm: names of layers, or a list with one for each hidden layer; "none" for none.
        dropout: a probability, or a list of them; no dropout layers where it is 0.
    """

    def __init__(
        self,
        hidden: Sequence[int],
        activation: str | Sequence[str] = "ReLU",
        norm: str | Sequence[str] = "none",
        dropout: float | Sequence[float] = 0.0,
    ) -> None:
        self.hidden, self.activation, self.norm, self.dropout = hidden, activation, norm, dropout

    def parts(self, problems: Problems | None = None) -> Iterator[Part]:
        """Yield the layers, with the keys of the short form for error messages."""
        problems = Problems() if problems is None else problems
        for i, size in enumerate(self.hidden):
            yield Part(f"network.hidden[{i}]", nn.Linear, {OUT: size})
            for name in AROUND:
                value, place = getattr(self, name), f"network.{name}"
                if isinstance(value, list):
                    if len(value) != len(self.hidden):
                        problems.add(place, f"got {len(value)}, want {len(self.hidden)}, one for each of hidden")
                        continue
                    value, place = value[i], f"{place}[{i}]"
                yield from _around(place, name, value, problems)
        yield Part("network", nn.Linear, {})


def read_network(table: Table, problems: Problems) -> tuple[list[Part], Network]:
    """Return the layers and the other keys of the section, and add its mistakes to the problems."""
    is_short = "layers" not in table
    known = keys(Network) | keys(Short)
    other = keys(Network if is_short else Short)
    known = {name: key._replace(required=key.required and name not in other) for name, key in known.items()}
    options = checked(table, "network", known, problems)
    if not is_short and "hidden" in table:
        problems.add("network.hidden", "got it beside layers, want either layers or hidden")
    rest: dict[str, Any] = {name: options.pop(name) for name in ("init", "seed") if name in options}
    _check_rule(rest, problems)
    network = Network(options.pop("layers", []), **rest)
    if is_short:
        return list(Short(**options).parts(problems)) if "hidden" in options else [], network
    return _read_layers(network.layers, "network.layers", options, problems), network


def build_layers(parts: Sequence[Part], features: int, size: int, problems: Problems | None = None) -> list[nn.Module]:
    """Build every layer for samples (N, features) and outputs (N, size), and run it once.

    Args:
        problems: where all mistakes are added that do not depend on the number of features; a layer that cannot be
            built is then left out.

    Raises:
        ConfigError: a layer cannot be built, or does not accept the result of the layer before it.
    """
    found = Problems() if problems is None else problems
    layers, _ = _built(parts, np.zeros((2, features), np.float32), size, found, problems is None)
    if problems is None and (sentences := found.sentences(())):
        raise ConfigError(sentences)
    return layers


def build_model(
    network: Network, parts: Sequence[Part], train: tuple[Any, Any], normalize: bool, loss: Any = nn.CrossEntropyLoss
) -> nn.Sequential:
    """Build the model for the training part of the data and a class of losses, and initialise its weights."""
    x, y = train
    layers = build_layers(parts, x.shape[1], outputs(loss, y))
    model = nn.Sequential(*layers, *head(loss, not network.layers))
    if network.seed is None:
        init.initialize(model, network.init)
    else:
        init.initialize(model, network.init, network.seed)
    return nn.Sequential(Normalize(x.shape[1], dtype=x.dtype).fit(x), *model) if normalize else model


def _built(parts: Sequence[Part], x: Any, size: int, problems: Problems, is_known: bool) -> tuple[list[nn.Module], Any]:
    """Build layers, the last Linear with `size` outputs, and return them with their result for x.

    Args:
        is_known: whether the width of x is that of the data, and not made up.
    """
    layers = []
    for part in parts:
        layer = _layer(part, x, size, problems, is_known)
        if layer is None:
            continue
        try:
            x, _ = layer(x)
            layers.append(layer)
        except (TypeError, ValueError) as error:
            if is_known or part.make is not nn.Residual:
                problems.add(*_told(part, str(error)))
        is_known = is_known or part.make is nn.Linear
    return layers, x


def _layer(part: Part, x: Any, size: int, problems: Problems, is_known: bool) -> nn.Module | None:
    """Build a layer for inputs like x; errors use the names of the file."""
    if part.make is nn.Residual:
        return nn.Residual(*_built(part.options["layers"], x, x.shape[-1], problems, is_known)[0])
    accepted = inspect.signature(part.make).parameters
    given: dict[str, Any] = {name: x.shape[1] for name in WIDTHS if name in accepted}
    if OUT in accepted:
        given[OUT] = size
    if "dtype" in accepted:
        given["dtype"] = x.dtype
    own = Problems()
    layer: nn.Module | None = attempt(own, "", part.make, part.options, **given)
    for sentence in own.sentences(()):
        problems.add(*_told(part, sentence.removeprefix(".")))
    return layer


def _told(part: Part, sentence: str) -> tuple[str, str]:
    """Return the place and the rest of an error of a layer, in the names of the file."""
    name, _, rest = sentence.replace(OUT, "out").partition(": ")
    if part.make is nn.Residual:
        rest = rest.partition("; ")[0] + "; leave out the size of the last Linear in it"
    is_table = re.search(r"layers\[\d+\]$", part.place)  # else one key stands for the class and its option
    return (f"{part.place}.{name}" if is_table else part.place), rest


def _around(place: str, name: str, value: Any, problems: Problems) -> Iterator[Part]:
    """Yield the layer that norm, activation or dropout stands for, if any."""
    if name == "dropout":
        if value:
            yield Part(place, nn.Dropout, {"p": value})
        return
    layer = resolved(value, place, NORMS if name == "norm" else ACTIVATIONS, problems)
    if layer is not None:
        yield Part(place, layer, {})


def _read_layers(
    tables: Sequence[Mapping[str, Any]], place: str, around: Mapping[str, Any], problems: Problems
) -> list[Part]:
    """Return the layers of tables; `around` is what follows each Linear but the last."""
    if not tables:
        problems.add(place, "got none, want at least one")
    for name, value in around.items():
        if isinstance(value, list) and name in AROUND:
            problems.add(f"network.{name}", "got a list beside layers, want one for all layers, or one in each table")
    around = {name: value for name, value in around.items() if not isinstance(value, list)}
    parts: list[Part] = []
    names = LAYERS | BLOCKS
    kinds = [resolved(table.get("type"), f"{place}[{i}].type", names, problems) for i, table in enumerate(tables)]
    sized = [i for i, kind in enumerate(kinds) if kind is nn.Linear]
    for i, (table, kind) in enumerate(zip(tables, kinds, strict=True)):
        own = {name: value for name, value in table.items() if name != "type"}
        if kind is nn.Residual:
            options = checked(own, f"{place}[{i}]", keys(Network, "init", "seed"), problems)
            inner = _read_layers(options["layers"], f"{place}[{i}].layers", around, problems) if options else []
            parts.append(Part(f"{place}[{i}]", kind, {"layers": inner}))
        elif kind is not None:
            parts += _read_layer(own, f"{place}[{i}]", kind, i == (sized or [-1])[-1], around, problems)
    return parts


def _read_layer(
    table: Table, place: str, kind: Any, is_last: bool, around: Mapping[str, Any], problems: Problems
) -> Iterator[Part]:
    """Yield a layer and what follows it."""
    known: dict[str, Key] = {{OUT: "out"}.get(name, name): key
                             for name, key in keys(kind, "dtype", "generator", *WIDTHS).items()}  # fmt: skip
    if "out" in known:
        known["out"] = known["out"]._replace(required=not is_last)
        known |= keys(Short, "hidden", norm=str, activation=str, dropout=float)
    options = checked(table, place, known, problems)
    follow = {name: (f"{place}.{name}", options.pop(name)) for name in AROUND if name in options}
    yield Part(place, kind, {{"out": OUT}.get(name, name): value for name, value in options.items()})
    if "out" in known:
        general = {} if is_last else {name: (f"network.{name}", value) for name, value in around.items()}
        for name in AROUND:
            if name in general | follow:
                where, value = (general | follow)[name]
                yield from _around(where, name, value, problems)


def _check_rule(rest: dict[str, Any], problems: Problems) -> None:
    """Check the rule and the seed of initial weights; "he_normal" and "kaiming_normal_" are the rule "he"."""
    if "init" in rest:
        word = rest["init"]
        rules = {rule: rule for rule in RULES}
        short = re.sub(r"[\s_-]*normal_?$", "", word, flags=re.IGNORECASE)
        found = resolved(word if short in ("", word) else short, "network.init", rules, problems)
        rest["init"] = found or "auto"
    own = Problems()
    attempt(own, "network", init.initialize, {"seed": rest.get("seed", 0)}, nn.Linear(1, 1))
    for sentence in own.sentences(()):
        problems.add("network.seed", sentence.partition(": ")[2])
