"""Writes event files for TensorBoard."""

import importlib
import struct
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fastnn import _figure, plot
from fastnn._checks import positive_integer
from fastnn._files import as_path, dated
from fastnn._trees import named_leaves
from fastnn._types import Array
from fastnn.nn.tracing import kept, leaves
from fastnn.training.callbacks.base import Callback
from fastnn.training.checks import Data, checked
from fastnn.training.configuration import described
from fastnn.training.protocols import Training

BINS = 64


class TensorBoard(Callback):
    """Writes event files for TensorBoard: `tensorboard --logdir log_dir` shows all runs in log_dir side by side.

    The x axis is always the optimizer step. There are "step/...", every curve of `history.steps`; "epoch/...", the
    record of every epoch; "within/...", the validations within epochs; histograms of weights, gradients and
    activations; "predictions", a picture after every epoch; and at the end the hyperparameters with the last record.

    The file is closed after each event, so that an interrupted training leaves complete events, and neither a thread
    nor an open file. If writing fails during the training, a warning is given, and the training continues without
    TensorBoard.

    Args:
        log_dir: the directory of all runs; created if it does not exist.
        histograms_every: optimizer steps between two sets of histograms; None for no histograms. For activations of the
            current batch the model runs once more; its state is then restored.
        pictures: (x, labels), a few samples to draw with their predictions; x as in `fastnn.plot.predictions`.
        run: the name of this run's directory in log_dir; None for the time at which it begins.

    Raises:
        ValueError, TypeError: an argument is invalid.
        ImportError: at the start of a fit, tensorboardX is not installed, or, with pictures, matplotlib is not.
        OSError: at the start of a fit, the directory cannot be written.
    """

    runs_last: ClassVar[bool] = True

    def __init__(self, log_dir: str | Path, histograms_every: int | None = None, pictures: Data | None = None,
                 run: str | None = None) -> None:  # fmt: skip
        if histograms_every is not None:
            histograms_every = positive_integer("histograms_every", histograms_every)
        if pictures is not None:
            _figure.pictures(checked("pictures", pictures)[0])
        self.log_dir = as_path("log_dir", log_dir)
        self.histograms_every, self.pictures, self.run = histograms_every, pictures, run
        self._file: Path | None = None

    def on_fit_start(self, trainer: Training) -> None:
        """Begin a file; in the directory of a resumed run TensorBoard then drops the events after the checkpoint."""
        try:
            self._summary = importlib.import_module("tensorboardX.summary")
            self._proto = importlib.import_module("tensorboardX.proto.summary_pb2")
            self._event = importlib.import_module("tensorboardX.proto.event_pb2")
            self._crc = importlib.import_module("tensorboardX.record_writer").masked_crc32c
        except ImportError:
            raise ImportError("tensorboardX: got no such package, want it for TensorBoard; run pip install "
                              "'fastnn[tensorboard]'") from None  # fmt: skip
        if self.pictures is not None:
            _figure.new_figure(1, 1)
        self.run = self.run or dated(self.log_dir).name
        directory = self.log_dir / self.run
        directory.mkdir(parents=True, exist_ok=True)
        self._file = directory / f"events.out.tfevents.{time.time_ns()}.fastnn"
        self._append(file_version="brain.Event:2")
        if trainer.resumed:
            start = self._event.SessionLog(status=self._event.SessionLog.START)
            self._append(step=trainer.step + 1, session_log=start)

    def on_backward_end(self, trainer: Training) -> None:
        """Write the histograms if they are due at this step."""
        every = self.histograms_every
        ends = (trainer.batch + 1) % trainer.accumulate_grad_batches == 0 or trainer.batch + 1 == trainer.batches
        if every and ends and trainer.step % every == 0:
            self._try(lambda: self._histograms(trainer))

    def on_batch_end(self, trainer: Training) -> None:
        """Write the curves of the step."""
        if trainer.has_stepped:
            steps = trainer.history.steps.items()
            self._try(lambda: self._scalars("step", {name: v[-1] for name, v in steps if v}, trainer.step))

    def on_validation_end(self, trainer: Training) -> None:
        """Write a validation within an epoch."""
        if trainer.batches is None or trainer.batch < trainer.batches:
            found = {name: value for name, value in trainer.logs.items() if name.startswith("val_")}
            self._try(lambda: self._scalars("within", found, trainer.step))

    def on_epoch_end(self, trainer: Training) -> None:
        """Write the record of the epoch, and the predictions."""
        self._try(lambda: self._scalars("epoch", trainer.logs, trainer.step))
        if self.pictures is not None:
            self._try(lambda: self._predictions(trainer))

    def on_fit_end(self, trainer: Training) -> None:
        """Write the hyperparameters and the last record."""
        self._try(lambda: self._hyperparameters(trainer))

    def state_dict(self) -> dict[str, Any]:
        """Return the name of the run."""
        return {"run": self.run}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue in the directory of that run."""
        self.run = state["run"]

    def _try(self, write: Callable[[], None]) -> None:
        """Write, and warn if that fails, since neither a full disk nor another failure here may end a training."""
        if self._file is None:
            return
        try:
            write()
        except Exception as error:
            path, self._file = self._file, None
            warnings.warn(f"{path}: got {type(error).__name__} ({error}), want to write events for TensorBoard; "
                          "training continues without it", stacklevel=2)  # fmt: skip

    def _scalars(self, part: str, values: Mapping[str, float], step: int) -> None:
        found = [value for name, v in values.items() for value in self._summary.scalar(f"{part}/{name}", v).value]
        self._append(step=step, summary=self._proto.Summary(value=found))

    def _histograms(self, trainer: Training) -> None:
        arrays = {}
        for name, parameter in trainer.model.named_parameters():
            arrays[f"weights/{name}"] = parameter.data
            if parameter.grad is not None:
                arrays[f"gradients/{name}"] = parameter.grad
        found = [value for name, array in arrays.items() for value in self._histogram(name, array)]
        x = trainer.inputs
        with kept(trainer.model):
            for name, layer in leaves(trainer.model):
                x, _ = layer(x)
                for place, array in named_leaves(f"activations/{name or type(layer).__name__}", x):
                    found += self._histogram(place, array)
        self._append(step=trainer.step + 1, summary=self._proto.Summary(value=found))

    def _histogram(self, name: str, array: Array) -> list[Any]:
        finite = array[np.isfinite(array)]
        return list(self._summary.histogram(name, finite, BINS).value) if finite.size else []

    def _predictions(self, trainer: Training) -> None:
        x, labels = self.pictures  # type: ignore[misc]
        rows = -(-len(x) // 8)
        figure = _figure.new_figure(10, 1.8 * rows)
        plot.predictions(x, labels, trainer.predict_proba(x), ax=figure.subplots())
        width, height = (int(side) for side in figure.bbox.size)
        image = self._proto.Summary.Image(height=height, width=width, colorspace=4,
                                          encoded_image_string=_figure.png(figure))  # fmt: skip
        value = self._proto.Summary.Value(tag="predictions", image=image)
        self._append(step=trainer.step, summary=self._proto.Summary(value=[value]))

    def _hyperparameters(self, trainer: Training) -> None:
        told = described(trainer)
        for i, group in enumerate(told.pop("groups")):
            told |= {name if i == 0 else f"{name}-{i}": value for name, value in group.items()}
        told = {name: str(v) if isinstance(v, list) else v for name, v in told.items() if name != "model"}
        metrics = {f"epoch/{name}": values[-1] for name, values in trainer.history.items() if values}
        for summary in self._summary.hparams(told, metrics):
            self._append(step=trainer.step, summary=summary)

    def _append(self, **content: Any) -> None:
        """Append an event as a TFRecord: length, its checksum, the bytes, their checksum."""
        data = self._event.Event(wall_time=time.time(), **content).SerializeToString()
        length = struct.pack("<Q", len(data))
        record = length + struct.pack("<I", self._crc(length)) + data + struct.pack("<I", self._crc(data))
        with open(self._file, "ab") as file:  # type: ignore[arg-type]
            file.write(record)
