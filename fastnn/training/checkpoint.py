"""Checkpoints: one safetensors file each, that is whole or is not there, and that cannot hold code.

The file's `__metadata__` has three entries: "format", the version of what follows; "state", a JSON text, see `packing`;
and "sha256", of the whole file, computed with 64 zeros in its place. Arrays are named by their places in the state.
"""

import hashlib
import importlib
import os
import stat
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from fastnn._files import remove_parts, replace
from fastnn.training.packing import pack, parse, unpack, views

SUFFIX = ".safetensors"
VERSION = 1

_HEADER_LIMIT = 3 * 2**19
"""Bytes of a header, as of 8,000 arrays. A parsed JSON text takes up to 35 times its size, so this bounds what reading
a file can cost."""
_NO_DIGEST = "0" * 64


class CheckpointError(Exception):
    """A file is no checkpoint that this version can read; the sentence says why."""


def save(path: str | Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint so that, whatever happens, `path` is the old file or the new one, each of them whole.

    It is written beside it under a name that begins with a dot, and takes its place when the disk has it.

    Args:
        path: ends with .safetensors; its directory exists.
        state: dicts, lists and tuples of arrays, numbers, strings and None.

    Raises:
        TypeError, ValueError: a state that cannot be written, or takes a header of more than 1.5 MiB.
        OSError: what the system says; `path` is one of the two all the same.
        ImportError: safetensors is not installed.
    """
    path = Path(path)
    pieces = _encoded(state)
    remove_parts(path.parent, f"*{SUFFIX}")
    replace(path, *pieces)


def load(path: str | Path) -> dict[str, Any]:
    """The state that was saved.

    The file is read once, into memory that the arrays then share, and nothing in it is believed before its checksum is
    right. That is no proof of where it comes from, so what it says is checked all the same.

    Raises:
        CheckpointError: the file is truncated, has been changed, is no checkpoint, or one of a later version.
        OSError: it cannot be read.
    """
    path = Path(path)
    data = _read(path)
    size = _checked_size(path, data)
    try:
        header = parse(str(memoryview(data)[8 : 8 + size], "utf-8"))
        metadata = header.pop("__metadata__")
        version = _version(metadata["format"])
    except Exception as error:
        raise _refusal(path, f"a header that is no checkpoint's ({_short(error)})") from None
    if version > VERSION:
        raise _refusal(path, f"version {version} of the format",
                       f"install a version of fastnn that knows more than {VERSION}")  # fmt: skip
    try:
        state = unpack(views(header, memoryview(data)[8 + size :]), metadata["state"])
    except Exception as error:
        raise _refusal(path, f"a content that is no checkpoint's ({_short(error)})", "use another file") from None
    if not isinstance(state, dict):
        raise _refusal(path, f"a state of {type(state).__name__}", "use another file")
    return state


def latest(directory: str | Path) -> Path | None:
    """The newest checkpoint of a directory that is whole, or None if there is none.

    A warning names each newer one that is not.
    """
    found = []
    for path in Path(directory).glob(f"[!.]*{SUFFIX}"):
        with suppress(OSError):  # deleted meanwhile, or a link to nothing
            found.append((path.stat().st_mtime_ns, len(path.name), path.name, path))
    older = len(found)
    for *_, path in sorted(found, reverse=True):
        older -= 1
        try:
            load(path)
        except (CheckpointError, OSError) as error:
            way = "going back to the checkpoint before it" if older else "there is none before it"
            warnings.warn(f"{error}; {way}", stacklevel=2)
        else:
            return path
    return None


def _encoded(state: Mapping[str, Any]) -> list[Any]:
    """The file in pieces, so that its bytes are in memory once."""
    arrays, text = pack(state)
    metadata = {"format": str(VERSION), "sha256": _NO_DIGEST, "state": text}
    # safetensors writes the memory as it lies, so it must lie in C order; ascontiguousarray would make () to (1,).
    ordered = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    data = memoryview(_safetensors().save(ordered, metadata))
    size = int.from_bytes(data[:8], "little")
    if size > _HEADER_LIMIT:
        raise ValueError(f"state: got {size} bytes of names and numbers, want at most {_HEADER_LIMIT}; keep long lists "
                         "as arrays")  # fmt: skip
    place = _digest_place(bytes(data[: 8 + size]))
    return [data[:place], hashlib.sha256(data).hexdigest().encode(), data[place + 64 :]]


def _digest_place(head: bytes) -> int:
    """Where the 64 digits begin; -1 where there is no one place for them."""
    key = b'"sha256":"'
    return head.find(key) + len(key) if head.count(key) == 1 else -1


def _read(path: Path) -> bytearray:
    """The bytes of a regular file; of nothing else, since a pipe or a device may have no end."""
    with open(path, "rb", buffering=0, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise _refusal(path, "what is no regular file")
        try:
            data = bytearray(status.st_size)
        except MemoryError:
            raise _refusal(path, f"{status.st_size} bytes, more than there is memory for") from None
        rest = memoryview(data)
        while rest and (count := file.readinto(rest)):
            rest = rest[count:]
        if rest:
            raise _refusal(path, f"the end after {len(data) - len(rest)} of {len(data)} bytes")
    return data


def _checked_size(path: Path, data: bytearray) -> int:
    """Bytes of the header of a file whose checksum is right."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > len(data) - 8:
        raise _refusal(path, f"{len(data)} bytes, fewer than it says it has")
    if size > _HEADER_LIMIT:
        raise _refusal(path, f"a header of {size} bytes, more than {_HEADER_LIMIT}")
    head = bytes(data[: 8 + size])
    place = _digest_place(head)
    if place < 0:
        raise _refusal(path, "a file without a checksum", "load weights that others wrote with the package safetensors")
    digest = hashlib.sha256(memoryview(data)[:place])
    digest.update(_NO_DIGEST.encode())
    digest.update(memoryview(data)[place + 64 :])
    if digest.hexdigest().encode() != data[place : place + 64]:
        raise _refusal(path, "another checksum than it says it has: it is truncated or has been changed")
    return size


def _version(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and not text.startswith("0")):
        raise ValueError(f"format {text!r}")
    return int(text)


def _refusal(path: Path, what: str, remedy: str = "use the checkpoint before it") -> CheckpointError:
    return CheckpointError(f"{path}: got {what}, want a checkpoint of fastnn; {remedy}")


def _short(error: Exception) -> str:
    """For a terminal, whatever the file made it say."""
    return ascii(f"{type(error).__name__}: {error}")[1:-1][:200]


def _safetensors() -> Any:
    try:
        return importlib.import_module("safetensors.numpy")
    except ImportError:
        raise ImportError(
            "safetensors: got no such package, want it for checkpoints; run pip install safetensors"
        ) from None
