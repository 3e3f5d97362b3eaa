"""The commands `python -m fastnn train --config`, `resume` and `lr-find`.

A run's directory is named by the time. It contains config.toml, a copy of the file; lr_find.npz, if the file asks for a
learning rate to be found; checkpoints/, see `ModelCheckpoint`; and in the end model.safetensors, the final weights, and
the files of `save_run`.
"""

import sys
import warnings
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastnn._figure import new_figure
from fastnn._files import replace
from fastnn.checkpoint.file import SUFFIX, CheckpointError, latest
from fastnn.runs.config.description import read
from fastnn.runs.config.problems import ConfigError
from fastnn.runs.run import Run
from fastnn.runs.saved import CHECKPOINTS, CONFIG, make_run
from fastnn.training.lr_finder import LRFinder


def train(path: str | Path, directory: str | Path = "runs") -> Path:
    """Run the training that a file describes, print a line per epoch and the result, and return the run's directory.

    Args:
        path: the file.
        directory: where the directory of the run is made.

    Raises:
        ConfigError: the file does not describe a training; no directory has been made then.
        ImportError: a package that is needed is not installed.
        OSError: the data cannot be read, or the results cannot be written.
    """
    import safetensors.numpy as _  # noqa: F401  # if it is missing, that must not cost a finished training

    run = Run(read(path))
    place = make_run(Path(directory))
    replace(place / CONFIG, run.config.text.encode())
    print(f"run {place}", flush=True)
    with _told_of_resume(place):
        _report(run.fit(place), place)
    return place


def resume(directory: str | Path) -> Path:
    """Continue a run from its newest intact checkpoint, with the same bits as if it had not been interrupted.

    Without a checkpoint it starts anew; a finished run only writes its results again. Errors are those of `train`, and:

    Raises:
        CheckpointError: the checkpoint is not one of a training.
        ValueError: the checkpoint is of another training.
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
    """Print the learning rates that `Trainer.lr_find` suggests for a file; draw them if matplotlib is installed."""
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
    """Run the command `train`, `resume` or `lr-find`, and return the exit status: 2 for a mistake in the file.

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


@contextmanager
def _told_of_resume(directory: Path) -> Iterator[None]:
    """Add the command that continues the run to a KeyboardInterrupt, if there is a checkpoint."""
    try:
        yield
    except KeyboardInterrupt:
        if not any((directory / CHECKPOINTS).glob(f"[!.]*{SUFFIX}")):
            raise
        sentence = f"python -m fastnn resume {directory} continues from the run's newest checkpoint"
        raise KeyboardInterrupt(sentence) from None


def _report(scores: dict[str, float], directory: Path) -> None:
    figures = "  ".join(f"test_{name} {value:.4f}" for name, value in scores.items())
    print(f"{figures}; see {directory}" if figures else f"see {directory}")


def _refuse(status: int, *sentences: str) -> int:
    for sentence in sentences:
        print(f"fastnn: {' '.join(sentence.split())}", file=sys.stderr)
    return status
