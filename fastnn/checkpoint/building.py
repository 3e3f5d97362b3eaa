"""Builds the model that a description describes, see `description`; everything in it is checked."""

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, NamedTuple

from fastnn._allocation import Budget, limited
from fastnn._checks import float_dtype
from fastnn._options import Key, checked, keys
from fastnn._parameter import Parameter
from fastnn._problems import Problems
from fastnn._words import nearest
from fastnn.checkpoint.description import DEPTH, KNOWN, PLACES, Member, Unit, unit_of
from fastnn.checkpoint.values import decoded, is_scalar
from fastnn.nn.listing import Container
from fastnn.nn.module import Module
from fastnn.random import Generator, default_generator

_FIELDS: dict[str, type] = {
    "type": str, "options": dict, "eval": list, "frozen": list, "tied": dict, "dtype": str,
    "layers": list, "generators": list, "made": dict, "attributes": dict,
}  # fmt: skip
SPARE = 2**24
"""Bytes beyond the size of the model for layers that constructors make and drop."""
_REQUIRED = ("type", "options", "layers", "generators")


class UnknownLayer(ValueError):
    """A description has a layer of a class that is not given; `name` is the class's."""

    def __init__(self, sentence: str, name: str) -> None:
        super().__init__(sentence)
        self.name = ascii(name)[1:-1][:50]


def build(description: Any, types: Mapping[str, type[Module]], size: int) -> Module:
    """Build a model; its parameters have no values yet, and no generator has been used.

    Args:
        description: what `describe` returned, or anything that was found in a file.
        types: the classes of layers by name.
        size: the number of bytes that the parameters and buffers of this package's layers may take.

    Raises:
        ValueError: the description is none of a model, or one of a larger model; nothing larger has been allocated.
    """
    layers, generators = (_field(description, "model", name) for name in ("layers", "generators"))
    before = default_generator.state
    try:
        with limited(size + SPARE) as budget:
            building = _Building(types, [_generator(state) for state in generators], budget)
            for number, entry in enumerate(layers):
                building.add(f"layers[{number}]", entry)
    finally:
        default_generator.state = before
    if not building.layers:
        raise ValueError("layers: got none, want at least one")
    return building.layers[-1].module


def _generator(state: Any) -> Generator:
    generator = Generator(0)
    generator.state = state
    return generator


class _Layer(NamedTuple):
    module: Module
    unit: Unit
    depth: int
    places: int


class _Building:
    def __init__(self, types: Mapping[str, type[Module]], generators: list[Generator], budget: Budget) -> None:
        self.layers: list[_Layer] = []
        self._types, self._generators, self._budget, self._size = types, generators, budget, budget.left
        self._modules: set[int] = set()
        self._used: list[_Layer] = []

    def add(self, place: str, entry: Any) -> None:
        """Build a layer."""
        name = _field(entry, place, "type")
        place = f"{place} {name!r:.50}"
        for field in entry:
            if field not in _FIELDS or field in ("layers", "generators"):
                raise ValueError(f"{place}: got the unknown field {field!r:.50}, want {nearest(str(field), _FIELDS)}")
        if name not in self._types:
            raise UnknownLayer(f"{place}: got an unknown layer, want a class of your own in layers=, or "
                               f"{nearest(name, self._types)}", name)  # fmt: skip
        self._lend(place, entry, name)
        dtype = _field(entry, place, "dtype")
        self._budget.dtype = float_dtype(dtype) if dtype else None
        self._used = []
        module = self._made(place, self._types[name], _field(entry, place, "options"))
        unit = unit_of(module, self._modules)
        depth = 1 + max((layer.depth for layer in self._used), default=0)
        places = len(unit.modules) + sum(layer.places for layer in self._used)
        if depth > DEPTH or places > PLACES:
            raise ValueError(f"{place}: got {places} modules, {depth} deep, want at most {PLACES}, {DEPTH} deep")
        _set_flags(place, entry, unit)
        _set_attributes(place, _field(entry, place, "attributes"), unit)
        for key, reference in _field(entry, place, "tied").items():
            number, source = reference
            members = unit.members if number == len(self.layers) else self._find(reference)[0].unit.members
            _tie(f"{place}: {key!r:.50}", unit.members.get(key), members[source])
        unit = unit_of(module, self._modules)
        self._modules |= {id(child) for child in unit.modules.values()}
        self.layers.append(_Layer(module, unit, depth, places))

    def _lend(self, place: str, entry: Any, name: str) -> None:
        """Add the memory that the constructor needs for members which give it back when they are tied."""
        for number, source in _field(entry, place, "tied").values():
            if number != len(self.layers):
                self._budget.left += self._find([number, source])[0].unit.members[source].array.nbytes
            elif self._types[name] not in KNOWN.values():
                self._budget.left += self._size

    def _made(self, place: str, kind: type[Module], given: Mapping[Any, Any]) -> Module:
        options = {name: decoded(value, self._module, self._generator) for name, value in given.items()}
        if kind in KNOWN.values():
            _check_options(place, kind, options)
        try:
            module = kind.from_config(options)
        except Exception as error:
            raise ValueError(f"{place}: got options that its constructor refuses, {type(error).__name__}: "
                             f"{error}") from error  # fmt: skip
        if type(module) is not kind or id(module) in self._modules:
            raise ValueError(f"{place}: got {type(module).__name__} from from_config, want a new {kind.__name__}")
        return module

    def _module(self, reference: Any) -> Module:
        layer, path = self._find(reference)
        self._used.append(layer)
        return layer.unit.modules[path]

    def _find(self, reference: Any) -> tuple[_Layer, str]:
        number, name = reference
        if type(number) is not int or not 0 <= number < len(self.layers) or not isinstance(name, str):
            raise ValueError(f"layer: got {reference!r:.50}, want the number of an earlier layer, and a name")
        return self.layers[number], name

    def _generator(self, number: Any) -> Generator:
        if type(number) is not int or not 0 <= number < len(self._generators):
            raise ValueError(f"generator: got {number!r:.50}, want the number of one of {len(self._generators)}")
        return self._generators[number]


def _field(entry: Any, place: str, name: str) -> Any:
    """Return a field, or an empty one if it may be left out and is."""
    kind = _FIELDS[name]
    if not isinstance(entry, dict):
        raise ValueError(f"{place}: got {type(entry).__name__}, want a dict")
    value = entry.get(name, None if name in _REQUIRED else kind())
    if not isinstance(value, kind):
        raise ValueError(f"{place}: got {type(value).__name__} as {name}, want {kind.__name__}")
    return value


def _check_options(place: str, kind: Any, options: dict[str, Any]) -> None:
    """Raise ValueError unless a layer of this package has these options, with values of these types."""
    if issubclass(kind, Container):
        if len(options) != 1:
            raise ValueError(f"{place}: got the options {list(options)!r:.80}, want one with the modules")
        return
    rest = dict(options)
    if "generator" in inspect.signature(kind).parameters and isinstance(rest.get("generator"), Generator | None):
        rest.pop("generator", None)
    problems = Problems()
    checked(rest, place, _known(kind), problems)
    if sentences := problems.sentences(()):
        raise ValueError("; ".join(sentences))


@cache
def _known(kind: Any) -> dict[str, Key]:
    return keys(kind, "generator", dtype=Literal["float32", "float64"] | None)


def _set_flags(place: str, entry: Any, unit: Unit) -> None:
    """Set the modes of modules, and requires_grad of parameters."""
    evaluated, frozen = (set(_field(entry, place, name)) for name in ("eval", "frozen"))
    if evaluated - unit.modules.keys() or frozen - unit.members.keys():
        raise ValueError(f"{place}: got names in eval or frozen that it does not have, want its own")
    for path, child in unit.modules.items():
        child.training = path not in evaluated
    for key, member in unit.members.items():
        if isinstance(member.value, Parameter):
            member.value.requires_grad = key not in frozen


def _set_attributes(place: str, given: Mapping[Any, Any], unit: Unit) -> None:
    """Set attributes that are no options; of the layers of this package only such as they do not have."""
    for path, attributes in given.items():
        module = unit.modules[path]
        is_known = type(module) in KNOWN.values()
        for name, value in attributes.items():
            own = decoded(value, _none, _none)
            is_new = not hasattr(module, name)
            if not name.isidentifier() or name.startswith("_") or not is_scalar(own) or not (
                is_new or (not is_known and name != "training" and is_scalar(getattr(module, name)))
            ):  # fmt: skip
                raise ValueError(f"{place}: got the attribute {name!r:.50}, want one that is a number or a string")
            vars(module)[name] = own


def _none(reference: Any) -> Any:
    raise ValueError(f"got {reference!r:.50} as an attribute")


def _tie(place: str, target: Member | None, source: Member) -> None:
    """Put the object of another member into the place of a member."""
    if target is not None and target.value is source.value:  # the constructor has tied it
        return
    if target is None or type(target.value) is not type(source.value):
        raise ValueError(f"{place}: got a tie to something else, want a parameter or buffer of both layers")
    if target.array.shape != source.array.shape or target.array.dtype != source.array.dtype:
        raise ValueError(f"{place}: got a tie to {source.array.dtype} {source.array.shape}, want {target.array.dtype} "
                         f"{target.array.shape}")  # fmt: skip
    nest: Any = vars(target.module)
    *parts, last = target.name.split(".")
    for part in parts:
        nest = nest[_key(nest, part)]
    if isinstance(nest, tuple):
        raise ValueError(f"{place}: got a tie of a member of a tuple, want it in a list")
    nest[_key(nest, last)] = source.value


def _key(nest: Any, part: str) -> Any:
    return part if isinstance(nest, dict) and part in nest else int(part)
