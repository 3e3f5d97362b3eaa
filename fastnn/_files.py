"""Writes files atomically: whatever happens, `path` holds the complete old file or the complete new one.

A file is first written in the same directory, as its name with a leading dot and the process's number at the end, and
is renamed once it is on the disk.
"""

import errno
import glob
import os
import time
from contextlib import suppress
from pathlib import Path


def as_path(name: str, value: str | os.PathLike[str]) -> Path:
    """Return an argument as a path; raise TypeError unless it is a str or a path."""
    if isinstance(value, str | os.PathLike):
        return Path(value)
    remedy = "; pass os.fsdecode(it)" if isinstance(value, bytes) else ""
    raise TypeError(f"{name}: got {value!r:.80}, want a path, a str or a pathlib.Path{remedy}")


def replace(path: Path, *pieces: bytes | memoryview) -> None:
    """Replace or create a file; if that fails, nothing of the new file is left behind.

    Args:
        path: the file, or a link to it; its directory must exist.
        pieces: the content, in several pieces so that no second copy in memory is needed to join them.

    Raises:
        OSError: the operating system reports a failure; `path` still holds the old file or the new one.
    """
    path = Path(os.path.realpath(path)) if path.is_symlink() else path  # the link stays, and so does its meaning
    remove_parts(path.parent, glob.escape(path.name))
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(part, "wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
            written, size = os.fstat(file.fileno()).st_size, sum(map(len, pieces))
            if written != size:  # some file systems lose bytes without an error
                raise OSError(errno.EIO, f"{written} of {size} bytes written", str(part))
        os.replace(part, path)
    except BaseException as error:
        with suppress(OSError):
            part.unlink()
        if isinstance(error, OSError) and error.strerror:  # the name of the part helps nobody
            raise type(error)(error.errno, error.strerror, str(path)) from None
        raise
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Flush a directory's entries to the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_parts(directory: Path, names: str) -> None:
    """Delete the unfinished files of processes that were killed in `replace`; files of running processes stay.

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
        os.kill(process, 0)  # signal 0 is only a test, nothing is sent
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return process > 0  # 0 is this process's own group


def dated(directory: Path) -> Path:
    """Return a path in a directory that is named after the current time and does not exist yet."""
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    names = (stamp, *(f"{stamp}_{i}" for i in range(2, 100)))
    return next(directory / name for name in names if not (directory / name).exists())
