"""Reads tables of text, .csv and .tsv, for trainings and for predictions."""

import csv
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fastnn._types import AnyArray

SUFFIXES = (".csv", ".tsv")


class Refused(ValueError):
    """A sentence about a file that could be read."""


class Table(NamedTuple):
    """The fields of a table, without spaces around them.

    Attributes:
        key: the argument that error messages name.
        path: the file.
        names: of the columns; None without a header.
        rows: the number of the line and the fields, for each line that is not empty.
    """

    key: str
    path: Path
    names: list[str] | None
    rows: list[tuple[int, list[str]]]

    @property
    def labels(self) -> list[str]:
        """The names of the columns, or without a header their numbers from 0."""
        return [str(i) for i in range(len(self.rows[0][1]))] if self.names is None else self.names

    def texts(self, column: int) -> list[str]:
        """Return the fields of a column.

        Raises:
            Refused: one is empty.
        """
        for line, row in self.rows:
            if not row[column]:
                raise self._refused(line, column, "a value in every line; fill it in, or remove the line")
        return [row[column] for _, row in self.rows]

    def numbers(self, column: int) -> AnyArray:
        """Return the numbers of a column, (N,) float64.

        Raises:
            Refused: a field is not a number, or one beyond float64.
        """
        for line, row in self.rows:
            if not is_number(row[column]):
                raise self._refused(line, column, "a number; write the column as numbers, such as 1.5, or remove it")
        found = np.array([float(row[column]) for _, row in self.rows])
        for i in np.flatnonzero(np.isinf(found)):
            line, row = self.rows[i]
            if "inf" not in row[column].lower():
                raise self._refused(line, column, "a number that float64 can hold; scale the column")
        return found

    def _refused(self, line: int, column: int, want: str) -> Refused:
        text = dict(self.rows)[line][column]
        return Refused(f"{self.key}: got {text!r:.60} in line {line}, column {self.labels[column]!r} of {self.path}, "
                       f"want {want}")  # fmt: skip


def read_table(key: str, path: Path) -> Table:
    """Read a table; its first line is a header if no field of it is a number.

    Fields are separated by what the first line has most of, commas, semicolons or tabs; they may be quoted. Empty lines
    are left out.

    Raises:
        OSError: the file cannot be read.
        Refused: it is not a table in UTF-8, has no samples, or lines with different numbers of fields.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            first = next((line for line in file if line.strip()), "")
            separator = max(",;\t", key=re.sub('"[^"]*"', "", first).count)
            file.seek(0)
            reader = csv.reader(file, delimiter=separator, skipinitialspace=True, strict=True)
            rows = []
            for fields in reader:
                stripped = [text.strip() for text in fields]
                if stripped not in ([], [""]):
                    rows.append((reader.line_num, stripped))
    except (UnicodeDecodeError, csv.Error) as error:
        raise Refused(f"{key}: got {path}, which is not a table ({error}), want fields with commas between them, in "
                      "UTF-8; save it as CSV UTF-8") from None  # fmt: skip
    if not rows:
        raise Refused(f"{key}: got no line in {path}, want one for each sample")
    begin, header = rows[0]
    for line, row in rows:
        if len(row) != len(header):
            raise Refused(f"{key}: got {len(row)} fields in line {line} of {path}, want {len(header)}, as in line "
                          f"{begin}")  # fmt: skip
    if any(map(is_number, header)):
        return Table(key, path, None, rows)
    if len(rows) == 1:
        raise Refused(f"{key}: got no line of numbers in {path}, want some")
    return Table(key, path, header, rows[1:])


def is_number(text: str) -> bool:
    """Return whether a field is a number; Python's 1_000 is none."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def position(key: str, column: str, labels: list[str]) -> int:
    """Return the position of a column.

    Raises:
        Refused: several have this name.
    """
    if (count := labels.count(column)) > 1:
        raise Refused(f"{key}: got {column!r}, which {count} columns are called, want one; rename the others")
    return labels.index(column)
