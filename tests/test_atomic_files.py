"""Files are replaced as a whole, and what other processes left unfinished is removed."""

import errno
import io
import os
from pathlib import Path
from typing import Any

import pytest

from fastnn import _files

NEVER = 10**9
"""No process has this number."""


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("name", ["report.html", "a[1].json", "a*.json", ".hidden"])
def test_a_file_and_nothing_else(name: str, tmp_path: Path) -> None:
    """A file is created or replaced by its pieces; unfinished files of that name, and no others, are removed."""
    path = tmp_path / name
    for pieces in ((b"first",), (b"se", memoryview(b"co"), b"nd"), ()):
        others = [".report.html.x", f".other.{NEVER}", f".a1.json.{NEVER}", f".ab.json.{NEVER}", f"{name}.{NEVER}"]
        for other in (*others, f".{name}.{NEVER}"):
            (tmp_path / other).touch()
        _files.replace(path, *pieces)
        assert path.read_bytes() == b"".join(pieces)
        assert _names(tmp_path) == sorted([*others, name])


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (None, True),
        (ProcessLookupError, False),
        (PermissionError, True),
        (OverflowError, False),
    ],
)
def test_whose_files_are_removed(
    error: type[Exception] | None, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signal 0 asks whether a process is alive; the file of another user's process stays."""
    asked: list[tuple[int, int]] = []

    def kill(process: int, signal: int) -> None:
        asked.append((process, signal))
        if error is not None:
            raise error

    monkeypatch.setattr(os, "kill", kill)
    for name in (".a.0", ".a.7", ".a.-7", ".a.7b", ".b.7"):
        (tmp_path / name).touch()
    _files.remove_parts(tmp_path, "a")
    assert sorted(asked) == [(0, 0), (7, 0)]
    assert _names(tmp_path) == sorted([".a.-7", ".a.7b", ".b.7", *([".a.7"] if kept else [])])


def test_a_file_system_that_loses_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is too short on the disk is an error; the old file is still there, and nothing else."""
    path = tmp_path / "a"
    path.write_bytes(b"old")

    class Short:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __enter__(self) -> "Short":
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def writelines(self, pieces: Any) -> None:
            self.file.write(b"".join(pieces)[:-1])

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    monkeypatch.setattr(_files, "open", lambda *arguments: Short(io.FileIO(*arguments)), raising=False)
    with pytest.raises(OSError, match="6 of 7 bytes written") as caught:
        _files.replace(path, b"new", b"file")
    assert caught.value.errno == errno.EIO
    assert path.read_bytes() == b"old" and _names(tmp_path) == ["a"]


def test_names_after_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second and third directory of the same second have numbers behind the time."""
    monkeypatch.setattr(_files.time, "strftime", lambda form: form.replace("%", ""))
    stamp, made = "Y-m-d_H-M-S", []
    for _ in range(3):
        path = _files.dated(tmp_path)
        assert path.parent == tmp_path
        path.mkdir()
        made.append(path.name)
    assert made == [stamp, f"{stamp}_2", f"{stamp}_3"]
