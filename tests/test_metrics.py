"""The accuracy equals NumPy's."""

import numpy as np
import pytest

from fastnn import _core
from fastnn.training.metrics import accuracy


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [1, 2, 3, 10, 257])
def test_accuracy(dtype: type, classes: int) -> None:
    """Accuracy is right for few distinct values, many of them equal, and for infinities."""
    rng = np.random.default_rng(classes)
    logits = rng.choice(np.array([-np.inf, -1, 0, 1, np.inf], dtype), (400, classes))
    labels = rng.integers(-1, classes + 1, 400)
    labels[:200] = logits[:200].argmax(axis=1)
    want = np.mean(logits.argmax(axis=1) == labels)
    assert 0.5 <= want < 1
    assert accuracy(logits, labels) == want
    assert accuracy(np.asfortranarray(logits), np.repeat(labels.astype(np.int16), 2)[::2]) == want


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("label", range(4))
def test_nan_is_wrong(at: int, label: int) -> None:
    logits = np.zeros((1, 4), np.float32)
    logits[0, label] = 1
    assert accuracy(logits, np.array([label])) == 1
    logits[0, at] = np.nan
    assert accuracy(logits, np.array([label])) == 0


def test_bad_arrays() -> None:
    with pytest.raises(ValueError, match=r"^logits: got shape \(3,\), want \(N, C\)"):
        _core.count_correct(np.zeros(3, np.float32), np.zeros(3, np.int64))
    with pytest.raises(ValueError, match=r"^labels: got shape \(2,\), want \(3,\)"):
        _core.count_correct(np.zeros((3, 2), np.float32), np.zeros(2, np.int64))
