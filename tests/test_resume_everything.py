"""A training of any kind that ends after any step continues, all made new, with the same bits."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from resume_jobs import left
from resume_trainings import TRAININGS, End, Stop, log, stop_at, train
from support import python

from fastnn.training import save_checkpoint

pytest.importorskip("safetensors")
JOBS = str(Path(__file__).with_name("resume_trainings.py"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the flushes to the disk, which only matter when the power fails."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.mark.parametrize("name", TRAININGS)
def test_ended_anywhere(name: str, tmp_path: Path) -> None:
    """From the files after every step and every epoch, all new ends with the same weights, state, history and log."""
    directory, places = tmp_path / "whole", []

    def keep(place: str) -> None:
        shutil.copytree(directory, tmp_path / place)
        places.append(place)

    trainer = train(name, directory, keep)
    want, rows = left(trainer), log(directory)
    whole = len(trainer.history["loss"]) - bool(trainer.batch)  # without an epoch that ended early
    assert len(places) == trainer.step + whole >= 7 and trainer.epoch >= 2
    for place in places:
        again = train(name, tmp_path / place, seed=5)
        assert (left(again), log(tmp_path / place)) == (want, rows), place
        assert again.resumed and again.stopped == trainer.stopped


@pytest.mark.parametrize("name", ["EMA", "SWA", "stream with a place, windows"])
def test_ended_after_every_step(name: str, tmp_path: Path) -> None:
    """A training that is ended again and again makes its way, too."""
    whole = train(name, tmp_path / "whole")
    for step in range(1, whole.step + 1):
        with pytest.raises(Stop):
            train(name, tmp_path, stop_at(f"step {step}"), seed=step)
    assert left(train(name, tmp_path, seed=99)) == left(whole) and log(tmp_path) == log(tmp_path / "whole")


@pytest.mark.parametrize(
    ("name", "place"), [("EMA of buffers", "step 6"), ("SWA", "epoch 2"), ("several inputs", "step 4")]
)
def test_killed(name: str, place: str, room: Path) -> None:
    """A process that a signal kills, and a new one."""
    whole = train(name, room / "whole")
    process = subprocess.run([sys.executable, JOBS, name, str(room / "killed"), place, "1"], timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert python(JOBS, name, str(room / "killed"), "nowhere", "7") == left(whole)
    assert log(room / "killed") == log(room / "whole")


@pytest.mark.parametrize("name", ["stream with a place", "stream with a place, begins the next"])
def test_a_stream_before_its_first_batch(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch that is looked at before the fit comes again."""

    def save(self: Any, trainer: Any) -> None:
        if not trainer.resumed:
            save_checkpoint(tmp_path / "again" / "c" / "begin.safetensors", trainer.capture())

    (tmp_path / "again" / "c").mkdir(parents=True)
    monkeypatch.setattr(End, "on_fit_start", save)
    whole = train(name, tmp_path / "whole")
    again = train(name, tmp_path / "again", seed=5)
    assert again.resumed and left(again) == left(whole)
