"""The files in the directory of a run, beside its checkpoints: written here, and read for a report or to resume."""

import io
import json
import math
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fastnn._files import dated, replace
from fastnn._trees import is_tree, rows
from fastnn._types import AnyArray, Array
from fastnn.checkpoint.packing import pack, unpack
from fastnn.diagnosis.inspection import inspect_layers, largest_errors
from fastnn.functional.softmax import softmax
from fastnn.metrics.outputs import mean_of
from fastnn.metrics.outputs import probabilities as probabilities_of
from fastnn.training.checks import Data, checked
from fastnn.training.configuration import described
from fastnn.training.fitting import converter
from fastnn.training.history import History
from fastnn.training.lr_finder import LRFinder, found
from fastnn.training.trainer import Trainer

HISTORY, CONFIGURATION, EVALUATION = "history.json", "configuration.json", "evaluation.npz"
COLUMNS = "columns.json"
CONFIG, FINDER, CHECKPOINTS, WEIGHTS = "config.toml", "lr_find.npz", "checkpoints", "model.safetensors"
TEXT = "$state"
"""The name of the array that contains the JSON text of the evaluation; see `fastnn.checkpoint.packing`."""
SAMPLES = 16
"""How many samples, and how many of the largest errors, a run keeps."""
INSPECTED = 256
"""How many samples run through the layers for the histograms."""

WANTED = dict.fromkeys(("labels", "probabilities", "samples", "errors"),
                        "a validation that has labels, with a logit for each class; pass it to save_run") | {
    "predictions": "a validation and a loss for regression; pass it to save_run",
    "layers": "the histograms of a validation; pass it to save_run",
    "finder": "what trainer.lr_find returned; pass it to save_run(finder=...)",
}  # fmt: skip


def save_run(directory: str | Path, trainer: Trainer, validation: Data | None = None,
             names: Sequence[str] | None = None, finder: LRFinder | None = None,
             test: Mapping[str, float] | None = None) -> None:  # fmt: skip
    """Write the files that a report needs: history.json, configuration.json and, with a validation, evaluation.npz.

    The JSON is strict: NaN and infinity are null. The arrays are readable without pickle.

    Args:
        directory: created if it does not exist; it may be that of the checkpoints.
        trainer: a trainer after `fit`. Its model is evaluated, and its state restored.
        validation: (x, y) as in `Trainer.fit`. If y has labels and the model a logit for each class, all labels and
            probabilities, 16 samples and the 16 largest errors are kept, and with a loss for regression all targets
            and predictions; histograms of the layers in any case.
        names: names of the classes; those of the trainer if they are left out.
        finder: the result of `trainer.lr_find`, to be drawn too.
        test: the result of `trainer.evaluate` on test data.

    Raises:
        OSError: a file cannot be written.
        TypeError, ValueError: the validation is invalid for `Trainer.fit`, or there is not one name for each class.
    """
    directory, names = Path(directory), trainer.classes if names is None else names
    evaluation = {} if validation is None else _evaluation(trainer, validation)
    probabilities = evaluation.get("probabilities")
    if names is not None and probabilities is not None and len(names) != probabilities.shape[1]:
        raise ValueError(f"names: got {len(names)}, want {probabilities.shape[1]}, one for each class")
    if finder is not None:
        evaluation["finder"] = vars(finder)
    directory.mkdir(parents=True, exist_ok=True)
    state = trainer.history.state_dict()
    curves = {
        part: {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in c.items()} for part, c in state.items()
    }
    replace(directory / HISTORY, _json(curves))
    told = described(trainer) | {"epochs": trainer.epoch, "steps": trainer.step, "stopped": trainer.stopped}
    told["test"] = None if test is None else dict(test)
    told["names"] = None if names is None else [str(name) for name in names]
    replace(directory / CONFIGURATION, _json(told))
    (directory / EVALUATION).unlink(missing_ok=True)  # one of an earlier training does not belong to these curves
    if evaluation:
        arrays, text = pack(evaluation)
        parts: dict[str, Any] = {TEXT: np.array(text), **arrays}
        content = io.BytesIO()
        np.savez_compressed(content, **parts)
        replace(directory / EVALUATION, content.getbuffer())


def _evaluation(trainer: Trainer, validation: Data) -> dict[str, Any]:
    x, labels = checked("validation", validation)
    outputs, task = trainer.predict(x), getattr(trainer.criterion, "task", None)
    outputs = mean_of(outputs) if task == "regression" else outputs
    if is_tree(outputs):
        return {}
    first = rows((x, labels), slice(INSPECTED))
    first = converter(trainer.model, trainer.normalize)(first[0]), first[1]
    found: dict[str, Any] = {"layers": [s.state() for s in inspect_layers(trainer.model, trainer.criterion, *first)]}
    if not isinstance(labels, np.ndarray):
        return found
    if task == "regression":
        return found | {"targets": _columns(labels), "predictions": _columns(outputs)}
    probabilities = _probabilities(outputs, labels, task)
    if probabilities is None:
        return found
    labels = labels.reshape(-1)
    known = np.flatnonzero((labels >= 0) & (labels < probabilities.shape[1]))  # the others do not count in the loss
    if len(known):
        labels, probabilities = labels[known].astype(np.int64), np.ascontiguousarray(probabilities[known])
        found |= {"labels": labels, "probabilities": probabilities}
        shown = {"samples": np.arange(min(SAMPLES, len(known))),
                 "errors": largest_errors(labels, probabilities, SAMPLES)}  # fmt: skip
        if not is_tree(x):
            found |= {name: {"x": x[known[chosen]], "rows": chosen} for name, chosen in shown.items()}
    return found


def _columns(numbers: AnyArray) -> AnyArray:
    """Return real numbers of samples as (N, columns) float64."""
    return numbers.reshape(len(numbers), -1).astype(np.float64)


def _probabilities(outputs: Array, labels: AnyArray, task: Any) -> Array | None:
    """Return the probability of each class, (N, C), or None if the targets are no labels (N,), or 0 and 1 (N, 1)."""
    if task == "binary" and outputs.size == len(outputs) == labels.size and np.isin(labels, (0, 1)).all():
        found = probabilities_of(outputs, task).reshape(-1)
        return np.stack([1 - found, found], axis=1)
    is_labels = labels.ndim == 1 and labels.dtype.kind in "iu"
    return softmax(outputs) if is_labels and outputs.ndim == 2 and outputs.shape[1] > 1 else None


def _json(value: Any) -> bytes:
    return (json.dumps(_finite(value), indent=1, allow_nan=False) + "\n").encode()


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def make_run(directory: Path) -> Path:
    """Make a directory that is named by the time inside `directory`, and return its path.

    Two programs that begin in the same second get one each.
    """
    directory.mkdir(parents=True, exist_ok=True)
    while True:
        run = dated(directory)
        try:
            run.mkdir()
        except FileExistsError:  # another program has made it since
            continue
        return run


def save_columns(directory: Path, columns: list[str] | None) -> None:
    """Write the names of the inputs of a training, if they have names, for `read_columns`."""
    if columns is not None:
        replace(directory / COLUMNS, _json(columns))


def read_columns(run: Path) -> list[str] | None:
    """Return the names of the inputs of a run; None if they have none, or if the path is not the directory of a run.

    Raises:
        OSError, ValueError: the file cannot be read.
    """
    if not (run / COLUMNS).is_file():
        return None
    columns = json.loads((run / COLUMNS).read_text())
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise ValueError(f"{run / COLUMNS}: got no list of names, want it; remove it, and the header of the input")
    return columns


def save_finder(finder: LRFinder, path: Path) -> None:
    """Write the result of a learning-rate range test, for `load_finder`."""
    content = io.BytesIO()
    np.savez(content, rates=finder.rates, losses=finder.losses)
    replace(path, content.getbuffer())


def load_finder(path: Path) -> LRFinder | None:
    """Return the result of `save_finder`, or None if it cannot be read: a missing picture must not end a training."""
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as arrays:
            return found(arrays["rates"], arrays["losses"])
    except (EOFError, KeyError, OSError, TypeError, ValueError, zipfile.BadZipFile):
        return None


class Missing(Exception):
    """A part of a run is missing; the message says which."""


class SavedRun:
    """The files of a run, each read on first access.

    Every attribute and method raises `Missing` if its file or its part of the file is missing.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def _read(self, name: str, parse: Callable[[Path], Any]) -> Any:
        try:
            return parse(self._directory / name)
        except FileNotFoundError:
            raise Missing(f"{name}: got no such file, want it here; fastnn.report.save_run writes it") from None
        except Exception as error:
            raise Missing(f"{name}: got a file that cannot be read ({error}), want save_run's; run it again") from None

    @cached_property
    def history(self) -> History:
        """The history of the training."""

        def parse(path: Path) -> History:
            state, history = json.loads(path.read_text()), History()
            history.load_state_dict(
                {
                    part: {k: np.array(v, np.float64) if isinstance(v, list) else v for k, v in curves.items()}
                    for part, curves in state.items()
                }
            )
            return history

        history: History = self._read(HISTORY, parse)
        return history

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """The model, the options of the training, and its results on the test data."""
        configuration: dict[str, Any] = self._read(CONFIGURATION, lambda path: dict(json.loads(path.read_text())))
        return configuration

    @cached_property
    def names(self) -> list[str] | None:
        """The names of the classes; None if they have none."""
        try:
            return self.configuration.get("names")
        except Missing:
            return None

    @cached_property
    def _evaluation(self) -> dict[str, Any]:
        def parse(path: Path) -> dict[str, Any]:
            with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:  # np.load itself leaves it open
                arrays = {name: file[name] for name in file.files}
            return dict(unpack(arrays, str(arrays.pop(TEXT))))

        evaluation: dict[str, Any] = self._read(EVALUATION, parse)
        return evaluation

    @property
    def is_regression(self) -> bool:
        """Whether the evaluation has predictions of real numbers, and no classes."""
        try:
            return "predictions" in self._evaluation
        except Missing:
            return False

    def evaluated(self, key: str) -> Any:
        """Return a part of the evaluation."""
        if key not in self._evaluation:
            raise Missing(f"{EVALUATION}: got no {key}, want {WANTED[key]}")
        return self._evaluation[key]
