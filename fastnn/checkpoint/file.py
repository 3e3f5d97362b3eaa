"""The checkpoint file: one safetensors file that is complete or absent, and that cannot contain code.

Its `__metadata__` has three entries: "format", the version of the format; "state", a JSON text, see `packing`; and
"sha256", of the whole file, computed with 64 zeros in its place. Arrays are named by their places in the state.
"""

import hashlib
import importlib
import json
import os
import re
import stat
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from fastnn._checks import unmasked
from fastnn._files import remove_parts, replace
from fastnn._types import AnyArray
from fastnn.checkpoint.packing import pack, parse, unpack, views

SUFFIX = ".safetensors"
VERSION = 1

_HEADER_LIMIT = 3 * 2**19
"""The largest header in bytes, enough for 8,000 arrays. A parsed JSON text takes up to 35 times its size, so this
limits the memory that reading a file can cost."""
_NO_DIGEST = "0" * 64


class CheckpointError(Exception):
    """A file is not a checkpoint that this version can read; the message says why."""


def save(path: str | Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint so that, whatever happens, `path` is the complete old file or the complete new one.

    The new file is written in the same directory, under a name with a leading dot, and renamed once it is on the disk.

    Args:
        path: ends with .safetensors; its directory exists.
        state: dicts, lists and tuples of arrays, numbers, strings and None.

    Raises:
        TypeError, ValueError: the state cannot be written, or needs a header of more than 1.5 MiB.
        OSError: the system cannot write it; `path` is still one of the two files.
        ImportError: safetensors is not installed.
    """
    path = Path(path)
    pieces = _encoded(state)
    remove_parts(path.parent, f"*{SUFFIX}")
    replace(path, *pieces)


def load(path: str | Path) -> dict[str, Any]:
    """Return the state that was saved.

    The file is read once, into memory that the arrays then share. Its checksum is verified first; since that does not
    prove where the file comes from, its content is checked as well.

    Raises:
        CheckpointError: the file is truncated, was changed, is not a checkpoint, or has a later version of the format.
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
        raise _refusal(path, f"a header that is not a checkpoint's ({_short(error)})") from None
    if version > VERSION:
        raise _refusal(path, f"version {version} of the format",
                       f"install a version of fastnn that knows more than {VERSION}")  # fmt: skip
    try:
        state = unpack(views(header, memoryview(data)[8 + size :]), metadata["state"])
    except Exception as error:
        raise _refusal(path, f"content that is not a checkpoint's ({_short(error)})", "use another file") from None
    if not isinstance(state, dict):
        raise _refusal(path, f"a state of {type(state).__name__}", "use another file")
    return state


def latest(directory: str | Path) -> Path | None:
    """Return the path of the furthest intact checkpoint in a directory, or None if there is none.

    It is the one with the most steps, by its name as `ModelCheckpoint` gives it, whenever the file was written or
    copied. Files with other names come after all of these, the newest first. A warning names each file before it that
    is damaged.
    """
    found = []
    for path in Path(directory).glob(f"[!.]*{SUFFIX}"):
        with suppress(OSError):  # deleted meanwhile, or a link to nothing
            found.append((_steps(path.name), path.stat().st_mtime_ns, len(path.name), path.name, path))
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


def step_name(step: int) -> str:
    """Return the name of the checkpoint after an optimizer step."""
    return f"step-{step:08}{SUFFIX}"


def _steps(name: str) -> int:
    """Return the number of steps in a name, or -1 if it has none."""
    found = re.fullmatch(rf"step-([0-9]{{8,}}){re.escape(SUFFIX)}", name)
    return int(found[1]) if found else -1


def check_fits(state: Mapping[str, Any]) -> None:
    """Raise as `save` would for this state, without writing anything."""
    arrays, text = pack(state)
    entries = {
        name: {"dtype": "F64", "shape": array.shape, "data_offsets": [2**40, 2**40]} for name, array in arrays.items()
    }
    _check_header(len(json.dumps(entries | {"__metadata__": {"state": text}})))


def _check_header(size: int) -> None:
    if size > _HEADER_LIMIT:
        raise ValueError(f"state: got {size} bytes of names and numbers, want at most {_HEADER_LIMIT}; keep long lists "
                         "as arrays, or use fewer parameters")  # fmt: skip


def _encoded(state: Mapping[str, Any]) -> list[Any]:
    """Return the file in pieces, so that its bytes are in memory only once."""
    arrays, text = pack(state)
    metadata = {"format": str(VERSION), "sha256": _NO_DIGEST, "state": text}
    data = memoryview(_safetensors().save(in_c_order(arrays), metadata))
    size = int.from_bytes(data[:8], "little")
    _check_header(size)
    place = _digest_place(bytes(data[: 8 + size]))
    return [data[:place], hashlib.sha256(data).hexdigest().encode(), data[place + 64 :]]


def in_c_order(arrays: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    """Return the arrays in C order, which safetensors requires, since it writes their memory unchanged.

    Raises:
        TypeError: an array is masked.
    """
    for name, array in arrays.items():
        unmasked(name, array)
    # ascontiguousarray would turn the shape () into (1,).
    return {name: np.asarray(array, order="C") for name, array in arrays.items()}


def _digest_place(head: bytes) -> int:
    """Return where the 64 digits begin, or -1 unless there is exactly one place for them."""
    key = b'"sha256":"'
    return head.find(key) + len(key) if head.count(key) == 1 else -1


def _read(path: Path) -> bytearray:
    """Read a regular file; nothing else, since a pipe or a device may never end."""
    with open(path, "rb", buffering=0, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise _refusal(path, "something other than a regular file")
        try:
            data = bytearray(status.st_size)
        except MemoryError:
            raise _refusal(path, f"{status.st_size} bytes, which do not fit into memory") from None
        rest = memoryview(data)
        while rest and (count := file.readinto(rest)):
            rest = rest[count:]
        if rest:
            raise _refusal(path, f"the end after {len(data) - len(rest)} of {len(data)} bytes")
    return data


def _checked_size(path: Path, data: bytearray) -> int:
    """Return the size of the header, after verifying the checksum of the file."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > len(data) - 8:
        raise _refusal(path, f"{len(data)} bytes, fewer than its header says")
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
        raise _refusal(path, "a checksum that does not match its header: the file is truncated or has been changed")
    return size


def _version(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and not text.startswith("0")):
        raise ValueError(f"format {text!r}")
    return int(text)


def _refusal(path: Path, what: str, remedy: str = "use the checkpoint before it") -> CheckpointError:
    return CheckpointError(f"{path}: got {what}, want a checkpoint of fastnn; {remedy}")


def _short(error: Exception) -> str:
    """Return an error's message, short and safe to print whatever the file made it contain."""
    return ascii(f"{type(error).__name__}: {error}")[1:-1][:200]


def _safetensors() -> Any:
    try:
        return importlib.import_module("safetensors.numpy")
    except ImportError:
        raise ImportError(
            "safetensors: got no such package, want it for checkpoints; run pip install safetensors"
        ) from None
