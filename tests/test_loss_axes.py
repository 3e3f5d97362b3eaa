"""Losses over classes accept any number of axes before the classes, and refuse classes on axis 1."""

from typing import Any

import numpy as np
import pytest
from support import Array, assert_torch, refused, same_bits, torch_leaves

from fastnn import functional as F

RNG = np.random.default_rng(31)
LEADING = [(4,), (4, 3), (2, 3, 5), (2, 1, 3, 2), (0, 3), (3, 0)]
C = 6
WEIGHT = RNG.uniform(0.5, 2, C)
OPTIONS: list[dict[str, Any]] = [{"reduction": r, "weight": w} for r in ("mean", "sum", "none") for w in (None, WEIGHT)]


def _labels(shape: tuple[int, ...]) -> Array:
    labels = RNG.integers(0, C, shape)
    labels.reshape(-1)[1::3] = -100
    return labels


def _check(run: Any, logits: Array, target: Array, rows: Array, options: dict[str, Any]) -> None:
    """Assert that the call equals one on a matrix, but for the shapes."""
    loss, gradient, count = run(logits, target, **options, return_count=True)
    want = run(logits.reshape(rows.shape[0], C), rows, **options, return_count=True)
    shape = logits.shape[:-1] if options["reduction"] == "none" else ()
    assert np.shape(loss) == shape and gradient.shape == logits.shape and count == want[2]
    assert same_bits(np.reshape(loss, np.shape(want[0])), want[0]) and same_bits(gradient.reshape(-1, C), want[1])


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: f"{o['reduction']}-{o['weight'] is not None}")
@pytest.mark.parametrize("shape", LEADING, ids=str)
def test_any_axes(shape: tuple[int, ...], options: dict[str, Any]) -> None:
    """Labels of any number of axes, and probabilities, give the bits of a matrix; torch agrees."""
    logits, labels = RNG.standard_normal((*shape, C)), _labels(shape)
    for run in (F.softmax_cross_entropy, F.nll_loss):
        _check(run, logits, labels, labels.reshape(-1), options)
    probabilities = RNG.dirichlet(np.ones(C), shape)
    _check(F.softmax_cross_entropy, logits, probabilities, probabilities.reshape(-1, C), options)
    if logits.size and len(shape) > 1:
        torch, (leaf,) = torch_leaves(logits)
        given = {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
        theirs = torch.nn.functional.cross_entropy(torch.movedim(leaf, -1, 1), torch.from_numpy(labels), **given)
        theirs.sum().backward()
        assert_torch(F.softmax_cross_entropy(logits, labels, **options), [theirs, leaf.grad])


def test_classes_on_axis_1() -> None:
    """PyTorch's layout is refused, and the remedy works; a shape that also has the classes last is taken so."""
    moved, labels = RNG.standard_normal((2, C, 4)), RNG.integers(0, C, (2, 4))
    for run, name in ((F.softmax_cross_entropy, "logits"), (F.nll_loss, "input")):
        sentence = (
            rf"^{name}: got shape \(2, 6, 4\) for labels of shape \(2, 4\), want the classes on the last axis; pass "
            rf"np.ascontiguousarray\(np.moveaxis\({name}, 1, -1\)\), and turn the gradient back with "
            r"np.moveaxis\(gradient, -1, 1\)$"
        )
        refused(lambda run=run: run(moved, labels), {"logits": moved}, ValueError, sentence)
        _, gradient = run(np.ascontiguousarray(np.moveaxis(moved, 1, -1)), labels)
        assert np.moveaxis(gradient, -1, 1).shape == moved.shape
        assert run(np.ones((2, 4, 4)), labels % 4)[1].shape == (2, 4, 4)
    torch, (leaf,) = torch_leaves(moved)
    theirs = torch.nn.functional.cross_entropy(leaf, torch.from_numpy(labels))
    assert_torch(F.softmax_cross_entropy(np.ascontiguousarray(np.moveaxis(moved, 1, -1)), labels)[:1], [theirs])


@pytest.mark.parametrize(
    ("target", "error", "sentence"),
    [
        (np.zeros((2, 4)), TypeError, "^labels: got dtype float64, want .*int64"),
        (np.zeros((2, 4, 1)), ValueError, r"^labels: got shape \(2, 4, 1\), want \(2, 4, 3\)"),
        (np.zeros((2, 4, 1), int), ValueError, r"^labels: got shape \(2, 4, 1\), want \(2, 4\)"),
        (
            np.zeros((2, 3), int),
            ValueError,
            r"^logits: got shape \(2, 4, 3\) for labels of shape \(2, 3\), want the cl",
        ),
        (np.zeros(2, int), ValueError, r"^labels: got shape \(2,\), want \(2, 4\)"),
        (np.eye(4, dtype=int)[:2] * 3, IndexError, r"^labels\[0, 0\]: got 3, want a class in \[0, 3\)"),
        (np.array([[0, 0, 0, 0], [0, 0, -3, 0]]), IndexError, r"^labels\[1, 2\]: got -3, want a class in \[0, 3\)"),
    ],
)
def test_refused(target: Array, error: type[Exception], sentence: str) -> None:
    """Labels of another shape or dtype are refused, and the place of a wrong label has all its axes."""
    logits = np.ones((2, 4, 3))
    refused(lambda: F.softmax_cross_entropy(logits, target), {"logits": logits}, error, sentence)
