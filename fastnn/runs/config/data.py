"""Section [data]: where the samples come from, and how they are split."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn._checks import finite, integer
from fastnn._types import AnyArray, Array
from fastnn.data import train_test_split, train_validation_test_split
from fastnn.runs.config.sources import Columns, Raw, check_source, read
from fastnn.runs.table import SUFFIXES

Pair = tuple[Array, Any]


@dataclass(frozen=True)
class Loaded:
    """The parts of a data set: x (n, features) float32, and targets; `test` is None if there is none.

    Attributes:
        weight: (n,), the weights of the training samples, or None for ones.
        names: the names of the classes, or None.
        columns: the names of the inputs, or None.
    """

    train: Pair
    validation: Pair
    test: Pair | None
    weight: AnyArray | None = None
    names: list[str] | None = None
    columns: list[str] | None = None

    @property
    def parts(self) -> tuple[Pair, Pair, Pair | None]:
        """The training, validation and test parts."""
        return self.train, self.validation, self.test


class Data:
    """Samples x as rows of float32, and labels or other targets y.

    Args:
        source: "digits", one of scikit-learn's data sets such as "sklearn.iris", or the path of a .npz or .safetensors
            file with arrays x (N, ...) and y, of a .npy file, or of a table (.csv or .tsv).
        fractions: fractions of training, validation and, if there are three, test samples; their sum is 1.
        stratify: give each part its fraction of every class.
        normalize: begin the network with a `Normalize`, fitted to the training part.
        seed: seed of the random split.
        targets: where y is. Of a table: names of columns, or numbers counted from 0; by default the last column. Of a
            .npy file: numbers of columns, or the path of another one. Else the name of an array; by default "y".
        sample_weight: the weights of samples in the mean of the loss: a column, an array or a file, as for targets.

    Raises:
        ValueError: an argument is invalid, or the file does not exist.
    """

    def __init__(
        self,
        source: str,
        fractions: Sequence[float] = (0.8, 0.1, 0.1),
        stratify: bool = False,
        normalize: bool = False,
        seed: int = 0,
        targets: Columns | None = None,
        sample_weight: str | int | None = None,
    ) -> None:
        check_source(source, targets, sample_weight)
        positive = all(fraction > 0 for fraction in fractions)
        if len(fractions) not in (2, 3) or not positive or not math.isclose(sum(fractions), 1, rel_tol=1e-12):
            raise ValueError(f"fractions: got {fractions}, want two or three positive numbers whose sum is 1")
        self.source, self.targets, self.sample_weight = source, targets, sample_weight
        self.fractions, self.stratify = fractions, stratify
        self.normalize, self.seed = normalize, integer("seed", seed, end=2**64, want="an integer in [0, 2^64)")

    def load(self, task: str = "classes") -> Loaded:
        """Return the parts of the data, with targets for a loss of this task; see `fastnn.nn.Loss.task`.

        Labels are (n,) int64; names of classes, as a table may have, are counted in the order of the alphabet. Other
        targets are float32: probabilities of classes (n, C), and real numbers always (n, columns).

        Raises:
            ImportError: a package that the source needs is not installed.
            OSError: a file cannot be read.
            ValueError: it does not contain such arrays, or NaN, infinity, numbers beyond float32, too few samples.
        """
        raw = read(self.source, self.targets, self.sample_weight)
        names = raw.names
        if raw.y.dtype.kind == "U" and raw.y.ndim == 1 and task in ("classes", "binary") and _of_table(self.source):
            found, codes = np.unique(raw.y, return_inverse=True)
            names, raw = [str(name) for name in found], raw._replace(y=codes.astype(np.int64))
        self._check(raw, task)
        # Before the split, so that errors name rows of the file.
        x = _as_float32("x", raw.x).reshape(len(raw.x), -1)
        y = targets_of(raw.y, task)
        weight = None if raw.weight is None else np.asarray(raw.weight, np.float64)
        index = np.arange(len(x))
        strata = raw.y if self.stratify else index
        if len(self.fractions) == 2:
            rows = [i for i, _ in train_test_split(index, strata, self.fractions[1], stratify=self.stratify,
                                                   seed=self.seed)]  # fmt: skip
        else:
            rows = [i for i, _ in train_validation_test_split(index, strata, self.fractions, stratify=self.stratify,
                                                              seed=self.seed)]  # fmt: skip
        train, validation, *test = ((x[i], y[i]) for i in rows)
        weight = None if weight is None else weight[rows[0]]
        return Loaded(train, validation, test[0] if test else None, weight, names, raw.columns)

    def _check(self, raw: Raw, task: str) -> None:
        """Raise ValueError unless the arrays can be samples and their targets."""
        arrays = {"x": raw.x, "y": raw.y} | ({} if raw.weight is None else {"the weights": raw.weight})
        for name, array in arrays.items():
            if array.dtype.kind not in "biuf" or array.ndim == 0 or array.size == 0:
                raise ValueError(f"source: got {name} of {array.dtype} and shape {array.shape} in {self.source}, want "
                                 "numbers, a row for each sample")  # fmt: skip
            if len(array) != len(raw.x):
                raise ValueError(f"source: got {len(raw.x)} of x and {len(array)} of {name} in {self.source}, want as "
                                 "many of both")  # fmt: skip
        if raw.weight is not None and raw.weight.ndim != 1:
            raise ValueError(f"sample_weight: got shape {raw.weight.shape}, want a number for each sample")
        if task == "classes" and raw.y.dtype.kind != "f" and raw.y.max() >= len(raw.y):
            raise ValueError(f"source: got label {raw.y.max()} among {len(raw.y)} samples in {self.source}, want "
                             "classes counted from 0")  # fmt: skip


def targets_of(y: AnyArray, task: str) -> Any:
    """Return targets as a loss of this task takes them."""
    if task == "classes":
        return _as_float32("y", y) if y.dtype.kind == "f" else y.astype(np.int64)
    return _as_float32("y", y).reshape(len(y), -1)


def _of_table(source: str) -> bool:
    return source.endswith(SUFFIXES)


def _as_float32(name: str, array: Any) -> Array:
    """Convert an array to float32 in C order; raise ValueError unless it is finite before and afterwards."""
    finite(name, array)
    with np.errstate(over="ignore"):
        result = np.ascontiguousarray(array, np.float32)
    finite(f"{name} as float32", result)
    return result
