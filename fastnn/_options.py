"""Reads the keys that a table may have from the signature of the class or function that the table configures.

The table is one of a TOML file, or the options of a layer or a loss in the description of a model.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

from fastnn._problems import ConfigError, Problems
from fastnn._words import nearest, spelt

Table = Mapping[str, Any]

_SCALARS: dict[Any, tuple[str, tuple[type, ...]]] = {
    bool: ("true or false", (bool,)),
    int: ("an integer", (int,)),
    float: ("a number", (int, float)),
    str: ("a string", (str,)),
    dict: ("a table", (dict,)),
}
_MANY = {"an integer": "integers", "a number": "numbers", "a string": "strings", "a table": "tables"}
_OTHER: Any = object()
"""Stands for a value of the wrong type."""


class Key(NamedTuple):
    """The type of a key in words; a function (value in TOML) -> argument or _OTHER; and whether the key is required."""

    want: str
    read: Callable[[Any], Any]
    required: bool = False


class Part(NamedTuple):
    """A class or function with the options from a table; its errors name the table."""

    place: str
    make: Callable[..., Any]
    options: dict[str, Any]

    def build(self, *arguments: Any, **options: Any) -> Any:
        """Return `make(*arguments, **options)`, with the options of the table too; its errors become ConfigErrors."""
        try:
            return self.make(*arguments, **options | self.options)
        except (IndexError, TypeError, ValueError) as error:
            raise ConfigError([f"{self.place}.{error}"]) from None


def keys(target: Callable[..., Any], *hidden: str, **hints: Any) -> dict[str, Key]:
    """Return the keyword arguments of a class or function that TOML can express.

    Args:
        target: the class or function.
        hidden: arguments to leave out.
        hints: annotations that replace those of the signature.
    """
    function = target.__init__ if isinstance(target, type) else target  # type: ignore[misc]
    found: dict[str, Key] = {}
    types = get_type_hints(function) | hints
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            for extras in get_args(types.get(name)):  # of Unpack[a TypedDict]
                found |= {extra: key for extra, hint in get_type_hints(extras).items() if (key := _key(hint))}
        elif key := _key(types.get(name)):
            found[name] = key._replace(required=parameter.default is parameter.empty)
    return {name: key for name, key in found.items() if name not in hidden}


def is_complete(target: Callable[..., Any], *given: str) -> bool:
    """Return whether TOML can express all arguments that a call needs besides the given ones."""
    function = target.__init__ if isinstance(target, type) else target  # type: ignore[misc]
    needed = {p.name for p in inspect.signature(function).parameters.values()
              if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}  # fmt: skip
    return needed - {"self", *given} <= keys(target).keys()


def checked(table: Any, place: str, known: Mapping[str, Key], problems: Problems) -> dict[str, Any]:
    """Return the arguments that a table contains, and add its mistakes to the problems."""
    if not isinstance(table, dict):
        problems.add(place, f"got {_shown(table)}, want a table")
        return {}
    result = {}
    free = [name for name in known if name not in table]
    for name, value in table.items():
        if name not in known:
            near = nearest(name, known)
            problems.add(f"{place}.{name}", f"got an unknown key, want {near}{_instead(near, free)}")
            problems.mean(place, near)
        elif (read := known[name].read(value)) is _OTHER:
            problems.add(f"{place}.{name}", f"got {_shown(value)}, want {known[name].want}")
        else:
            result[name] = read
    for name, key in known.items():
        if key.required and name not in table and name not in problems.meant(place):
            problems.add(f"{place}.{name}", f"got nothing, want {key.want}")
    return result


def _instead(near: str, free: Sequence[str]) -> str:
    """Return what else to say of a suggested key that the table already has."""
    return "" if near in free or " " in near else ", which is there already; remove one of them"


Chosen = TypeVar("Chosen")


def chosen(table: Any, place: str, key: str, names: Mapping[str, Chosen], problems: Problems) -> Chosen | None:
    """Return the object that the table's entry `key` names; if there is none, add a problem and return None."""
    if not isinstance(table, dict):
        problems.add(place, f"got {_shown(table)}, want a table")
        return None
    return resolved(table.get(key), f"{place}.{key}", names, problems)


def resolved(name: Any, place: str, names: Mapping[str, Chosen], problems: Problems) -> Chosen | None:
    """Return the object that a name stands for; if there is none, add a problem and return None."""
    own = spelt(name, names) if isinstance(name, str) else None
    if own is not None:
        return names[own]
    problems.add(place, f"got {'nothing' if name is None else _shown(name)}, want {nearest(str(name), names)}")
    return None


def _key(hint: Any) -> Key | None:
    """Return how TOML expresses a type, or None if it cannot."""
    origin, arguments = get_origin(hint), get_args(hint)
    if (origin or hint) in _SCALARS:
        want, types = _SCALARS[origin or hint]
        return Key(want, lambda value: value if type(value) in types else _OTHER)
    if origin is Literal:
        words = [argument for argument in arguments if isinstance(argument, str)]
        return Key(" or ".join(map(repr, words)), lambda value: value if value in words else _OTHER)
    if origin in (Union, UnionType):
        some = [key for argument in arguments if argument is not NoneType and (key := _key(argument))]
        return _either(some, NoneType in arguments)
    if origin is get_origin(npt.NDArray[Any]):  # a separate alias from NumPy 2.5 on
        numbers = _list_of(float, None)
        return numbers and Key(numbers.want, lambda v: v if (v := numbers.read(v)) is _OTHER else np.float32(v))
    if origin is tuple and arguments[-1] is not ...:
        return _list_of(arguments[0], len(arguments))
    if origin in (tuple, list, Sequence, Iterable):
        return _list_of(arguments[0], None)
    if origin is Mapping and arguments[0] is int and (key := _key(arguments[1])):
        return Key(f"a table of {_MANY[key.want]} by step", lambda value: _by_step(value, key.read))
    return None


def _either(some: list[Key], may_be_none: bool) -> Key | None:
    wants = [key.want for key in some]
    if "a number" in wants and "an integer" in wants:
        wants.remove("an integer")
    reads = [key.read for key in some]

    def read(value: Any) -> Any:
        if value is None and may_be_none:  # in the description of a model; TOML has no null
            return None
        return next((r for f in reads if (r := f(value)) is not _OTHER), _OTHER)

    return Key(" or ".join(dict.fromkeys(wants)), read) if some else None


def _list_of(hint: Any, length: int | None) -> Key | None:
    key = _key(hint)
    if key is None or key.want not in _MANY:
        return None

    def read(value: Any) -> Any:
        items = [key.read(item) for item in value] if isinstance(value, list | tuple) else [_OTHER]
        return _OTHER if any(i is _OTHER for i in items) or length not in (None, len(items)) else items

    return Key(f"a list of {'' if length is None else f'{length} '}{_MANY[key.want]}", read)


def _by_step(value: Any, read: Callable[[Any], Any]) -> Any:
    if not isinstance(value, dict) or not all(step.isdecimal() for step in value):
        return _OTHER
    values = {int(step): read(number) for step, number in value.items()}
    return _OTHER if any(number is _OTHER for number in values.values()) else values


def _shown(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
