"""Every metric equals scikit-learn's over whole data sets, however they are cut into batches, and fits its task or
refuses."""

import math
import warnings
from functools import partial
from typing import Any

import numpy as np
import pytest

from fastnn import _core, metrics, nn
from fastnn._better import KNOWN
from fastnn.metrics import NAMED, Metric, named

RNG = np.random.default_rng(91)
N = 203
LOGITS = RNG.normal(size=(N, 5)).astype(np.float32)
LABELS = RNG.integers(0, 5, N)
FOUR = RNG.integers(0, 4, N)  # the last class never occurs
ONE, BITS = np.round(RNG.normal(size=(N, 1)), 1), RNG.integers(0, 2, (N, 1))  # with equal scores
MANY, SEVERAL = RNG.normal(size=(N, 3)), RNG.integers(0, 2, (N, 3))
REAL, TARGETS = RNG.normal(size=(N, 3)) + 1e4, RNG.normal(size=(N, 3)) + 1e4
DATA = {
    "classes": (nn.CrossEntropyLoss(), LOGITS, LABELS),
    "absent": (nn.CrossEntropyLoss(), LOGITS, FOUR),
    "two": (nn.CrossEntropyLoss(), LOGITS[:, :2].copy(), LABELS % 2),
    "binary": (nn.BCEWithLogitsLoss(), ONE, BITS),
    "several": (nn.BCEWithLogitsLoss(), MANY, SEVERAL),
    "regression": (nn.MSELoss(), REAL, TARGETS),
}


def measure(metric: Any, loss: Any, outputs: Any, targets: Any, size: int = 7) -> float:
    """Return a metric over all samples, in batches of this size."""
    (found,) = named([metric], loss).values()
    found.check(getattr(loss, "task", None), outputs[:size], targets[:size])
    found.reset()
    for start in range(0, len(outputs), size):
        found.update(outputs[start : start + size], targets[start : start + size])
    return found.compute()


def softmax(x: Any) -> Any:
    e = np.exp(x.astype(np.float64))
    return e / e.sum(1, keepdims=True)


AVERAGES = [(f"{kind}_{how}", f"{kind}_score", {"average": how}) for kind in ("f1", "precision", "recall")
            for how in ("macro", "micro", "weighted")]  # fmt: skip
SKLEARN = [
    *((data, *case) for data in ("classes", "absent", "several") for case in AVERAGES),
    *((data, "accuracy", "accuracy_score", {}) for data in ("classes", "absent", "two", "binary")),
    *((data, "balanced_accuracy", "balanced_accuracy_score", {}) for data in ("classes", "two", "binary")),
    *((data, kind, f"{kind}_score", {}) for data in ("two", "binary") for kind in ("f1", "precision", "recall")),
    ("classes", "top_2_accuracy", "top_k_accuracy_score", {"k": 2, "labels": range(5)}),
    ("classes", "roc_auc", "roc_auc_score", {"multi_class": "ovr"}),
    *((data, "roc_auc", "roc_auc_score", {}) for data in ("two", "binary", "several")),
    *((data, "average_precision", "average_precision_score", {}) for data in ("classes", "two", "binary", "several")),
    *((data, "log_loss", "log_loss", {}) for data in ("classes", "two", "binary")),
    ("regression", "r2", "r2_score", {}),
    ("regression", "mse", "mean_squared_error", {}),
    ("regression", "mae", "mean_absolute_error", {}),
]
SCORES = ("top_k", "roc", "average", "log_loss")


@pytest.mark.parametrize("size", [1, 7, N])
@pytest.mark.parametrize(("data", "name", "function", "options"), SKLEARN)
def test_equal_to_sklearn(data: str, name: str, function: str, options: dict[str, Any], size: int) -> None:
    sk = pytest.importorskip("sklearn.metrics")
    loss, outputs, targets = DATA[data]
    if function.startswith(SCORES):
        shown = softmax(outputs) if loss.task == "classes" else 1 / (1 + np.exp(-outputs))
        shown = shown[:, 1] if data == "two" else shown
    else:
        shown = {"classes": outputs.argmax(1), "binary": outputs > 0, "regression": outputs}[loss.task]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = getattr(sk, function)(targets, shown, **options)
    assert measure(name, loss, outputs, targets, size) == pytest.approx(want, rel=1e-6)


FUNCTIONS = [
    ("classes", "accuracy_score", {}, "max", "accuracy"),
    ("two", "f1_score", {}, "max", "f1"),
    ("two", "roc_auc_score", {}, "max", "roc_auc"),
    ("classes", "roc_auc_score", {"multi_class": "ovr"}, "max", "roc_auc"),
    ("classes", "log_loss", {}, "min", "log_loss"),
    ("binary", "log_loss", {}, "min", "log_loss"),
    ("binary", "precision_score", {}, "max", "precision"),
    ("several", "f1_score", {"average": "macro"}, "max", "f1_macro"),
    ("regression", "mean_absolute_error", {}, "min", "mae"),
    ("regression", "r2_score", {}, "max", "r2"),
]


@pytest.mark.parametrize(("data", "function", "options", "better", "name"), FUNCTIONS)
def test_functions_of_sklearn(data: str, function: str, options: dict[str, Any], better: str, name: str) -> None:
    """A function of scikit-learn gets classes, probabilities or outputs, as it needs, and says which way is better."""
    sk = pytest.importorskip("sklearn.metrics")
    given = partial(getattr(sk, function), **options) if options else getattr(sk, function)
    (found,) = named([given], DATA[data][0]).values()
    assert (found.name, found.better) == (function, better)
    assert measure(given, *DATA[data]) == pytest.approx(measure(name, *DATA[data]), rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [2, 3, 10, 257])
def test_accuracy(dtype: type, classes: int) -> None:
    """Accuracy is right for few distinct values, many of them equal, and for infinities."""
    rng = np.random.default_rng(classes)
    logits = rng.choice(np.array([-np.inf, -1, 0, 1, np.inf], dtype), (400, classes))
    labels = rng.integers(0, classes, 400)
    labels[:200] = logits[:200].argmax(axis=1)
    want = np.mean(logits.argmax(axis=1) == labels)
    assert 0.5 <= want < 1
    assert measure("accuracy", None, logits, labels) == want
    assert measure("accuracy", None, np.asfortranarray(logits), np.repeat(labels.astype(np.int16), 2)[::2]) == want


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("label", range(4))
def test_nan_is_wrong(at: int, label: int) -> None:
    logits, labels = np.zeros((1, 4), np.float32), np.array([label])
    logits[0, label] = 1
    names = ("accuracy", "top_1_accuracy", "balanced_accuracy", "recall_micro")
    assert [measure(name, nn.CrossEntropyLoss(), logits, labels) for name in names] == [1] * 4
    logits[0, at] = np.nan
    assert [measure(name, nn.CrossEntropyLoss(), logits, labels) for name in names] == [0] * 4
    one = np.array([[np.nan]])
    assert [measure("accuracy", nn.BCEWithLogitsLoss(), one, np.array([[bit]])) for bit in (0, 1)] == [0, 0]


def test_ignored_labels_do_not_count() -> None:
    """Metrics skip the labels that the loss ignores; (N, T) labels count one by one."""
    logits, labels = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]].reshape(2, 3, 3), np.array([[0, 1, 9], [0, 0, 9]])
    loss = nn.CrossEntropyLoss(ignore_index=9)
    names = ("accuracy", "top_1_accuracy", "recall_micro")
    assert [measure(name, loss, logits, labels) for name in names] == [0.75] * 3
    assert measure("perplexity", loss, logits, labels) == pytest.approx(
        math.exp(nn.CrossEntropyLoss(ignore_index=9)(logits, labels)[0]), rel=1e-6
    )
    matrix = metrics.ConfusionMatrix(ignore_index=9)
    matrix.update(logits, labels)
    assert matrix.compute().tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_nothing_measured_is_nan() -> None:
    for name in NAMED:
        (metric,) = named([name], nn.CrossEntropyLoss()).values()
        assert math.isnan(metric.compute()), name


def test_r2_of_constant_targets() -> None:
    """1 for exact outputs, else 0; a large mean costs no precision."""
    ones = np.ones((6, 1))
    assert measure("r2", nn.MSELoss(), ones, ones, 4) == 1 and measure("r2", nn.MSELoss(), ones + 1, ones, 4) == 0
    x = np.arange(6.0)[:, None]
    assert measure("r2", nn.MSELoss(), x + 1e9, x + 1e9 + 0.5, 2) == pytest.approx(1 - 0.25 * 6 / 17.5, rel=1e-12)


@pytest.mark.parametrize(
    ("metric", "data", "sentence"),
    [
        ("accuracy", "regression", "metrics: got 'accuracy' for a loss of the task 'regression'"),
        ("accuracy", "several", "metrics: got 'accuracy' for 3 decisions per sample, want one; pass 'f1_macro'"),
        ("f1", "classes", "metrics: got 'f1' for 5 classes, want an average over them; pass 'f1_macro'"),
        ("r2", "classes", "metrics: got 'r2' for a loss of the task 'classes'"),
        ("perplexity", "binary", "metrics: got 'perplexity' for a loss of the task 'binary'"),
        (metrics.ConfusionMatrix(), "classes", "metrics: got 'confusion_matrix', want metrics of one number"),
    ],
)
def test_a_metric_that_does_not_fit(metric: Any, data: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}"):
        measure(metric, *DATA[data])


def test_without_a_task_the_shapes_decide() -> None:
    """A loss that names no task: integer labels of logits fit the accuracy, real targets do not."""
    assert measure("accuracy", None, LOGITS, LABELS) == np.mean(LOGITS.argmax(1) == LABELS)
    for outputs, targets in ((REAL, TARGETS), (REAL[:, :1], TARGETS[:, :1]), (ONE, BITS.astype(float))):
        with pytest.raises(ValueError, match="want logits"):
            measure("accuracy", None, outputs, targets)


def test_own_functions() -> None:
    """A function is called once for all samples; it must return a number, and may say which way is better."""
    seen = []

    def share(outputs: Any, targets: Any) -> float:
        seen.append((len(outputs), len(targets)))
        return float((targets == 1).mean())

    assert named([share])["share"].better is None
    share.better = "min"  # type: ignore[attr-defined]
    assert named([share])["share"].better == "min"
    assert measure(share, None, LOGITS, LABELS) == (LABELS == 1).mean() and seen[-1] == (N, N)
    for result, got in ((None, "None"), (np.ones(2), r"ndarray \(2,\)"), ("a", "str")):
        with pytest.raises(TypeError, match=rf"^metrics: got {got} from <lambda>, want one number"):
            measure(lambda o, t, result=result: result, None, LOGITS, LABELS)


class Most(Metric):
    """A metric of one's own."""

    name, better = "most", "min"

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._most = -math.inf

    def update(self, output: Any, target: Any) -> None:
        self._most = max(self._most, float(output.max()))

    def compute(self) -> float:
        return self._most


class Foreign:
    """An object that has the three methods and no base class."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.n = 0

    def update(self, output: Any, target: Any) -> None:
        self.n += len(target)

    def compute(self) -> float:
        return float(self.n)


def test_own_metrics() -> None:
    """Objects are copied, so that their own state stays; a state dict continues them."""
    own = Most()
    assert measure(own, None, LOGITS, LABELS) == LOGITS.max() and own.compute() == -math.inf
    assert measure(Foreign(), None, LOGITS, LABELS) == N and list(named([Foreign()])) == ["Foreign"]
    for given in ("f1_macro", "roc_auc", "r2", "log_loss", Most(), lambda o, t: float(len(o))):
        loss, outputs, targets = DATA["regression" if given == "r2" else "classes"]
        (first,), (second,) = named([given], loss).values(), named([given], loss).values()
        first.update(outputs[:50], targets[:50])
        second.load_state_dict(first.state_dict())
        for metric in (first, second):
            metric.update(outputs[50:], targets[50:])
        assert first.compute() == second.compute()
        assert first.compute() == pytest.approx(measure(given, loss, outputs, targets, 50), rel=1e-9)


def test_directions_of_all_names() -> None:
    assert {name: metric.better for name, metric in named(list(NAMED)).items()} | {"loss": "min"} == KNOWN


def test_bad_arrays() -> None:
    with pytest.raises(ValueError, match=r"^logits: got shape \(3,\), want \(N, C\)"):
        _core.count_correct(np.zeros(3, np.float32), np.zeros(3, np.int64))
    with pytest.raises(ValueError, match=r"^labels: got shape \(2,\), want \(3,\)"):
        _core.count_correct(np.zeros((3, 2), np.float32), np.zeros(2, np.int64))
    for given, error, sentence in (
        ("gini", ValueError, r"metrics: got 'gini', want one of \['accuracy'"),
        (metrics.F1Score, TypeError, r"metrics: got the class F1Score, want an object; write F1Score\(\)"),
        (3, TypeError, "metrics: got int, want names"),
    ):
        with pytest.raises(error, match=f"^{sentence}"):
            named([given])
    with pytest.raises(ValueError, match=r"^average: got 'mean', want one of \['binary'"):
        metrics.F1Score("mean")
