"""Options of layers and losses as JSON, and back. An option is data: nothing here can name code to be run.

Values that JSON cannot express become a dict with one key: {"dtype": "float32"}, {"dict": {...}}, {"array": [dtype,
list]}, {"generator": number}, {"layer": [number, path]}; the last two are numbers in the description of a model.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fastnn._checks import is_array
from fastnn.nn.module import Module
from fastnn.random import Generator, default_generator

Ref = Callable[[Any], Any]


def encoded(place: str, value: Any, layer: Ref, generator: Ref) -> Any:
    """Return an option as JSON.

    Args:
        place: the option's name in messages.
        layer, generator: functions that return the reference to a module or generator.

    Raises:
        TypeError: the value is none that a file can hold.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is default_generator:
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Module):
        return {"layer": layer(value)}
    if isinstance(value, Generator):
        return {"generator": generator(value)}
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return {"dtype": np.dtype(value).name}
    if isinstance(value, Mapping):
        return {"dict": {key: encoded(f"{place}[{key!r}]", item, layer, generator) for key, item in value.items()}}
    if isinstance(value, list | tuple):
        items = [encoded(f"{place}[{i}]", item, layer, generator) for i, item in enumerate(value)]
        return tuple(items) if isinstance(value, tuple) else items
    got = f"the function {value.__name__}" if callable(value) and hasattr(value, "__name__") else type(value).__name__
    remedy = "pass a name and look the function up in __init__" if callable(value) else "define get_config"
    raise TypeError(f"{place}: got {got}, want numbers, strings, booleans, None, dtypes, generators, modules, or lists "
                    f"and dicts of them, since a file holds no code; {remedy}")  # fmt: skip


def is_scalar(value: Any) -> bool:
    """Return whether a value is a plain number, string, boolean or None, Python's or NumPy's."""
    return type(value) in (bool, int, float, str, type(None)) or (
        isinstance(value, np.generic) and value.dtype.kind in "biuf" and value.dtype.itemsize <= 8
    )


def scalar(value: Any) -> Any:
    """Return a scalar as JSON."""
    return {"scalar": [value.dtype.name, value.item()]} if isinstance(value, np.generic) else value


def encoded_arrays(place: str, value: Any) -> Any:
    """Return an option of a loss as JSON; it may be an array of one axis."""
    if is_array(value) and value.ndim == 1 and value.dtype.kind in "fiu":
        return {"array": [value.dtype.name, value.tolist()]}
    none = lambda _: _refuse(f"{place}: got a module or generator, want numbers")  # noqa: E731
    return encoded(place, value, none, none)


def decoded(value: Any, layer: Ref, generator: Ref) -> Any:
    """Return the option that `encoded` or `encoded_arrays` was given.

    Raises:
        TypeError, ValueError, IndexError: the value does not come from there.
    """
    if isinstance(value, list | tuple):
        items = [decoded(item, layer, generator) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    if not isinstance(value, dict):
        return value
    ((tag, content),) = value.items()
    if tag == "layer":
        return layer(content)
    if tag == "generator":
        return generator(content)
    if tag == "dtype" and isinstance(content, str):
        return _dtype(content)
    if tag == "dict" and isinstance(content, dict):
        return {key: decoded(item, layer, generator) for key, item in content.items()}
    if tag == "array" and isinstance(content, list):
        name, items = content
        return np.array([item + 0 for item in items], _dtype(name))
    if tag == "scalar" and isinstance(content, list):
        name, number = content
        return _dtype(name).type(number + 0)
    raise ValueError(f"got the option {tag!r}, want dtype, dict, array, generator or layer")


def _dtype(name: Any) -> np.dtype[Any]:
    dtype = np.dtype(name) if isinstance(name, str) else None
    if dtype is None or dtype.kind not in "biufcSU" or dtype.itemsize > 16 or dtype.name != name:
        raise ValueError(f"got the dtype {name!r}, want the name of one, such as 'float32'")
    return dtype


def _refuse(sentence: str) -> Any:
    raise TypeError(sentence)
