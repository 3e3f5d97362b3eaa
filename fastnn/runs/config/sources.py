"""Reads the arrays of a data set: NumPy's files, safetensors, CSV, and the data sets that scikit-learn brings."""

import csv
import zipfile
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastnn._types import AnyArray
from fastnn._words import nearest
from fastnn.data import load_digits

Columns = str | int | Sequence[str] | Sequence[int]
DIGITS = "digits"
TOY = {
    f"sklearn.{name}": f"load_{name}" for name in ("breast_cancer", "diabetes", "digits", "iris", "linnerud", "wine")
}
SUFFIXES = (".npz", ".npy", ".csv", ".tsv", ".safetensors")


class Raw(NamedTuple):
    """Arrays of a source as they are: inputs, targets (N,) or (N, ...), weights of samples and names of classes."""

    x: AnyArray
    y: AnyArray
    weight: AnyArray | None = None
    names: list[str] | None = None


def check_source(source: str, targets: Columns | None, sample_weight: str | int | None) -> None:
    """Raise ValueError unless the source exists, and can have targets and weights of these names."""
    path, built_in = Path(source), [DIGITS, *TOY]
    if source in built_in:
        for name, value in (("targets", targets), ("sample_weight", sample_weight)):
            if value is not None:
                raise ValueError(f"{name}: got {value!r} for {source!r}, want it left out; it is for files")
        return
    if path.suffix not in SUFFIXES:
        short = f"sklearn.{source.rpartition('.')[2].removeprefix('load_').lower()}"
        near = short if short in TOY else nearest(source, built_in)
        raise ValueError(f"source: got {source!r}, want {near!r}" if near in built_in else
                         f"source: got {source!r}, want {near} or a path that ends with {' or '.join(SUFFIXES)}"
                         )  # fmt: skip
    if not path.is_file():
        raise ValueError(f"source: got {source!r}, want an existing file; check the path and the working directory")
    if path.suffix == ".npy" and targets is None:
        raise ValueError('targets: got nothing for a .npy file, want the path of another one, as in "y.npy", or the '
                         "numbers of columns, as in [-1]")  # fmt: skip


def read(source: str, targets: Columns | None, sample_weight: str | int | None) -> Raw:
    """Return the arrays of a source.

    Raises:
        ImportError: a package that the source needs is not installed.
        OSError: a file cannot be read.
        ValueError: it has no such arrays or columns; the message names the argument.
    """
    if source == DIGITS:
        (x, y), (more_x, more_y) = load_digits()
        return Raw(np.concatenate([x, more_x]), np.concatenate([y, more_y]))
    if source in TOY:
        return _toy(TOY[source])
    path = Path(source)
    try:
        if path.suffix in (".csv", ".tsv"):
            return _csv(path, targets, sample_weight)
        if path.suffix == ".npy":
            return _npy(path, targets, sample_weight)
        arrays = _READERS[path.suffix](path)
    except (ImportError, OSError):
        raise
    except _Refused as refused:
        raise ValueError(str(refused)) from None
    except Exception as error:  # safetensors has its own exception class, zlib and NumPy have several
        raise ValueError(f"source: got a file {path} that cannot be read ({error}), want arrays x and y") from None
    found: list[Any] = []
    for key, name in (("source", "x"), ("targets", targets or "y"), ("sample_weight", sample_weight)):
        if name is not None and name not in arrays:
            key, want = (key, f"one of {sorted(arrays)}") if name not in ("x", "y") else ("source", "arrays x and y")
            raise ValueError(f"{key}: got {sorted(arrays) if key == 'source' else repr(name)} in {path}, want {want}")
        found.append(None if name is None else arrays[name])
    return Raw(found[0], found[1], found[2])


class _Refused(Exception):
    """A sentence about a file that could be read."""


def _toy(loader: str) -> Raw:
    try:
        datasets: Any = import_module("sklearn.datasets")
    except ImportError:
        raise ImportError("sklearn: got no such package, want it for this source; run pip install scikit-learn"
                          ) from None  # fmt: skip
    loaded = getattr(datasets, loader)()
    is_labels = loaded.target.dtype.kind in "iu" and loaded.target.ndim == 1
    names = [str(name) for name in loaded.target_names] if is_labels else None
    return Raw(np.asarray(loaded.data), np.asarray(loaded.target), None, names)


def _npz(path: Path) -> dict[str, Any]:
    if not zipfile.is_zipfile(path):
        raise ValueError("no zip file")
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _safetensors(path: Path) -> dict[str, Any]:
    import safetensors.numpy

    return safetensors.numpy.load_file(path)


_READERS = {".npz": _npz, ".safetensors": _safetensors}


def _npy(path: Path, targets: Any, sample_weight: str | int | None) -> Raw:
    x = np.load(path, allow_pickle=False)
    if isinstance(targets, str):
        y = _other("targets", targets)
        return Raw(x, y, None if sample_weight is None else _other("sample_weight", sample_weight))
    if x.ndim != 2:
        raise _Refused(f"targets: got numbers of columns for an array of shape {x.shape} in {path}, want the path of a "
                       ".npy file with the targets")  # fmt: skip
    names = [str(i) for i in range(x.shape[1])]
    own, others = _chosen(targets, names, "targets"), []
    weight = None
    if isinstance(sample_weight, str):
        weight = _other("sample_weight", sample_weight)
    elif sample_weight is not None:
        others = _chosen(sample_weight, names, "sample_weight")
        weight = x[:, others[0]]
    y = x[:, own[0]] if len(own) == 1 else x[:, own]
    return Raw(np.delete(x, [*own, *others], axis=1), y, weight)


def _other(name: str, path: Any) -> AnyArray:
    if not isinstance(path, str) or Path(path).suffix != ".npy" or not Path(path).is_file():
        raise _Refused(f"{name}: got {path!r}, want the path of an existing .npy file")
    return np.asarray(np.load(path, allow_pickle=False))


def _csv(path: Path, targets: Any, sample_weight: str | int | None) -> Raw:
    """Read a table. The first line is a header if no field of it is a number."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        file.seek(0)
        separator = max(",;\t", key=first.count)
        rows = [(reader.line_num, row) for reader in [csv.reader(file, delimiter=separator)] for row in reader if row]
    if not rows:
        raise _Refused(f"source: got no line in {path}, want one for each sample")
    header = [name.strip() for name in rows[0][1]]
    has_names = not any(map(_is_number, header))
    if not has_names:
        header = [str(i) for i in range(len(header))]
    rows = rows[has_names:]
    for line, row in rows:
        if len(row) != len(header):
            raise _Refused(f"source: got {len(row)} fields in line {line} of {path}, want {len(header)}, as in line 1")
    weights = [] if sample_weight is None else _chosen(sample_weight, header, "sample_weight")
    last = next(i for i in range(len(header) - 1, -1, -1) if i not in weights)
    own = [last] if targets is None else _chosen(targets, header, "targets")
    columns = {i: [(line, row[i].strip()) for line, row in rows] for i in range(len(header))}
    numbers: Callable[[int], AnyArray] = lambda i: _numbers(columns[i], header[i], path)  # noqa: E731
    inputs = [numbers(i) for i in range(len(header)) if i not in (*own, *weights)]
    if not inputs or not rows:
        raise _Refused(f"source: got {'no line of numbers' if inputs else 'no column of inputs'} in {path}, want some")
    y = _labels(columns[own[0]]) if len(own) == 1 else np.stack([numbers(i) for i in own], axis=1)
    return Raw(np.stack(inputs, axis=1), y, numbers(weights[0]) if weights else None)


def _chosen(columns: Any, header: list[str], name: str) -> list[int]:
    """Return the positions of columns that are given by names or numbers."""
    found = []
    for column in columns if isinstance(columns, list) else [columns]:
        if isinstance(column, str) and column not in header:
            raise _Refused(f"{name}: got {column!r}, want {nearest(column, header)}")
        if isinstance(column, int) and not -len(header) <= column < len(header):
            raise _Refused(f"{name}: got column {column}, want one of 0 to {len(header) - 1}")
        found.append(header.index(column) if isinstance(column, str) else column % len(header))
    if not found or len({*found}) != len(found):
        raise _Refused(f"{name}: got {columns!r}, want each column once, and at least one")
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(column: list[tuple[int, str]], name: str, path: Path) -> AnyArray:
    for line, text in column:
        if not _is_number(text):
            raise _Refused(f"source: got {text!r} in line {line}, column {name!r} of {path}, want a number; write the "
                           "column as numbers, or remove it")  # fmt: skip
    return np.array([float(text) for _, text in column])


def _labels(column: list[tuple[int, str]]) -> AnyArray:
    """Return a column as integers if all are, else as numbers if all are, else as strings."""
    texts = [text for _, text in column]
    try:
        return np.array([int(text) for text in texts], np.int64)
    except (ValueError, OverflowError):
        return np.array([float(t) for t in texts]) if all(map(_is_number, texts)) else np.array(texts)
