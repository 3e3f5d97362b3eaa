"""The weights of samples in the mean of the loss."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastnn._checks import integer, not_negative, unmasked
from fastnn._trees import Tree
from fastnn.data.source import Samples

Weights = npt.NDArray[np.float64]


class Weighing(NamedTuple):
    """The weights of samples in the mean of the loss.

    Attributes:
        classes: the factor of every class, or None for ones.
        counts: (labels) -> the weight of every sample in the loss's own mean, (N,), or None for ones; for several
            losses a column for each.
    """

    classes: Mapping[int, float] | None
    counts: Callable[[Any], Weights | None]

    def weights(self, samples: Samples) -> Weights | None:
        """Return the factor of every sample's loss, or None for ones."""
        if self.classes is None:
            return samples.weights
        result = np.ones(len(samples.y)) if samples.weights is None else samples.weights.copy()
        for label, weight in self.classes.items():
            result[samples.y == label] *= weight
        return result

    def shares(self, labels: Tree, weights: Weights | None) -> Weights | None:
        """Return the weight of every sample in the mean, or None for ones."""
        counts = self.counts(labels)
        if weights is None or counts is None:
            return counts if weights is None else weights
        return weights.reshape(-1, *[1] * (counts.ndim - 1)) * counts


def summed(shares: Weights) -> float | Weights:
    """Return the sum over the samples; of several losses for each."""
    return float(shares.sum()) if shares.ndim == 1 else np.asarray(shares.sum(axis=0))


def class_weights(y: Any, class_weight: Any) -> Mapping[int, float] | None:
    """Return the factor of every class.

    Args:
        y: (N,) labels, or None if they are not known before.
        class_weight: None; "balanced" for N / (classes * samples of the class), as in scikit-learn; a mapping from
            labels, with 1 for other labels; or numbers (C,).

    Raises:
        ValueError: a shape or range is wrong, or y does not hold labels.
    """
    if class_weight is None:
        return None
    if y is not None and (not isinstance(y, np.ndarray) or y.ndim != 1 or not np.issubdtype(y.dtype, np.integer)):
        got = f"{y.dtype}, shape {y.shape}" if isinstance(y, np.ndarray) else "several targets"
        raise ValueError(f"class_weight: got it for targets of {got}, want integer labels, (N,); pass sample_weight")
    if isinstance(class_weight, str):
        return _balanced(y, class_weight)
    if isinstance(class_weight, Mapping):
        unknown = [] if y is None else [*(class_weight.keys() - set(np.unique(y).tolist()))]
        if unknown:
            raise ValueError(f"class_weight: got weights of {unknown}, want labels that occur in y")
        weights = {_label(key): not_negative("class_weight", weight) for key, weight in class_weight.items()}
    else:
        unmasked("class_weight", class_weight)
        array = np.asarray(class_weight)
        if array.dtype.kind not in "fiu":
            got = f"{type(class_weight).__name__} of {array.dtype}"
            raise TypeError(f"class_weight: got {got}, want 'balanced', a mapping {{label: weight}} or numbers (C,)")
        if array.ndim != 1 or (y is not None and len(array) <= y.max()):
            most = "" if y is None else f" up to {y.max()}"
            raise ValueError(f"class_weight: got shape {array.shape}, want one number for each class{most}")
        weights = dict(enumerate(array.tolist()))
    if not all(0 <= weight < np.inf for weight in weights.values()):
        raise ValueError("class_weight: got NaN, infinity or a negative number, want finite numbers >= 0")
    return weights


def _label(key: Any) -> int:
    """Return a key of `class_weight` as a label; a float with the value of an integer is one."""
    number = int(key) if isinstance(key, float | np.floating) and key == int(key) else key
    return integer("class_weight", number, -(2**63), want="integers, the labels, as keys")


def _balanced(y: Any, name: str) -> Mapping[int, float]:
    if name != "balanced":
        raise ValueError(f"class_weight: got {name!r}, want 'balanced', a mapping {{label: weight}} or numbers (C,)")
    if y is None:
        raise ValueError(
            "class_weight: got 'balanced' for data whose labels are not known before, want {label: weight}"
        )
    labels, counts = np.unique(y, return_counts=True)
    return dict(zip(labels.tolist(), (len(y) / (len(labels) * counts)).tolist(), strict=True))
