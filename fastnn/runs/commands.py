"""The commands `python -m fastnn train --config`, `resume`, `lr-find` and `report`.

A run's directory is named by the time. It contains config.toml, a copy of the file; lr_find.npz, if the file asks for a
learning rate to be found; checkpoints/, see `ModelCheckpoint`; and in the end model.safetensors, the final weights,
columns.json, the names of a table's inputs, and the files of `save_run`.
"""

import re
import sys
import warnings
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastnn._figure import new_figure
from fastnn._files import replace
from fastnn._problems import ConfigError
from fastnn.checkpoint.file import SUFFIX, CheckpointError, latest
from fastnn.runs.config.description import read
from fastnn.runs.run import Run
from fastnn.runs.saved import CHECKPOINTS, CONFIG, HISTORY, make_run
from fastnn.training.callbacks.progress import say
from fastnn.training.lr_finder import LRFinder

RUN = "the directory of a run, as in runs/<time>"


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

    config = read(path)
    check_out(directory)
    run = Run(config)
    place = make_run(Path(directory))
    with _told_of_resume(place):
        replace(place / CONFIG, run.config.text.encode())
        print(f"run {place}", flush=True)
        _report(run.fit(place), place)
    return place


def resume(directory: str | Path) -> Path:
    """Continue a run from its newest intact checkpoint, with the same bits as if it had not been interrupted.

    Without a checkpoint it starts anew; a finished run only writes its results again. Errors are those of `train`, and:

    Raises:
        CheckpointError: the checkpoint is not one of a training.
        ValueError: the directory is no run, or the checkpoint is of another training.
    """
    import safetensors.numpy as _  # noqa: F401

    directory = _run_directory(directory)
    if not (directory / CONFIG).exists():
        raise ValueError(f"resume: got {str(directory)!r} without {CONFIG}, want {RUN} that train --config made")
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


def report(directory: str | Path) -> Path:
    """Write the page of a run, print its path, and return it.

    Raises:
        ValueError: the directory is no run, or one that has not ended.
        ImportError: matplotlib is not installed.
    """
    from fastnn.runs.report import write_report

    run = _run_directory(directory)
    if not (run / HISTORY).is_file():
        raise ValueError(f"report: got {str(run)!r} without {HISTORY}, want {continued(run) or RUN}")
    page = write_report(run)
    print(page)
    return page


def continued(run: Path) -> str | None:
    """Return how to end a run that has not ended; None if there is none in the directory."""
    found = any((run / CHECKPOINTS).glob(f"[!.]*{SUFFIX}")) or (run / CONFIG).is_file()
    return f"a run that has ended; python -m fastnn resume {run} continues it" if found else None


def main(options: Namespace) -> int:
    """Run the command `train`, `resume`, `lr-find` or `report`, and return the exit status.

    It is 2 for a mistake in the file, 1 if the command fails.

    Raises:
        ImportError: a package that is needed is not installed.
        KeyboardInterrupt, BrokenPipeError: as usual.
    """
    try:
        with _warnings_in_lines():
            if options.command == "train":
                train(options.config, options.out)
            elif options.command == "resume":
                resume(options.config)
            elif options.command == "report":
                report(options.run)
            else:
                find_lr(options.config)
    except ConfigError as error:
        return refuse(2, *error.problems)
    except BrokenPipeError:
        raise
    except (ArithmeticError, CheckpointError, IndexError, MemoryError, OSError, TypeError, ValueError) as error:
        return refuse(1, _in_file(sentence_of(error)))
    return 0


def _run_directory(directory: str | Path) -> Path:
    """Return the path of a directory; raise ValueError unless there is one."""
    path = Path(directory)
    if not path.is_dir():
        got = "a file" if path.exists() else "no such directory"
        raise ValueError(f"{path}: got {got}, want {RUN}")
    return path


def check_out(directory: str | Path) -> None:
    """Raise ValueError if a directory cannot be made there, since a file has its name."""
    for path in (Path(directory), *Path(directory).parents):
        if path.exists() and not path.is_dir():
            raise ValueError(f"--out: got {str(directory)!r}, where {path} is a file, want a directory")


@contextmanager
def _warnings_in_lines() -> Iterator[None]:
    """Print each warning as a line, in the words of a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = lambda message, *_, **__: refuse(0, _in_file(str(message)))  # type: ignore[assignment]
        yield


def _in_file(sentence: str) -> str:
    """Return a sentence whose remedy names the key of a file, and not the argument of a class."""
    for told, key in _IN_FILE.items():
        sentence = re.sub(told, key, sentence)
    return sentence


_IN_FILE = {
    r"pass (\w+)='(\w+)' to Trainer": r'set training.\1 = "\2"',
    r"pass y.astype\(np.int64\)": "write them without a point, or set loss.name, to MSELoss for one, for a regression",
    r"to change it, set the optimizer's in on_fit_start of a callback": "train anew to change it",
    r"pass y - 1 and end the model with \d+ outputs": "subtract 1 in the data",
}


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


def sentence_of(error: BaseException) -> str:
    """Return what an error says, in one line; of the operating system's the file first."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: got {error.strerror!r}, want a path that can be read and written"
    if isinstance(error, MemoryError):
        if error.args and "want" not in str(error):  # NumPy's has no remedy
            return f"memory: got less than is needed ({error}), want more; take smaller layers or batches"
        return str(error) or "memory: got less than is needed, want more; take a smaller training.batch_size"
    return str(error)


def refuse(status: int, *sentences: str) -> int:
    """Print sentences to the standard error output, a line for each, and return the status."""
    for sentence in sentences:
        say(f"fastnn: {' '.join(sentence.split())}", sys.stderr)
    return status
