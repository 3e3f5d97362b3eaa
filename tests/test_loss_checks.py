"""`check` of a loss refuses targets that cannot be its own, and says what to do; the remedies work."""

from typing import Any

import numpy as np
import pytest
from support import Array

from fastnn import nn

OUT1, OUT3, SEQUENCE = np.zeros((2, 1)), np.zeros((2, 3)), np.zeros((2, 4, 3))
Y = np.array([1, 2, 3, 1, 2])
CE, NLL, BCE, MSE = nn.CrossEntropyLoss(), nn.NLLLoss(), nn.BCEWithLogitsLoss(), nn.MSELoss()
PAIR = (OUT1, OUT1)


@pytest.mark.parametrize(
    ("loss", "output", "y"),
    [
        (CE, OUT3, Y - 1),
        (CE, OUT3, np.where(Y == 3, -100, Y)),
        (CE, OUT3, np.full((5, 3), 1 / 3, np.float32)),
        (CE, OUT3, (Y - 1).astype(np.uint8)),
        (CE, SEQUENCE, np.zeros((5, 4), int)),
        (CE, SEQUENCE, np.zeros((5, 4, 3))),
        (NLL, SEQUENCE, np.zeros((5, 4), int)),
        (BCE, OUT1, np.ones((5, 1), bool)),
        (BCE, OUT1, np.array([[0], [1], [1]])),
        (MSE, OUT1, Y[:, None]),
        (MSE, np.zeros(2), Y),
        (nn.KLDivLoss(), OUT3, np.full((5, 3), 1 / 3)),
        (nn.KLDivLoss(log_target=True), OUT3, np.full((5, 3), -1.0)),
        (nn.GaussianNLLLoss(), PAIR, Y[:, None]),
    ],
)
def test_good_targets_pass(loss: Any, output: Any, y: Array) -> None:
    loss.check(output, y)


# What is wrong, and the end of the sentence: expressions, each of which must give targets that pass.
REMEDIES = [
    (CE, OUT3, Y, IndexError, r"got label 3 at row 2, want one in \[0, 3\): the model's result has 3 classes; labels "
     "are counted from 0: subtract 1, pass ", "y - 1"),
    (CE, OUT3, np.array([1, -100, 3]), IndexError, "got label 3 at row 2, want .* subtract 1, pass ",
     "np.where(y == -100, y, y - 1)"),
    (CE, SEQUENCE, np.tile(Y[:4], (2, 1)), IndexError, r"got label 3 at \(0, 2\), want .* subtract 1, pass ", "y - 1"),
    (CE, OUT3, np.array([0.0, 2.0]), TypeError, "got float64, want integer labels; pass ", "y.astype(np.int64)"),
    (NLL, OUT3, np.array([0.0, 2.0]), TypeError, "got float64, want integer labels; pass ", "y.astype(np.int64)"),
    (CE, OUT3, np.array([True, False]), TypeError, "got bool, want integer labels; pass ", "y.astype(np.int64)"),
    (CE, OUT3, Y[:, None] - 1, ValueError, r"got shape \(5, 1\), want \(5,\), one .*\(N, 3\); pass ", "y[..., 0]"),
    (CE, OUT3, np.eye(3, dtype=int), ValueError, r"got shape \(3, 3\), want \(3,\), .* pass ", "y.argmax(axis=-1)"),
    (CE, OUT3, np.zeros((5, 1)), ValueError, r"got shape \(5, 1\) of float64, want \(5, 3\) for probabilities; for "
     "labels pass ", "y[..., 0].astype(np.int64)"),
    (MSE, OUT1, Y, ValueError, r"got shape \(5,\), want \(5, 1\) like .* nothing is broadcast; pass ",
     "y[:, None] or y.reshape(-1, 1)"),
    (BCE, OUT1, Y == 1, ValueError, r"got shape \(5,\), want \(5, 1\) .*; pass ", "y[:, None] or y.reshape(-1, 1)"),
    (nn.GaussianNLLLoss(), PAIR, Y, ValueError, r"got shape \(5,\), want \(5, 1\) .*; pass ",
     "y[:, None] or y.reshape(-1, 1)"),
    (MSE, np.zeros(2), Y[:, None], ValueError, r"got shape \(5, 1\), want \(5,\) like .*; pass ", "y.reshape(-1)"),
    (MSE, np.zeros((2, 2, 2)), np.zeros((5, 4)), ValueError, r"got shape \(5, 4\), want \(5, 2, 2\) .*; pass ",
     "y.reshape(-1, 2, 2)"),
    (BCE, OUT1, np.array([[-1], [1]]), ValueError, r"got -1 at \(0, 0\), want numbers in \[0, 1\]; pass ",
     "(y == 1).astype(np.float32)"),
    (BCE, OUT1, np.array([[1.0], [2.0]]), ValueError, r"got 2.0 at \(1, 0\), want numbers in \[0, 1\]; pass ",
     "(y == 2.0).astype(np.float32)"),
]  # fmt: skip


@pytest.mark.parametrize(("loss", "output", "y", "error", "sentence", "remedy"), REMEDIES)
def test_remedies_work(loss: Any, output: Any, y: Array, error: type[Exception], sentence: str, remedy: str) -> None:
    """The sentence ends with a remedy that gives targets which pass."""
    with pytest.raises(error, match=f"^y: {sentence}") as caught:
        loss.check(output, y, "y")
    assert str(caught.value).endswith(remedy)
    for expression in remedy.split(" or "):
        loss.check(output, eval(expression, {"y": y, "np": np}))


@pytest.mark.parametrize(
    ("loss", "output", "y", "error", "sentence"),
    [
        (CE, OUT3, [0, 1], TypeError, "got list, want an array of integers; convert it with np.asarray"),
        (CE, OUT3, np.array(["a", "b"]), TypeError, "got <U1, want"),
        (CE, OUT3, np.array(0), ValueError, r"got shape \(\), want"),
        (CE, OUT3, np.array([0, 5]), IndexError, "got label 5 at row 1, want .*; give the model 6 outputs, or correct"),
        (CE, OUT3, np.array([0, -1]), IndexError, "got label -1 at row 1, want .*; set ignore_index to a label"),
        (CE, OUT3, np.zeros((5, 4, 2), int), ValueError, r"got shape \(5, 4, 2\), want \(5,\), .*; give each row"),
        (
            CE,
            OUT3,
            np.zeros((5, 4)),
            ValueError,
            r"got shape \(5, 4\) of float64, want \(5, 3\) for probabilities; give",
        ),
        (
            CE,
            SEQUENCE.reshape(2, 3, 4),
            np.zeros((5, 4), int),
            ValueError,
            r"got shape \(5, 4\), want \(5, 3\).*moveaxis",
        ),
        (NLL, OUT3, np.ones((5, 3)), TypeError, "got float64, want integer labels; "),
        (MSE, OUT1, [[1.0]], TypeError, "got list, want a numeric array; convert it with np.asarray"),
        (MSE, OUT1, np.array(1.0), ValueError, r"got shape \(\), want one target for each sample"),
        (MSE, OUT3, Y, ValueError, r"got shape \(5,\), want \(5, 3\).*; use CrossEntropyLoss for labels, or"),
        (MSE, OUT3, np.ones((5, 2)), ValueError, r"got shape \(5, 2\), want \(5, 3\).*; give the model one output for"),
        (BCE, OUT1, np.array([[0.5], [np.nan]]), ValueError, r"got nan at \(1, 0\), want numbers in \[0, 1\]; "),
        (BCE, OUT1, Y[:, None], ValueError, r"got 2 at \(1, 0\), want .*; scale them, or use CrossEntropyLoss"),
        (
            nn.KLDivLoss(),
            OUT3,
            np.full((2, 3), -1.0),
            ValueError,
            r"got -1.0 at \(0, 0\), want prob.*\(log_target=True\)",
        ),
        (nn.GaussianNLLLoss(), PAIR, ["a"], TypeError, "got list, want a numeric array; "),
    ],
)
def test_refused(loss: Any, output: Any, y: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=f"^train y: {sentence}"):
        loss.check(output, y, "train y")


def test_outputs_that_do_not_fit() -> None:
    """The model's output is named where it cannot be that of the loss."""
    with pytest.raises(ValueError, match=r"^output: got shape \(2,\), want \(N, C\), a number for each class; .+"):
        CE.check(np.zeros(2), Y)
    with pytest.raises(TypeError, match=r"^output: got ndarray, want a tuple \(mean, var\) of two arrays; .+"):
        nn.GaussianNLLLoss().check(OUT1, Y)
