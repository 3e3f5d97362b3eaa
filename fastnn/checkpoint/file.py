"""The checkpoint file: one safetensors file that is complete or absent, and that cannot contain code.

Its `__metadata__` has three entries: "format", the version of the format; "state", a JSON text, see `packing`; and
"sha256", of the whole file, computed with 64 zeros in its place. Arrays are named by their places in the state. The
file of a model, see `model`, has "model" instead of "state".
"""

import hashlib
import json
import os
import re
import stat
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from fastnn._checks import unmasked
from fastnn._files import as_path, remove_parts, replace
from fastnn._types import AnyArray
from fastnn.checkpoint.packing import DTYPES, pack, parse, unpack, views

SUFFIX = ".safetensors"
VERSION = 1

_HEADER_LIMIT = 3 * 2**19
"""The largest header in bytes, enough for 8,000 arrays. A parsed JSON text takes up to 35 times its size, so this
limits the memory that reading a file can cost."""
_NO_DIGEST = "0" * 64


class CheckpointError(Exception):
    """A file is not a checkpoint, or not a model, that this version can read; the message says why."""


class Kind(NamedTuple):
    """What a file should be, in words; the remedy for a damaged one, and for one that another program wrote."""

    want: str
    remedy: str
    of_others: str

    def refusal(self, path: Path, what: str, remedy: str = "") -> CheckpointError:
        """Return the error for a file."""
        return CheckpointError(f"{path}: got {what}, want {self.want} of fastnn; {remedy or self.remedy}")


CHECKPOINT = Kind(
    "a checkpoint", "use the checkpoint before it", "load weights that others wrote with the package safetensors"
)


def save(path: str | Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint so that, whatever happens, `path` is the complete old file or the complete new one.

    The new file is written in the same directory, under a name with a leading dot, and renamed once it is on the disk.

    Args:
        path: ends with .safetensors; its directory exists.
        state: dicts, lists and tuples of arrays, numbers, strings and None.

    Raises:
        TypeError, ValueError: the state cannot be written, or needs a header of more than 1.5 MiB.
        OSError: the system cannot write it; `path` is still one of the two files.
    """
    path = as_path("path", path)
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
    path = as_path("path", path)
    data = _read(path)
    size = header_size(path, data[:8], len(data))
    check_digest(path, bytes(data[: 8 + size]), [memoryview(data)[8 + size :]])
    header, metadata = parsed_header(path, memoryview(data)[8 : 8 + size], CHECKPOINT)
    if "model" in metadata:
        raise CHECKPOINT.refusal(path, "content that is not a checkpoint's but a model's",
                                 "load it with fastnn.load(path) or Trainer.load(path)")  # fmt: skip
    try:
        state = unpack(views(header, memoryview(data)[8 + size :]), metadata["state"])
    except Exception as error:
        what = f"content that is not a checkpoint's ({short(error)})"
        raise CHECKPOINT.refusal(path, what, "use another file") from None
    if not isinstance(state, dict):
        raise CHECKPOINT.refusal(path, f"a state of {type(state).__name__}", "use another file")
    return state


def parsed_header(path: Path, text: memoryview, kind: Kind) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a file's header without its metadata, and these; raise CheckpointError for a damaged or later one."""
    try:
        header = parse(str(text, "utf-8"))
        metadata = header.pop("__metadata__")
        version = format_version(metadata["format"])
    except Exception as error:
        raise kind.refusal(path, f"a header that is not {kind.want}'s ({short(error)})") from None
    if version > VERSION:
        raise kind.refusal(path, *newer(version))
    return header, metadata


def latest(directory: str | Path) -> Path | None:
    """Return the path of the furthest intact checkpoint in a directory, or None if there is none.

    It is the one with the most steps, by its name as `ModelCheckpoint` gives it, whenever the file was written or
    copied. Files with other names come after all of these, the newest first. A warning names each file before it that
    is damaged.
    """
    found = []
    for path in Path(directory).glob(f"[!.]*{SUFFIX}"):
        with suppress(OSError):  # deleted meanwhile, or a link to nothing
            found.append((steps_of(path.name), path.stat().st_mtime_ns, len(path.name), path.name, path))
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


def steps_of(name: str) -> int:
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
    return encoded(arrays, "state", text)


def encoded(arrays: Mapping[str, AnyArray], key: str, text: str) -> list[Any]:
    """Return the file of some arrays, with a text in its metadata under this key, in pieces; the same bytes every time.

    Raises:
        TypeError, ValueError: an array cannot be written, or the header is too large.
    """
    header: dict[str, Any] = {"__metadata__": {"format": str(VERSION), "sha256": _NO_DIGEST, key: text}}
    names = {dtype: name for name, dtype in DTYPES.items()}
    # The largest elements first, so that each array is aligned.
    ordered = sorted(in_c_order(arrays).items(), key=lambda item: (-item[1].itemsize, item[0]))
    bodies, end = [], 0
    for name, array in ordered:
        native = array.astype(array.dtype.newbyteorder("="), copy=False)
        entry = {"dtype": names[native.dtype], "shape": native.shape, "data_offsets": [end, end := end + native.nbytes]}
        header[name] = entry
        bodies.append(as_bytes(native))
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    _check_header(len(head))
    pieces: list[Any] = [len(head).to_bytes(8, "little") + head, *bodies]
    place, digest = _digest_place(pieces[0]), hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return [pieces[0][:place], digest.hexdigest().encode(), pieces[0][place + 64 :], *bodies]


def in_c_order(arrays: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    """Return the arrays in C order, which safetensors requires, since it writes their memory unchanged.

    Raises:
        TypeError: an array is masked.
    """
    for name, array in arrays.items():
        unmasked(name, array)
    # ascontiguousarray would turn the shape () into (1,).
    return {name: np.asarray(array, order="C") for name, array in arrays.items()}


def as_bytes(array: AnyArray) -> memoryview:
    """Return the memory of an array in C order."""
    data: Any = array.reshape(-1).view(np.uint8)
    return memoryview(data)


def _digest_place(head: bytes) -> int:
    """Return where the 64 digits begin, or -1 unless there is exactly one place for them."""
    key = b'"sha256":"'
    return head.find(key) + len(key) if head.count(key) == 1 else -1


@contextmanager
def opened(path: Path, kind: Kind = CHECKPOINT) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular file, and give it and its length; nothing else, since a pipe or a device may never end."""
    with open(path, "rb", buffering=0, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise kind.refusal(path, "something other than a regular file")
        yield file, status.st_size


def fill(path: Path, file: BinaryIO, data: memoryview, kind: Kind = CHECKPOINT) -> None:
    """Read from a file until the memory is full."""
    rest = data
    while rest and (count := file.readinto(rest)):  # type: ignore[attr-defined]
        rest = rest[count:]
    if rest:
        raise kind.refusal(path, f"the end after {len(data) - len(rest)} of {len(data)} bytes")


def _read(path: Path) -> bytearray:
    with opened(path) as (file, length):
        try:
            data = bytearray(length)
        except MemoryError:
            raise CHECKPOINT.refusal(path, f"{length} bytes, which do not fit into memory") from None
        fill(path, file, memoryview(data))
    return data


def header_size(path: Path, first: bytes | bytearray, length: int, kind: Kind = CHECKPOINT) -> int:
    """Return the size of the header that the first eight bytes of a file of this length announce."""
    size = int.from_bytes(first[:8], "little")
    if length < 8 or size > length - 8:
        raise kind.refusal(path, f"{length} bytes, fewer than its header says")
    if size > _HEADER_LIMIT:
        raise kind.refusal(path, f"a header of {size} bytes, more than {_HEADER_LIMIT}")
    return size


def check_digest(path: Path, head: bytes, rest: Iterable[memoryview], kind: Kind = CHECKPOINT) -> None:
    """Verify the checksum of a file, given the bytes up to the end of the header, and the pieces of the others."""
    place = _digest_place(head)
    if place < 0:
        raise kind.refusal(path, "a file without a checksum", kind.of_others)
    digest = hashlib.sha256(head[:place] + _NO_DIGEST.encode() + head[place + 64 :])
    for piece in rest:
        digest.update(piece)
    if digest.hexdigest().encode() != head[place : place + 64]:
        raise kind.refusal(path, "a checksum that does not match its header: the file is truncated or has been changed")


def format_version(text: str) -> int:
    """Return the number of the format; raise ValueError if it is none."""
    if not (text.isascii() and text.isdecimal() and not text.startswith("0")):
        raise ValueError(f"format {text!r}")
    return int(text)


def newer(version: int) -> tuple[str, str]:
    """Return what to say of a later version of the format, and the remedy."""
    return f"version {version} of the format", f"install a version of fastnn that knows more than {VERSION}"


def short(error: Exception, limit: int = 200) -> str:
    """Return an error's message, short and safe to print whatever the file made it contain."""
    return ascii(f"{type(error).__name__}: {error}")[1:-1][:limit]
