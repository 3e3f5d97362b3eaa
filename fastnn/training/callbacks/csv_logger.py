"""Writes the curves of a training into a CSV file."""

import csv
import errno
import io
import os
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from fastnn._checks import flag
from fastnn._files import as_path, replace
from fastnn.training.callbacks.base import Callback
from fastnn.training.protocols import Training

ENCODING = {"encoding": "utf-8", "errors": "surrogateescape"}


class CSVLogger(Callback):
    """Writes a row for every epoch, and for every validation within one, into a CSV file.

    The columns are "epoch", "step", everything in `trainer.logs`, and the last values of what other callbacks record
    for every step, such as "lr-0"; the rows of validations within an epoch have no "seconds". A cell is empty where a
    row lacks a value. A value with a new name adds a column, empty in the rows before. Numbers are written with all
    digits, names are quoted where they need it.

    A row is appended in one piece, and a file with a new column replaces the old one, so that a killed process leaves
    whole rows. A resumed fit continues the file behind the rows that it had at the checkpoint: none comes twice. If
    writing fails during the training, a warning is given, and the training continues without the file.

    Args:
        path: the file; its directory is created if it does not exist.
        append: continue a file that exists; False replaces it when the first row is written, unless the fit is resumed.

    Raises:
        TypeError: append is not a bool.
        ValueError: at the start of a fit, a metric is called "epoch" or "step".
        OSError: at the start of a fit, the directory cannot be written, or the path is a directory.
    """

    _rank: ClassVar[int] = 2

    def __init__(self, path: str | Path, append: bool = False) -> None:
        self.path, self.append = as_path("path", path), flag("append", append)
        self._columns: list[str] = []  # none until this fit has written a row
        self._fails, self._began_at = False, 0
        self.reset()

    def reset(self) -> None:
        """Forget how many rows the file has."""
        self._rows: int | None = None

    def on_fit_start(self, trainer: Training) -> None:
        """Raise at the start of the fit if writing would fail later."""
        if taken := [name for name in ("epoch", "step") if name in trainer.monitors]:
            raise ValueError(f"metrics: got one called {taken[0]!r}, which is a column of CSVLogger; rename it")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(self.path))
        tempfile.TemporaryFile(dir=self.path.parent).close()
        self._columns, self._fails, self._began_at = [], False, trainer.step
        if not trainer.resumed:
            self._rows = len(_read(self.path)[1]) if self.append else 0

    def on_validation_end(self, trainer: Training) -> None:
        """Write the row of a validation within an epoch."""
        if trainer.batch != trainer.batches:
            self._try(trainer, trainer.logs)

    def on_epoch_end(self, trainer: Training) -> None:
        """Write the row of the epoch."""
        self._try(trainer, trainer.logs)

    def on_fit_end(self, trainer: Training) -> None:
        """Remove the rows behind the checkpoint if a resumed fit has written none."""
        if trainer.resumed and not self._columns and self.path.exists():
            self._try(trainer, None)

    def state_dict(self) -> dict[str, Any]:
        """Return the number of rows in the file."""
        return {"rows": self._rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue behind that number of rows."""
        self._rows = state["rows"]

    def _try(self, trainer: Training, logs: dict[str, float] | None) -> None:
        """Write, and warn if that fails, since neither a full disk nor another failure here may end a training."""
        if self._fails:
            return
        try:
            self._write(trainer, None if logs is None else _record(trainer, logs))
        except (OSError, csv.Error) as error:
            self._fails = True
            warnings.warn(f"{self.path}: got {type(error).__name__} ({error}), want to write a row; training continues "
                          "without the file", stacklevel=2)  # fmt: skip

    def _write(self, trainer: Training, record: dict[str, str] | None) -> None:
        if record is not None and self._columns and self._rows is not None and record.keys() <= set(self._columns):
            _append(self.path, _text([[record.get(name, "") for name in self._columns]]))
            self._rows += 1
            return
        columns, rows = _read(self.path) if self._columns else self._kept(trainer)
        columns = [*dict.fromkeys([*columns, *(record or ())])]
        if record is not None:
            rows.append([record.get(name, "") for name in columns])
        padded = [row + [""] * (len(columns) - len(row)) for row in rows]
        replace(self.path, _text([columns, *padded] if columns else []))
        self._columns, self._rows = columns, len(rows)

    def _kept(self, trainer: Training) -> tuple[list[str], list[list[str]]]:
        """Return the header and the rows that a file from before this fit keeps."""
        if not (self.append or trainer.resumed):
            return [], []
        columns, rows = _read(self.path)
        if trainer.resumed and self._rows is None and "step" in columns:  # the checkpoint knows no file
            at = columns.index("step")
            return columns, [row for row in rows if row[at].isdecimal() and int(row[at]) <= self._began_at]
        if self._rows is not None and len(rows) < self._rows:
            warnings.warn(f"{self.path}: got {len(rows)} rows, want {self._rows}, which it had at the checkpoint; the "
                          "others are missing", stacklevel=2)  # fmt: skip
        return columns, rows if self._rows is None else rows[: self._rows]


def _record(trainer: Training, logs: dict[str, float]) -> dict[str, str]:
    """Return the cells of a row by column."""
    steps = trainer.history.steps
    n = len(steps["loss"])
    last = {name: curve[-1] for name, curve in steps.items() if n and len(curve) == n and name != "loss"}
    values = {"epoch": trainer.epoch, "step": trainer.step} | logs
    values |= {name: value for name, value in last.items() if name not in values}
    return {name: _cell(value) for name, value in values.items()}


def _cell(value: Any) -> str:
    try:
        return str(value) if isinstance(value, int | str) else repr(float(value))
    except (TypeError, ValueError):
        return str(value)


def _text(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode(**ENCODING)


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    """Return the header and the whole rows of a file; a last line without its end is none."""
    try:
        text = path.read_bytes().decode(**ENCODING)
    except FileNotFoundError:
        return [], []
    header, *rows = [row for row in csv.reader(io.StringIO(text[: text.rfind("\n") + 1], "")) if row] or [[]]
    return header, [row + [""] * (len(header) - len(row)) for row in rows]


def _append(path: Path, line: bytes) -> None:
    """Append bytes to a file in one piece, or leave it as it was."""
    with open(path, "r+b", buffering=0) as file:  # never a new file, which would have no header
        size = file.seek(0, os.SEEK_END)
        if file.write(line) != len(line):
            file.truncate(size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
