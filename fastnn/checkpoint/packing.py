"""Packs a state into named arrays and a JSON text, and unpacks it; both directions check what they read."""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastnn._checks import unmasked

Arrays = dict[str, npt.NDArray[Any]]

DTYPES = {"BOOL": np.dtype(np.bool_), "F16": np.dtype(np.float16)} | {
    f"{kind}{bits}": np.dtype(f"{kind.lower()}{bits // 8}")
    for kind, sizes in {"U": (8, 16, 32, 64), "I": (8, 16, 32, 64), "F": (32, 64)}.items()
    for bits in sizes
}
"""The dtypes of arrays, by the names that safetensors gives them."""
_FLOATS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def pack(state: Mapping[str, Any]) -> tuple[Arrays, str]:
    """Return the arrays of a state, named by their place in it, and everything else as JSON.

    Values that JSON cannot express become an object with one key that begins with "$": an array {"$array": name}, a
    tuple {"$tuple": [...]}, NaN and infinity {"$float": text}, a dict whose keys are not all strings without "$"
    {"$items": [[key, value], ...]}.

    Args:
        state: dicts, lists and tuples of arrays, numbers, strings, booleans and None.

    Raises:
        TypeError: the state contains something else, or an array that is not bool, integer or a float up to 8 bytes.
    """
    arrays: Arrays = {}
    return arrays, json.dumps(_plain(state, "", arrays), allow_nan=False)


def unpack(arrays: Mapping[str, npt.NDArray[Any]], text: str) -> Any:
    """Return the state that `pack` was given.

    Raises:
        ValueError, TypeError, KeyError, RecursionError: the text does not come from `pack`, or names other arrays.
    """
    names: set[str] = set()

    def array(name: Any) -> npt.NDArray[Any]:
        if name in names:
            raise ValueError(f"got the array {name!r} twice")
        names.add(name)
        return arrays[name]

    tags: dict[str, Callable[[Any], Any]] = {
        "$array": array,
        "$float": _FLOATS.__getitem__,
        "$tuple": lambda items: tuple(_list(items)),
        "$items": lambda items: _dict([(key, value) for key, value in map(_list, _list(items))]),
    }

    def value(pairs: list[tuple[str, Any]]) -> Any:
        if not any(key.startswith("$") for key, _ in pairs):
            return _dict(pairs)
        ((tag, content),) = pairs
        return tags[tag](content)

    state = parse(text, value)
    if names != arrays.keys():
        raise ValueError(f"got the arrays {sorted(arrays.keys() - names)}, which nothing names")
    return state


def parse(text: str, hook: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """Parse a JSON text strictly; `hook` makes each object from its pairs, the inner ones first."""
    return json.loads(text, object_pairs_hook=hook or _dict, parse_constant=_no_constant)


class Entry(NamedTuple):
    """The dtype and shape of an array in a file, and where its bytes begin after the header."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int

    @property
    def size(self) -> int:
        """The number of bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


def entries(header: Mapping[str, Any], size: int) -> dict[str, Entry]:
    """Return the entries of the header of a safetensors file, in the order of their bytes.

    Args:
        header: without its metadata.
        size: number of bytes after the header.

    Raises:
        ValueError, TypeError, KeyError: the header describes no arrays, or does not describe each byte exactly once.
    """
    found: dict[str, Entry] = {}
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: tuple(item[1]["data_offsets"])):
        dtype, shape, (begin, stop) = DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
        if len(shape) > 32 or not all(type(n) is int and 0 <= n < 2**63 for n in (*_list(shape), begin, stop)):
            raise ValueError(f"got the shape {shape} of {name!r}")
        if begin != end or begin % dtype.itemsize or stop - begin != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"got bytes {begin} to {stop} for {name!r} of {dtype} {shape}, behind {end}")
        found[name] = Entry(dtype, tuple(shape), begin)
        end = stop
    if end != size:
        raise ValueError(f"got {size} bytes of arrays, {end} of them described")
    return found


def views(header: Mapping[str, Any], body: memoryview) -> Arrays:
    """Return the arrays that the header of a safetensors file describes, as views of the bytes after it.

    Raises:
        ValueError, TypeError, KeyError: as `entries`, or a boolean is neither 0 nor 1.
    """
    found = entries(header, len(body))
    arrays = {name: np.ndarray(entry.shape, entry.dtype, body, entry.begin) for name, entry in found.items()}
    for name, array in arrays.items():
        check_bools(name, array)
    return arrays


def check_bools(name: str, array: npt.NDArray[Any]) -> None:
    """Raise ValueError if an array of booleans has other bytes than 0 and 1."""
    if array.dtype.kind == "b" and array.view(np.uint8).max(initial=0) > 1:
        raise ValueError(f"got other bytes than 0 and 1 for {name!r}")


def _plain(value: Any, place: str, arrays: Arrays) -> Any:
    def at(key: Any) -> str:
        return f"{place}/{key}" if place else str(key)

    if isinstance(value, np.ndarray):
        unmasked(place, value)
        if value.dtype.newbyteorder("=") not in DTYPES.values():
            raise TypeError(f"{place}: got an array of {value.dtype}, want bool, integers or floats; convert it")
        while place in arrays or place == "__metadata__":  # "a/b" is the place of ["a"]["b"] and of ["a/b"]
            place += "'"
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


def _dict(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("got a key twice")
    return found


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"got {type(value).__name__} for a list")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"got {name}, which is not JSON")
