"""The description of a model: a list of its layers with their options. `describe` makes it, `build` rebuilds the model.

A layer comes after those that its options contain, and the model is the last one. An entry of the list has "type", the
name of the class; "options", see `values`; and, unless they are empty, "eval", the paths of the modules in evaluation
mode; "frozen", the names of the parameters without requires_grad; and "tied": {name: [number of an earlier entry, name
there]} for parameters and buffers that are the same objects. Paths and names begin at the layer, and include the
modules that its constructor makes; "dtype" is the one of all their floats, if the class is not one of this package.
"made" has the class and the options of each of these modules by path; "attributes" has the numbers, strings, booleans
and None by path that a module keeps in attributes which are no arguments, unless their names begin with "_".
"""

from collections.abc import Container, Iterator
from typing import Any, NamedTuple

import numpy as np

from fastnn import nn
from fastnn._parameter import Parameter
from fastnn._types import FLOATS, AnyArray
from fastnn.checkpoint.values import encoded, is_scalar, scalar
from fastnn.data.normalize import Normalize
from fastnn.nn.listing import Layers
from fastnn.nn.module import Module
from fastnn.random import Generator

KNOWN: dict[str, type[Module]] = {
    **{name: item for name in nn.__all__ if isinstance(item := getattr(nn, name), type)
       and issubclass(item, Module) and item is not Module},
    "Normalize": Normalize,
}  # fmt: skip
"""The layers of this package by name."""
DEPTH = 100
"""How many modules may lie within each other."""
PLACES = 2**17
"""How many places of modules a tree may have; a shared module has several."""


class Member(NamedTuple):
    """A parameter or buffer, and the module that has it under a name."""

    module: Module
    name: str
    value: Any

    @property
    def array(self) -> AnyArray:
        """The values."""
        return self.value.data if isinstance(self.value, Parameter) else self.value


class Unit(NamedTuple):
    """A layer with what its constructor makes: modules by path and members by name, without layers in its options."""

    modules: dict[str, Module]
    members: dict[str, Member]


def unit_of(module: Module, others: Container[int]) -> Unit:
    """Return the unit of a layer; `others` has the ids of the modules that belong to other units."""
    modules = {path: child for path, child in _below(module, "", others, set())}
    members = {(f"{path}.{name}" if path else name): Member(child, name, value)
               for path, child in modules.items() for name, value in child._members()
               if isinstance(value, Parameter | np.ndarray)}  # fmt: skip
    return Unit(modules, members)


def _below(module: Module, path: str, others: Container[int], seen: set[int]) -> Iterator[tuple[str, Module]]:
    if path.count(".") > DEPTH:
        raise ValueError(f"model: got modules {DEPTH} deep within each other, want fewer; make the model flatter")
    seen.add(id(module))
    yield path, module
    for name, child in module.named_children():
        if id(child) not in others and id(child) not in seen:
            yield from _below(child, f"{path}.{name}" if path else name, others, seen)


def describe(model: Module) -> tuple[dict[str, Any], dict[str, type[Module]]]:
    """Return the description of a model, and the classes of its layers by name.

    Raises:
        TypeError, ValueError: the options of a layer are not known, or a file cannot hold them; the message says which,
            and what to define.
    """
    description = _Description()
    description.add(model, 1)
    generators = [generator.state for generator in description.generators]
    return {"layers": description.entries, "generators": generators}, description.types


class _Description:
    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.types: dict[str, type[Module]] = {}
        self.generators: list[Generator] = []
        self._modules: dict[int, list[Any]] = {}
        self._members: dict[int, list[Any]] = {}

    def add(self, module: Module, depth: int) -> list[Any]:
        """Add a module, unless it is there already, and return [number of its entry, path there]."""
        if id(module) in self._modules:
            return self._modules[id(module)]
        if depth > DEPTH:
            raise ValueError(f"model: got modules {DEPTH} deep within each other, want fewer; make the model flatter")
        kind = type(module).__name__
        options = {
            name: encoded(f"{kind}.{name}", value, lambda child: self.add(child, depth + 1), self._generator)
            for name, value in module.get_config().items()
        }
        unit = unit_of(module, self._modules)
        entry: dict[str, Any] = {"type": self._type(module), "options": options}
        rest = self._flags(kind, unit) | {"made": made_of(unit), "attributes": _attributes(unit)}
        entry |= {key: value for key, value in rest.items() if value}
        if type(module) is not KNOWN.get(kind) and len(dtypes := _floats(unit)) == 1:
            entry["dtype"] = dtypes.pop()
        number = len(self.entries)
        self.entries.append(entry)
        self._modules |= {id(child): [number, path] for path, child in unit.modules.items()}
        return [number, ""]

    def _flags(self, kind: str, unit: Unit) -> dict[str, Any]:
        number, tied = len(self.entries), {}
        for name, member in unit.members.items():
            place = self._members.setdefault(id(member.value), [number, name])
            if place != [number, name]:
                tied[name] = place
            elif self._members.setdefault(id(member.array), place) != place:
                raise ValueError(f"{kind}.{name}: got the memory of another Parameter, want the same Parameter; assign "
                                 "that, and not a new one")  # fmt: skip
        return {
            "eval": [path for path, child in unit.modules.items() if not child.training],
            "frozen": [name for name, m in unit.members.items() if not getattr(m.value, "requires_grad", True)],
            "tied": tied,
        }

    def _type(self, module: Module) -> str:
        kind, name = type(module), type(module).__name__
        if self.types.setdefault(name, kind) is not kind or KNOWN.get(name, kind) is not kind:
            raise ValueError(f"{name}: got {kind.__module__}.{kind.__qualname__} and another class of that name, "
                             "want one; rename the class")  # fmt: skip
        return name

    def _generator(self, generator: Generator) -> int:
        if not any(generator is other for other in self.generators):
            self.generators.append(generator)
        return next(i for i, other in enumerate(self.generators) if generator is other)


def made_of(unit: Unit) -> dict[str, list[Any]]:
    """Return the class and the options of each module of a unit but the first, by path; own classes have no options."""
    found: dict[str, list[Any]] = {}
    for path, module in unit.modules.items():
        kind, options = type(module), {}
        if KNOWN.get(kind.__name__) is kind and not isinstance(module, nn.ModuleDict | Layers):
            options = {name: value for name, value in module.get_config().items() if not isinstance(value, Generator)}
        found |= {path: [kind.__name__, {name: encoded(name, value, _no, _no) for name, value in options.items()}]}
    return {path: made for path, made in found.items() if path}


def _attributes(unit: Unit) -> dict[str, dict[str, Any]]:
    """Return what modules keep in attributes beside their options, by path."""
    found = {}
    for path, module in unit.modules.items():
        is_known = KNOWN.get(type(module).__name__) is type(module)
        options = module.get_config() if is_known or not path else {}
        found[path] = {
            name: scalar(value)
            for name, value in vars(module).items()
            if is_scalar(value) and name not in options and name != "training" and not name.startswith("_")
            and not (is_known and value is None)  # an affine=False, for one
        }  # fmt: skip
    return {path: attributes for path, attributes in found.items() if attributes}


def _no(_: Any) -> Any:
    raise TypeError("got a module or generator in the options of a layer that has none")


def _floats(unit: Unit) -> set[str]:
    return {m.array.dtype.name for m in unit.members.values() if m.array.dtype in FLOATS}
