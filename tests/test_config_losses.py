"""Files with any loss: the targets it gets, the end of the network, metrics, and what the report says."""

import json
import re

import numpy as np
import pytest
from config_files import a_file, a_source, record, samples, weights  # noqa: F401  # fixtures

from fastnn import config, nn, runs
from fastnn.__main__ import main
from fastnn.metrics import MeanAbsoluteError, R2Score
from fastnn.runs.config.data import targets_of
from fastnn.runs.config.heads import MeanVariance
from fastnn.training import check_gradients

pytest.importorskip("safetensors")

FILE = """
[data]
source = "SOURCE"
fractions = [0.6, 0.2, 0.2]

[network]
hidden = [8]

[optimizer]
name = "adam"
lr = 0.01

[loss]
name = "LOSS"
OPTIONS

[training]
epochs = 2
batch_size = 16
"""
X, LABELS = samples()
REAL = X @ np.array([[1, 0], [2, 1], [0, -1], [0, 0], [1, 1]])
SHARES = np.abs(REAL) / np.abs(REAL).sum(axis=1, keepdims=True)

# Loss, options, targets, and how many outputs the last Linear has.
CASES = [
    ("mse", "", REAL[:, 0], 1),
    ("mse", 'reduction = "sum"', REAL, 2),
    ("l1", "", REAL, 2),
    ("huber", "delta = 2", REAL[:, :1], 1),
    ("smooth_l1", "beta = 0.5", LABELS, 1),
    ("gaussian_nll", "full = true\neps = 1e-4", REAL, 4),
    ("bce_with_logits", "pos_weight = [2]", LABELS == 1, 1),
    ("bce_with_logits", "weight = [1, 2, 3]", np.eye(3)[LABELS], 3),
    ("kl_div", 'reduction = "batchmean"', SHARES, 2),
    ("nll", "weight = [1, 2, 3]", LABELS, 3),
    ("cross_entropy", "label_smoothing = 0.1", LABELS, 3),
    ("cross_entropy", "", np.eye(3)[LABELS], 3),
]
IDS = [f"{name}-{np.shape(y)}" for name, _, y, _ in CASES]
REGRESSION = {"mse", "l1", "huber", "smooth_l1", "gaussian_nll"}


def write(file, source, name, options, y, *pairs):
    np.savez(source, x=X, y=y)
    return file(FILE, ("LOSS", name), ("OPTIONS", options), *pairs)


@pytest.mark.parametrize(("name", "options", "y", "outputs"), CASES, ids=IDS)
def test_every_loss_trains(name, options, y, outputs, file, source, tmp_path, capsys):
    """The loss gets its options and targets, the network its outputs, the history the loss's metrics."""
    path = write(file, source, name, options, y)
    run = runs.Run(config.read(path))
    for line in options.splitlines():
        key, value = line.split(" = ")
        found = getattr(run.loss, key)
        assert (found.tolist() if isinstance(found, np.ndarray) else found) == json.loads(value)
    last = [layer for layer in run.model if isinstance(layer, nn.Linear)][-1]
    assert last.weight.shape == (outputs, 8)
    assert main(["train", "--config", str(path), "--out", str(tmp_path / "runs")]) == 0, capsys.readouterr().err
    (made,) = (tmp_path / "runs").iterdir()
    found = record(made)
    measured = name in ("nll", "cross_entropy") or (name == "bce_with_logits" and outputs == 1)
    assert ("accuracy" in found) == ("test_accuracy" in found) == measured
    run.model.load_state_dict(weights(made))
    x, targets = run.test
    loss = run.loss(run.model.eval()(x)[0], targets)[0]
    assert loss / (len(x) if run.loss.reduction == "sum" else 1) == pytest.approx(found["test_loss"], rel=1e-5)


@pytest.mark.parametrize(("name", "options", "y", "outputs"), CASES, ids=IDS)
def test_reports_of_every_loss(name, options, y, outputs, file, source, tmp_path, capsys):
    """Real numbers are drawn against their targets; labels, 0 and 1 too, have a confusion matrix; no part fails."""
    pytest.importorskip("matplotlib")
    assert main(["train", "--config", str(write(file, source, name, options, y)), "--out", str(tmp_path / "runs")]) == 0
    (made,) = (tmp_path / "runs").iterdir()
    assert main(["report", str(made)]) == 0
    page = (made / "report.html").read_text()
    parts = dict(re.findall(r"<h2>(.*?)</h2>\n(.*?)(?=<h2>|</body>)", page, re.DOTALL))
    assert ("Predictions" in parts) == (name in REGRESSION)
    if name in REGRESSION:
        assert not parts.keys() & {"Confusion matrix", "Samples", "Largest errors"} and "accuracy" not in page
        assert parts["Predictions"].count("<img") == 1
        assert parts["Predictions"].count("<tr>") == 1 + np.reshape(y, (120, -1)).shape[1]
        assert "missing" not in "".join(parts[part] for part in parts if part != "Learning-rate finder")
    else:
        is_labels = np.ndim(y) == 1
        assert ("<img" in parts["Confusion matrix"]) == is_labels
    assert "got AttributeError" not in page and "got TypeError" not in page


def test_best_epochs_of_a_regression(file, source, tmp_path):
    """The best epoch has the largest r2, and the least error."""
    path = write(file, source, "mse", "", REAL, ("epochs = 2", 'epochs = 6\nmetrics = ["r2", "MeanAbsoluteError"]'))
    run = runs.train(path, tmp_path / "runs")
    from fastnn.runs.saved import SavedRun

    history = SavedRun(run).history
    assert [*record(run)] == ["loss", "r2", "mae", "val_loss", "val_r2", "val_mae", "lr", "test_loss", "test_r2",
                              "test_mae"]  # fmt: skip
    assert history.best_epoch("val_r2") == 1 + int(np.argmax(history["val_r2"]))
    assert history.best_epoch("val_mae") == 1 + int(np.argmin(history["val_mae"]))


def test_metrics_are_of_the_targets(file, source, tmp_path):
    """R2 and the error are those of scikit-learn's formula on the test part; of (mean, variance) the mean counts."""
    path = write(file, source, "gaussian_nll", "", REAL, ("epochs = 2", 'epochs = 3\nmetrics = ["r2", "mae", "rmse"]'))
    run = runs.Run(config.read(path))
    scores = run.fit(tmp_path)
    x, y = run.test
    mean, variance = run.model.eval()(x)[0]
    assert mean.shape == variance.shape == y.shape and (variance > 0).all()
    residual, spread = ((mean - y) ** 2).sum(0), ((y - y.mean(0)) ** 2).sum(0)
    assert scores["r2"] == pytest.approx((1 - residual / spread).mean(), rel=1e-5)
    assert scores["mae"] == pytest.approx(np.abs(mean - y).mean(), rel=1e-5)
    assert scores["rmse"] == pytest.approx(np.sqrt(((mean - y) ** 2).mean()), rel=1e-5)


def test_a_mean_and_a_variance():
    """The variance is the softplus of the second half, and the gradient that of central differences."""
    x = np.random.default_rng(0).normal(size=(6, 4))
    (mean, variance), backward = MeanVariance()(x)
    np.testing.assert_array_equal(mean, x[:, :2])
    np.testing.assert_allclose(variance, np.log1p(np.exp(x[:, 2:])), rtol=1e-12)
    assert backward((mean, variance), input_grad=False) is None
    model = nn.Sequential(nn.Linear(3, 4, dtype=np.float64), MeanVariance())
    y = np.random.default_rng(1).normal(size=(6, 2))
    found = check_gradients(model, nn.GaussianNLLLoss(), (np.ascontiguousarray(x[:, :3]), y))
    assert found.error < 1e-6, found
    with pytest.raises(ValueError, match=r"^x: got shape \(6, 3\), want \(N, 2 K\)"):
        MeanVariance()(np.ascontiguousarray(x[:, :3]))


@pytest.mark.parametrize("metric", [R2Score, MeanAbsoluteError])
def test_metrics_of_a_pair_are_those_of_the_mean(metric):
    rng = np.random.default_rng(0)
    y, mean = rng.normal(size=(2, 9, 2))
    values = []
    for output in (mean, (mean, np.ones_like(mean))):
        found = metric()
        found.check("regression", output, y)
        found.update(output, y)
        values.append(found.compute())
    assert values[0] == values[1]


@pytest.mark.parametrize(
    ("y", "task", "shape", "dtype"),
    [
        (np.arange(6), "classes", (6,), np.int64),
        (np.arange(6) / 8, "classes", (6,), np.float32),
        (np.arange(6), "regression", (6, 1), np.float32),
        (np.zeros((6, 2, 3)), "regression", (6, 6), np.float32),
        (np.arange(6) > 2, "binary", (6, 1), np.float32),
        (np.zeros((6, 4)), "distribution", (6, 4), np.float32),
    ],
)
def test_targets_of_a_task(y, task, shape, dtype):
    found = targets_of(y, task)
    assert found.shape == shape and found.dtype == dtype and (found.ravel() == y.ravel()).all()


@pytest.mark.parametrize(
    ("name", "y", "status", "sentence"),
    [
        ("bce_with_logits", LABELS, 1, "train y: got 2.0 at (0, 0), want numbers in [0, 1]; "),
        ("kl_div", LABELS, 2, "loss.name: got KLDivLoss for one target of each sample, want a column with the "),
        ("kl_div", -SHARES, 1, "train y: got -"),
        ("mse", np.where(np.arange(120) == 7, np.nan, 0.0), 2, "data.y: got nan at row 7"),
        ("cross_entropy", REAL[:, 0], 1, "train y: got float32, want integer labels"),
    ],
)
def test_targets_that_a_loss_cannot_have(name, y, status, sentence, file, source, tmp_path, capsys):
    path = write(file, source, name, "", y)
    assert main(["train", "--config", str(path), "--out", str(tmp_path / "runs")]) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"fastnn: {sentence}") and not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("options", "y", "sentence"),
    [
        ("pos_weight = [1, 2]", LABELS == 1, "loss.pos_weight: got 2 weights, want 1, one for each output"),
        ("weight = [1]", np.eye(3)[LABELS], "loss.weight: got 1 weights, want 3, one for each output"),
    ],
)
def test_weights_of_outputs(options, y, sentence, file, source, tmp_path, capsys):
    path = write(file, source, "bce_with_logits", options, y)
    assert main(["train", "--config", str(path), "--out", str(tmp_path / "runs")]) == 2
    assert capsys.readouterr().err == f"fastnn: {sentence}\n"


@pytest.mark.parametrize(("name", "end"), [("nll", nn.LogSoftmax), ("kl_div", nn.LogSoftmax), ("mse", nn.Linear)])
def test_ends_of_networks(name, end, file, source):
    """The short form ends with the logarithms that a loss needs; layers end as they are written."""
    y = SHARES if name == "kl_div" else LABELS
    run = runs.Run(config.read(write(file, source, name, "", y)))
    assert isinstance(run.model[-1], end)
    layers = 'layers = [{type = "Linear"}, {type = "LogSoftmax"}]'
    run = runs.Run(config.read(write(file, source, name, "", y, ("hidden = [8]", layers))))
    assert [type(layer) for layer in run.model] == [nn.Linear, nn.LogSoftmax]
