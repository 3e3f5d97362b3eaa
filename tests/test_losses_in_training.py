"""Trainings with every loss of fastnn.nn: they learn, weight samples, validate, and refuse wrong targets beforehand."""

from typing import Any

import numpy as np
import pytest
from support import Array

from fastnn import functional as F
from fastnn import init, nn, optim
from fastnn.training import Trainer

RNG = np.random.default_rng(41)
N, T = 96, 3
X = RNG.standard_normal((N, 3)).astype(np.float32)
SERIES = RNG.standard_normal((N, T, 3)).astype(np.float32)
REAL = X @ np.array([[1.0], [2.0], [-1.0]])  # float64
ALL_KINDS = (X > 0) @ np.array([1, 1, 1])
LABELS = np.where(np.arange(N * T).reshape(N, T) % 5 == 0, -100, SERIES.argmax(axis=2))


def _trainer(loss: Any, outputs: int, *last: Any) -> Trainer:
    model = init.initialize(nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, outputs), *last), seed=1)
    return Trainer(model, loss, optim.AdamW(model.parameters(), lr=0.02), metrics=(), seed=1)


class LogSoftmax(nn.Module):
    """The logarithm of the softmax over the last axis."""

    def __call__(self, x: Array) -> tuple[Array, Any]:
        y = F.log_softmax(x)
        return y, lambda dy, input_grad=True: F.log_softmax_backward(dy, y)


CASES: dict[str, tuple[Any, int, Array, Array]] = {
    "mse": (nn.MSELoss(), 1, X, REAL),
    "mse-integers": (nn.MSELoss(), 1, X, np.round(REAL).astype(np.int64)),
    "l1-sum": (nn.L1Loss("sum"), 1, X, REAL),
    "huber": (nn.HuberLoss(), 1, X, REAL),
    "smooth_l1": (nn.SmoothL1Loss(), 1, X, REAL),
    "binary-integers": (nn.BCEWithLogitsLoss(pos_weight=[2]), 1, X, (REAL > 0).astype(np.int64)),
    "several labels": (nn.BCEWithLogitsLoss(), 3, X, (X > 0).astype(np.float32)),
    "kl_div": (nn.KLDivLoss("batchmean"), 3, X, np.eye(3)[X.argmax(1)]),
    "nll": (nn.NLLLoss(), 3, X, X.argmax(1)),
    "classes": (nn.CrossEntropyLoss([1, 2, 1, 1]), 4, X, ALL_KINDS),
    "sequences": (nn.CrossEntropyLoss([1, 2, 3]), 3, SERIES, LABELS),
    "strided": (nn.MSELoss(), 1, X, np.repeat(REAL, 2, axis=1).astype(np.float32)[:, :1]),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_every_loss_learns(name: str, weighted: bool) -> None:
    """The loss falls to less than half, on the training data and on the validation data, with and without weights."""
    loss, outputs, x, y = CASES[name]
    trainer = _trainer(loss, outputs, *([LogSoftmax()] if loss.task == "distribution" or "nll" in name else []))
    before = trainer.evaluate((x, y))["loss"]
    weights = RNG.uniform(0.5, 2, N) if weighted else None
    history = trainer.fit((x, y), (x, y), epochs=12, batch_size=16, sample_weight=weights, verbose=False)
    assert history["val_loss"][-1] < before / 2 and history["loss"][-1] < history["loss"][0]


@pytest.mark.parametrize("window", [1, 2, 3])
def test_batches_of_sequences(window: int) -> None:
    """The gradient of a window is that of all its labels, however they are divided into batches."""
    moved = []
    for size, steps in ((N, 1), (N // window, window)):
        trainer = _trainer(nn.CrossEntropyLoss([1, 2, 3]), 3)
        trainer.optimizer = optim.SGD(trainer.model.parameters(), lr=0.1)
        trainer.accumulate_grad_batches = steps
        trainer.fit((SERIES, LABELS), epochs=1, batch_size=size, sample_weight=np.arange(N) % 3, verbose=False)
        moved.append([p.data for p in trainer.model.parameters()])
    for a, b in zip(*moved, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("loss", "outputs", "x", "y", "error", "sentence"),
    [
        (nn.MSELoss(), 1, X, REAL[:, 0], ValueError, r"got shape \(96,\), want \(96, 1\) .*; pass y\[:, None\]"),
        (
            nn.BCEWithLogitsLoss(),
            1,
            X,
            np.full((N, 1), 2),
            ValueError,
            r"got 2 at \(0, 0\), want numbers in \[0, 1\]; ",
        ),
        (nn.CrossEntropyLoss(), 3, X, ALL_KINDS, IndexError, r"got label 3 at row \d+, want .*; give the model 4 outp"),
        (nn.CrossEntropyLoss(), 3, X, X.argmax(1) + 1, IndexError, "got label 3 .* subtract 1, pass y - 1$"),
        (nn.CrossEntropyLoss(), 3, X, X.argmax(1).astype(float), TypeError, r"got float64, .*y.astype\(np.int64\)$"),
        (nn.CrossEntropyLoss(), 3, SERIES, LABELS[:, 0], ValueError, r"got shape \(96,\), want \(96, 3\), one label"),
        (nn.KLDivLoss(), 3, X, X, ValueError, r"got -.* want probabilities >= 0; .*log_target"),
    ],
)
def test_wrong_targets(loss: Any, outputs: int, x: Array, y: Array, error: type[Exception], sentence: str) -> None:
    """Targets of the training, the validation and an evaluation are checked before anything is trained."""
    trainer = _trainer(loss, outputs)
    before = [p.data.copy() for p in trainer.model.parameters()]
    good = {1: REAL if loss.task == "regression" else REAL > 0, 3: np.full((N, 3), 0.25)}[outputs].astype(np.float32)
    right = LABELS if x is SERIES else good
    for name, run in (
        ("train", lambda: trainer.fit((x, y), verbose=False)),
        ("validation", lambda: trainer.fit((x, right), (x, y), verbose=False)),
        ("data", lambda: trainer.evaluate((x, y))),
    ):
        with pytest.raises(error, match=f"^{name} y: {sentence}"):
            run()
    assert all(map(np.array_equal, before, (p.data for p in trainer.model.parameters())))
