"""Metrics of real numbers: R2 and errors."""

import math
from typing import Any, ClassVar

import numpy as np

from fastnn._better import Direction
from fastnn._checks import unmasked
from fastnn._types import AnyArray, Array, Float64
from fastnn.metrics.base import Metric
from fastnn.metrics.outputs import Task, mean_of


class Regression(Metric):
    """Base class of metrics of outputs and targets (N, ...) of the same shape; sums are kept in double precision.

    Of an output (mean, variance), as `GaussianNLLLoss` has it, the mean is measured.
    """

    better: Direction | None = "min"
    tasks: ClassVar[tuple[Task, ...]] = ("regression", None)

    def __init__(self) -> None:
        self.reset()

    def check(self, task: Task, output: Array, target: Any) -> None:
        """Raise ValueError unless outputs and targets have the same shape."""
        super().check(task, output, target)
        output = mean_of(output) if task == "regression" else output
        self.check_arrays(output, target)
        if np.shape(target) != output.shape:
            raise ValueError(f"metrics: got {self.name!r} for outputs {output.shape} and targets {np.shape(target)}, "
                             "want one shape; reshape the targets, nothing is broadcast")  # fmt: skip

    def reset(self) -> None:
        """Forget all batches."""
        self._total, self._elements = 0.0, 0

    def update(self, output: Array, target: Any) -> None:
        """Add a batch."""
        output, target = _numbers(output, target)
        error = np.subtract(output, target, dtype=np.float64)
        self._total += float(self.of_errors(error))
        self._elements += error.size

    def of_errors(self, error: Float64) -> float:
        """Return the sum that the mean is taken of."""
        return float(np.square(error).sum())

    def compute(self) -> float:
        """Return the mean over all elements, or NaN without samples."""
        return self._total / self._elements if self._elements else math.nan


def _numbers(output: Any, target: Any) -> tuple[AnyArray, AnyArray]:
    """Return outputs, or their means, and targets as arrays of one shape; (N,) and (N, 1) are the same numbers.

    Raises:
        ValueError: the shapes differ, since nothing is broadcast.
    """
    output = mean_of(output)
    unmasked("output", output)
    unmasked("target", target)
    output, target = np.asarray(output), np.asarray(target)
    if output.shape != target.shape and (output.shape[:1] != target.shape[:1] or output.size != target.size):
        raise ValueError(f"target: got shape {target.shape}, want {output.shape} like the outputs, since nothing is "
                         "broadcast; give every output its target")  # fmt: skip
    return output, target.reshape(output.shape)


class MeanSquaredError(Regression):
    """The mean of (output - target)^2."""

    name = "mse"


class RootMeanSquaredError(Regression):
    """The square root of the mean of (output - target)^2 over all elements."""

    name = "rmse"

    def compute(self) -> float:
        """Return the root of the mean, or NaN without samples."""
        return math.sqrt(super().compute())


class MeanAbsoluteError(Regression):
    """The mean of |output - target|."""

    name = "mae"

    def of_errors(self, error: Float64) -> float:
        """Return the sum of the magnitudes."""
        return float(np.abs(error).sum())


class R2Score(Regression):
    """The coefficient of determination, 1 - sum of squared errors / sum of squared deviations of the target.

    Several outputs of a sample give the mean over them. For a constant target it is 1 if every output is exact, else 0.
    The deviations of batches are merged without cancellation.

    Source: T. Chan, G. Golub, R. LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances",
    COMPSTAT 1982, equation 2.1.
    """

    name = "r2"
    better = "max"

    def reset(self) -> None:
        """Forget all batches."""
        self._samples = 0
        self._errors = self._mean = self._deviations = np.zeros(0)

    def update(self, output: Array, target: Any) -> None:
        """Add a batch."""
        output, target = _numbers(output, target)
        n, m = self._samples, len(output)
        if not m:
            return
        values = np.asarray(target, np.float64).reshape(m, -1)
        errors = np.square(np.asarray(output, np.float64).reshape(m, -1) - values).sum(0)
        mean = values.mean(0)
        mean = np.where(values.min(0) == values.max(0), values[0], mean)  # equal numbers have no deviation
        deviations = np.square(values - mean).sum(0)
        if not n:
            self._errors, self._mean, self._deviations = errors, mean, deviations
        else:
            step = mean - self._mean
            self._errors = self._errors + errors
            self._deviations = self._deviations + deviations + np.square(step) * (n * m / (n + m))
            self._mean = self._mean + step * (m / (n + m))
        self._samples = n + m

    def compute(self) -> float:
        """Return the mean over the outputs, or NaN with fewer than two samples."""
        if self._samples < 2:
            return math.nan
        exact = (self._errors == 0).astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.where(self._deviations > 0, 1 - self._errors / self._deviations, exact)
        return float(values.mean())
