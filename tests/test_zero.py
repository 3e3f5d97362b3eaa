"""0 is a value like any other: an optional argument that is 0 is not taken for one that is not given."""

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import functional as F
from fastnn import nn, optim, random
from fastnn.data import Normalize, cross_validate
from fastnn.training import EarlyStopping, Trainer, check_initial_loss

RNG = np.random.default_rng(71)
X, Y = RNG.normal(size=(40, 5)).astype(np.float32), RNG.integers(0, 3, 40)


def make_trainer(**options: Any) -> Trainer:
    model = nn.Sequential(nn.Linear(5, 3, generator=1))
    return Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1), **options)


def fit(trainer: Trainer, **options: Any) -> Any:
    return trainer.fit((X, Y), (X, Y), **({"epochs": 3, "batch_size": 8, "verbose": False} | options))


def test_upper_end_of_integers() -> None:
    drawn = random.integers_(np.empty(200, np.int64), -3, 0, generator=1)
    assert set(drawn.tolist()) == {-3, -2, -1}


def test_eps_of_rms_norm() -> None:
    x = np.array([[1e-6, -1e-6], [3.0, 4.0]], np.float32)
    want = x / np.sqrt((x.astype(np.float64) ** 2).mean(1, keepdims=True))
    np.testing.assert_allclose(F.rms_norm(x, 2, eps=0.0), want, rtol=1e-6)


@pytest.mark.parametrize("ignore_index", [0, 2])
def test_ignored_class(ignore_index: int) -> None:
    """Rows of an ignored class count in neither loss, gradient nor count."""
    logits = RNG.normal(size=(40, 3))
    kept = ignore_index != Y
    for loss, x in ((F.softmax_cross_entropy, logits), (F.nll_loss, F.log_softmax(logits, 1))):
        value, dx, count = loss(x, Y, ignore_index=ignore_index, return_count=True)
        alone, of_kept, number = loss(x[kept], Y[kept], return_count=True)
        assert count == number == kept.sum() and value == pytest.approx(alone, rel=1e-12)
        assert not dx[~kept].any()
        np.testing.assert_allclose(dx[kept], of_kept, rtol=1e-12)
    criterion = nn.CrossEntropyLoss(ignore_index=ignore_index)
    assert criterion(logits, Y)[0] == pytest.approx(F.softmax_cross_entropy(logits[kept], Y[kept])[0])


def test_momentum_of_batch_norm() -> None:
    """With 0 the running statistics stay as they are, with None they are averages."""
    for momentum, moves in ((0.0, False), (0, False), (None, True), (0.1, True)):
        layer = nn.BatchNorm1d(5, momentum=momentum)
        layer(X)
        assert bool((layer.running_mean != 0).all()) is moves, momentum


def test_seed_of_a_trainer() -> None:
    """Seed 0 is not the seed of manual_seed."""
    histories = []
    for of_all, seed in ((7, 0), (8, 0), (7, None)):
        fastnn.manual_seed(of_all)
        histories.append(fit(make_trainer(seed=seed)).steps["loss"])
    assert histories[0] == histories[1] != histories[2]


def test_seed_of_cross_validation() -> None:
    """The folds of seed 0 are not those of manual_seed."""
    scores = []
    for of_all, seed in ((7, 0), (8, 0), (7, 7)):
        fastnn.manual_seed(of_all)
        scores.append(cross_validate(lambda fold: make_trainer(seed=1), (X, Y), k=3, seed=seed, epochs=1).scores)
    assert scores[0] == scores[1] != scores[2]


def test_largest_rate_of_one_cycle() -> None:
    """No other rate is looked for, and nothing moves."""
    trainer = make_trainer()
    before = [p.data.copy() for p in trainer.model.parameters()]
    trainer.fit_one_cycle((X, Y), epochs=1, max_lr=0.0, verbose=False)
    assert all((p.data == w).all() for p, w in zip(trainer.model.parameters(), before, strict=True))


def test_baseline_of_early_stopping() -> None:
    """A loss never falls below 0, so that patience runs out however much the loss improves."""
    stop = EarlyStopping("loss", patience=2, baseline=0.0, mode="min")
    assert len(fit(make_trainer(callbacks=[stop]), epochs=9)["loss"]) == 3


def test_expected_loss() -> None:
    trainer = make_trainer()
    assert check_initial_loss(trainer.model, trainer.loss, (X, Y), expected=0.0).expected == 0.0


@pytest.mark.parametrize("option", ["step_size_up", "step_size_down"])
def test_steps_of_a_cycle(option: str) -> None:
    optimizer = optim.SGD([X.copy()], lr=0.1, momentum=0.9)
    with pytest.raises(ValueError, match=rf"^{option}: got 0"):
        optim.lr_scheduler.CyclicLR(optimizer, 0.1, 0.2, **{option: 0})


def test_limits_of_clipping() -> None:
    """A limit of 0 makes every gradient 0; None leaves them."""
    for limit, moves in ((0.0, False), (0, False), (None, True)):
        param = np.ones(5, np.float32)
        optimizer = optim.SGD([param], lr=0.1, clip_grad_norm=limit)
        assert optimizer.clip_grad_norm == limit
        optimizer.step([param.copy()])
        assert bool((param != 1).all()) is moves, limit


def test_no_samples_to_normalise() -> None:
    """A batch of no samples has no samples afterwards."""
    layer = Normalize(5).fit(X)
    for function in (layer.transform, layer.inverse_transform, lambda x: layer(x)[0]):
        assert function(X[:0]).shape == (0, 5)
