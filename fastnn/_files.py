"""The one way to write a file: `path` is the old file or the new one, each of them whole, whatever happens.

A file is written beside its place, under its name with a dot before it and the process's number behind it, and renamed
when the disk has it.
"""

import errno
import glob
import os
import time
from contextlib import suppress
from pathlib import Path


def replace(path: Path, *pieces: bytes | memoryview) -> None:
    """Replace a file, or make it; where that fails, no part of the new one is left.

    Args:
        path: its directory exists.
        pieces: the content, in pieces where it would otherwise be in memory twice.

    Raises:
        OSError: what the system says; `path` is one of the two all the same.
    """
    remove_parts(path.parent, glob.escape(path.name))
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(part, "wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
            written, size = os.fstat(file.fileno()).st_size, sum(map(len, pieces))
            if written != size:  # file systems that lose bytes without an error have been met
                raise OSError(errno.EIO, f"{written} of {size} bytes written", str(part))
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Write the names in a directory to the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_parts(directory: Path, names: str) -> None:
    """Delete the unfinished files of processes that were killed in `replace`; those of running processes stay.

    Args:
        names: a pattern of the names of the finished files, as in `Path.glob`.
    """
    with suppress(OSError):
        for part in directory.glob(f".{names}.*"):
            owner = part.name.rpartition(".")[2]
            if owner.isdecimal() and not _is_alive(int(owner)):
                part.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)  # sends nothing
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return process > 0  # 0 is the own group


def dated(directory: Path) -> Path:
    """Return a path in a directory that is named by the time and does not exist yet."""
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    names = (stamp, *(f"{stamp}_{i}" for i in range(2, 100)))
    return next(directory / name for name in names if not (directory / name).exists())
