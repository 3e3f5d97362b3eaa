"""Files of models: weights, buffers, and a description of the layers, in one safetensors file with a checksum."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fastnn._checks import not_array
from fastnn._files import as_path, replace
from fastnn._parameter import Parameter
from fastnn._types import AnyArray
from fastnn.checkpoint.building import UnknownLayer, build
from fastnn.checkpoint.description import KNOWN, describe
from fastnn.checkpoint.file import (
    Kind,
    as_bytes,
    check_digest,
    encoded,
    fill,
    header_size,
    opened,
    parsed_header,
    short,
)
from fastnn.checkpoint.packing import Entry, check_bools, entries, pack, unpack
from fastnn.nn.module import Module

Layers = Mapping[str, type[Module]] | Iterable[type[Module]]

MODEL = Kind(
    "a model",
    "save it again",
    "build the model and call model.load_state_dict(safetensors.numpy.load_file(path)) for weights without a model",
)
TEXT_LIMIT = 2**19
"""The longest description in bytes, enough for 4,000 layers; what is built from it takes up to 60 times its size."""
_PIECE = 2**20


def save(model: Module, path: str | Path) -> None:
    """Save a model, so that `fastnn.load` builds it again in another process: one safetensors file, without any code.

    The file has the parameters and buffers, which other programs can read by their names in `model.state_dict()`, and
    a description of the layers: their options, training or evaluation mode, requires_grad and dtypes. What is the same
    object in two places is saved once and is one object again. Whatever happens, `path` is the complete old file or the
    complete new one.

    A layer of your own is described by `Module.get_config`: by default, it needs an attribute for each argument of its
    constructor. It is built once from these, without the values, since a file that cannot be loaded helps nobody.
    Gradients and hooks are not saved. For a model with its normalisation and its classes, see `Trainer.save`.

    Args:
        model: a module of the layers of `fastnn.nn`, `fastnn.data.Normalize`, and your own.
        path: ends with .safetensors, if other programs should know the format; its directory exists.

    Raises:
        TypeError, ValueError: the options of a layer are not known, are functions or other objects, or do not build the
            same layer again; the message says what to define. Or the description has more than 512 KiB.
        OSError: the system cannot write it; `path` is then still the old file, if there was one.
    """
    write(model, path, {})


def load(path: str | Path, layers: Layers | None = None) -> Module:
    """Return the model that `fastnn.save` or `Trainer.save` wrote; one with `normalize` begins with that.

    No code of the file is run. Its checksum is verified first; then every layer, option and size is checked before
    memory is taken, since a checksum does not prove where a file comes from. The constructors of your own layers get
    options from the file: what they do with them is not checked.

    Args:
        path: the file.
        layers: the classes of your own layers, as a list, or by their names in the file.

    Raises:
        CheckpointError: the file is truncated, was changed, is not a model, has layers that are not given, or has a
            later version of the format.
        TypeError, ValueError: layers are not classes of modules, or have the name of one of `fastnn.nn`.
        OSError: the file cannot be read.
    """
    return read(path, layers)[0]


def write(model: Module, path: str | Path, more: Mapping[str, Any]) -> None:
    """Write a model, and more that belongs to it, as JSON; errors as for `save`."""
    if not isinstance(model, Module):
        raise TypeError(f"model: got {type(model).__name__}, want a fastnn.nn.Module; of a Trainer, call its save")
    place = as_path("path", path)
    description, types = describe(model)
    arrays = dict(_named(model))
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise not_array(name, array, "bool, integer or float", "convert the buffer")
    text = pack({"model": description, **more})[1]
    if len(text) > TEXT_LIMIT:
        raise ValueError(f"model: got a description of {len(text)} bytes, want at most {TEXT_LIMIT}; make it of fewer "
                         "layers, or keep long lists as buffers")  # fmt: skip
    pieces = encoded(arrays, "model", text)
    _check_again(model, description, types, arrays)
    replace(place, *pieces)


def read(path: str | Path, layers: Layers | None = None) -> tuple[Module, dict[str, Any]]:
    """Return a model, and what else `write` was given; arguments and errors as for `load`."""
    path, types = as_path("path", path), KNOWN | own_types(layers)
    with opened(path, MODEL) as (file, length):
        first = bytearray(min(8, length))
        fill(path, file, memoryview(first), MODEL)
        size = header_size(path, first, length, MODEL)
        head = first + bytearray(size)
        fill(path, file, memoryview(head)[8:], MODEL)
        check_digest(path, bytes(head), _pieces(path, file, length - 8 - size), MODEL)
        tensors, text = _parsed(path, head, length)
        try:
            model, more = _built(tensors, text, types)
        except UnknownLayer as error:
            raise MODEL.refusal(path, f"a layer that is not known ({short(error, 400)})",
                                f"call fastnn.load or Trainer.load with layers=[{error.name}]") from error  # fmt: skip
        except Exception as error:
            raise MODEL.refusal(path, f"content that is not a model's ({short(error, 400)})") from error
        file.seek(8 + size)
        # Verified once more, since the file may have changed meanwhile.
        check_digest(path, bytes(head), _filled(path, file, tensors, dict(_named(model))), MODEL)
    return model, more


def own_types(layers: Layers | None) -> dict[str, type[Module]]:
    """Return the classes of own layers by name; raise as `load` does."""
    if layers is None:
        return {}
    if isinstance(layers, type):
        raise TypeError(f"layers: got the class {layers.__name__}, want a list of classes; write [{layers.__name__}]")
    given = (
        layers.items() if isinstance(layers, Mapping) else [(getattr(kind, "__name__", "?"), kind) for kind in layers]
    )
    named: dict[str, Any] = {}
    for name, kind in given:
        if not (isinstance(kind, type) and issubclass(kind, Module)):
            got = f"the class {kind.__name__}" if isinstance(kind, type) else f"an object, {type(kind).__name__}"
            raise TypeError(f"layers: got {got} for {name}, want a class derived from fastnn.nn.Module")
        if name in KNOWN and KNOWN[name] is not kind:
            raise ValueError(f"layers: got a class {name}, want another name than that of a layer of fastnn; rename it")
        if named.setdefault(name, kind) is not kind:
            raise ValueError(f"layers: got two classes {name}, want the one of the file; leave out the other")
    return named


def _named(model: Module) -> Iterator[tuple[str, AnyArray]]:
    """Yield the array of every parameter and buffer once, under its first name."""
    seen: set[int] = set()
    for name, value in model._walk(""):
        array = value.data if isinstance(value, Parameter) else value
        if id(array) not in seen:
            seen.add(id(array))
            yield name, array


def _check_again(model: Module, description: Any, types: Mapping[str, type[Module]], arrays: Mapping[str, Any]) -> None:
    """Raise ValueError unless the description builds a model with the same description and tensors."""
    try:
        built = build(description, types, sum(array.nbytes for array in arrays.values()))
    except ValueError as error:
        raise ValueError(
            f"model: it cannot be built again: {error}; let get_config return what __init__ takes"
        ) from error
    again, _ = describe(built)
    for entry, other in zip(description["layers"], again["layers"], strict=False):
        one, two = (pack({k: v for k, v in e.items() if k != "made"})[1] for e in (entry, other))
        if one != two:
            raise ValueError(f"model: got the layer {one}, and when it is built again {two}, want the same; let "
                             "get_config return what __init__ takes")  # fmt: skip
    want, got = ({name: (a.shape, a.dtype) for name, a in side.items()} for side in (arrays, dict(_named(built))))
    for name in want | got:
        if want.get(name) != got.get(name):
            raise ValueError(f"{name}: got {want.get(name, 'none')}, and when the model is built again "
                             f"{got.get(name, 'none')}, want the same; pass such layers to __init__")  # fmt: skip
    _check_made(description, built)


def _check_made(description: Any, built: Module) -> None:
    """Raise ValueError unless the constructors of layers have made the same modules as in the saved model."""
    if not any(entry.get("made") for entry in description["layers"]):
        return
    again, _ = describe(built)
    for entry, other in zip(description["layers"], again["layers"], strict=False):
        got, want = entry.get("made", {}), other.get("made", {})
        for path in got | want if got else ():
            one, two = (_text(*side.get(path, ("nothing", {}))) for side in (got, want))
            if one != two:
                place = f"{entry['type']}.{path}"
                raise ValueError(f"{place}: got {one}, and when the model is built again {two}, want the same; let "
                                 "__init__ take what differs, or put the layers into an nn.Sequential")  # fmt: skip


def _text(kind: str, options: Mapping[str, Any]) -> str:
    return f"{kind}({', '.join(f'{name}={value!r}' for name, value in options.items())})"


def _pieces(path: Path, file: BinaryIO, size: int) -> Iterator[memoryview]:
    """Yield the next bytes of a file."""
    buffer = memoryview(bytearray(min(size, _PIECE)))
    while size:
        piece = buffer[: min(size, _PIECE)]
        fill(path, file, piece, MODEL)
        size -= len(piece)
        yield piece


def _parsed(path: Path, head: bytes | bytearray, length: int) -> tuple[dict[str, Entry], str]:
    """Return the entries of the tensors in the order of their bytes, and the description as text."""
    header, metadata = parsed_header(path, memoryview(head)[8:], MODEL)
    if "state" in metadata:
        raise MODEL.refusal(path, "a checkpoint of a training", "continue it with Trainer.fit(resume=path)")
    try:
        tensors, text = entries(header, length - len(head)), metadata["model"]
        if len(text) > TEXT_LIMIT:
            raise ValueError(f"a description of {len(text)} bytes, more than {TEXT_LIMIT}")
    except Exception as error:
        raise MODEL.refusal(path, f"content that is not a model's ({short(error)})") from None
    return tensors, text


def _built(tensors: Mapping[str, Entry], text: str, types: Mapping[str, type[Module]]) -> tuple[Module, dict[str, Any]]:
    """Return the model without its values, and what belongs to it."""
    state = unpack({}, text)
    if not isinstance(state, dict) or "model" not in state:
        raise ValueError("got no description of a model")
    description = state.pop("model")
    model = build(description, types, sum(entry.size for entry in tensors.values()))
    missing = dict(tensors)
    for name, array in _named(model):
        entry = missing.pop(name, None)
        if entry is None:
            raise ValueError(f"got no tensor {name!r:.80}, want {array.dtype} {array.shape}")
        if (array.shape, array.dtype.newbyteorder("=")) != (entry.shape, entry.dtype):
            raise ValueError(f"got {name!r:.80} of {entry.dtype} {entry.shape}, want {array.dtype} {array.shape}")
    if missing:
        raise ValueError(f"got the tensor {next(iter(missing))!r:.80}, which no layer has")
    _check_made(description, model)
    return model, state


def _filled(
    path: Path, file: BinaryIO, tensors: Mapping[str, Entry], arrays: Mapping[str, AnyArray]
) -> Iterator[memoryview]:
    """Read each tensor into its array, and yield its bytes."""
    for name, entry in tensors.items():
        own = arrays[name]
        is_plain = own.flags.c_contiguous and own.dtype == entry.dtype
        array = own if is_plain else np.empty(entry.shape, entry.dtype)
        data = as_bytes(array)
        fill(path, file, data, MODEL)
        try:
            check_bools(name, array)
        except ValueError as error:
            raise MODEL.refusal(path, f"content that is not a model's ({short(error)})") from None
        if array is not own:
            np.copyto(own, array)
        yield data
