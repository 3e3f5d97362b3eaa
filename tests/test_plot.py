"""Plots: contents of the axes, refused arguments, and pyplot is left alone."""

import sys
from typing import Any

import numpy as np
import pytest

from fastnn import nn, optim, plot
from fastnn._figure import new_figure, pictures, png, rgb, short
from fastnn.diagnosis.inspection import Histogram, LayerSignals, histogram, inspect_layers, largest_errors
from fastnn.optim import lr_scheduler
from fastnn.training import History
from fastnn.training.lr_finder import found

pytest.importorskip("matplotlib")
NAN = float("nan")


def axes() -> Any:
    return new_figure(5, 4).subplots()


def line(ax: Any, label: str) -> tuple[list[float], list[float]]:
    (found,) = [artist for artist in ax.get_lines() if artist.get_label().startswith(label)]
    return list(found.get_xdata()), list(found.get_ydata())


def made_history(steps: int = 4, validation: bool = True) -> History:
    history = History()
    history.update({"loss": [3.0, 2.0, 1.0], "accuracy": [0.1, 0.2, 0.3]})
    history.steps.update({"loss": [float(i) for i in range(3 * steps)], "lr": [0.1] * 3 * steps})
    if validation:
        history.update({"val_loss": [2.0, 1.0, 1.5]})
        history.validations.update({"step": [4.0, 8.0, 10.0, 12.0], "val_loss": [2.0, 1.0, 0.5, 1.5]})
    return history


@pytest.mark.parametrize(
    ("history", "name", "training", "validation", "best"),
    [
        ({"loss": [3, 2, 4]}, "loss", [1, 2, 3], None, (2, 2)),
        ({"loss": [3, 2, 4], "val_loss": [9, NAN, 8]}, "loss", [1, 2, 3], [1, 2, 3], (3, 8)),
        ({"accuracy": [0.5]}, "accuracy", [1], None, (1, 0.5)),
        ({"val_accuracy": [0.5, 0.7, 0.6]}, "accuracy", None, [1, 2, 3], (2, 0.7)),
        (made_history(), "loss", [(i + 1) / 4 for i in range(12)], [1, 2, 2.5, 3], (2.5, 0.5)),
        (made_history(validation=False), "loss", [(i + 1) / 4 for i in range(12)], None, (3, 1)),
        (made_history(), "accuracy", [1, 2, 3], None, (3, 0.3)),
        ({"loss": [NAN, NAN]}, "loss", [1, 2], None, None),
    ],
)
def test_learning_curves(history: Any, name: str, training: Any, validation: Any, best: Any) -> None:
    ax = axes()
    assert plot.learning_curves(history, name, ax) is ax
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    for label, x in (("training", training), ("validation", validation)):
        assert (label in labels) == (x is not None)
        assert x is None or line(ax, label)[0] == x
    assert any(text.startswith("best") for text in labels) == (best is not None)
    assert best is None or line(ax, "best") == ([best[0]], [best[1]])
    assert (ax.get_title(loc="left"), ax.get_xlabel()) == (name.capitalize(), "epoch" if name in history else "step")
    png(ax.figure)


def test_curves_have_gaps_where_a_value_is_missing() -> None:
    ax = plot.learning_curves({"loss": [3.0, NAN, 2.0]}, ax=axes())
    assert all(np.array_equal(artist.get_ydata(), [3, NAN, 2], equal_nan=True) for artist in ax.get_lines()[:2])


def test_curves_are_drawn_raw_and_smoothed() -> None:
    rng = np.random.default_rng(0)
    raw = (np.linspace(5, 1, 500) + rng.standard_normal(500)).tolist()
    ax = plot.learning_curves({"loss": raw}, ax=axes())
    pale, smooth = ax.get_lines()[:2]
    assert list(pale.get_ydata()) == raw and pale.get_alpha() < 1
    error = np.asarray(smooth.get_ydata()) - np.linspace(5, 1, 500)
    assert np.abs(error[20:-20]).max() < 0.8 and abs(error[20:-20].mean()) < 0.05  # less noise, and no lag


def test_schedules() -> None:
    optimizer = optim.SGD([{"params": [np.ones(1)], "lr": 0.1}, {"params": [np.ones(1)], "lr": 1.0}])
    schedule = lr_scheduler.StepLR(optimizer, 2, 0.5)
    by_hand = np.array([[0.1, 0.1, 0.05], [1.0, 1.0, 0.5]])
    history = made_history()
    history.steps.update({"lr-0": by_hand[0].tolist(), "lr-1": by_hand[1].tolist()})
    for source, n in ((schedule, 3), (schedule.preview(3), None), (history, None)):
        ax = plot.schedule(source, n, axes())
        assert np.allclose([artist.get_ydata() for artist in ax.get_lines()], by_hand), source
        assert [text.get_text() for text in ax.get_legend().get_texts()] == ["group 0", "group 1"]
    assert line(plot.schedule(made_history(), ax=axes()), "group 0")[1] == [0.1] * 12


def test_rate_finder() -> None:
    rates = np.geomspace(1e-5, 1, 50)
    finder = found(rates, 2 - np.exp(-((np.log10(rates) + 2) ** 2)) + (rates > 0.5) * 1e9)
    ax = axes()
    assert finder.plot(ax) is ax and ax.get_xscale() == "log"
    for name, rate in finder.suggestions.items():
        assert line(ax, name)[0] == [rate]
    assert list(ax.get_lines()[0].get_ydata()) == finder.losses.tolist()
    assert line(ax, "loss, smoothed")[1] == finder.smoothed.tolist()
    nothing = plot.lr_finder(found(rates, np.full(50, NAN)), axes())
    assert [text.get_text() for text in nothing.get_legend().get_texts()] == ["loss, smoothed"]
    png(nothing.figure)


@pytest.mark.parametrize("names", [None, ("cat", "$\\bad{$ dog", "<b>")])
def test_confusion_matrix(names: Any) -> None:
    labels, guesses = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 1], np.int32)
    ax = plot.confusion_matrix(labels, guesses, names, axes())
    cells = {text.get_position(): text.get_text() for text in ax.texts}  # (column, row)
    assert cells == {(0, 0): "2\n67%", (1, 0): "1\n33%", (1, 1): "2\n100%"}
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title(loc="left")) == ("predicted", "true", "4 of 5 right")
    assert [text.get_text() for text in ax.get_yticklabels()] == list(names or "01")
    png(ax.figure)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint64"])
@pytest.mark.parametrize(("classes", "names"), [(20, 20), (30, 30), (30, 300)])
def test_confusions_are_counted_in_more_bits_than_the_labels_have(dtype: str, classes: int, names: int) -> None:
    labels = np.arange(classes).astype(dtype)
    guesses = np.where(labels == 7, 19, labels).astype(dtype)
    for given in (None, [str(i) for i in range(names)]):
        ax = plot.confusion_matrix(labels, guesses, given, axes())
        assert ax.get_title(loc="left") == f"{classes - 1} of {classes} right"
        if given is None:
            assert {text.get_position() for text in ax.texts} == {(19, 7)} | {(i, i) for i in range(classes) if i != 7}


@pytest.mark.parametrize(("classes", "texts"), [(12, "1\n100%"), (13, "1"), (31, None)])
def test_many_classes(classes: int, texts: str | None) -> None:
    ax = plot.confusion_matrix(np.arange(classes), np.arange(classes), ax=axes())
    assert {text.get_text() for text in ax.texts} == ({texts} if texts else set())
    assert len(ax.get_xticks()) <= plot.NUMBERS


def test_distributions() -> None:
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Dropout(0.5), nn.Linear(5, 3))
    x, y = rng.standard_normal((40, 6)).astype("f"), rng.integers(0, 3, 40)
    before = [p.data.copy() for p in model.parameters()]
    layers = inspect_layers(model, nn.CrossEntropyLoss(), x, y)
    assert all(p.grad is None and (p.data == b).all() for p, b in zip(model.parameters(), before, strict=True))
    assert [layer.name for layer in layers] == ["0", "1", "2", "3"]
    hidden = np.maximum(model[0](x)[0], 0)
    assert layers[1].activation.zeros == layers[2].activation.zeros == (hidden == 0).mean()  # nothing is dropped
    dlogits, last = nn.CrossEntropyLoss()(model.eval()(x)[0], y)[1], layers[3].gradient
    assert last.counts.sum() == np.count_nonzero(dlogits)
    assert last.edges[0] <= np.abs(dlogits).min() and last.edges[-1] > np.abs(dlogits).max()
    assert all(str(LayerSignals.of(layer.state())) == str(layer) for layer in layers)
    for what, scale in (("activation", "linear"), ("gradient", "log")):
        ax = plot.distributions(layers, what, axes())  # type: ignore[arg-type]
        texts = [text.get_text() for text in ax.get_yticklabels()]
        assert texts == ["0 Linear(6, 5, bias=True)", "1 ReLU()", "2 Dropout(p=0.5)", "3 Linear(5, 3, bias=True)"]
        assert ax.get_xscale() == scale and len(ax.patches) == 4
        assert any("are 0" in text.get_text() for text in ax.texts)
        png(ax.figure)


@pytest.mark.parametrize(
    ("values", "counted", "zeros", "broken"),
    [([], 0, 0, 0), ([0.0], 0, 1, 0), ([NAN], 0, 0, 1), ([0.0, 0.0], 0, 1, 0),
     ([5.0] * 4, 4, 0, 0), ([NAN, np.inf, 0.0, -2.0], 1, 0.25, 0.5),
     ([1e-30, 1e30, -1.0], 3, 0, 0), ([5e-324], 1, 0, 0), ([-1e308, 1e308], 2, 0, 0)],
)  # fmt: skip
@pytest.mark.parametrize("sizes", [False, True])
def test_histogram(values: list[float], counted: int, zeros: float, broken: float, sizes: bool) -> None:
    counts = histogram(values, sizes)
    assert (counts.counts.sum(), counts.zeros, counts.broken) == (counted, zeros, broken)
    assert (np.diff(counts.edges) > 0).all() and len(counts.edges) == len(counts.counts) + 1
    layer = LayerSignals("a", "b", counts, counts)
    png(plot.distributions([layer], "gradient" if sizes else "activation", axes()).figure)


@pytest.mark.parametrize(
    ("values", "first", "last"),
    [([], -1, 1), ([5.0] * 4, 5 - 5e-6, 5 + 5e-6), ([-4.0], -4 - 4e-6, -4 + 4e-6), ([1.0, 2.0], 1.001, 1.999),
     (np.arange(-1000, 1002), -998, 999), ([0.0] * 9 + [1.0, 2.0], 1.001, 1.999)],
)  # fmt: skip
def test_bins_hold_all_but_a_thousandth(values: Any, first: float, last: float) -> None:
    """Histograms have 60 bins of equal width; values beyond an end count in the last bin there."""
    counts = histogram(values)
    assert np.allclose(counts.edges, np.linspace(first, last, 61), rtol=1e-12, atol=0)
    assert counts.counts.sum() == np.count_nonzero(values)


@pytest.mark.parametrize(
    ("values", "first", "bins"),
    [([], 0, 1), ([1.0], 0, 1), ([8.0], 7, 1), ([-10.0], 8, 1), ([0.9], -1, 1), ([1.0, 1e-11], -88, 89),
     ([1.0, 1e-30], -95, 96), ([1e-305], -2400, 1), ([-1e305, 1.0], 2305, 96)],
)  # fmt: skip
def test_bins_of_sizes(values: list[float], first: int, bins: int) -> None:
    """Sizes have eight bins per factor of 10, at most 96 below the largest, and are limited to [1e-300, 1e300]."""
    edges = histogram(values, sizes=True).edges
    assert len(edges) == bins + 1 and np.allclose(edges, 10 ** (np.arange(first, first + bins + 1) / 8), rtol=1e-9)


def test_histogram_sizes_share_their_edges() -> None:
    counts = histogram([1.0, 1.2, -10.0], sizes=True)
    assert np.allclose(counts.edges, 10 ** (np.arange(10) / 8)) and counts.counts.tolist() == [2, *[0] * 7, 1]


def test_predictions() -> None:
    x = np.random.default_rng(0).random((10, 9)).astype("f")
    probabilities = np.full((10, 3), 0.2) + 0.4 * np.eye(3)[np.arange(10) % 3]
    labels = np.arange(10) % 3
    labels[4] = 2
    ax = plot.predictions(x, labels, probabilities, ax=axes(), names=["a$", "b$", "<c>"])
    assert len(ax.images) == 10 and [image.get_array().shape for image in ax.images] == [(3, 3)] * 10
    texts = [text.get_text() for text in ax.texts]
    assert texts[:5] == ["a$\n60%", "b$\n60%", "<c>\n60%", "a$\n60%", "<c> → b$\n60%"]
    assert [artist.get_linewidth() == 2 for artist in ax.get_lines()] == [i == 4 for i in range(10)]  # framed
    assert largest_errors(labels, probabilities, 2).tolist() == [4, 0]
    alternating = np.resize([[0.75, 0.25], [0.5, 0.5]], (400, 2))
    assert largest_errors(np.zeros(400, int), alternating, 200).tolist() == list(
        range(1, 400, 2)
    )  # ties in their order
    png(ax.figure)


@pytest.mark.parametrize(
    ("shape", "given", "wanted"),
    [((2, 16), None, (2, 4, 4)), ((2, 6), (2, 3), (2, 2, 3)), ((2, 5, 7), None, (2, 5, 7)),
     ((2, 1, 5, 7), None, (2, 5, 7)), ((2, 3, 5, 7), None, (2, 5, 7, 3)), ((2, 12), (3, 2, 2), (2, 2, 2, 3)),
     ((2, 6), None, None), ((2, 4, 5, 7), None, None), ((2, 6), (2, 2), None), ((0, 16), None, None)],
)  # fmt: skip
def test_pictures_of_samples(shape: Any, given: Any, wanted: Any) -> None:
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    if wanted is None:
        with pytest.raises(ValueError, match="want pictures"):
            pictures(x, given)
        return
    images = pictures(x, given)
    assert images.shape == wanted and all((image.min(), image.max()) == (0, 1) for image in images)


def test_brightness_of_pictures() -> None:
    """From the least to the largest value of a sample; one value, and NaN, are black."""
    x = np.array([[1.0, 2.0, 3.0, 5.0], [7.0] * 4, [NAN, 4.0, 2.0, 0.0]])
    assert pictures(x).reshape(3, 4).tolist() == [[0, 0.25, 0.5, 1], [0] * 4, [0, 1, 0.5, 0]]
    colours = pictures(np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2))
    assert np.allclose(colours[1, 0, 1], np.array([1, 5, 9]) / 11)


def test_short_texts_and_colours() -> None:
    assert [short("abcd", n) for n in (5, 4, 3, 1)] == ["abcd", "abcd", "ab…", "…"]
    assert rgb("#0033ff") == [0, 0.2, 1] and rgb("#ff6600") == [1, 0.4, 0]


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: plot.learning_curves({"loss": [1]}, "f1"), KeyError, r"name: got 'f1', want one of \['loss'\]"),
        (lambda: plot.schedule(lr_scheduler.ConstantLR(optim.SGD([np.ones(1)], 1.0))), ValueError, "n: got None"),
        (lambda: plot.confusion_matrix(np.array([0]), np.array([0, 1])), ValueError, r"got shapes \(1,\), \(2,\)"),
        (lambda: plot.confusion_matrix(np.array([-1]), np.array([0])), ValueError, "negative"),
        (lambda: plot.confusion_matrix(np.array([1]), np.array([0]), ["a"]), ValueError, "no name"),
        (lambda: plot.confusion_matrix(np.array([1.0]), np.array([1])), TypeError, "got float64, int64, want integers"),
        (lambda: plot.confusion_matrix(np.array([1]), np.array(["a"])), TypeError, "got int64, <U1, want integers"),
    ],
)
def test_refused(call: Any, error: Any, sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        call()


ONE = Histogram(np.array([1.0, 2.0]), np.array([1]), 0.0, 0.0)
CALLS: dict[str, Any] = {
    "learning_curves": lambda ax: plot.learning_curves({"loss": [1.0, 2.0]}, ax=ax),
    "schedule": lambda ax: plot.schedule(np.ones((3, 1)), ax=ax),
    "lr_finder": lambda ax: plot.lr_finder(found(np.geomspace(1, 9, 5), np.arange(5.0)), ax),
    "confusion_matrix": lambda ax: plot.confusion_matrix(np.arange(3), np.arange(3), ax=ax),
    "distributions": lambda ax: plot.distributions([LayerSignals("a", "b", ONE, ONE)], ax=ax),
    "predictions": lambda ax: plot.predictions(np.ones((1, 4)), np.zeros(1, int), np.ones((1, 2)), ax=ax),
}


@pytest.mark.parametrize("name", plot.__all__)
def test_axes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given axes are drawn into without pyplot, new ones are pyplot's, and without matplotlib the error says so."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    ax = axes()
    assert CALLS[name](ax) is ax and pyplot.get_fignums() == []
    made = CALLS[name](None)
    assert pyplot.get_fignums() == [made.figure.number]
    png(made.figure)
    pyplot.close(made.figure)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"matplotlib: got no such package.*pip install 'fastnn\[plot\]'"):
        CALLS[name](None)
