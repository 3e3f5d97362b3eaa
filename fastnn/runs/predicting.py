"""The command `python -m fastnn predict`: a trained model applied to the samples of a file."""

import csv
import io
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn._files import replace
from fastnn._types import Array
from fastnn.checkpoint.file import CheckpointError
from fastnn.runs.commands import continued, refuse, sentence_of
from fastnn.runs.saved import WEIGHTS, read_columns
from fastnn.runs.table import position, read_table
from fastnn.training.keeping import Kept, Unknown, built_loss, read_kept
from fastnn.training.preparing import model_dtype, predicted_classes
from fastnn.training.running import predict, probabilities_of

BATCH_SIZE = 1024


def main(options: Namespace) -> int:
    """Run the command, and return the exit status: 1 if it fails; nothing has been written then."""
    try:
        run(options.model, options.input, options.output, proba=options.proba, labels=options.labels)
    except (CheckpointError, OSError, TypeError, ValueError) as error:
        return refuse(1, sentence_of(error))
    return 0


def run(model: Path, source: Path, target: Path, *, proba: bool = False, labels: bool = False) -> npt.NDArray[Any]:
    """Write what a model predicts for the samples of a file, and return it. An existing output is replaced.

    Args:
        model: the directory of a run, whose samples become rows as its training's did, or the file of a model.
        source: samples, .npy of shape (N, ...), or a table, .csv or .tsv, with a sample in each line. Of a table with
            names, the columns that the training of a run had are taken by name.
        target: .npy or .csv, with a header line of the classes' names, or of output_0, output_1, ...
        proba: write probabilities.
        labels: write the most probable class.

    Raises:
        CheckpointError, OSError: a file cannot be read or written.
        TypeError, ValueError: the samples are not numbers, or not those of the model, or the model has no classes.
    """
    path = model / WEIGHTS if model.is_dir() else model
    if not path.exists() and (want := continued(model)):
        raise ValueError(f"model: got {str(model)!r} without {WEIGHTS}, want {want}")
    if target.resolve() in (source.resolve(), path.resolve()):
        raise ValueError(f"--output: got {target}, which is read here too, want another file")
    if not target.parent.is_dir():
        raise ValueError(f"--output: got {target}, want a file in an existing directory; make {target.parent}")
    kept = read_kept(path)
    loss = _loss(kept)
    x = _npy(source) if source.suffix == ".npy" else _table(source, read_columns(model))
    x = x.reshape(len(x), -1) if model.is_dir() else x
    dtype = model_dtype(kept.model) or np.dtype(np.float32 if x.dtype.kind != "f" else x.dtype)
    try:
        with np.errstate(over="raise"):
            x = np.ascontiguousarray(x, dtype)
    except FloatingPointError:
        raise ValueError(f"--input: got numbers beyond {dtype} in {source}, want those of the training") from None
    found: Any = predict(kept.model, x, BATCH_SIZE, kept.normalize)
    if not isinstance(found, np.ndarray):
        raise ValueError("model: got one with several outputs, want one output; use Trainer.load and predict")
    if proba:
        found = probabilities_of(loss, found)
    if labels:
        found = predicted_classes(loss, found, kept.classes)
    replace(target, _as_csv(found, kept, labels) if target.suffix == ".csv" else _as_npy(found))
    print(f"{len(found)} predictions; see {target}")
    result: npt.NDArray[Any] = found
    return result


def _loss(kept: Kept) -> Any:
    """Return the loss, which says what the model's result means; None if it is not known."""
    try:
        return None if kept.loss is None else built_loss(kept.loss)
    except Unknown:
        return None


def _npy(path: Path) -> Array:
    try:
        with open(path, "rb") as file:
            x = np.lib.format.read_array(file, allow_pickle=False)
    except (EOFError, MemoryError, ValueError) as error:
        raise ValueError(f"--input: got {path}, which is not an array ({error}), want what np.save writes") from None
    if x.dtype.kind not in "biuf" or x.ndim == 0 or len(x) == 0:
        raise ValueError(f"--input: got {x.dtype} {x.shape} in {path}, want numbers (N, ...), with at least one sample")
    return x


def _table(path: Path, columns: list[str] | None) -> Array:
    """Return the numbers of a table, in the columns that the training had if both have names."""
    table = read_table("--input", path)
    chosen = list(range(len(table.labels)))
    if columns is not None and table.names is not None:
        if missing := [name for name in columns if name not in table.names]:
            raise ValueError(f"--input: got no column {missing[0]!r} in {path}, want those of the training; name it as "
                             "there, or remove the header")  # fmt: skip
        chosen = [position("--input", name, table.names) for name in columns]
        if rest := [name for name in table.names if name not in columns]:
            print(f"without the columns {', '.join(rest)}, which the training did not have as inputs")
    return np.stack([table.numbers(i) for i in chosen], axis=1)


def _as_npy(found: npt.NDArray[Any]) -> memoryview:
    content = io.BytesIO()
    np.save(content, found, allow_pickle=False)
    return content.getbuffer()


def _as_csv(found: npt.NDArray[Any], kept: Kept, labels: bool) -> bytes:
    rows = found.reshape(len(found), -1)
    width = rows.shape[1]
    names = kept.classes if kept.classes is not None and len(kept.classes) == width else None
    header = ["class"] if labels else names or [f"output_{i}" for i in range(width)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    # str() of a NumPy scalar has the shortest digits that give the same number again.
    writer.writerows([str(value) for value in row] for row in rows)
    return text.getvalue().encode()
