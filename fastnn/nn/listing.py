"""Base classes of containers, whose children are changed as the items of a list or a dict, and their checks."""

import copy
from collections.abc import Iterable, Iterator
from typing import Any, Self, overload

from fastnn._checks import integer, ordered
from fastnn.nn.module import Module


class Container(Module):
    """Base class of modules whose children have names of their own: "0.weight", not "layers.0.weight"."""

    def __init__(self) -> None:
        self._layers: dict[str, Module] = {}

    def __len__(self) -> int:
        return len(self._layers)

    def _members(self) -> Iterator[tuple[str, object]]:
        return ((name.removeprefix("_layers."), value) for name, value in super()._members())


class Layers(Container):
    """Base class of containers that are lists. Names that are numbers follow the positions, others are kept.

    Every change makes a new dict, so closures keep the layers that they ran.
    """

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Module | Self:
        """Return a layer, or for a slice a container of the same class with the same layers.

        Raises:
            IndexError: there is no layer at this position.
            TypeError: index is neither an integer nor a slice.
        """
        if not isinstance(index, slice):
            return self._layers[self._name(index)]
        part = copy.copy(self)
        part._renumber(list(self._layers.items())[index])
        return part

    def __setitem__(self, index: int, module: Module) -> None:
        """Replace a layer. An optimizer that was made before does not train the new one; raises as above."""
        name = self._name(index)
        self._layers = {**self._layers, name: checked_module(f"[{index}]", module)}

    def __delitem__(self, index: int | slice) -> None:
        """Remove a layer or those of a slice; raises as above."""
        gone = list(self._layers)[index] if isinstance(index, slice) else [self._name(index)]
        self._renumber([(name, module) for name, module in self._layers.items() if name not in gone])

    def __iter__(self) -> Iterator[Module]:
        return iter(self._layers.values())

    def append(self, module: Module) -> Self:
        """Add a layer at the end and return the container.

        Raises:
            TypeError: module is not a Module; then nothing has been changed, here and in the methods below.
        """
        return self.insert(len(self), module)

    def insert(self, index: int, module: Module) -> Self:
        """Add a layer before the one at a position and return the container.

        Raises:
            TypeError: module is not a Module, or index not an integer.
            ValueError: index is outside [-n, n] for n layers.
        """
        n = len(self)
        place = integer("index", index, -n, n + 1, f"an integer in [{-n}, {n}]; append adds at the end")
        items = list(self._layers.items())
        items.insert(place, (str(n), checked_module("module", module)))
        self._renumber(items)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add layers at the end and return the container.

        Raises:
            TypeError: modules is not an iterable of Modules.
        """
        self._renumber([*self._layers.items(), *(("0", module) for module in checked_modules("modules", modules))])
        return self

    def pop(self, key: int) -> Module:
        """Remove a layer and return it; raises like indexing."""
        module = self[key]
        del self[key]
        return module

    def _name(self, index: int) -> str:
        n = len(self)
        want = f"an integer in [{-n}, {n}) or a slice; there are {n} layers"
        try:
            return list(self._layers)[integer("index", index, -n, n, want)]
        except TypeError:
            raise
        except ValueError as error:
            raise IndexError(str(error)) from None

    def _renumber(self, items: Iterable[tuple[str, Module]]) -> None:
        self._layers = {str(i) if name.isdecimal() else name: module for i, (name, module) in enumerate(items)}


def checked_module(name: str, value: Any) -> Module:
    """Return a Module.

    Raises:
        TypeError: the value is something else.
    """
    if isinstance(value, Module):
        return value
    got, remedy = type(value).__name__, "derive its class from fastnn.nn.Module"
    if isinstance(value, type):
        got, remedy = f"the class {value.__name__}", f"make an object of it, {value.__name__}(...)"
    elif isinstance(value, Iterable):
        remedy = "unpack lists with *, or add them with extend"
    raise TypeError(f"{name}: got {got}, want a Module; {remedy}")


def checked_modules(name: str, values: Any) -> list[Module]:
    """Return a list of Modules; raises like `checked_module`."""
    if not isinstance(values, Iterable) or isinstance(values, str) or hasattr(values, "keys"):
        raise TypeError(f"{name}: got {type(values).__name__}, want a list of modules; [module]")
    ordered(name, values)
    return [checked_module(f"{name}[{i}]", value) for i, value in enumerate(values)]


def checked_names(modules: Any) -> dict[str, Module]:
    """Return modules by name.

    Raises:
        TypeError: the argument is neither a mapping nor pairs, a name is not a str, or a value not a Module.
        ValueError: a name is empty or has a dot.
    """
    try:
        named: dict[Any, Any] = dict(modules)
    except (TypeError, ValueError):
        raise TypeError(f"modules: got {type(modules).__name__}, want a dict of modules; {{name: module}}") from None
    for name, module in named.items():
        if not isinstance(name, str):
            raise TypeError(f"modules: got the name {name!r}, want a str; str({name!r})")
        if not name or "." in name:
            raise ValueError(f"modules: got the name {name!r}, want one that is not empty and has no dot; rename it")
        checked_module(f"modules[{name!r}]", module)
    return named
