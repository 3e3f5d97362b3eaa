"""A state as arrays by name and a JSON text, and back."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[Any]]


def pack(state: Mapping[str, Any]) -> tuple[Arrays, str]:
    """Arrays, named by their place in the state, and the rest as JSON.

    What JSON has no word for becomes an object with one key that begins with "$": an array {"$array": name}, a tuple
    {"$tuple": [...]}, NaN and infinity {"$float": text}, a dict with other keys than such strings
    {"$items": [[key, value], ...]}.

    Args:
        state: of dicts, lists, tuples, arrays, numbers, strings, booleans and None.

    Raises:
        TypeError: something else.
    """
    arrays: Arrays = {}
    return arrays, json.dumps(_plain(state, "", arrays), allow_nan=False)


def unpack(arrays: Mapping[str, npt.NDArray[Any]], text: str) -> Any:
    """The state that `pack` took.

    Raises:
        ValueError: the text is none of its, or the arrays are others than it names.
    """
    names: set[str] = set()
    try:
        state = _state(json.loads(text, parse_constant=_no_constant), arrays, names)
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None
    if names != arrays.keys():
        raise ValueError(f"got the arrays {sorted(arrays.keys() - names)}, which nothing names")
    return state


def _plain(value: Any, place: str, arrays: Arrays) -> Any:
    def at(key: Any) -> str:
        return f"{place}/{key}" if place else str(key)

    if isinstance(value, np.ndarray):
        arrays[place] = value
        return {"$array": place}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {key: _plain(v, at(key), arrays) for key, v in value.items()}
        return {"$items": [[_plain(k, at(k), arrays), _plain(v, at(k), arrays)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        items = [_plain(v, at(i), arrays) for i, v in enumerate(value)]
        return {"$tuple": items} if isinstance(value, tuple) else items
    raise TypeError(f"{place}: got {type(value).__name__}, want arrays, numbers, strings, None, and dicts, lists and "
                    "tuples of them")  # fmt: skip


def _state(value: Any, arrays: Mapping[str, npt.NDArray[Any]], names: set[str]) -> Any:
    if isinstance(value, list):
        return [_state(v, arrays, names) for v in value]
    if not isinstance(value, dict):
        return value
    tag = next((key for key in value if key.startswith("$")), None)
    if tag is None:
        return {key: _state(v, arrays, names) for key, v in value.items()}
    (content,) = value.values()
    if tag == "$array":
        names.add(content)
        return arrays[content]
    if tag == "$float":
        return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[content]
    if tag == "$tuple":
        return tuple(_state(v, arrays, names) for v in content)
    if tag == "$items":
        return dict(_pairs(content, arrays, names))
    raise ValueError(f"got the unknown key {tag}")


def _pairs(content: Any, arrays: Mapping[str, npt.NDArray[Any]], names: set[str]) -> Iterator[tuple[Any, Any]]:
    for key, value in content:
        yield _state(key, arrays, names), _state(value, arrays, names)


def _no_constant(name: str) -> None:
    raise ValueError(f"got {name}, which is no JSON")
