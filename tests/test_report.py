"""The files that are saved of a run, and the page made from them."""

import base64
import html
import json
import math
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import __main__ as command
from fastnn import nn, optim
from fastnn.report import save_run, write_report
from fastnn.training import Trainer

pytest.importorskip("matplotlib")
HOSTILE = "<script>alert('$x$ & \"y\"')</script>"
PARTS = ("Metrics", "Diagnosis", "Learning curves", "Learning rate", "Learning-rate finder", "Confusion matrix",
         "Largest errors", "Samples", "Activations", "Gradients", "Configuration")  # fmt: skip


def hostile_metric(_logits: Any, _labels: Any) -> float:
    return float("nan")


hostile_metric.__name__ = HOSTILE


class Hostile(nn.ReLU):
    def __repr__(self) -> str:
        return HOSTILE


def trained(directory: Path, ignored: int = 0, **options: Any) -> Trainer:
    fastnn.manual_seed(0)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 16)).astype("f"), rng.integers(0, 3, 60)
    model = nn.Sequential(nn.Linear(16, 8), Hostile(), nn.Linear(8, 3))
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.AdamW(model.parameters()),
                      metrics=("accuracy", hostile_metric))  # fmt: skip
    finder = trainer.lr_find((x, y), num_it=12)
    trainer.fit((x, y), (x, y), epochs=2, batch_size=20, verbose=False)
    validation = y.copy()
    validation[:ignored] = -100
    save_run(directory, trainer, (x, validation), finder=finder, **options)
    return trainer


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory: Path = tmp_path_factory.mktemp("runs") / "<i>run"
    trained(directory, names=[HOSTILE, "b", "c"])
    return directory


@pytest.mark.parametrize("names", ["ab", "abcd", ""])
def test_names_of_other_classes_are_refused(tmp_path: Path, names: str) -> None:
    with pytest.raises(ValueError, match=rf"^names: got {len(names)}, want 3, one for each class"):
        trained(tmp_path / "run", names=list(names))
    assert not (tmp_path / "run").exists()


class Page(HTMLParser):
    """The tags and parts of a page, and the parts replaced by a sentence because something is missing."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text, self.tags, self.attributes = path.read_text("utf-8"), set[str](), list[tuple[str, str | None]]()
        self.feed(self.text)
        pieces = re.split(r"<h2>(.*?)</h2>", self.text)
        self.parts = dict(zip(pieces[1::2], pieces[2::2], strict=True))
        self.missing = {name for name, part in self.parts.items() if 'class="missing"' in part}

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attributes


def test_the_page_has_the_name_of_its_directory(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    title = re.search("<title>(.*?)</title>", write_report(run).read_text("utf-8"))
    monkeypatch.chdir(run)
    assert title and html.unescape(title[1]).endswith(run.name)
    assert f"<title>{title[1]}</title>" in write_report(".").read_text("utf-8")


def test_page_has_all_and_needs_nothing(run: Path) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    path = write_report(run)
    page = Page(path)
    assert path == run / "report.html" and tuple(page.parts) == PARTS and not page.missing
    assert not page.tags & {"script", "i", "link", "iframe", "object", "svg"}
    sources = [value or "" for name, value in page.attributes if name in ("src", "href", "srcset", "action")]
    pictures = [base64.b64decode(source.removeprefix("data:image/png;base64,"), validate=True) for source in sources]
    assert len(pictures) == 8 and all(picture.startswith(b"\x89PNG") for picture in pictures)
    assert "http:" not in page.text and "https:" not in page.text and "url(" not in page.text
    assert "&lt;script&gt;alert(" in page.parts["Metrics"] and "&lt;i&gt;run" in page.text
    assert "&lt;script&gt;alert(" in page.parts["Configuration"]
    assert len(page.text) < 1_500_000 and pyplot.get_fignums() == []


def test_metrics_are_those_of_the_history(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastnn.runs.report.png", lambda _: b"")
    run = shutil.copytree(run, tmp_path / "run")
    state = json.loads((run / "history.json").read_text())
    history = state["epochs"]
    history["loss"], history["val_loss"] = [2.0, 1.0], [1.25, 1.5]  # the best epoch is the validation's
    (run / "history.json").write_text(json.dumps(state))
    rows = re.findall(r"<tr><td>(.*?)</td></tr>", Page(write_report(run)).parts["Metrics"])
    cells = {row.split("</td><td>")[0]: row.split("</td><td>")[1:] for row in rows}
    best = min(history["val_loss"])
    assert cells["loss"] == [f"{history['loss'][-1]:.4g}", f"{history['val_loss'][-1]:.4g}", f"{best:.4g}",
                             str(history["val_loss"].index(best) + 1)]  # fmt: skip
    assert next(row for name, row in cells.items() if "script" in name) == ["-", "-", "-", "-"]


def test_symptoms_are_told(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastnn.runs.report.png", lambda _: b"")
    assert "none of the symptoms" in Page(write_report(run)).parts["Diagnosis"]
    state = json.loads((run / "history.json").read_text())
    state["steps"]["loss"][3] = state["epochs"]["loss"][0] = None
    (run / "history.json").write_text(json.dumps(state))
    assert "<p>NaN or infinity: " in Page(write_report(run)).parts["Diagnosis"]


def test_a_loss_that_became_infinite(tmp_path: Path) -> None:
    """JSON has no infinity: the history has null there, for curves and results."""
    trainer = trained(tmp_path / "a")
    trainer.history["loss"][-1], trainer.history.steps["loss"][-1] = math.inf, -math.inf
    save_run(tmp_path / "b", trainer, test={"loss": math.inf, "accuracy": 0.5})
    history = json.loads((tmp_path / "b/history.json").read_text())
    assert history["epochs"]["loss"][-1] is history["steps"]["loss"][-1] is None
    assert json.loads((tmp_path / "b/configuration.json").read_text())["test"] == {"loss": None, "accuracy": 0.5}


def test_a_plateau_is_told(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss that stays at log C is named on the page; C is the number of classes of the model's result."""
    monkeypatch.setattr("fastnn.runs.report.png", lambda _: b"")
    run = shutil.copytree(run, tmp_path / "run")
    state = json.loads((run / "history.json").read_text())
    state["steps"] = {"loss": [math.log(3)] * 200, "lr": [1e-3] * 200}
    for name in ("loss", "val_loss"):
        state["epochs"][name] = [math.log(3)] * len(state["epochs"][name])
    (run / "history.json").write_text(json.dumps(state))
    assert "plateau at log C" in Page(write_report(run)).parts["Diagnosis"]


def test_saved_files(tmp_path: Path) -> None:
    """The JSON is strict, arrays load without pickle, and probabilities are the model's, without ignored labels."""
    trainer = trained(tmp_path, ignored=5)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    history = json.loads((tmp_path / "history.json").read_text(), parse_constant=refuse)
    assert history["epochs"][HOSTILE] == [None, None] and history["epochs"]["loss"] == trainer.history["loss"]
    assert history["steps"]["lr"] == [1e-3] * 6 and history["validations"]["step"] == [3, 6]
    configuration = json.loads((tmp_path / "configuration.json").read_text(), parse_constant=refuse)
    assert configuration["batch_size"] == 20 and configuration["groups"][0]["betas"] == [0.9, 0.999]
    with np.load(tmp_path / "evaluation.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 16)).astype("f"), rng.integers(0, 3, 60)
    assert (arrays["labels"] == y[5:]).all() and (arrays["probabilities"] == trainer.predict_proba(x)[5:]).all()
    assert (arrays["samples/x"] == x[5:21]).all()
    worst = arrays["probabilities"][np.arange(55), y[5:]].argsort(kind="stable")[:16]
    assert (arrays["errors/rows"] == worst).all() and (arrays["errors/x"] == x[5:][worst]).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["configuration.json", "evaluation.npz", "history.json"]
    assert configuration["names"] is configuration["test"] is configuration["stopped"] is None
    assert (configuration["epochs"], configuration["steps"]) == (2, 6)
    save_run(tmp_path, trainer, names=[1, "b"], test={"loss": 2.0})  # of no validation, whose classes they could be
    assert not (tmp_path / "evaluation.npz").exists()  # it belonged to another training run
    configuration = json.loads((tmp_path / "configuration.json").read_text())
    assert configuration["names"] == ["1", "b"] and configuration["test"] == {"loss": 2.0}


@pytest.mark.parametrize(
    ("outputs", "targets", "kept"),
    [
        (3, np.arange(30) % 3, True),
        (2, np.arange(30) % 2, True),
        (1, np.zeros(30, np.int64), False),
        (3, np.zeros((30, 3), np.int64), False),
        (3, np.zeros(30, np.float32), False),
        (3, np.full(30, -100), False),
        (3, np.full(30, 3), False),
        (3, np.arange(30) % 3 * 51 - 100, True),  # 2 is the only class
    ],
)
def test_what_has_labels(outputs: int, targets: Any, kept: bool, tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((30, 4)).astype("f")
    model = nn.Sequential(nn.Linear(4, outputs))
    trainer = Trainer(model, lambda y, _: (0.0, y), optim.SGD(model.parameters(), 0.1), metrics=())
    save_run(tmp_path, trainer, (x, targets))
    with np.load(tmp_path / "evaluation.npz", allow_pickle=False) as file:
        assert ("labels" in file.files) == ("samples/x" in file.files) == kept
        if kept:
            known = np.flatnonzero((targets >= 0) & (targets < outputs))
            assert (file["labels"] == targets[known]).all() and (
                file["samples/rows"] == range(min(16, len(known)))
            ).all()
            assert (file["samples/x"] == x[known[:16]]).all()


EVALUATED = {"Learning-rate finder", "Confusion matrix", "Largest errors", "Samples", "Activations", "Gradients"}


FILES = {"history.json": {"Metrics", "Diagnosis", "Learning curves", "Learning rate"}, "evaluation.npz": EVALUATED,
         "configuration.json": {"Configuration"}}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing_is_a_sentence(
    run: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastnn.runs.report.png", lambda _: b"")  # the drawings are tested elsewhere
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / name).unlink()
    page = Page(write_report(tmp_path / "run"))
    assert page.missing == FILES[name] and all(f"{name}: got no such file" in page.parts[part] for part in page.missing)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"PK\x03\x04", b'{"epochs": 1}'])
def test_files_that_cannot_be_read_are_sentences(tmp_path: Path, content: bytes) -> None:
    for name in FILES:
        (tmp_path / name).write_bytes(content)
    page = Page(write_report(tmp_path))
    says_little = {"Configuration"} if content in (b"[]", b'{"epochs": 1}') else set()
    assert page.missing == {*PARTS} - says_little
    for name, parts in FILES.items():
        assert all(f"{name}: got a file that cannot be read" in page.parts[part] for part in parts - says_little)


def test_pickles_are_not_loaded(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    np.savez(tmp_path / "run/evaluation.npz", **{"$state": np.array([Path("x")], object)})
    page = Page(write_report(tmp_path / "run"))
    assert page.missing == EVALUATED and "allow_pickle=False" in page.parts["Samples"]


@pytest.mark.parametrize("kind", ["regression", "not square", "none"])
def test_other_runs(kind: str, tmp_path: Path) -> None:
    """Reports cover targets that are not classes, samples that are not images, and untrained trainers."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((30, 6)).astype("f"), rng.integers(0, 3, 30)
    model, loss, targets, metrics = nn.Sequential(nn.Linear(6, 3)), nn.CrossEntropyLoss(), y, ("accuracy",)
    if kind == "regression":
        loss, targets, metrics = (lambda p, t: (float(((p - t) ** 2).mean()), p - t)), x[:, :3].copy(), ()
    trainer = Trainer(model, loss, optim.SGD(model.parameters(), 0.1), metrics=metrics)
    data = (x, targets)
    if kind != "none":
        trainer.fit(data, data, verbose=False)
    save_run(tmp_path, trainer, None if kind == "none" else data)
    page = Page(write_report(tmp_path))
    missing = {"Learning-rate finder", "Largest errors", "Samples"}
    missing |= {
        "regression": {"Confusion matrix"},
        "none": {*PARTS} - {"Metrics", "Diagnosis", "Learning rate", "Configuration"},
    }.get(kind, set())
    assert page.missing == missing


def test_command(run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert command.main(["report", str(run)]) == 0
    assert capsys.readouterr().out.strip() == str(run / "report.html")
    assert command.main(["report", str(run / "nowhere")]) == 1
    assert "nowhere: got no such directory, want the directory of a run" in capsys.readouterr().err
    with pytest.raises(NotADirectoryError, match=r"want a directory written by fastnn\.report\.save_run"):
        write_report(run / "nowhere")
    for package in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, package, None)
    assert command.main(["report", str(run)]) == 1
    assert "matplotlib: got no such package" in capsys.readouterr().err
