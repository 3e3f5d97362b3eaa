"""Several inputs, outputs and targets, and inputs of integers: what looks at a training takes them as `fit` does."""

import math
import re
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import init, nn, optim
from fastnn.data import KFold, Normalize, cross_validate, train_test_split, train_validation_test_split
from fastnn.metrics import FunctionMetric
from fastnn.report import save_run, write_report
from fastnn.training import (
    History,
    ModelCheckpoint,
    TensorBoard,
    Trainer,
    check_gradients,
    check_initial_loss,
    diagnose,
    learning_ladder,
    overfit_one_batch,
    overfit_one_sample,
)

RNG = np.random.default_rng(23)
N = 60
IDS = RNG.integers(0, 9, (N, 2))
TABLE = RNG.normal(size=(N, 3)).astype(np.float32)
X = {"ids": IDS, "table": TABLE}
Y = {"kind": (TABLE[:, 0] > 0).astype(np.int64), "size": TABLE[:, 1:2].copy()}


class Vectors(nn.Module):
    """Ids to vectors."""

    def __init__(self, n: int, size: int) -> None:
        self.weight = nn.Parameter(fastnn.init.normal_(np.empty((n, size), np.float32)))
        self.factor = 1.0

    def __call__(self, ids: Any) -> Any:
        def backward(dy: Any, input_grad: bool = True) -> None:
            def compute(out: Any) -> None:
                out[...] = 0
                np.add.at(out, ids, dy * out.dtype.type(self.factor))

            self.weight.accumulate(compute)

        return self.weight.data[ids], backward


class Both(nn.Module):
    """Ids and a table, to logits and a number."""

    def __init__(self) -> None:
        self.ids = nn.Sequential(Vectors(9, 4), nn.Flatten())
        self.table, self.kind, self.size = nn.Linear(3, 8), nn.Linear(8, 2), nn.Linear(8, 1)
        self.broken = ""

    def __call__(self, x: Any) -> Any:
        (a, ids_backward), (b, table_backward) = self.ids(x["ids"]), self.table(x["table"])
        (kind, kind_backward), (size, size_backward) = self.kind(a + b), self.size(a + b)

        def backward(dy: Any, input_grad: bool = True) -> Any:
            dboth = kind_backward(dy["kind"]) + size_backward(dy["size"])
            dx = {"ids": ids_backward(dboth, input_grad), "table": table_backward(dboth, input_grad)}
            return {"": dx, "one": dx["table"], "shape": dx | {"table": dboth}}[self.broken]

        return {"kind": kind, "size": np.full_like(size, np.inf) if self.broken == "inf" else size}, backward


def make_trainer(fold: int = 0, **options: Any) -> Trainer:
    fastnn.manual_seed(3)
    model = Both()
    losses = {"kind": nn.CrossEntropyLoss(), "size": nn.MSELoss()}
    return Trainer(model, losses, optim.Adam(model.parameters(), lr=2e-2), **options)


def make_ids() -> Trainer:
    fastnn.manual_seed(3)
    model = nn.Sequential(Vectors(9, 4), nn.Flatten(), nn.Linear(8, 2))
    return Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=2e-2))


CASES = {"several": (make_trainer, X, Y), "ids": (make_ids, IDS, (IDS[:, 0] > 4).astype(np.int64))}


@pytest.mark.parametrize("case", CASES)
def test_checks_before_a_training(case: str) -> None:
    make, x, y = CASES[case]
    trainer = make()
    for loss in (trainer.loss, trainer.criterion):
        found = check_gradients(trainer.model, loss, (x, y))
        assert found.ok and found.errors.keys() >= ({"x['table']", "ids.0.weight"} if x is X else {"0.weight"})
        assert not any(name.startswith("x") and "ids" in name for name in found.errors) and "x" not in found.errors
    check = check_initial_loss(trainer.model, trainer.loss, (x, y))
    size = float(np.mean(np.square(Y["size"], dtype=np.float64))) if x is X else 0.0
    assert check.expected == pytest.approx(math.log(2) + size, rel=1e-5)
    assert overfit_one_sample(trainer, (x, y)).samples == 1
    assert overfit_one_batch(trainer, train_test_split(x, y, 0.9)[0]).ok
    assert learning_ladder(trainer, (x, y), sizes=(1, 4)).ok


def test_weights_of_losses_are_in_the_criterion() -> None:
    trainer = make_trainer(loss_weights={"size": 0.25})
    size = float(np.mean(np.square(Y["size"], dtype=np.float64)))
    check = check_initial_loss(trainer.model, trainer.criterion, (X, Y))
    assert check.expected == pytest.approx(math.log(2) + size / 4, rel=1e-5)


def test_wrong_gradients_are_found() -> None:
    model = make_ids().model
    model[0].factor = 2.0  # type: ignore[index]
    assert check_gradients(model, nn.CrossEntropyLoss(), (IDS, CASES["ids"][2])).wrong == ("0.weight",)
    trainer = make_trainer()
    for broken, sentence in (
        ("one", r"^backward: got gradients of x, want one or None for each of x\['ids'\], x\['table'\]; return them"),
        ("shape", r"^backward: got a gradient of x\['table'\] of shape \(60, 8\), want \(60, 3\); a gradient has"),
    ):
        trainer.model.broken = broken  # type: ignore[attr-defined]
        with pytest.raises(ValueError, match=sentence):
            check_gradients(trainer.model, trainer.loss, (X, Y))


@pytest.mark.parametrize("case", CASES)
def test_after_a_training(case: str, tmp_path: Any) -> None:
    """`diagnose` finds nothing in a healthy training; a report is made."""
    make, x, y = CASES[case]
    trainer = make()
    trainer.fit((x, y), (x, y), epochs=3, verbose=False)
    assert diagnose(trainer.history, model=trainer.model, batch=(x, y)) == []
    save_run(tmp_path, trainer, (x, y))
    assert write_report(tmp_path).stat().st_size > 1000


def test_unscaled_inputs() -> None:
    """They are named; ids are no measurements, and a model that begins with `Normalize` scales them."""
    history = History()
    history.steps["loss"], history.steps["lr"] = (
        [2.0] * 50,
        [1e-3] * 50,
    )  # it does not fall

    def unscaled(model: nn.Module, x: Any, y: Any) -> list[str]:
        found = diagnose(history, model=model, batch=(x, y))
        assert found[0].name == "loss does not fall"
        return [str(symptom) for symptom in found if symptom.name == "unscaled input"]

    table = TABLE * 1000
    (text,) = unscaled(make_trainer().model, X | {"table": table}, Y)
    assert "the root mean square of x['table'] is " in text
    many = nn.Sequential(Vectors(900, 4), nn.Flatten(), nn.Linear(8, 2))
    assert unscaled(many, IDS * 100, Y["kind"]) == []
    assert len(unscaled(nn.Sequential(nn.Linear(3, 1)), table, Y["size"])) == 1
    assert unscaled(nn.Sequential(Normalize(3).fit(table), nn.Linear(3, 1)), table, Y["size"]) == []


def test_a_result_that_is_not_finite_is_explained() -> None:
    trainer = make_trainer(detect_nan=True)
    trainer.model.broken = "inf"  # type: ignore[attr-defined]
    with pytest.raises(FloatingPointError, match=r"got inf, which comes from the result of the model \(Both\("):
        trainer.fit((X, Y), verbose=False)


def test_a_report_on_layers_wants_one_array() -> None:
    with pytest.raises(TypeError, match=r"^batch: got several inputs, want one array; report on the parts of"):
        init.report(make_trainer().model, X)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^model: got several results of it, want one array"):
        init.report(Pair(), TABLE)
    assert len(init.report(make_ids().model, IDS)) == 3


def test_histograms_of_several_outputs(tmp_path: Any) -> None:
    """TensorBoard gets one for each; a warning would be an error here."""
    pytest.importorskip("tensorboardX")
    make_trainer(callbacks=[TensorBoard(tmp_path, histograms_every=1)]).fit((X, Y), verbose=False)
    (file,) = tmp_path.rglob("events*")
    assert set(re.findall(rb"activations/Both__([a-z]+)__", file.read_bytes())) == {b"kind", b"size"}


def test_splits() -> None:
    """Each part has the same samples of every array, as one split of row numbers."""
    number = np.arange(N)
    for split in (train_test_split, train_validation_test_split):
        want = split(number, Y["kind"], stratify=True, seed=5)  # type: ignore[operator]
        got = split(X, Y["kind"], stratify=True, seed=5)  # type: ignore[operator]
        for (rows, _), (x, kind) in zip(want, got, strict=True):
            assert (x["ids"] == IDS[rows]).all() and (x["table"] == TABLE[rows]).all()
            assert (kind == Y["kind"][rows]).all()
    one, other = train_test_split((IDS, TABLE), Y, seed=5)
    assert isinstance(one[0], tuple) and len(one[1]["size"]) + len(other[1]["size"]) == N
    assert [len(v) for _, v in KFold(3, seed=1).split(X, Y)] == [20] * 3
    with pytest.raises(TypeError, match=r"^y: got several targets, want one array of classes; do not stratify others"):
        train_test_split(X, Y, stratify=True)
    with pytest.raises(ValueError, match=r"^x\['table'\]: got shape \(59, 3\), want \(60, ...\), one for each sample"):
        train_test_split(X | {"table": TABLE[1:]}, Y)
    with pytest.raises(TypeError, match=r"^y\['kind'\]: got list, want an array"):
        train_test_split(X, {"kind": Y["kind"].tolist()})


def test_cross_validation() -> None:
    scores = cross_validate(make_trainer, (X, Y), k=3, stratified=False, epochs=2, verbose=False)
    assert scores.scores.keys() == {"loss", "kind_loss", "size_loss"} and len(scores.scores["loss"]) == 3
    with pytest.raises(ValueError, match=r"^y\['size'\]: got nan at row 3, column 0, want finite numbers"):
        spoilt = Y["size"].copy()
        spoilt[3] = np.nan
        cross_validate(make_trainer, (X, Y | {"size": spoilt}), k=3, stratified=False)


def test_probabilities_beside_numbers() -> None:
    """Outputs of regression are returned as they are."""
    trainer = make_trainer()
    found, raw = trainer.predict_proba(X), trainer.predict(X)
    np.testing.assert_allclose(found["kind"].sum(axis=1), 1, rtol=1e-5)
    assert (found["size"] == raw["size"]).all()


class Pair(nn.Module):
    """A model with two outputs, of one loss."""

    def __init__(self) -> None:
        self.a, self.b = nn.Linear(3, 1), nn.Linear(3, 1)

    def __call__(self, x: Any) -> Any:
        (y, back), (z, behind) = self.a(x), self.b(x)
        return (y, z), lambda dy, input_grad=True: back(dy[0]) + behind(dy[1])


def loss_of_both(output: Any, target: Any) -> Any:
    parts = [nn.MSELoss()(one, target) for one in output]
    return sum(value for value, _ in parts), tuple(gradient for _, gradient in parts)


def distance(output: Any, target: Any) -> float:
    return float(np.abs(output[0] - target).mean() - np.abs(output[1] - target).mean())


def make_pair(*callbacks: Any, metrics: Any = "auto") -> Trainer:
    fastnn.manual_seed(3)
    model = Pair()
    return Trainer(model, loss_of_both, optim.Adam(model.parameters()), metrics=metrics, callbacks=callbacks, seed=1)


def test_metrics_of_several_outputs(tmp_path: Any) -> None:
    """A function gets all of them, over all samples, also after resuming; others refuse them; "auto" is none."""
    data = TABLE, Y["size"]
    assert list(make_pair().fit(data, verbose=False)) == ["loss", "lr", "seconds"]
    trainer = make_pair(metrics=[distance])
    trainer.fit(data, batch_size=7, verbose=False)
    assert trainer.evaluate(data, 9)["distance"] == pytest.approx(distance(trainer.predict(TABLE), data[1]), rel=1e-5)
    whole = make_pair(metrics=[distance]).fit(data, batch_size=7, verbose=False)["distance"]
    make_pair(saver := ModelCheckpoint(tmp_path, every_n_steps=1, save_last=4), metrics=[distance]).fit(
        data, batch_size=7, max_steps=4, verbose=False
    )
    again = make_pair(ModelCheckpoint(tmp_path), metrics=[distance])
    assert again.fit(data, batch_size=7, verbose=False, resume=saver.last)["distance"] == whole
    for name in ("r2", "accuracy", "roc_auc"):
        with pytest.raises(ValueError, match=f"^metrics: got '{name}' for several outputs or targets and one loss"):
            make_pair(metrics=[name]).fit(data, verbose=False)
    r2 = pytest.importorskip("sklearn.metrics").r2_score
    with pytest.raises(ValueError, match=r"^metrics: got 'r2_score' for several outputs"):
        make_pair(metrics=[r2]).fit(data, verbose=False)
    assert FunctionMetric(r2).better == "max"


def test_unknown_arguments_of_a_fit() -> None:
    """Those of `Trainer` too; nothing has changed."""
    trainer = make_ids()
    data = IDS, CASES["ids"][2]
    before = trainer.model.state_dict()["0.weight"].copy()
    for name, call in (("callbacks", trainer.fit), ("valid", trainer.fit_one_cycle), ("epochs", trainer.lr_find)):
        with pytest.raises(TypeError, match=f"^{name}: got an unknown argument, want one of .*are arguments of Train"):
            call(data, **{name: 2})  # type: ignore[operator]
    assert (trainer.model.state_dict()["0.weight"] == before).all() and trainer.step == 0
