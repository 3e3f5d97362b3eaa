"""How commands end: by Ctrl-C, closed pipes, and paths that are not what a command wants."""

import fcntl
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time

import numpy as np
import pytest
from config_files import GOOD, a_file, a_source, weights  # noqa: F401  # fixtures

from fastnn import config, runs
from fastnn.__main__ import main

pytest.importorskip("safetensors")
COMMAND = [sys.executable, "-m", "fastnn"]
LONG = ("epochs = 2", "epochs = 4000")
RESUME = r"fastnn: interrupted; python -m fastnn resume (.*) continues from the run's newest checkpoint"


def run_of(directory):
    (run,) = directory.iterdir()
    return run


def hear():
    """Let a program hear SIGINT, which one that a shell has started in the background ignores, and its children too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_on_a_terminal(file, tmp_path):
    """The sentence has a line of its own, behind whatever the bar of the progress and the terminal have written."""
    terminal, end = pty.openpty()
    arguments = ["train", "--config", str(file(GOOD, LONG)), "--out", str(tmp_path / "runs")]

    def take():
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # the terminal of this program
        hear()

    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=end, stderr=end, stdin=end, start_new_session=True, preexec_fn=take
    )
    os.close(end)
    text, began = b"", time.monotonic()
    while b"epoch    3/4000" not in text and time.monotonic() - began < 60:
        text += os.read(terminal, 4096)
    os.write(terminal, b"\x03")
    try:
        while more := os.read(terminal, 4096):
            text += more
    except OSError:  # the other end is closed
        pass
    assert process.wait(60) == 130
    os.close(terminal)
    *_, before, sentence, rest = text.decode().split("\n")
    assert re.fullmatch(RESUME + "\r", sentence) and rest == "" and "fastnn:" not in before, text[-500:]
    assert b"^C" in text and b"Traceback" not in text


INTERRUPT = """
import os, signal, sys
from fastnn.__main__ import main
{}
sys.exit(main(sys.argv[1:]))
"""
IN_DATA = """
from fastnn.runs.config import data
read = data.read
def interrupted(*arguments):
    os.kill(os.getpid(), signal.SIGINT)
    return read(*arguments)
data.read = interrupted
"""
IN_CHECKPOINT = """
from fastnn import _files
sync, count = os.fsync, [0]
def interrupted(descriptor):
    count[0] += 1
    if count[0] == 9:
        os.kill(os.getpid(), signal.SIGINT)
    sync(descriptor)
_files.os.fsync = interrupted
"""


def interrupted(where, *arguments):
    command = [sys.executable, "-c", INTERRUPT.format(where), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, preexec_fn=hear)


@pytest.mark.parametrize("command", ["train", "lr-find"])
def test_ctrl_c_while_data_is_read(command, file, tmp_path):
    more = ["--out", tmp_path / "runs"] if command == "train" else []
    ended = interrupted(IN_DATA, command, "--config", file(), *more)
    assert (ended.returncode, ended.stderr) == (130, "fastnn: interrupted\n") and not (tmp_path / "runs").exists()


def test_ctrl_c_while_a_checkpoint_is_written(file, tmp_path):
    """No part of a file remains, and the run continues with the same bits."""
    path = file(GOOD + "[training.checkpoint]\nevery_n_steps = 1\n")
    whole = runs.train(path, tmp_path / "whole")
    ended = interrupted(IN_CHECKPOINT, "train", "--config", path, "--out", tmp_path / "runs")
    assert ended.returncode == 130 and re.fullmatch(RESUME + "\n", ended.stderr), ended.stderr
    run = run_of(tmp_path / "runs")
    assert all(file.name.startswith("step-") for file in (run / "checkpoints").iterdir())
    assert main(["resume", str(run)]) == 0
    assert (run / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_sigterm_leaves_whole_checkpoints(file, tmp_path):
    """SIGTERM ends the program at once; the run continues from its newest checkpoint."""
    where = IN_CHECKPOINT.replace("SIGINT", "SIGTERM")
    path = file(GOOD + "[training.checkpoint]\nevery_n_steps = 1\n")
    whole = runs.train(path, tmp_path / "whole")
    ended = interrupted(where, "train", "--config", path, "--out", tmp_path / "runs")
    assert ended.returncode == -signal.SIGTERM and ended.stderr == ""
    run = run_of(tmp_path / "runs")
    assert main(["resume", str(run)]) == 0
    assert not [*(run / "checkpoints").glob(".*")], "what the killed process has left is removed"
    assert (run / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


@pytest.mark.parametrize("lines", [0, 1, 3])
@pytest.mark.parametrize("command", ["info", "--help", "train"])
def test_closed_pipe(command, lines, file, tmp_path):
    """A reader that ends early, as head does, leaves no traceback."""
    more = ["--config", str(file(GOOD, LONG)), "--out", str(tmp_path / "runs")] if command == "train" else []
    environment = os.environ | {"PYTHONUNBUFFERED": ""}  # so that output is still in the buffer at the end
    process = subprocess.Popen(
        [*COMMAND, command, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    for _ in range(lines):
        process.stdout.readline()
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    status = process.wait(120)
    assert error == "" and status in ((141,) if command == "train" else (0, 141))


def paths(tmp_path, file):
    """Make a folder, an empty one, files of no run and no TOML, and a run that has not ended."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("a")
    (tmp_path / "empty").mkdir()
    (tmp_path / "nothing.toml").write_text("")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "config.toml").write_text(file().read_text())
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.toml").mkdir()


RUN = "want the directory of a run, as in runs/<time>"


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        ("report nowhere", 1, f"nowhere: got no such directory, {RUN}"),
        ("report empty", 1, f"report: got 'empty' without history.json, {RUN}"),
        ("report folder", 1, f"report: got 'folder' without history.json, {RUN}"),
        ("report a.toml", 1, f"a.toml: got a file, {RUN}"),
        ("report begun", 1, "report: got 'begun' without history.json, want a run that has ended; python -m fastnn "
         "resume begun continues it"),
        ("resume nowhere", 1, f"nowhere: got no such directory, {RUN}"),
        ("resume empty", 1, f"resume: got 'empty' without config.toml, {RUN} that train --config made"),
        ("resume a.toml", 1, f"a.toml: got a file, {RUN}"),
        ("resume broken", 2, "broken/config.toml: got no text (Is a directory), want a file in TOML"),
        ("train --config nowhere", 2, "nowhere: got no text (No such file or directory), want a file in TOML"),
        ("train --config folder", 2, "folder: got no text (Is a directory), want a file in TOML"),
        ("train --config nothing.toml", 2, "nothing.toml: got no section, want [data], [network] and [optimizer]"),
        ("train --config binary.toml", 2, "binary.toml: got no text (it is no UTF-8), want a file in TOML"),
        ("train --config a.toml --out a.toml", 1, "--out: got 'a.toml', where a.toml is a file, want a directory"),
        ("train --config a.toml --out a.toml/b", 1, "--out: got 'a.toml/b', where a.toml is a file, want a directory"),
        ("train --out a.toml", 1, "--out: got 'a.toml', where a.toml is a file, want a directory"),
        ("lr-find --config folder", 2, "folder: got no text (Is a directory), want a file in TOML"),
        ("lr-find --config nothing.toml", 2, "nothing.toml: got no section, want [data], [network] and [optimizer]"),
    ],
)  # fmt: skip
def test_paths_that_are_something_else(arguments, status, sentence, file, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths(tmp_path, file)
    assert main(arguments.split()) == status
    captured = capsys.readouterr()
    assert (captured.err, captured.out) == (f"fastnn: {sentence}\n", "") and not (tmp_path / "runs").exists()


@pytest.mark.parametrize("call", ["fastnn.runs.commands.make_run", "fastnn.runs.config.description.Path.read_text"])
def test_what_cannot_be_read_or_written(call, file, tmp_path, capsys, monkeypatch):
    """An error of the operating system is one line with the path, whoever runs the tests."""

    def fail(*_, **__):
        raise PermissionError(13, "Permission denied", "/some/where")

    path = file()
    monkeypatch.setattr(call, fail)
    status = main(["train", "--config", str(path), "--out", str(tmp_path / "runs")])
    (line,) = capsys.readouterr().err.splitlines()
    assert "Permission denied" in line and line.startswith("fastnn: ") and status == (1 if "make_run" in call else 2)


def test_two_runs_of_the_same_second(tmp_path, monkeypatch):
    """A directory that another program makes at the same moment is not shared."""
    names = iter(["a", "a", "b"])
    monkeypatch.setattr("fastnn.runs.saved.dated", lambda directory: directory / next(names))
    assert [runs.make_run(tmp_path / "runs").name for _ in range(2)] == ["a", "b"]


def test_warnings_are_lines(file, tmp_path, capsys):
    """A schedule that seems to count epochs is told in the words of a file."""
    pairs = [('"OneCycleLR"', '"CosineAnnealingLR"\nT_max = 3'), ("epochs = 2", "epochs = 3")]
    assert main(["train", "--config", str(file(GOOD, *pairs)), "--out", str(tmp_path / "runs")]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("fastnn: scheduler: got CosineAnnealingLR with T_max = 3, which counts optimizer steps")
    assert line.endswith('if epochs are meant, set training.scheduler_interval = "epoch"')


def test_limits_and_options_reach_the_training(file, source, tmp_path, capsys):
    """max_steps ends the training, and a schedule ends there; the other keys change what is trained."""
    lines = 'epochs = "unlimited"\nmax_steps = 7\nshuffle = false\ndrop_last = true\nverbose = false\n'
    lines += 'validation_batch_size = 5\nclass_weight = "balanced"'
    described = config.read(file(GOOD, ("epochs = 2", lines)))
    assert described.steps(72) == 7 and described.fit["epochs"] is None
    run = runs.Run(described)
    run.fit(tmp_path)
    assert capsys.readouterr().out == "max_steps = 7 are done\n"
    history = np.asarray(json.loads((tmp_path / "history.json").read_text())["steps"]["lr"])
    assert len(history) == 7 and history[-1] < history.max() / 100
    assert weights(tmp_path)


@pytest.mark.parametrize(
    ("lines", "rows", "steps"),
    [
        ("epochs = 3\nmax_steps = 7", 64, 6),
        ("epochs = 3\nmax_steps = 5", 64, 5),
        ('epochs = "unlimited"\nmax_steps = 9', 64, 9),
        ('epochs = "unlimited"\nmax_time = 9', 64, None),
        ('epochs = "unlimited"\nmax_steps = 9\nscheduler_interval = "epoch"', 64, 5),
        ("epochs = 2\ndrop_last = true", 65, 4),
        ("epochs = 2\ndrop_last = true\naccumulate_grad_batches = 3", 127, 2),
    ],
)
def test_steps_with_limits(lines, rows, steps, file):
    text = ("epochs = 2\nbatch_size = 16", lines)
    scheduler = ('[scheduler]\nname = "OneCycleLR"', "")
    assert config.read(file(GOOD, text, scheduler)).steps(rows) == steps


@pytest.mark.parametrize(("name", "option"), [("OneCycleLR", "total_steps"), ("CosineAnnealingLR", "T_max")])
def test_a_schedule_without_an_end(name, option, file, tmp_path, capsys):
    pairs = [("OneCycleLR", name), ("epochs = 2", 'epochs = "unlimited"\nmax_time = 0.05')]
    assert main(["train", "--config", str(file(GOOD, *pairs)), "--out", str(tmp_path / "runs")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"fastnn: scheduler.{option}: got nothing in a training that only max_time ends, want the")
    pairs = [(f'"{name}"', f'"{name}"\n{option} = 100000')]
    path = file(GOOD, ("OneCycleLR", name), *pairs, ("epochs = 2", 'epochs = "unlimited"\nmax_time = 0.05'))
    assert main(["train", "--config", str(path), "--out", str(tmp_path / "runs")]) == 0


def test_resume_with_another_rate(file, tmp_path, capsys):
    """The rate of the checkpoint goes on, also one that was found, and what the file says now is told not to."""
    fixed = GOOD.replace('[scheduler]\nname = "OneCycleLR"\n', "")
    for rate in ("0.01", '"find"'):
        run = runs.train(file(fixed, ('"AdamW"', f'"AdamW"\nlr = {rate}')), tmp_path / str(len(rate)))
        (run / "config.toml").write_text((run / "config.toml").read_text().replace("epochs = 2", "epochs = 3"))
        capsys.readouterr()
        assert main(["resume", str(run)]) == 0 and capsys.readouterr().err == ""
    (run / "config.toml").write_text((run / "config.toml").read_text().replace('"find"', "0.125"))
    assert main(["resume", str(run)]) == 0
    assert "going on with" in (told := capsys.readouterr().err) and told.endswith("; train anew to change it\n")
