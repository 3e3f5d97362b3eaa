"""Disjoint parts of a data set: one for training, validation and test each, or folds.

A part is chosen by the seed alone, on every machine the same.
"""

import math
from collections.abc import Iterator, Sequence
from numbers import Real
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from fastnn._checks import integer, samples
from fastnn._types import AnyArray
from fastnn.random import Generator, default_generator, permutation

SPLIT_STREAM = 2**63 + 2**62 + 2**61
"""Stream of the seed from which the samples of each part are drawn."""

X = TypeVar("X", bound=np.generic)
Y = TypeVar("Y", bound=np.generic)
Pair = tuple[npt.NDArray[X], npt.NDArray[Y]]
Indices = npt.NDArray[np.int64]


def train_validation_test_split(
    x: npt.NDArray[X],
    y: npt.NDArray[Y],
    fractions: Sequence[float] = (0.6, 0.2, 0.2),
    *,
    stratify: bool = False,
    seed: int | None = None,
) -> tuple[Pair[X, Y], Pair[X, Y], Pair[X, Y]]:
    """Copies of all samples in three parts: (x, y) to train on, (x, y) to choose by, (x, y) to judge by at the end.

    A part has its fraction of the samples, give or take one, in the order they have in x, and is never empty.

    Args:
        x: (N, ...), any dtype.
        y: (N, ...), any dtype.
        fractions: three, of the sum 1.
        stratify: give each part its fraction of every class too, give or take one sample. y is then (N,) of integers,
            bools or strings.
        seed: of the choice; by default the one given to `fastnn.manual_seed`.

    Raises:
        TypeError: x or y is no array, or y holds no classes to stratify by.
        ValueError: lengths that differ, fractions that are no such numbers, too few samples, altogether or of a class.
    """
    given = tuple(fractions) if np.iterable(fractions) else ()
    numbers = len(given) == 3 and all(isinstance(fraction, Real) and 0 < fraction < 1 for fraction in given)
    if not numbers or not math.isclose(sum(given), 1, rel_tol=1e-12):
        raise ValueError(f"fractions: got {fractions}, want three positive numbers of the sum 1; try (0.6, 0.2, 0.2)")
    train, validation, test = _parts(x, y, given, stratify, seed)
    return (x[train], y[train]), (x[validation], y[validation]), (x[test], y[test])


def train_test_split(
    x: npt.NDArray[X], y: npt.NDArray[Y], test_size: float = 0.2, *, stratify: bool = False, seed: int | None = None
) -> tuple[Pair[X, Y], Pair[X, Y]]:
    """`train_validation_test_split` into two: (x, y) to train on, and (x, y) with the fraction `test_size`."""
    if not (isinstance(test_size, Real) and 0 < test_size < 1):
        raise ValueError(f"test_size: got {test_size!r}, want a fraction between 0 and 1; try 0.2")
    train, test = _parts(x, y, (1 - test_size, test_size), stratify, seed)
    return (x[train], y[train]), (x[test], y[test])


class _Folds:
    """What the two have in common."""

    def __init__(self, n_splits: int = 5, shuffle: bool = True, seed: int | None = None) -> None:
        self.n_splits = check_folds("n_splits", n_splits)
        self.shuffle = shuffle
        self.seed = None if seed is None else Generator(seed).seed

    def _split(self, x: AnyArray, y: AnyArray, stratify: bool) -> Iterator[tuple[Indices, Indices]]:
        folds = _parts(x, y, [1 / self.n_splits] * self.n_splits, stratify, self.seed, self.shuffle)
        return ((np.delete(np.arange(len(x)), validation), validation) for validation in folds)


class KFold(_Folds):
    """Cut a data set into folds of equal size, give or take one sample; the arguments are those of scikit-learn.

    Args:
        n_splits: how many, at least 2.
        shuffle: draw the samples of a fold; False takes them one after the other.
        seed: of the draw; by default the one given to `fastnn.manual_seed`.

    Raises:
        ValueError: n_splits below 2, a bad seed.
    """

    def split(self, x: AnyArray, y: AnyArray | None = None) -> Iterator[tuple[Indices, Indices]]:
        """(train, validation) for every fold: the sorted indices of all other folds', and of its own samples.

        Args:
            x: (N, ...).
            y: (N, ...); nothing but its length is looked at.

        Raises:
            TypeError: x or y is no array.
            ValueError: lengths that differ, or fewer samples than folds.
        """
        return self._split(x, x if y is None else y, stratify=False)


class StratifiedKFold(_Folds):
    """`KFold` with as many samples of a class in one fold as in any other, give or take one."""

    def split(self, x: AnyArray, y: AnyArray) -> Iterator[tuple[Indices, Indices]]:
        """As `KFold.split`, with y of shape (N,): integers, bools or strings.

        Raises:
            TypeError: x or y is no such array.
            ValueError: lengths that differ, or fewer samples of a class than folds.
        """
        return self._split(x, y, stratify=True)


def check_folds(name: str, value: int) -> int:
    """`value`, refused where it is no number of folds."""
    return integer(name, value, 2, want="an integer of at least 2; one fold leaves nothing to train on")


def _parts(
    x: AnyArray, y: AnyArray, fractions: Sequence[float], stratify: bool, seed: int | None, shuffle: bool = True
) -> list[Indices]:
    """The sorted indices of each part."""
    _check_samples(x, y)
    classes = _classes(y) if stratify else np.zeros(len(x), np.int64)
    names, codes, counts = np.unique(classes, return_inverse=True, return_counts=True)
    # Rounded, here and in _sizes, since 1 / (1 - 0.9) is a little more than 10.
    least = math.ceil(round(1 / min(fractions), 9))
    if counts.min() < least:
        rarest = counts.argmin()
        got = f"y: got {counts[rarest]} of class {names[rarest]}" if stratify else f"x: got length {len(x)}"
        raise ValueError(f"{got}, want at least {least} samples, one for every part; add some or ask for larger parts")
    generator = Generator(default_generator.seed if seed is None else seed, SPLIT_STREAM)
    order = permutation(len(x), generator) if shuffle else np.arange(len(x))
    order = order[codes[order].argsort(kind="stable")]
    numbers = range(len(fractions))
    part = np.repeat(np.tile(numbers, len(counts)), _sizes(counts, np.array(fractions)).ravel())
    return [np.sort(order[part == number]) for number in numbers]


def _sizes(counts: Indices, fractions: npt.NDArray[np.float64]) -> Indices:
    """How many samples of each class each part gets, (classes, parts)."""
    sizes = np.floor(np.round(counts[:, None] * fractions, 9)).astype(np.int64)
    seen, given = 0, np.zeros(len(fractions), np.int64)
    for row, count in zip(sizes, counts, strict=True):
        seen, given = seen + count, given + row
        # What is left goes to those that are owed most over all classes so far: with two or three parts, or equal
        # ones, none is then ever a whole sample off.
        owed = (given - seen * fractions).argsort(kind="stable")[: count - row.sum()]
        row[owed] += 1
        given[owed] += 1
    return sizes


def _check_samples(x: AnyArray, y: AnyArray) -> None:
    for name, array in (("x", x), ("y", y)):
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{name}: got {type(array).__name__}, want an array; convert it with np.asarray")
    samples("x", x)
    if y.shape[:1] != x.shape[:1]:
        raise ValueError(f"y: got shape {y.shape}, want ({len(x)}, ...), one for each sample of x; add the others")


def _classes(y: AnyArray) -> AnyArray:
    if y.ndim != 1 or y.dtype.kind not in "biuSU":
        got = f"{y.dtype} of shape {y.shape}"
        raise TypeError(f"y: got {got}, want integers, bools or strings of shape (N,); do not stratify others")
    return y
