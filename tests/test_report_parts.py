"""Each part of a report's page: what its picture shows, its size, and the rows of its tables."""

import base64
import html
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.report import save_run, write_report
from fastnn.runs import report
from fastnn.runs.saved import load_finder, save_finder
from fastnn.training import LRFinder, Trainer
from fastnn.training.lr_finder import found

pytest.importorskip("matplotlib")
NAMES = ["one", "two", "three"]
PICTURES = ("Learning curves", "Learning rate", "Learning-rate finder", "Confusion matrix", "Largest errors", "Samples",
            "Activations", "Gradients")  # fmt: skip


def a_run(directory: Path, n: int = 20, classes: int = 3, epochs: int = 2, **options: Any) -> Trainer:
    """Save a run of n samples of 3 x 3 pixels; with `alone` in the options, without a validation in the training."""
    fastnn.manual_seed(1)
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((n, 9)).astype("f"), np.arange(n) % classes
    model = nn.Sequential(nn.Linear(9, 4), nn.Tanh(), nn.Linear(4, classes))
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), 0.1))
    finder = trainer.lr_find((x, y), num_it=6, batch_size=10)
    alone = options.pop("alone", False)
    if epochs:
        trainer.fit((x, y), None if alone else (x, y), epochs=epochs, batch_size=10, verbose=False)
    save_run(directory, trainer, (x, y), finder=finder, **options)
    return trainer


def pieces(directory: Path, *names: str) -> dict[str, str]:
    """Write the page, with the named parts only if there are names, and return the HTML below each heading."""
    with pytest.MonkeyPatch.context() as patched:
        if names:
            patched.setattr(report, "_PARTS", {name: report._PARTS[name] for name in names})
        found = re.split(r"<h2>(.*?)</h2>", write_report(directory).read_text("utf-8"))
    return dict(zip(found[1::2], found[2::2], strict=True))


def rows(part: str, tag: str = "td") -> list[list[str]]:
    """Return the cells of a table's rows that have the tag."""
    found = [re.findall(rf"<{tag}>(.*?)</{tag}>", row) for row in re.findall("<tr>(.*?)</tr>", part)]
    return [[html.unescape(cell) for cell in row] for row in found if row]


def drawn(directory: Path, *names: str) -> dict[str, Any]:
    """Write the page, and return the figure of each part; the page has its number instead of the picture."""
    figures: list[Any] = []

    def png(figure: Any) -> bytes:
        figures.append(figure)
        return str(len(figures) - 1).encode()

    found = {}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("fastnn.runs.report.png", png)
        parts = pieces(directory, *names)
    for name, part in parts.items():
        if source := re.search(r'width="(\d+)" src="data:image/png;base64,(.*?)"', part):
            found[name] = figures[int(base64.b64decode(source[2]))]
            assert int(source[1]) == round(96 * found[name].get_figwidth())
    return found


class Whole(NamedTuple):
    directory: Path
    trainer: Trainer
    figures: dict[str, Any]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """A run of 20 samples whose classes have names, and all pictures of its page."""
    directory = tmp_path_factory.mktemp("whole")
    trainer = a_run(directory, names=NAMES)
    return Whole(directory, trainer, drawn(directory))


def test_sizes_of_pictures(whole: Whole) -> None:
    """In inches; rows of samples, layers and classes make a picture higher."""
    found = {name: figure.get_size_inches().tolist() for name, figure in whole.figures.items()}
    assert tuple(found) == PICTURES
    assert found == {
        "Learning curves": [10, 4],
        "Learning rate": [6, 3.5],
        "Learning-rate finder": [6, 3.5],
        "Confusion matrix": [pytest.approx(3.65)] * 2,
        "Largest errors": [10, 3.6],
        "Samples": [10, 3.6],
        "Activations": [8, pytest.approx(2.35)],
        "Gradients": [8, pytest.approx(2.35)],
    }


@pytest.mark.parametrize(("n", "height"), [(1, 1.8), (8, 1.8), (9, 3.6)])
def test_height_of_samples(n: int, height: float, tmp_path: Path) -> None:
    """Eight samples fill a row."""
    a_run(tmp_path, n, epochs=0)
    figure = drawn(tmp_path, "Samples")["Samples"]
    assert figure.get_figheight() == height and len(figure.axes[0].images) == n


@pytest.mark.parametrize(("classes", "side"), [(2, 3.1), (14, 9.7), (15, 10)])
def test_size_of_the_confusion_matrix(classes: int, side: float, tmp_path: Path) -> None:
    a_run(tmp_path, 15, classes, epochs=0)
    figure = drawn(tmp_path, "Confusion matrix")["Confusion matrix"]
    assert figure.get_size_inches() == pytest.approx([side, side])


def test_contents_of_pictures(whole: Whole) -> None:
    """Each picture shows the values of its part of the run."""
    found = {name: figure.axes for name, figure in whole.figures.items()}
    assert [ax.get_title(loc="left") for ax in found["Learning curves"]] == ["Loss", "Accuracy"]
    assert [tuple(ax.get_subplotspec().get_geometry()) for ax in found["Learning curves"]] == [
        (1, 2, 0, 0), (1, 2, 1, 1)]  # fmt: skip
    (rate,), (finder,), (matrix,) = (found[name] for name in PICTURES[1:4])
    assert [line.get_ydata().tolist() for line in rate.lines] == [[0.1] * 4]
    assert (finder.get_xlabel(), finder.get_xscale()) == ("learning rate", "log")
    with np.load(whole.directory / "evaluation.npz") as file:
        labels, probabilities, errors = file["labels"], file["probabilities"], file["errors/rows"]
        rates = file["finder/rates"]
    assert finder.lines[0].get_xdata().tolist() == rates.tolist() and len(rates) <= 6
    right = int((probabilities.argmax(axis=1) == labels).sum())
    assert matrix.get_title(loc="left") == f"{right} of 20 right"
    assert [text.get_text() for text in matrix.get_yticklabels()] == NAMES
    assert right == round(20 * whole.trainer.history["val_accuracy"][-1])
    for part, chosen in (("Samples", np.arange(16)), ("Largest errors", errors)):
        (ax,) = found[part]
        wanted = []
        for i in chosen:
            guess = probabilities[i].argmax()
            wrong = f"{NAMES[labels[i]]} → {NAMES[guess]}" if guess != labels[i] else NAMES[labels[i]]
            wanted.append(f"{wrong}\n{probabilities[i, guess]:.0%}")
        assert [text.get_text() for text in ax.texts] == wanted
    for part, label in (("Activations", "activation"), ("Gradients", "|gradient|")):
        (ax,) = found[part]
        assert ax.get_xlabel() == label
        layers = [text.get_text().split("(")[0] for text in ax.get_yticklabels()]
        assert layers == ["0 Linear", "1 Tanh", "2 Linear"]


def test_an_odd_number_of_curves(tmp_path: Path) -> None:
    """Two metrics share a row, and three need a second one."""
    a_run(tmp_path)
    state = json.loads((tmp_path / "history.json").read_text())
    state["epochs"]["error"] = [0.5, 0.25]
    (tmp_path / "history.json").write_text(json.dumps(state))
    figure = drawn(tmp_path, "Learning curves")["Learning curves"]
    assert figure.get_size_inches().tolist() == [10, 8]
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["Loss", "Accuracy", "Error"]
    assert [tuple(ax.get_subplotspec().get_geometry()) for ax in figure.axes] == [(2, 2, i, i) for i in range(3)]


@pytest.mark.parametrize("alone", [False, True])
def test_table_of_metrics(alone: bool, tmp_path: Path) -> None:
    """A row for each metric with its last values and the best, the validation's if there is one; no rates and times."""
    a_run(tmp_path, alone=alone)
    state = json.loads((tmp_path / "history.json").read_text())
    given = {"loss": [2.0, 1.0], "accuracy": [0.75, 0.5], "val_loss": [1.25, 1.5], "val_accuracy": [0.5, 0.625]}
    state["epochs"] |= {name: values for name, values in given.items() if name in state["epochs"]}
    (tmp_path / "history.json").write_text(json.dumps(state))
    part = pieces(tmp_path, "Metrics")["Metrics"]
    assert rows(part, "th") == [["metric", "training, last", "validation, last", "best", "of epoch"]]
    assert rows(part) == [
        ["loss", "1", *(["-", "1", "2"] if alone else ["1.5", "1.25", "1"])],
        ["accuracy", "0.5", *(["-", "0.75", "1"] if alone else ["0.625", "0.625", "2"])],
    ]


def test_table_of_a_configuration(tmp_path: Path) -> None:
    """What is not set is left out; texts stand as they are, other values as JSON, and the model in a block."""
    told = {"model": "<M>(\n)", "a": "text", "b": 1.5, "c": None, "d": "NoneType", "e": [1, "x"], "f": False,
            "groups": [{"lr": 0.1, "eps": 1e-8, "nesterov": False, "state_dtype": None, "fused": True}, {"lr": 2}],
            "test": {"loss": 0.5}}  # fmt: skip
    (tmp_path / "configuration.json").write_text(json.dumps(told))
    part = pieces(tmp_path, "Configuration")["Configuration"]
    assert part.strip().startswith("<pre>&lt;M&gt;(\n)</pre><table>") and "<th>" not in part
    assert rows(part) == [["a", "text"], ["b", "1.5"], ["e", '[1, "x"]'], ["f", "false"], ["test", '{"loss": 0.5}'],
                          ["group 0", "lr 0.1, eps 1e-08, fused True"], ["group 1", "lr 2"]]  # fmt: skip


def test_a_configuration_that_is_no_table(tmp_path: Path) -> None:
    """It costs its own part and the names of the classes, and no other part."""
    a_run(tmp_path, 4, epochs=0, names=NAMES)
    (tmp_path / "configuration.json").write_text("[1]")
    (figure,) = drawn(tmp_path, "Confusion matrix", "Configuration").values()
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["0", "1", "2"]
    assert "configuration.json: got a file that cannot be read" in pieces(tmp_path, "Configuration")["Configuration"]


def test_directories_are_made(tmp_path: Path) -> None:
    a_run(tmp_path / "a/b/c", 4, epochs=0)
    assert (tmp_path / "a/b/c/history.json").exists()


def test_the_finder_is_kept(tmp_path: Path) -> None:
    """It is read again with the same values, each at its place."""
    trainer = a_run(tmp_path, 4, epochs=0)
    rates, losses = np.array([0.125, 0.25, 0.5, 1.0]), np.array([4.0, 3.0, 2.0, 5.0])
    finder = LRFinder(rates, losses, losses[::-1], {"valley": 0.5, "steepest": float("nan")})
    save_run(tmp_path, trainer, finder=finder)
    with np.load(tmp_path / "evaluation.npz", allow_pickle=False) as file:
        kept = {name: file[name].tolist() for name in file.files if name != "$state"}
    assert kept == {
        "finder/rates": rates.tolist(),
        "finder/losses": losses.tolist(),
        "finder/smoothed": losses[::-1].tolist(),
    }


class Touching:
    """Makes a file when it is loaded from a pickle."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


class Parted(nn.ReLU):
    """Its result has an axis more."""

    def __call__(self, x: Any) -> Any:
        y, backward = super().__call__(x)
        return y.reshape(len(y), 2, -1), lambda dy, *rest: backward(dy.reshape(x.shape), *rest)


def test_results_with_more_axes_have_no_classes(tmp_path: Path) -> None:
    """Labels and probabilities are kept only for logits (N, C); histograms of the layers in any case."""
    model = nn.Sequential(nn.Linear(5, 4), Parted())
    trainer = Trainer(model, lambda y, _: (0.0, y), optim.SGD(model.parameters(), 0.1), metrics=())
    save_run(tmp_path, trainer, (np.ones((6, 5), np.float32), np.zeros(6, np.int64)))
    with np.load(tmp_path / "evaluation.npz") as file:
        assert "layers/1/activation/counts" in file.files
        assert not {"labels", "probabilities", "samples/x", "errors/x"} & set(file.files)


def test_the_file_of_the_finder(tmp_path: Path) -> None:
    """Rates and losses come back, the rest follows from them; a pickle is not loaded."""
    finder = found(np.geomspace(1e-3, 1.0, 8), np.array([4.0, 3.5, 3.0, 2.0, 1.5, 1.0, 2.0, 9.0]))
    save_finder(finder, tmp_path / "a.npz")
    again = load_finder(tmp_path / "a.npz")
    assert again is not None and again.suggestions == finder.suggestions and finder.suggestions["valley"] > 0
    for name in ("rates", "losses", "smoothed"):
        assert getattr(again, name).tolist() == getattr(finder, name).tolist()
    np.savez(tmp_path / "b.npz", rates=np.array([Touching(tmp_path / "touched")], object), losses=finder.losses)
    assert load_finder(tmp_path / "b.npz") is None and not (tmp_path / "touched").exists()


@pytest.mark.parametrize("n", [255, 256, 257, 300])
def test_samples_of_the_histograms(n: int, tmp_path: Path) -> None:
    """Up to 256 samples run through the layers; all of them are evaluated."""
    a_run(tmp_path, n, epochs=0)
    with np.load(tmp_path / "evaluation.npz") as file:
        counts = [int(file[f"layers/{i}/activation/counts"].sum()) for i in range(3)]
        assert len(file["labels"]) == n and counts == [min(n, 256) * width for width in (4, 4, 3)]
