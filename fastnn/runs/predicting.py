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
from fastnn.runs.commands import refuse, sentence_of
from fastnn.runs.saved import WEIGHTS
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
        source: samples, .npy of shape (N, ...), or .csv with a sample in each line.
        target: .npy or .csv, with a header line of the classes' names, or of output_0, output_1, ...
        proba: write probabilities.
        labels: write the most probable class.

    Raises:
        CheckpointError, OSError: a file cannot be read or written.
        TypeError, ValueError: the samples are not numbers, or not those of the model, or the model has no classes.
    """
    path = model / WEIGHTS if model.is_dir() else model
    if target.resolve() in (source.resolve(), path.resolve()):
        raise ValueError(f"--output: got {target}, which is read here too, want another file")
    if not target.parent.is_dir():
        raise ValueError(f"--output: got {target}, want a file in an existing directory; make {target.parent}")
    kept = read_kept(path)
    loss = _loss(kept)
    x = _csv(source) if source.suffix == ".csv" else _npy(source)
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


def _csv(path: Path) -> Array:
    """Return the numbers of a file with a sample in each line; a first line without any number is its header.

    Raises:
        ValueError: a field is not a number, or a line has another number of fields; the message gives the place.
    """
    rows: list[Array] = []
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        try:
            for fields in reader:
                if not fields or (not rows and reader.line_num == 1 and not any(map(_is_number, fields))):
                    continue
                if rows and len(fields) != len(rows[0]):
                    raise ValueError(f"--input: got {len(fields)} columns in line {reader.line_num} of {path}, want "
                                     f"{len(rows[0])} as before")  # fmt: skip
                wrong = next((i for i, field in enumerate(fields) if not _is_number(field)), None)
                if wrong is not None:
                    raise ValueError(f"--input: got {fields[wrong]!r:.60} in line {reader.line_num}, column "
                                     f"{wrong + 1} of {path}, want a number; encode categories")  # fmt: skip
                rows.append(np.array([float(field) for field in fields]))
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"--input: got {path}, which is not a table ({error}), want numbers with commas") from None
    if not rows:
        raise ValueError(f"--input: got no samples in {path}, want a line of numbers for each")
    return np.stack(rows)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


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
