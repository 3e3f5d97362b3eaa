"""A training in TensorBoard."""

import importlib
import struct
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastnn._checks import positive_integer
from fastnn._types import Array
from fastnn.nn.tracing import kept, leaves
from fastnn.training.callbacks.base import Callback
from fastnn.training.checks import Data, checked

if TYPE_CHECKING:
    from fastnn.training.trainer import Trainer

BINS = 64


class TensorBoard(Callback):
    """Writes what TensorBoard shows: `tensorboard --logdir log_dir` has all runs in it side by side.

    All is over optimizer steps: "step/..." every curve of `history.steps`, "epoch/..." every epoch's record, and
    "within/..." the validations within epochs; histograms of weights, gradients and activations; "predictions" as a
    picture after every epoch; and at the end the hyperparameters with the last record.

    Each event is appended to its file and the file closed, so that a training that is cut off leaves whole events, and
    no thread or open file. Where writing fails once training runs, a warning says so, and training goes on without it.

    Args:
        log_dir: of all runs; is made if need be.
        histograms_every: optimizer steps from one set of histograms to the next; None for none. Activations are the
            batch's own, for which the model runs once more and is then as before.
        pictures: (x, labels), a few samples to be drawn with their predictions; x as in `fastnn.plot.predictions`.
        run: name of the run's own directory in log_dir; None for the time at which it begins.

    Raises:
        ValueError, TypeError: an argument that has no meaning.
        ImportError: at the start of a fit, tensorboardX is not installed, or, with pictures, matplotlib.
        OSError: at the start of a fit, a directory that cannot be written.
    """

    runs_last: ClassVar[bool] = True

    def __init__(self, log_dir: str | Path, histograms_every: int | None = None, pictures: Data | None = None,
                 run: str | None = None) -> None:  # fmt: skip
        if histograms_every is not None:
            histograms_every = positive_integer("histograms_every", histograms_every)
        if pictures is not None:
            from fastnn._figure import pictures as images

            images(checked("pictures", pictures)[0])
        self.log_dir, self.histograms_every, self.pictures, self.run = Path(log_dir), histograms_every, pictures, run
        self._file: Path | None = None

    def on_fit_start(self, trainer: "Trainer") -> None:
        """Open a file; a resumed run's own directory goes on, without what was written behind the checkpoint."""
        try:
            self._summary = importlib.import_module("tensorboardX.summary")
            self._proto = importlib.import_module("tensorboardX.proto.summary_pb2")
            self._event = importlib.import_module("tensorboardX.proto.event_pb2")
            self._crc = importlib.import_module("tensorboardX.record_writer").masked_crc32c
        except ImportError:
            raise ImportError("tensorboardX: got no such package, want it for TensorBoard; run pip install "
                              "'fastnn[tensorboard]'") from None  # fmt: skip
        if self.pictures is not None:
            from fastnn._figure import new_figure

            new_figure(1, 1)
        stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
        names = (stamp, *(f"{stamp}_{i}" for i in range(2, 100)))
        self.run = self.run or next(name for name in names if not (self.log_dir / name).exists())
        directory = self.log_dir / self.run
        directory.mkdir(parents=True, exist_ok=True)
        self._file = directory / f"events.out.tfevents.{time.time_ns()}.fastnn"
        self._append(file_version="brain.Event:2")
        if trainer.resumed:
            start = self._event.SessionLog(status=self._event.SessionLog.START)
            self._append(step=trainer.step + 1, session_log=start)

    def on_backward_end(self, trainer: "Trainer") -> None:
        """Write the histograms of the step that is due."""
        every = self.histograms_every
        ends = (trainer.batch + 1) % trainer.accumulate_grad_batches == 0 or trainer.batch + 1 == trainer.batches
        if every and ends and trainer.step % every == 0:
            self._try(lambda: self._histograms(trainer))

    def on_batch_end(self, trainer: "Trainer") -> None:
        """Write the step's curves."""
        if trainer.has_stepped:
            steps = trainer.history.steps.items()
            self._try(lambda: self._scalars("step", {name: v[-1] for name, v in steps if v}, trainer.step))

    def on_validation_end(self, trainer: "Trainer") -> None:
        """Write a validation within an epoch."""
        if trainer.batch < trainer.batches:
            found = {name: value for name, value in trainer.logs.items() if name.startswith("val_")}
            self._try(lambda: self._scalars("within", found, trainer.step))

    def on_epoch_end(self, trainer: "Trainer") -> None:
        """Write the epoch's record, and the predictions."""
        self._try(lambda: self._scalars("epoch", trainer.logs, trainer.step))
        if self.pictures is not None:
            self._try(lambda: self._predictions(trainer))

    def on_fit_end(self, trainer: "Trainer") -> None:
        """Write the hyperparameters and the last record."""
        self._try(lambda: self._hyperparameters(trainer))

    def state_dict(self) -> dict[str, Any]:
        """The run's name."""
        return {"run": self.run}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on in that run's directory."""
        self.run = state["run"]

    def _try(self, write: Callable[[], None]) -> None:
        """No failing disk, nor anything else here, ends a training."""
        if self._file is None:
            return
        try:
            write()
        except Exception as error:
            path, self._file = self._file, None
            warnings.warn(f"{path}: got {type(error).__name__} ({error}), want to write what TensorBoard shows; "
                          "training goes on without it", stacklevel=2)  # fmt: skip

    def _scalars(self, part: str, values: Mapping[str, float], step: int) -> None:
        found = [value for name, v in values.items() for value in self._summary.scalar(f"{part}/{name}", v).value]
        self._append(step=step, summary=self._proto.Summary(value=found))

    def _histograms(self, trainer: "Trainer") -> None:
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
                found += self._histogram(f"activations/{name or type(layer).__name__}", x)
        self._append(step=trainer.step + 1, summary=self._proto.Summary(value=found))

    def _histogram(self, name: str, array: Array) -> list[Any]:
        finite = array[np.isfinite(array)]
        return list(self._summary.histogram(name, finite, BINS).value) if finite.size else []

    def _predictions(self, trainer: "Trainer") -> None:
        from fastnn import _figure, plot

        x, labels = self.pictures  # type: ignore[misc]
        rows = -(-len(x) // 8)
        figure = _figure.new_figure(10, 1.8 * rows)
        plot.predictions(x, labels, trainer.predict_proba(x), ax=figure.subplots())
        width, height = (int(side) for side in figure.bbox.size)
        image = self._proto.Summary.Image(height=height, width=width, colorspace=4,
                                          encoded_image_string=_figure.png(figure))  # fmt: skip
        value = self._proto.Summary.Value(tag="predictions", image=image)
        self._append(step=trainer.step, summary=self._proto.Summary(value=[value]))

    def _hyperparameters(self, trainer: "Trainer") -> None:
        from fastnn.training.resuming import described  # which imports the callbacks

        told = described(trainer)
        for i, group in enumerate(told.pop("groups")):
            told |= {name if i == 0 else f"{name}-{i}": value for name, value in group.items()}
        told = {name: str(v) if isinstance(v, list) else v for name, v in told.items() if name != "model"}
        metrics = {f"epoch/{name}": values[-1] for name, values in trainer.history.items() if values}
        for summary in self._summary.hparams(told, metrics):
            self._append(step=trainer.step, summary=summary)

    def _append(self, **content: Any) -> None:
        """Write an event as TensorFlow's records are: length, its checksum, the bytes, theirs."""
        data = self._event.Event(wall_time=time.time(), **content).SerializeToString()
        length = struct.pack("<Q", len(data))
        record = length + struct.pack("<I", self._crc(length)) + data + struct.pack("<I", self._crc(data))
        with open(self._file, "ab") as file:  # type: ignore[arg-type]
            file.write(record)
