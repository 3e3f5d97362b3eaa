"""cross_validate splits by sample what is given by sample: weights, samplers, several inputs and targets."""

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.data import KFold, RandomSampler, StratifiedKFold, WeightedRandomSampler, cross_validate

RNG = np.random.default_rng(5)
N = 30
X, Y, W = RNG.normal(size=(N, 4)).astype(np.float32), np.arange(N) % 3, RNG.random(N)
TREE = {"a": X, "b": (X**2, np.arange(N))}
FOLDS = [*StratifiedKFold(3, seed=6).split(X, Y)]
PLAIN = [*KFold(3, seed=6).split(X)]


class Noting:
    """Records its arguments."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def fit(self, train: Any, validation: Any, **options: Any) -> None:
        self.calls.append((train, validation, options))

    def evaluate(self, data: Any) -> dict[str, float]:
        self.calls.append(data)
        return {"loss": 0.0}


def calls(data: Any, **options: Any) -> list[Any]:
    made = [Noting() for _ in range(3)]
    cross_validate(made.__getitem__, data, 3, seed=6, **options)
    return [noting.calls for noting in made]


@pytest.mark.parametrize("weights", [W, W.tolist(), W.astype(np.float32)])
@pytest.mark.parametrize("is_part", [True, False])
def test_weights(weights: Any, is_part: bool) -> None:
    """fit gets the weights of its own samples, from either place; evaluate gets none."""
    data, options = ((X, Y, weights), {}) if is_part else ((X, Y), {"sample_weight": weights})
    for found, (train, held) in zip(calls(data, class_weight="balanced", **options), FOLDS, strict=True):
        ((x, y), (vx, vy), given), (ex, ey) = found
        assert given.keys() == {"sample_weight", "class_weight"} and given["class_weight"] == "balanced"
        assert np.array_equal(given["sample_weight"], np.asarray(weights, np.float64)[train])
        assert np.array_equal(x, X[train]) and np.array_equal(y, Y[train])
        assert np.array_equal(vx, X[held]) and np.array_equal(ey, Y[held]) and ex is vx and ey is vy


def test_samplers_are_made_for_each_fold() -> None:
    seen = []

    def sampler(index: Any) -> Any:
        seen.append(index)
        return WeightedRandomSampler(W[index], len(index))

    for found, (train, _) in zip(calls((X, Y), sampler=sampler), FOLDS, strict=True):
        assert found[0][2]["sampler"].weights.tolist() == W[train].tolist()
    assert [index.tolist() for index in seen] == [train.tolist() for train, _ in FOLDS]


def test_several_inputs_and_targets() -> None:
    for found, (train, held) in zip(calls((TREE, (Y, X)), stratified=False), PLAIN, strict=True):
        (x, y), (vx, vy), options = found[0]
        assert options == {} and x.keys() == TREE.keys() and isinstance(x["b"], tuple) and isinstance(y, tuple)
        for leaf, whole in ((x["a"], X), (x["b"][0], X**2), (x["b"][1], np.arange(N)), (y[0], Y), (y[1], X)):
            assert np.array_equal(leaf, whole[train])
        assert np.array_equal(vx["b"][1], held) and np.array_equal(vy[0], Y[held])


class Two(nn.Module):
    def __init__(self) -> None:
        self.a, self.b = nn.Linear(4, 3), nn.Linear(4, 1)

    def __call__(self, x: Any) -> Any:
        (a, back_a), (b, back_b) = self.a(x[0]), self.b(x[1])
        return (a, b), lambda dy, input_grad=True: (back_a(dy[0], input_grad), back_b(dy[1], input_grad))


def test_a_trainer_of_several_losses() -> None:
    def make(fold: int) -> Any:
        model = Two()
        return fastnn.Trainer(model, (nn.CrossEntropyLoss(), nn.MSELoss()), optim.Adam(model.parameters()))

    data = (X, X), (Y, X[:, :1])
    found = cross_validate(make, data, 3, stratified=False, sample_weight=W, epochs=1, verbose=False)
    assert {"loss", "0_loss", "1_loss"} <= found.scores.keys()


def test_weights_change_the_training() -> None:
    """The folds' trainings are those that fit makes with the same weights and sampler; another metric is scored."""

    def make(fold: int) -> Any:
        fastnn.manual_seed(fold)
        model = nn.Sequential(nn.Linear(4, 3))
        optimizer = optim.SGD(model.parameters(), lr=0.5)
        return fastnn.Trainer(model, nn.CrossEntropyLoss(), optimizer, metrics=["f1_macro", accuracy], seed=1)

    def accuracy(outputs: Any, targets: Any) -> float:
        return float((outputs.argmax(1) == targets).mean())

    options: Any = {"epochs": 2, "verbose": False, "class_weight": {0: 2.0, 2: 0.5}}
    found = cross_validate(make, (X, Y, W), 3, seed=6, sampler=lambda i: RandomSampler(len(i)), **options)
    for fold, (train, held) in enumerate(FOLDS):
        trainer = make(fold)
        trainer.fit((X[train], Y[train]), sample_weight=W[train], **options)
        want = trainer.evaluate((X[held], Y[held]))
        assert {name: values[fold] for name, values in found.scores.items()} == want
    assert found.scores.keys() == {"loss", "f1_macro", "accuracy"}


NAN = X.copy()
NAN[4, 2] = np.nan
REFUSED: dict[str, Any] = {
    r"^data: got tuple, want a tuple \(x, y\) of two arrays": lambda: calls((X, Y, W, W)),
    r"^data: got no arrays in x or y, want at least one in each": lambda: calls(({}, {}), stratified=False),
    r"^sample_weight: got it and weights in data, want one of them": lambda: calls((X, Y, W), sample_weight=W),
    r"^sample_weight: got shape \(29,\), want \(30,\), one for each sample": lambda: calls((X, Y, W[:-1])),
    r"^sample_weight: got NaN, infinity or a negative number": lambda: calls((X, Y), sample_weight=-W),
    r"^sampler: got RandomSampler, want a function of the indices": lambda: calls((X, Y), sampler=RandomSampler(N)),
    r"^y: got a dict, want labels \(N,\) to stratify by; pass stratified=False": lambda: calls((X, {"a": Y})),
    r"^x\['b'\]: got shape \(29, 4\), want \(30, ...\)": lambda: calls(({"a": X, "b": X[1:]}, Y)),
    r"^x\['b'\]\[0\]: got nan at row 4, column 2": lambda: calls(({"a": X, "b": (NAN,)}, Y)),
    r"^x\[1\]: got str, want a NumPy array": lambda: calls(((X, "b"), Y)),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_refused(sentence: str) -> None:
    with pytest.raises((TypeError, ValueError), match=sentence):
        REFUSED[sentence]()
