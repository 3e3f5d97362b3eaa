"""Trainings that a file describes, each with a directory of its own: what `python -m fastnn train --config` does.

A run's directory is named by the time and holds config.toml, a copy of the file; lr_find.npz, if the rate was to be
found; checkpoints/, see `ModelCheckpoint`; and in the end model.safetensors, the final weights, and what `save_run`
writes. The file's options stand in `fastnn.config`.
"""

import io
import math
import sys
import warnings
import zipfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from fastnn._figure import new_figure
from fastnn._files import dated, replace
from fastnn.checkpoint.file import SUFFIX
from fastnn.config import Config, ConfigError, read
from fastnn.config.network import build_model
from fastnn.config.options import Part
from fastnn.nn.module import Module
from fastnn.random import manual_seed
from fastnn.report import save_run
from fastnn.training import CheckpointError, LRFinder, ModelCheckpoint, Trainer, latest
from fastnn.training.checks import checked
from fastnn.training.evaluation import in_mode
from fastnn.training.fitting import check_classes, check_least_batch, prepare
from fastnn.training.lr_finder import found

CONFIG, FINDER, CHECKPOINTS, WEIGHTS = "config.toml", "lr_find.npz", "checkpoints", "model.safetensors"


class Run:
    """All that a file describes, loaded and built, with the initial weights of its seed.

    Attributes:
        train, validation, test: (x, y) of each part of the data; test is None where there is none.
        model, loss, optimizer: what is trained, and with what.

    Raises:
        ConfigError, ImportError, OSError: the data cannot be had, or the network, the schedule or the loss does not
            fit them.
        IndexError, TypeError, ValueError: `Trainer.fit` would refuse them, or `Trainer.evaluate` the test part.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.train, self.validation, self.test = Part("data", config.data.load, {}).build()
        manual_seed(config.trainer["seed"])
        self.model = build_model(config.network, config.layers, self.train, config.data.normalize)
        self.loss = config.loss.build()
        self.optimizer = config.optimizer.build(self.model.parameters())
        self.finder: LRFinder | None = None
        self._check()

    def _check(self) -> None:
        """Refuse what would fail later, at the worst behind the training: the test part is looked at only there."""
        trainer, (x, _) = self._trainer(), self.train
        self.config.check_schedule(len(x))
        self.config.check_weight(trainer.predict(x[:2]).shape[1])
        prepare(trainer, self.train, self.validation, self._batch_size)
        with in_mode(self.model, training=True):
            check_least_batch(self.model, x, self._batch_size)
        if self.test is not None:
            check_classes("test", self.model, self.loss, checked("test", self.test))

    @property
    def _batch_size(self) -> int:
        return int(self.config.fit.get("batch_size", 32))

    def _trainer(self) -> Trainer:
        """Without schedule and callbacks."""
        return Trainer(self.model, self.loss, self.optimizer, **self.config.trainer)

    def find_lr(self) -> LRFinder:
        """See `Trainer.lr_find`."""
        return self._trainer().lr_find(self.train, batch_size=self._batch_size)

    def set_found_lr(self) -> float:
        """Give the optimizer the valley of `find_lr`, and return it.

        Raises:
            ValueError: there is none.
        """
        self.finder = self.find_lr()
        lr = self.finder.suggestions["valley"]
        if math.isnan(lr):
            raise ValueError("optimizer.lr: got 'find' and no rate at which the loss falls, want a number; look at "
                             "python -m fastnn lr-find")  # fmt: skip
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        return lr

    def fit(self, directory: Path, checkpoint: Path | None = None) -> dict[str, float]:
        """Train, from a checkpoint on if there is one, write the results, and return those of the test part."""
        config = self.config
        if config.finds_lr and checkpoint is None:
            print(f"learning rate {self.set_found_lr():.3g}, the valley")
            assert self.finder is not None
            save_finder(self.finder, directory / FINDER)
        elif config.finds_lr:
            self.finder = load_finder(directory / FINDER)
        callbacks = [part.build(**{"directory": directory / CHECKPOINTS} if part.make is ModelCheckpoint else {})
                     for part in config.callbacks]  # fmt: skip
        scheduler = config.build_scheduler(self.optimizer, config.steps(len(self.train[0])))
        trainer = Trainer(self.model, self.loss, self.optimizer, scheduler, callbacks=callbacks, **config.trainer)
        trainer.fit(self.train, self.validation, resume=checkpoint, **config.fit)
        if trainer.stopped:
            print(trainer.stopped)
        save_weights(self.model, directory / WEIGHTS)
        scores = {} if self.test is None else trainer.evaluate(self.test)
        save_run(directory, trainer, self.validation, finder=self.finder, test=scores or None)
        return scores


def train(path: str | Path, directory: str | Path = "runs") -> Path:
    """Train what a file describes, print a line per epoch and the result, and return the run's own directory.

    Args:
        path: of the file.
        directory: where the run's directory is made.

    Raises:
        ConfigError: the file describes no training; nothing has been made then.
        ImportError: a package that is needed is not installed.
        OSError: the data cannot be read, or the results not be written.
    """
    import safetensors.numpy as _  # noqa: F401  # ahead of all work: it must not cost a finished training

    run = Run(read(path))
    place = make_run(Path(directory))
    replace(place / CONFIG, run.config.text.encode())
    print(f"run {place}", flush=True)
    with _told_of_resume(place):
        _report(run.fit(place), place)
    return place


def resume(directory: str | Path) -> Path:
    """Go on with a run from its newest checkpoint that is whole, with the same bits as if it had not been interrupted.

    Without one it begins anew, and a finished one only writes its results again. Errors are those of `train`.

    Raises:
        CheckpointError: the checkpoint is no training's.
        ValueError: it is another training's.
    """
    import safetensors.numpy as _  # noqa: F401

    directory = Path(directory)
    with _told_of_resume(directory):
        run = Run(read(directory / CONFIG))
        with warnings.catch_warnings(record=True) as damaged:
            warnings.simplefilter("always")
            checkpoint = latest(directory / CHECKPOINTS)
        for warning in damaged:
            print(f"fastnn: {warning.message}", file=sys.stderr)
        print(f"run {directory}, from {checkpoint.name if checkpoint else 'the beginning'}", flush=True)
        _report(run.fit(directory, checkpoint), directory)
    return directory


def find_lr(path: str | Path, picture: str | Path = "lr_find.png") -> LRFinder:
    """Print the rates that `Trainer.lr_find` suggests for what a file describes; draw them if matplotlib is there."""
    finder = Run(read(path)).find_lr()
    for name, lr in finder.suggestions.items():
        print(f"{name + ':':15}{lr:.3g}")
    try:
        figure = new_figure(8, 5)
    except ImportError:
        return finder
    finder.plot(ax=figure.subplots())
    figure.savefig(picture)
    print(f"see {picture}")
    return finder


def main(options: Namespace) -> int:
    """Run the command `train`, `resume` or `lr-find`, and return the exit status: 2 for a file that is no good.

    Raises:
        ImportError: a package that is needed is not installed.
    """
    try:
        if options.command == "train":
            train(options.config, options.out)
        elif options.command == "resume":
            resume(options.config)
        else:
            find_lr(options.config)
    except ConfigError as error:
        return _refuse(2, *error.problems)
    except (ArithmeticError, CheckpointError, IndexError, OSError, TypeError, ValueError) as error:
        return _refuse(1, str(error))
    except KeyboardInterrupt as interrupt:
        return _refuse(1, "; ".join(["interrupted", *interrupt.args]))
    return 0


def make_run(directory: Path) -> Path:
    """A new directory in this one, named by the time."""
    run = dated(directory)
    run.mkdir(parents=True)
    return run


def save_weights(model: Module, path: Path) -> None:
    """Write a model's state dict as safetensors."""
    import safetensors.numpy

    # safetensors writes the memory as it lies, so it must lie in C order; ascontiguousarray would make () to (1,).
    weights = {name: np.asarray(array, order="C") for name, array in model.state_dict().items()}
    replace(path, safetensors.numpy.save(weights))


def save_finder(finder: LRFinder, path: Path) -> None:
    """Write what a test of growing rates measured, for `load_finder`."""
    content = io.BytesIO()
    np.savez(content, rates=finder.rates, losses=finder.losses)
    replace(path, content.getbuffer())


def load_finder(path: Path) -> LRFinder | None:
    """What `save_finder` wrote; None where that cannot be read, which costs a picture and must not cost a training."""
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as arrays:
            return found(arrays["rates"], arrays["losses"])
    except (EOFError, KeyError, OSError, TypeError, ValueError, zipfile.BadZipFile):
        return None


@contextmanager
def _told_of_resume(directory: Path) -> Iterator[None]:
    """Add to an interrupt how to go on, if there is a checkpoint to go on from."""
    try:
        yield
    except KeyboardInterrupt:
        if not any((directory / CHECKPOINTS).glob(f"[!.]*{SUFFIX}")):
            raise
        sentence = f"python -m fastnn resume {directory} goes on from the run's newest checkpoint"
        raise KeyboardInterrupt(sentence) from None


def _report(scores: dict[str, float], directory: Path) -> None:
    figures = "  ".join(f"test_{name} {value:.4f}" for name, value in scores.items())
    print(f"{figures}; see {directory}" if figures else f"see {directory}")


def _refuse(status: int, *sentences: str) -> int:
    for sentence in sentences:
        print(f"fastnn: {' '.join(sentence.split())}", file=sys.stderr)
    return status
