"""Reads the arrays of a data set: NumPy's files, safetensors, tables, and the data sets that scikit-learn brings."""

import zipfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastnn._types import AnyArray
from fastnn._words import nearest
from fastnn.data import load_digits
from fastnn.runs.table import SUFFIXES, Refused, Table, is_number, position, read_table

Columns = str | int | Sequence[str] | Sequence[int]
DIGITS = "digits"
TOY = {
    f"sklearn.{name}": f"load_{name}" for name in ("breast_cancer", "diabetes", "digits", "iris", "linnerud", "wine")
}
FILES = (".npz", ".npy", *SUFFIXES, ".safetensors")


class Raw(NamedTuple):
    """Arrays of a source as they are: inputs, targets (N,) or (N, ...), weights, names of classes and of inputs."""

    x: AnyArray
    y: AnyArray
    weight: AnyArray | None = None
    names: list[str] | None = None
    columns: list[str] | None = None


def check_source(source: str, targets: Columns | None, sample_weight: str | int | None) -> None:
    """Raise ValueError unless the source exists, and can have targets and weights of these names."""
    path, built_in = Path(source), [DIGITS, *TOY]
    if source in built_in:
        for name, value in (("targets", targets), ("sample_weight", sample_weight)):
            if value is not None:
                raise ValueError(f"{name}: got {value!r} for {source!r}, want it left out; it is for files")
        return
    if path.suffix not in FILES:
        short = f"sklearn.{source.rpartition('.')[2].removeprefix('load_').lower()}"
        near = short if short in TOY else nearest(source, built_in)
        raise ValueError(f"source: got {source!r}, want {near!r}" if near in built_in else
                         f"source: got {source!r}, want {near} or a path that ends with {' or '.join(FILES)}"
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
        if path.suffix in SUFFIXES:
            return _table(path, targets, sample_weight)
        if path.suffix == ".npy":
            return _npy(path, targets, sample_weight)
        arrays = _READERS[path.suffix](path)
    except (ImportError, OSError, Refused):
        raise
    except Exception as error:  # safetensors has its own exception class, zlib and NumPy have several
        raise ValueError(f"source: got a file {path} that cannot be read ({error}), want arrays x and y") from None
    found: list[Any] = []
    for key, name in (("source", "x"), ("targets", targets or "y"), ("sample_weight", sample_weight)):
        if name is not None and name not in arrays:
            key, want = (key, f"one of {sorted(arrays)}") if name not in ("x", "y") else ("source", "arrays x and y")
            raise ValueError(f"{key}: got {sorted(arrays) if key == 'source' else repr(name)} in {path}, want {want}")
        found.append(None if name is None else arrays[name])
    return Raw(found[0], found[1], found[2])


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
        raise Refused(f"targets: got numbers of columns for an array of shape {x.shape} in {path}, want the path of a "
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
        raise Refused(f"{name}: got {path!r}, want the path of an existing .npy file")
    return np.asarray(np.load(path, allow_pickle=False))


def _table(path: Path, targets: Any, sample_weight: str | int | None) -> Raw:
    table = read_table("source", path)
    labels = table.labels
    weights = [] if sample_weight is None else _chosen(sample_weight, labels, "sample_weight")
    last = next((i for i in range(len(labels) - 1, -1, -1) if i not in weights), 0)
    own = [last] if targets is None else _chosen(targets, labels, "targets")
    inputs = [i for i in range(len(labels)) if i not in (*own, *weights)]
    if not inputs:
        raise Refused(f"source: got no column of inputs in {path}, want some")
    x = np.stack([table.numbers(i) for i in inputs], axis=1)
    y = _labels(table, own[0]) if len(own) == 1 else np.stack([table.numbers(i) for i in own], axis=1)
    weight = table.numbers(weights[0]) if weights else None
    return Raw(x, y, weight, columns=None if table.names is None else [table.names[i] for i in inputs])


def _chosen(columns: Any, header: list[str], name: str) -> list[int]:
    """Return the positions of columns that are given by names or numbers."""
    found = []
    for column in columns if isinstance(columns, list) else [columns]:
        if isinstance(column, str) and column not in header:
            raise Refused(f"{name}: got {column!r}, want {nearest(column, header)}")
        if isinstance(column, int) and not -len(header) <= column < len(header):
            raise Refused(f"{name}: got column {column}, want one of 0 to {len(header) - 1}")
        found.append(position(name, column, header) if isinstance(column, str) else column % len(header))
    if not found or len({*found}) != len(found):
        raise Refused(f"{name}: got {columns!r}, want each column once, and at least one")
    return found


def _labels(table: Table, column: int) -> AnyArray:
    """Return a column as integers if all are, else as numbers if all are, else as strings."""
    texts = table.texts(column)
    if not all(map(is_number, texts)):
        return np.array(texts)
    try:
        return np.array([int(text) for text in texts], np.int64)
    except (ValueError, OverflowError):
        return table.numbers(column)
