"""Shows the progress of a training."""

import importlib
import sys
from typing import Any

from fastnn.training.callbacks.base import Callback
from fastnn.training.protocols import Training
from fastnn.training.state import ENDLESS

PERCENT = ("accuracy", "val_accuracy")


class ProgressBar(Callback):
    """Prints a line per epoch, and shows a bar if tqdm is installed and the standard error output is a terminal."""

    def __init__(self) -> None:
        self._bar: Any = None

    def on_fit_start(self, trainer: Training) -> None:
        """Open a bar over all batches of the fit."""
        self._close()  # that of a fit that an exception has ended
        if not (hasattr(sys.stderr, "isatty") and sys.stderr.isatty()):
            return
        try:
            tqdm = importlib.import_module("tqdm").tqdm
        except ImportError:
            return
        self._bar = tqdm(total=trainer.ahead, unit="batch", leave=False, dynamic_ncols=True)

    def on_batch_end(self, trainer: Training) -> None:
        """Advance the bar."""
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {trainer.state.meter.mean:.4f}", refresh=False)
            self._bar.update()

    def on_epoch_end(self, trainer: Training) -> None:
        """Print the line of the epoch."""
        self._print(trainer)

    def _print(self, trainer: Training) -> None:
        width = len(str(trainer.epochs)) if trainer.epochs < ENDLESS else 1
        of_all = f"/{trainer.epochs}" if trainer.epochs < ENDLESS else ""
        line = f"epoch {trainer.epoch:{width}}{of_all}  {_line(trainer.logs)}"
        if self._bar is None:
            say(line, sys.stdout)
        else:
            self._bar.write(line)

    def on_fit_end(self, trainer: Training) -> None:
        """Close the bar, and print the line of an epoch that ended before its last batch."""
        self._close()
        if trainer.batch:
            self._print(trainer)

    def on_exception(self, trainer: Training) -> None:
        """Close the bar, so that what is printed next has a line of its own."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _line(logs: dict[str, float]) -> str:
    formats = {"lr": "{:.2e}", "seconds": "{:.2f}"} | dict.fromkeys(PERCENT, "{:.2%}")
    return "  ".join(f"{name} {formats.get(name, '{:.4f}').format(value)}" for name, value in logs.items())


def say(line: str, stream: Any) -> None:
    """Print a line at once; nothing happens if there is no such stream, as in a program without a console."""
    if stream is None:
        return
    print(line, file=stream)
    if hasattr(stream, "flush"):
        stream.flush()
