"""Sparse matrices and data frames are refused wherever arrays are taken, with a remedy that works as it stands."""

import re

import numpy as np
import pytest

from fastnn import data, init, metrics, nn, optim, random
from fastnn import functional as F
from fastnn.training import Trainer, check_initial_loss, diagnose, overfit_one_batch

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 5)).astype(np.float32)
Y = np.arange(40) % 3


class Frame:
    """Stands for a data frame or a series of pandas."""

    def __init__(self, values):
        self._values, self.shape, self.ndim = values, values.shape, values.ndim

    def __len__(self):
        return len(self._values)

    def __array__(self, dtype=None, copy=None):
        return self._values

    def __getitem__(self, key):
        return self._values[:, key] if self.ndim > 1 else self._values[key]

    def to_numpy(self):
        return self._values


def sparse(kind):
    def make(values):
        return getattr(pytest.importorskip("scipy.sparse"), kind)(values)

    return make


KINDS = {kind: sparse(kind) for kind in ("csr_matrix", "csr_array", "coo_array")} | {"frame": Frame}


def trainer(loss=None):
    model = nn.Sequential(nn.Linear(5, 3))
    return Trainer(model, loss or nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))


def fitted():
    return trainer().fit((X, Y), verbose=False)


CALLS = {  # a function of X in any form, or of what makes one
    "fit": lambda x: trainer().fit((x, Y), verbose=False),
    "fit with targets": lambda x: trainer(nn.MSELoss()).fit((X, x), verbose=False),
    "fit on batches": lambda x: trainer().fit([(x, Y)], verbose=False),
    "validation": lambda x: trainer().fit((X, Y), (x, Y), verbose=False),
    "lr_find": lambda x: trainer().lr_find((x, Y), num_it=3),
    "predict": lambda x: trainer().predict(x),
    "predict_proba": lambda x: trainer().predict_proba(x),
    "evaluate": lambda x: trainer().evaluate((x, Y)),
    "layer": lambda x: nn.Linear(5, 3)(x),
    "model": lambda x: nn.Sequential(nn.ReLU(), nn.Linear(5, 3))(x),
    "loss": lambda x: nn.CrossEntropyLoss()(x, Y),
    "target": lambda x: nn.MSELoss()(X, x),
    "Parameter": lambda x: nn.Parameter(x),
    "grad": lambda x: setattr(nn.Parameter(X.copy()), "grad", x),
    "load_state_dict": lambda x: nn.Linear(5, 40, bias=False).load_state_dict({"weight": x}),
    "Normalize": lambda x: data.Normalize(5).fit(x),
    "transform": lambda x: data.Normalize(5).fit(X).transform(x),
    "split": lambda x: data.train_test_split(x, Y),
    "KFold": lambda x: list(data.KFold(3).split(x)),
    "report": lambda x: init.report(nn.Sequential(nn.Linear(5, 3)), x),
    "check_initial_loss": lambda x: check_initial_loss(nn.Linear(5, 3), nn.CrossEntropyLoss(), (x, Y)),
    "overfit_one_batch": lambda x: overfit_one_batch(trainer(), (x, Y), steps=2),
    "diagnose": lambda x: diagnose(fitted(), model=nn.Linear(5, 3), batch=(x, Y)),
    "parameter": lambda x: optim.SGD([x], lr=0.1),
    "gradient": lambda x: optim.SGD([X.copy()], lr=0.1).step([x]),
    "clip": lambda x: optim.clip_grad_norm_(x, 1.0),
    "clip list": lambda x: optim.clip_grad_value_([x], 1.0),
    "init": lambda x: init.zeros_(x),
    "random": lambda x: random.normal_(x),
    "relu": lambda x: F.relu(x),
    "relu_backward": lambda x: F.relu_backward(X, x),
    "layer_norm": lambda x: F.layer_norm(x, 5),
    "softmax": lambda x: F.softmax(x),
    "softmax_cross_entropy": lambda x: F.softmax_cross_entropy(x, Y),
}
OF_VECTORS = {  # refused only where np.asarray makes one object of a sparse matrix; data frames convert
    "class_weight": lambda v: trainer().fit((X, Y), class_weight=v, verbose=False),
    "weight": lambda v: nn.CrossEntropyLoss(weight=v),
    "pos_weight": lambda v: nn.BCEWithLogitsLoss(pos_weight=v),
}


def followed(message, value):
    """Return the value after the remedy of a message: "pass its .toarray()", "pass x.toarray().astype(np.float32)"."""
    remedy = re.search(r"; pass (?:its )?[\w\[\].]*?(\.to\w+\(\)(?:\.astype\(np\.\w+\))?)", message)
    assert remedy, message
    return eval(f"value{remedy[1]}", {"value": value, "np": np})


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:x. got float64")
def test_refused_with_a_remedy(kind, call):
    values = X[:, :3] if call == "fit with targets" else X.copy()
    given = KINDS[kind](values)
    with pytest.raises(TypeError, match=rf"got {type(given).__name__}, want ") as error:
        CALLS[call](given)
    assert np.array_equal(given.to_numpy() if kind == "frame" else given.toarray(), values)
    CALLS[call](followed(str(error.value), given))


@pytest.mark.parametrize("call", OF_VECTORS)
@pytest.mark.parametrize("kind", KINDS)
def test_weights(kind, call):
    given = KINDS[kind](np.ones(3) if kind == "frame" else np.ones((1, 3)))
    if kind == "frame":
        OF_VECTORS[call](given)
        return
    with pytest.raises(TypeError, match=rf"^{call}: got {type(given).__name__}, want an array; pass its .toarray\(\)"):
        OF_VECTORS[call](given)


METRICS = [m for m in (getattr(metrics, name) for name in metrics.__all__) if isinstance(m, type)]
METRICS = [m for m in METRICS if m not in (metrics.Metric, metrics.FunctionMetric)]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "frame"])
@pytest.mark.parametrize("metric", [*METRICS, lambda: metrics.FunctionMetric(lambda output, target: 0.0)])
def test_metrics(metric, kind):
    logits = KINDS[kind](X[:, :3])
    for output, target, name in ((logits, Y, "output"), (X[:, :3], KINDS[kind](Y[None]), "target")):
        with pytest.raises(TypeError, match=rf"^{name}: got {kind}, want an array; pass its .toarray\(\)"):
            metric().update(output, target)
    for task in ("binary", "classes"):
        bound = metric().bind(type("Loss", (), {"task": task})())
        with pytest.raises(TypeError, match=rf"^output: got {kind}"):
            bound.update(logits, X[:, :3])


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_table_is_no_data(kind):
    given = KINDS[kind](X)
    with pytest.raises(TypeError, match=r"^train: got \w+, want a tuple \(x, y\) of two arrays; pass \(x, y\)"):
        trainer().fit(given, verbose=False)


def test_masked_arrays_are_refused_by_metrics_too():
    masked = np.ma.masked_array(X[:, 0], mask=X[:, 0] > 0)
    for metric in (metrics.MeanSquaredError, metrics.R2Score):
        for pair in ((masked, X[:, 0]), (X[:, 0], masked)):
            with pytest.raises(TypeError, match="got a masked array"):
                metric().update(*pair)
