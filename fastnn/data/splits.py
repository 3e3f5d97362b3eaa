"""Disjoint parts of a data set: training, validation and test parts, or folds.

The parts depend only on the seed and are the same on every machine.
"""

import math
from collections.abc import Iterator, Sequence
from numbers import Real
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from fastnn._checks import integer, is_array, not_array, samples
from fastnn._trees import Tree, is_tree, length, named_leaves, rows
from fastnn._types import AnyArray
from fastnn.random import Generator, default_generator, permutation

SPLIT_STREAM = 2**63 + 2**62 + 2**61
"""The seed's stream from which the samples of each part are drawn."""

X = TypeVar("X")
Y = TypeVar("Y")
Indices = npt.NDArray[np.int64]


def train_validation_test_split(
    x: X,
    y: Y,
    fractions: Sequence[float] = (0.6, 0.2, 0.2),
    *,
    stratify: bool = False,
    seed: int | None = None,
) -> tuple[tuple[X, Y], tuple[X, Y], tuple[X, Y]]:
    """Return copies of all samples in three parts: (x, y) for training, for validation and for the final test.

    Each part has its fraction of the samples to within one sample, keeps their order, and is never empty.

    Args:
        x, y: arrays (N, ...) of any dtype, or tuples or dicts of them for several inputs or targets.
        fractions: three fractions with sum 1.
        stratify: give each part its fraction of every class too, to within one sample; y must then be (N,) of integers,
            bools or strings.
        seed: seed of the random choice; by default the seed given to `fastnn.manual_seed`.

    Raises:
        TypeError: x or y is not an array, or y does not hold classes to stratify by.
        ValueError: lengths differ, fractions are not three positive numbers with sum 1, or there are too few samples,
            in total or of a class.
    """
    given = tuple(fractions) if np.iterable(fractions) else ()
    numbers = len(given) == 3 and all(isinstance(fraction, Real) and 0 < fraction < 1 for fraction in given)
    if not numbers or not math.isclose(sum(given), 1, rel_tol=1e-12):
        raise ValueError(f"fractions: got {fractions}, want three positive numbers with sum 1; try (0.6, 0.2, 0.2)")
    train, validation, test = _parts(x, y, given, stratify, seed)
    return rows((x, y), train), rows((x, y), validation), rows((x, y), test)


def train_test_split(
    x: X, y: Y, test_size: float = 0.2, *, stratify: bool = False, seed: int | None = None
) -> tuple[tuple[X, Y], tuple[X, Y]]:
    """`train_validation_test_split` into two parts: (x, y) for training, and (x, y) with the fraction `test_size`."""
    if not (isinstance(test_size, Real) and 0 < test_size < 1):
        raise ValueError(f"test_size: got {test_size!r}, want a fraction between 0 and 1; try 0.2")
    train, test = _parts(x, y, (1 - test_size, test_size), stratify, seed)
    return rows((x, y), train), rows((x, y), test)


class _Folds:
    """Base class of `KFold` and `StratifiedKFold`."""

    def __init__(self, n_splits: int = 5, shuffle: bool = True, seed: int | None = None) -> None:
        self.n_splits = check_folds("n_splits", n_splits)
        self.shuffle = shuffle
        self.seed = None if seed is None else Generator(seed).seed

    def _split(self, x: Tree, y: Tree, stratify: bool) -> Iterator[tuple[Indices, Indices]]:
        folds = _parts(x, y, [1 / self.n_splits] * self.n_splits, stratify, self.seed, self.shuffle)
        return ((np.delete(np.arange(length(x)), validation), validation) for validation in folds)


class KFold(_Folds):
    """Split a data set into folds whose sizes differ by at most one sample; the arguments are those of scikit-learn.

    Args:
        n_splits: number of folds, at least 2.
        shuffle: draw the samples of a fold at random; False takes them in order.
        seed: seed of the random draw; by default the seed given to `fastnn.manual_seed`.

    Raises:
        ValueError: n_splits is below 2, or the seed is out of range.
    """

    def split(self, x: Tree, y: Tree = None) -> Iterator[tuple[Indices, Indices]]:
        """Yield (train, validation) for every fold: the sorted indices of the other folds' samples and of its own.

        Args:
            x: (N, ...), or a tuple or dict of such arrays.
            y: likewise; only its length is used.

        Raises:
            TypeError: x or y is not an array.
            ValueError: lengths differ, or there are fewer samples than folds.
        """
        return self._split(x, x if y is None else y, stratify=False)


class StratifiedKFold(_Folds):
    """`KFold` in which the folds' numbers of samples of each class differ by at most one."""

    def split(self, x: Tree, y: AnyArray) -> Iterator[tuple[Indices, Indices]]:
        """As `KFold.split`, with y of shape (N,): integers, bools or strings.

        Raises:
            TypeError: x or y is not such an array.
            ValueError: lengths differ, or a class has fewer samples than there are folds.
        """
        return self._split(x, y, stratify=True)


def check_folds(name: str, value: int) -> int:
    """Return `value` if it is a valid number of folds; raise otherwise."""
    return integer(name, value, 2, want="an integer of at least 2; one fold leaves nothing to train on")


def _parts(
    x: Tree, y: Tree, fractions: Sequence[float], stratify: bool, seed: int | None, shuffle: bool = True
) -> list[Indices]:
    """Return the sorted indices of each part."""
    _check_samples(x, y)
    n = length(x)
    classes = _classes(y) if stratify else np.zeros(n, np.int64)
    names, codes, counts = np.unique(classes, return_inverse=True, return_counts=True)
    # Rounded, here and in _sizes, since 1 / (1 - 0.9) is a little more than 10.
    least = math.ceil(round(1 / min(fractions), 9))
    if counts.min() < least:
        rarest = counts.argmin()
        got = f"y: got {counts[rarest]} of class {names[rarest]}" if stratify else f"x: got length {n}"
        raise ValueError(f"{got}, want at least {least} samples, one for every part; add some or ask for larger parts")
    generator = Generator(default_generator.seed if seed is None else seed, SPLIT_STREAM)
    order = permutation(n, generator) if shuffle else np.arange(n)
    order = order[codes[order].argsort(kind="stable")]
    numbers = range(len(fractions))
    part = np.repeat(np.tile(numbers, len(counts)), _sizes(counts, np.array(fractions)).ravel())
    return [np.sort(order[part == number]) for number in numbers]


def _sizes(counts: Indices, fractions: npt.NDArray[np.float64]) -> Indices:
    """Return the number of samples of each class that each part gets, (classes, parts)."""
    sizes = np.floor(np.round(counts[:, None] * fractions, 9)).astype(np.int64)
    seen, given = 0, np.zeros(len(fractions), np.int64)
    for row, count in zip(sizes, counts, strict=True):
        seen, given = seen + count, given + row
        # The remaining samples go to the parts with the largest deficit over all classes so far: with two or three
        # parts, or equal ones, no part is then ever off by a whole sample.
        owed = (given - seen * fractions).argsort(kind="stable")[: count - row.sum()]
        row[owed] += 1
        given[owed] += 1
    return sizes


def _check_samples(x: Tree, y: Tree) -> None:
    found = [*named_leaves("x", x), *named_leaves("y", y)]
    for name, array in found:
        if not is_array(array):
            raise not_array(name, array, "")
    (first, array), *others = found
    samples(first, array)
    for name, other in others:
        if other.shape[:1] != array.shape[:1]:
            raise ValueError(f"{name}: got shape {other.shape}, want ({len(array)}, ...), one for each sample of "
                             f"{first}; add the others")  # fmt: skip


def _classes(y: Tree) -> AnyArray:
    if is_tree(y):
        raise TypeError("y: got several targets, want one array of classes; do not stratify others")
    if y.ndim != 1 or y.dtype.kind not in "biuSU":
        got = f"{y.dtype} of shape {y.shape}"
        raise TypeError(f"y: got {got}, want integers, bools or strings of shape (N,); do not stratify others")
    classes: AnyArray = y
    return classes
