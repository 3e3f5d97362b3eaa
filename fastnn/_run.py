"""What is kept of a training beside its checkpoints: written after it, and read for a report."""

import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fastnn import functional as F
from fastnn._files import replace
from fastnn.checkpoint.packing import pack, unpack
from fastnn.diagnosis.inspection import inspect_layers, largest_errors
from fastnn.training import History, LRFinder, Trainer
from fastnn.training.checks import Data, checked
from fastnn.training.configuration import described

HISTORY, CONFIGURATION, EVALUATION = "history.json", "configuration.json", "evaluation.npz"
TEXT = "$state"
"""The array that has the evaluation's text; see `fastnn.checkpoint.packing`."""
SAMPLES = 16
"""How many samples, and how many of the largest errors, a run keeps."""
INSPECTED = 256
"""How many samples go through the layers for the histograms."""

WANTED = dict.fromkeys(("labels", "probabilities", "samples", "errors"),
                        "a validation that has labels, with a logit for each class; pass it to save_run") | {
    "layers": "the histograms of a validation; pass it to save_run",
    "finder": "what trainer.lr_find returned; pass it to save_run(finder=...)",
}  # fmt: skip


def save_run(directory: str | Path, trainer: Trainer, validation: Data | None = None,
             names: Sequence[str] | None = None, finder: LRFinder | None = None,
             test: Mapping[str, float] | None = None) -> None:  # fmt: skip
    """Write what a report needs: history.json, configuration.json and, with a validation, evaluation.npz.

    The JSON is strict: NaN and infinity are null. The arrays are readable without pickle.

    Args:
        directory: is made if need be; it may be that of the checkpoints.
        trainer: after `fit`; its model is evaluated, and is as before afterwards.
        validation: (x, y) as in `Trainer.fit`. All labels and probabilities are kept where y has labels and the model
            a logit for each class; 16 samples, and the 16 largest errors; and the layers' histograms.
        names: of the classes.
        finder: what `trainer.lr_find` returned, to be drawn too.
        test: what `trainer.evaluate` returned for data that chose nothing.

    Raises:
        OSError: what the system says.
        TypeError, ValueError: a validation that `Trainer.fit` would refuse, or names of fewer or more classes.
    """
    directory = Path(directory)
    evaluation = {} if validation is None else _evaluation(trainer, validation)
    probabilities = evaluation.get("probabilities")
    if names is not None and probabilities is not None and len(names) != probabilities.shape[1]:
        raise ValueError(f"names: got {len(names)}, want {probabilities.shape[1]}, one for each class")
    if finder is not None:
        evaluation["finder"] = vars(finder)
    directory.mkdir(parents=True, exist_ok=True)
    curves = {part: {k: v.tolist() for k, v in c.items()} for part, c in trainer.history.state_dict().items()}
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


class Missing(Exception):
    """A part of a run is not there; the sentence says which."""


class Run:
    """What is in a directory, read when it is asked for."""

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
        def parse(path: Path) -> History:
            state, history = json.loads(path.read_text()), History()
            history.load_state_dict(
                {part: {k: np.array(v, np.float64) for k, v in curves.items()} for part, curves in state.items()}
            )
            return history

        history: History = self._read(HISTORY, parse)
        return history

    @cached_property
    def configuration(self) -> dict[str, Any]:
        configuration: dict[str, Any] = self._read(CONFIGURATION, lambda path: dict(json.loads(path.read_text())))
        return configuration

    @cached_property
    def names(self) -> list[str] | None:
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

    def evaluated(self, key: str) -> Any:
        """A part of the evaluation."""
        if key not in self._evaluation:
            raise Missing(f"{EVALUATION}: got no {key}, want {WANTED[key]}")
        return self._evaluation[key]


def _evaluation(trainer: Trainer, validation: Data) -> dict[str, Any]:
    x, labels = checked("validation", validation)
    first = np.ascontiguousarray(x[:INSPECTED]), labels[:INSPECTED]
    found: dict[str, Any] = {"layers": [s.state() for s in inspect_layers(trainer.model, trainer.loss, *first)]}
    logits = trainer.predict(x)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or logits.ndim != 2 or logits.shape[1] < 2:
        return found
    known = np.flatnonzero((labels >= 0) & (labels < logits.shape[1]))  # the others do not count in the loss either
    if len(known):
        labels, probabilities = labels[known].astype(np.int64), F.softmax(logits[known])
        found |= {"labels": labels, "probabilities": probabilities}
        rows = {"samples": np.arange(min(SAMPLES, len(known))),
                "errors": largest_errors(labels, probabilities, SAMPLES)}  # fmt: skip
        found |= {name: {"x": x[known[chosen]], "rows": chosen} for name, chosen in rows.items()}
    return found


def _json(value: Any) -> bytes:
    return (json.dumps(_finite(value), indent=1, allow_nan=False) + "\n").encode()


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
