"""Writes checkpoints during a training."""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from fastnn._better import Better, check_mode, direction
from fastnn._checks import integer
from fastnn._files import as_path, sync_directory
from fastnn.checkpoint.file import SUFFIX, check_fits, save, step_name
from fastnn.training.callbacks.base import Callback
from fastnn.training.checks import check_monitor
from fastnn.training.protocols import Training


class ModelCheckpoint(Callback):
    """Writes the state of the whole training into a directory, after every epoch or more often.

    A fit that `max_steps` or `max_time` ends within an epoch writes there, too.

    A file is named by the step, as in "step-00001250.safetensors", and written once, whether it is kept as one of the
    best, one of the last, or both. Older files of this callback are deleted once the new one is on the disk, those of
    earlier fits too; several callbacks of a trainer may share a directory.

    Args:
        directory: created if it does not exist. No other training should use it.
        monitor: the metric that ranks checkpoints; None keeps only the last ones.
        save_top_k: number of best checkpoints to keep, >= 0.
        save_last: number of last checkpoints to keep, >= 1. With two, the training survives one damaged file.
        mode: "min", "max" or "auto" for the metric's own direction.
        every_n_steps: also write after every this many optimizer steps.

    Attributes:
        best, last: paths of the best and the last checkpoint; None before the first.

    Raises:
        ValueError: an argument is out of range; at the start of a fit, the fit does not record the monitor, it is not
            known whether higher or lower values of it are better, or the state is too large for a file.
        OSError: at the start of a fit, the directory cannot be written.
        TypeError: at the start of a fit, the optimizer or the scheduler has no `state_dict`, or a callback's state
            contains more than arrays, numbers, strings, None, and dicts and lists of them.
    """

    runs_last: ClassVar[bool] = True

    def __init__(
        self,
        directory: str | Path,
        monitor: str | None = None,
        save_top_k: int = 1,
        save_last: int = 2,
        mode: Literal["auto", "min", "max"] = "auto",
        every_n_steps: int | None = None,
    ) -> None:
        self.directory, self.monitor = as_path("directory", directory), monitor
        self.save_top_k, self.save_last = integer("save_top_k", save_top_k), integer("save_last", save_last, 1)
        self.every_n_steps = None if every_n_steps is None else integer("every_n_steps", every_n_steps, 1)
        self.mode = mode
        check_mode(mode)
        known = mode if mode != "auto" else direction(monitor or "loss") or "min"
        self._is_better = Better(monitor or "loss", known)  # until the start of a fit tells the metric's direction
        self._top: list[tuple[float, str]] = []  # the best first
        self._last: list[str] = []  # the last one first
        self._former: list[str] = []  # of earlier fits

    @property
    def best(self) -> Path | None:
        """The path of the best checkpoint."""
        return self.directory / self._top[0][1] if self._top else None

    @property
    def last(self) -> Path | None:
        """The path of the last checkpoint."""
        return self.directory / self._last[0] if self._last else None

    def on_fit_start(self, trainer: Training) -> None:
        """Raise at the start of the fit if writing would fail later."""
        if self.monitor is not None:
            check_monitor(self.monitor, trainer.monitors)
            self._is_better = Better(self.monitor, self.mode, known=trainer.history.directions)
        self.directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=self.directory).close()
        if not trainer.resumed:
            self._former = [*dict.fromkeys([*(name for _, name in self._top), *self._last, *self._former])]
            self._top, self._last = [], []
        check_fits(trainer.capture())

    def on_batch_end(self, trainer: Training) -> None:
        """Write after every `every_n_steps` steps."""
        if self.every_n_steps and trainer.has_stepped and trainer.step % self.every_n_steps == 0:
            self._write(trainer, None)

    def on_epoch_end(self, trainer: Training) -> None:
        """Write, and keep the file among the best if it is one of them."""
        self._write(trainer, None if self.monitor is None else trainer.logs[self.monitor])

    def _on_limit(self, trainer: Training) -> None:
        """Write, so that another fit can continue within the epoch."""
        self._write(trainer, None)

    def state_dict(self) -> dict[str, Any]:
        """Return the names of the best and the last files."""
        return {"top": self._top, "last": self._last, "former": self._former}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict()`, with the files that still exist."""
        self._top = [(float(score), name) for score, name in state["top"] if self._has(name)]
        self._last = [name for name in state["last"] if self._has(name)]
        self._former = [name for name in state.get("former", ()) if self._has(name)]

    def _has(self, name: str) -> bool:
        """Return whether this callback wrote a file: it deletes such files, and a foreign state may name any file."""
        return (
            re.fullmatch(rf"step-[0-9]{{8,}}{re.escape(SUFFIX)}", name) is not None and (self.directory / name).exists()
        )

    def _write(self, trainer: Training, score: float | None) -> None:
        name, kept = step_name(trainer.step), (self._top, self._last, self._former)
        self._last = [name, *(other for other in self._last if other != name)][: self.save_last]
        if score is not None and self._is_better(score, None):
            better = (i for i, (best, _) in enumerate(self._top) if self._is_better(score, best))
            at = next(better, len(self._top))
            self._top = [*self._top[:at], (score, name), *self._top[at:]][: self.save_top_k]
        room = self.save_top_k * (self.monitor is not None) + self.save_last - len(_names(self._top, self._last))
        self._former = self._former[: max(0, room)]
        try:
            save(self.directory / name, trainer.capture())
        except BaseException:
            self._top, self._last, self._former = kept
            raise
        stale = _names(*kept) - _names(self._top, self._last, self._former) - self._of_others(trainer)
        for file in stale:
            (self.directory / file).unlink(missing_ok=True)
        if stale:
            sync_directory(self.directory)

    def _of_others(self, trainer: Training) -> set[str]:
        """Return the names that other callbacks keep in the same directory."""
        others = [c for c in trainer.callbacks if isinstance(c, ModelCheckpoint) and c is not self]
        return {
            name
            for other in others
            if other.directory.resolve() == self.directory.resolve()
            for name in _names(other._top, other._last, other._former)
        }


def _names(top: list[tuple[float, str]], last: list[str], former: Sequence[str] = ()) -> set[str]:
    return {*last, *former, *(name for _, name in top)}
