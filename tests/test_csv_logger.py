"""CSVLogger: whole rows, columns that come late, files that are continued, killed and damaged."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.training import Callback, CSVLogger, LearningRateMonitor, ModelCheckpoint, Trainer

RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(24, 4)).astype(np.float32), RNG.integers(0, 2, 24)
RECORD = ["loss", "accuracy", "val_loss", "val_accuracy", "lr", "seconds"]


def make_trainer(*callbacks: Any, **options: Any) -> Trainer:
    fastnn.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 5), nn.Dropout(0.3), nn.Linear(5, 2))
    return Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()), callbacks=callbacks, **options)


def fit(trainer: Trainer, epochs: int | None = 3, **options: Any) -> Any:
    return trainer.fit((X, Y), (X, Y), epochs, 6, verbose=False, **options)


def read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file, strict=True))


def timeless(path: Path) -> list[dict[str, str]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in read(path)]


def test_rows_have_all_digits(tmp_path: Path) -> None:
    path = tmp_path / "new" / "log.csv"
    history = fit(make_trainer(CSVLogger(path)))
    rows = read(path)
    assert list(rows[0]) == ["epoch", "step", *RECORD]
    assert [(row["epoch"], row["step"]) for row in rows] == [("1", "4"), ("2", "8"), ("3", "12")]
    for name, curve in history.items():
        assert [float(row[name]) for row in rows] == curve
    table = np.genfromtxt(path, delimiter=",", names=True)
    assert table["val_loss"].tolist() == history["val_loss"] and path.read_bytes().endswith(b"\n")


def test_validations_within_an_epoch(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    trainer = make_trainer(CSVLogger(path), LearningRateMonitor(), val_check_interval=2)
    history = fit(trainer, 2)
    rows = read(path)
    assert [row["step"] for row in rows] == ["2", "4", "6", "8"]
    assert [row["seconds"] != "" for row in rows] == [False, True, False, True]
    assert [float(row["val_loss"]) for row in rows] == history.validations["val_loss"]
    assert [row["lr-0"] for row in rows] == ["", "0.001", "", "0.001"]
    assert np.isnan(np.genfromtxt(path, delimiter=",", names=True)["seconds"]).tolist() == [True, False] * 2


class Late(Callback):
    """Logs more in some epochs, under names that need quotes."""

    NAMES = ("a,b", 'say "so"', "two\nlines", " ümlaut")

    def on_epoch_end(self, trainer: Any) -> None:
        if trainer.epoch > 1:
            trainer.logs[self.NAMES[trainer.epoch - 2]] = np.float32(trainer.epoch)
        if trainer.epoch == 3:
            del trainer.logs["val_loss"]


@pytest.mark.parametrize("first", [True, False])
def test_columns_that_come_late_and_go(tmp_path: Path, first: bool) -> None:
    path = tmp_path / "log.csv"
    logger = CSVLogger(path)
    fit(make_trainer(*((logger, Late()) if first else (Late(), logger))), 5)
    rows = read(path)
    assert list(rows[0]) == ["epoch", "step", *RECORD, *Late.NAMES]
    for i, name in enumerate(Late.NAMES):
        assert [row[name] for row in rows] == [repr(float(i + 2)) if e == i + 2 else "" for e in range(1, 6)]
    assert [row["epoch"] for row in rows] == list("12345") and [row["val_loss"] == "" for row in rows][2]
    assert sum(row["val_loss"] == "" for row in rows) == 1 and all(row["lr"] == "0.001" for row in rows)


def test_append(tmp_path: Path) -> None:
    """append=True continues a file, with its columns first; False replaces it, but only at the first row."""
    path = tmp_path / "log.csv"
    path.write_text("note,epoch,loss\nold,7,0.5\n,8")  # the last row is not whole
    trainer = make_trainer(CSVLogger(path, append=True))
    fit(trainer, 2)
    fit(trainer, 1)
    rows = read(path)
    assert list(rows[0])[:4] == ["note", "epoch", "loss", "step"]
    assert [(row["note"], row["epoch"], row["step"]) for row in rows] == [
        ("old", "7", ""), ("", "1", "4"), ("", "2", "8"), ("", "3", "12")]  # fmt: skip
    before = path.read_bytes()
    with pytest.raises(ValueError, match="batch_size"):
        make_trainer(CSVLogger(path)).fit((X, Y), None, 1, 0, verbose=False)
    fit(make_trainer(CSVLogger(path)), None, max_steps=3)
    assert path.read_bytes() == before
    fit(make_trainer(CSVLogger(path)), 1)
    (row,) = read(path)
    assert row["epoch"] == "1" and list(row) == ["epoch", "step", *RECORD]


JOB = """
import sys, os, signal, pathlib
sys.path.insert(0, sys.argv[1])
from test_csv_logger import *

class Kill(Callback):
    count, at, place = 0, int(sys.argv[3]), sys.argv[4]
    runs_last = place == "after"

    def note(self, trainer):
        self.count += 1
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    on_batch_end = on_validation_end = on_epoch_end = note

room = pathlib.Path(sys.argv[2])
order = [CSVLogger(room / "log.csv"), ModelCheckpoint(room / "c", every_n_steps=2)]
order = order[::-1] if Kill.at % 2 else order
kill = Kill()
fit(make_trainer(*([*order, kill] if Kill.place == "after" else [kill, *order]), val_check_interval=2), resume="latest")
"""


def killed(room: Path, at: int, place: str) -> int:
    tests = str(Path(__file__).parent)
    return subprocess.run([sys.executable, "-c", JOB, tests, str(room), str(at), place], timeout=60).returncode


@pytest.mark.parametrize(("at", "place"), [(3, "after"), (8, "before"), (13, "after"), (15, "before"), (17, "after")])
def test_killed_and_resumed(room: Path, at: int, place: str) -> None:
    """A process killed by SIGKILL leaves whole rows; resumed, the file is that of a run that was never killed."""
    pytest.importorskip("safetensors")
    fit(make_trainer(CSVLogger(room / "whole.csv"), val_check_interval=2))
    assert killed(room, at, place) == -signal.SIGKILL
    path = room / "log.csv"
    rows = timeless(path) if path.exists() else []
    want = timeless(room / "whole.csv")
    assert rows == want[: len(rows)] and (at < 4 or rows)
    assert killed(room, 10**6, place) == 0
    assert timeless(path) == want


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("append", [False, True])
def test_resumed_from_every_step(tmp_path: Path, append: bool, order: int) -> None:
    """From every checkpoint the file becomes the same, whatever rows it has behind it, and in any order."""
    pytest.importorskip("safetensors")
    path = tmp_path / "log.csv"
    path.write_text("epoch,note\n1,earlier\n" if append else "anything\n1\n2\n")

    def make() -> Trainer:
        parts = [CSVLogger(path, append), ModelCheckpoint(tmp_path / "c", save_last=99, every_n_steps=1)]
        return make_trainer(*parts[:: 1 - 2 * order], val_check_interval=2)

    fit(make())
    want, whole = timeless(path), path.read_bytes()
    assert len(want) == 6 + append
    for step in range(1, 13):
        path.write_bytes(whole + b"4,1,2")
        fit(make(), resume=tmp_path / "c" / f"step-{step:08}.safetensors")
        assert timeless(path) == want, step


def test_a_file_that_lost_rows_is_told(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    path = tmp_path / "log.csv"
    fit(make_trainer(CSVLogger(path), ModelCheckpoint(tmp_path / "c")))
    path.unlink()
    with pytest.warns(UserWarning, match=r"log.csv: got 0 rows, want 3, which it had at the checkpoint"):
        fit(make_trainer(CSVLogger(path), ModelCheckpoint(tmp_path / "c")), 4, resume="latest")
    assert [row["epoch"] for row in read(path)] == ["4"]


def test_a_checkpoint_without_a_log(tmp_path: Path) -> None:
    """Rows up to the checkpoint's step stay, since it does not know how many there were."""
    pytest.importorskip("safetensors")
    path, saving = tmp_path / "log.csv", ModelCheckpoint(tmp_path / "c", save_last=9)
    fit(make_trainer(saving))
    fit(make_trainer(CSVLogger(path)))
    fit(make_trainer(CSVLogger(path), saving), resume=tmp_path / "c" / "step-00000008.safetensors")
    assert [row["epoch"] for row in read(path)] == ["1", "2", "3"]


def test_a_file_that_vanishes_ends_no_training(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"

    class Unlink(Callback):
        def on_epoch_start(self, trainer: Any) -> None:
            path.unlink(missing_ok=True)

    with pytest.warns(UserWarning, match=r"log.csv: got FileNotFoundError .* training continues without the file"):
        assert len(fit(make_trainer(CSVLogger(path), Unlink()))["loss"]) == 3
    assert not path.exists()


def test_half_a_row_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastnn.training.callbacks import csv_logger

    class Half:
        def __init__(self, *arguments: Any, **options: Any) -> None:
            self.file = open(*arguments, **options)  # noqa: SIM115

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *error: Any) -> None:
            self.file.close()

        def write(self, line: bytes) -> int:
            return self.file.write(line[: len(line) // 2])

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    monkeypatch.setattr(csv_logger, "open", Half, raising=False)
    with pytest.warns(UserWarning, match=r"log.csv: got OSError .*space"):
        fit(make_trainer(CSVLogger(tmp_path / "log.csv")))
    assert [row["epoch"] for row in read(tmp_path / "log.csv")] == ["1"]


def test_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="append: got 1, want True or False"):
        CSVLogger("a.csv", 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="metrics: got one called 'step', which is a column of CSVLogger; rename it"):

        def step(outputs: Any, targets: Any) -> float:
            return 0.0

        fit(make_trainer(CSVLogger(tmp_path / "a.csv"), metrics=[step]))
    with pytest.raises(IsADirectoryError):
        fit(make_trainer(CSVLogger(tmp_path)))
    assert os.listdir(tmp_path) == []
