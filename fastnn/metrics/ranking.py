"""Metrics of scores and probabilities: ROC AUC, average precision, log loss and perplexity."""

import math
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from fastnn._checks import integer, unmasked
from fastnn._types import Array
from fastnn.functional import binary_cross_entropy_with_logits
from fastnn.functional.class_loss import cross_entropy_alone
from fastnn.metrics.classification import Classification
from fastnn.metrics.outputs import Task, as_binary, probabilities


class _Ranking(Classification):
    """Base class of metrics that rank all samples by the score of a class; they keep every sample's scores.

    Two classes, or one logit, give the value of class 1. More classes give the mean over the classes, each against the
    others; several single logits of a sample give the mean over them.
    """

    takes_several: ClassVar[bool] = True

    def reset(self) -> None:
        """Forget all batches."""
        self._scores: list[Array] = []
        self._labels: list[npt.NDArray[np.int64]] = []

    def update(self, output: Array, target: Any) -> None:
        """Keep the scores of a batch; see `Classification`."""
        unmasked("output", output)
        if self.task == "binary" and output.ndim > 1 and output.shape[-1] > 1:
            self._scores.append(np.array(output).reshape(-1, output.shape[-1]))
            self._labels.append(as_binary(target).reshape(-1, output.shape[-1]))
            return
        rows, labels = self.rows(output, target)
        counted = labels >= 0
        rows = rows if rows.shape[1] == 1 else probabilities(rows, "classes")
        self._scores.append(np.array(rows[counted]))
        self._labels.append(labels[counted])

    def compute(self) -> float:
        """Return the value; NaN without samples, or if a class has none or all of them."""
        if not self._scores:
            return math.nan
        scores, labels = np.concatenate(self._scores), np.concatenate(self._labels)
        if labels.ndim == 2:
            columns = [(scores[:, i], labels[:, i] == 1) for i in range(labels.shape[1])]
        elif scores.shape[1] <= 2:
            columns = [(scores[:, -1], labels == 1)]
        else:
            columns = [(scores[:, i], labels == i) for i in range(scores.shape[1])]
        return float(np.mean([self.of_class(score, is_class) for score, is_class in columns]))

    def of_class(self, score: Array, is_class: npt.NDArray[np.bool_]) -> float:
        """Return the value of one class."""
        raise NotImplementedError


class ROCAUC(_Ranking):
    """The area under the receiver operating characteristic.

    It is the probability that a sample of the class has a higher score than one of another class, where equal scores
    count half. Two classes, or one logit, give the value of class 1; more classes the mean over the classes, each
    against the others; several single logits of a sample the mean over them.

    Source: J. Hanley, B. McNeil, "The meaning and use of the area under a ROC curve", Radiology 143 (1982).
    """

    name = "roc_auc"

    def of_class(self, score: Array, is_class: npt.NDArray[np.bool_]) -> float:
        """Return the Mann-Whitney statistic of the class, divided by the number of pairs."""
        positives = int(is_class.sum())
        negatives = len(is_class) - positives
        if not positives or not negatives or np.isnan(score).any():
            return math.nan
        _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
        ranks = (counts.cumsum() - (counts - 1) / 2)[inverse]
        return float((ranks[is_class].sum() - positives * (positives + 1) / 2) / (positives * negatives))


class AveragePrecision(_Ranking):
    """The mean of the precision at every threshold, weighted by the growth of the recall; classes as in `ROCAUC`."""

    name = "average_precision"

    def of_class(self, score: Array, is_class: npt.NDArray[np.bool_]) -> float:
        """Return the sum of precision * (growth of the recall) from the highest score down."""
        positives = int(is_class.sum())
        if np.isnan(score).any():
            return math.nan
        if not positives:
            return 0.0
        order = (-score).argsort(kind="stable")
        hits = is_class[order].cumsum()
        last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)  # of every run of equal scores
        precision, recall = hits[last] / (last + 1), hits[last] / positives
        return float((precision * np.diff(recall, prepend=0.0)).sum())


class TopKAccuracy(Classification):
    """The fraction of samples whose label is among the k classes with the largest logits; of equal ones, the first.

    Args:
        k: >= 1.
        ignore_index: as in `Classification`.
    """

    tasks: ClassVar[tuple[Task, ...]] = ("classes", None)

    def __init__(self, k: int = 5, ignore_index: int | None = None) -> None:
        self.k = integer("k", k, 1)
        self.name = f"top_{self.k}_accuracy"
        super().__init__(ignore_index)

    def reset(self) -> None:
        """Forget all batches."""
        self._correct = self._samples = 0

    def update(self, output: Array, target: Any) -> None:
        """Add a batch; see `Classification`. A row with NaN counts as wrong."""
        rows, labels = self.rows(output, target)
        counted = labels >= 0
        rows, labels = rows[counted], labels[counted]
        own = np.take_along_axis(rows, labels[:, None], axis=1)
        before = np.arange(rows.shape[1]) < labels[:, None]
        rank = ((rows > own) | ((rows == own) & before)).sum(axis=1)
        self._correct += int(((rank < self.k) & ~np.isnan(rows).any(axis=1)).sum())
        self._samples += len(labels)

    def compute(self) -> float:
        """Return the fraction, or NaN without samples."""
        return self._correct / self._samples if self._samples else float("nan")


class LogLoss(Classification):
    """The mean of -ln(probability of the label), in double precision."""

    name = "log_loss"
    better = "min"
    takes_several: ClassVar[bool] = True

    def reset(self) -> None:
        """Forget all batches."""
        self._total, self._samples = 0.0, 0

    def update(self, output: Array, target: Any) -> None:
        """Add a batch; see `Classification`."""
        unmasked("output", output)
        if self.task == "binary" and output.ndim > 1 and output.shape[-1] > 1:
            rows, labels = np.asarray(output).reshape(-1, 1), as_binary(target).reshape(-1)
        else:
            rows, labels = self.rows(output, target)
        counted = labels >= 0
        rows, labels = rows[counted].astype(np.float64), labels[counted]
        if len(labels):
            self._total += self._sum(rows, labels)
            self._samples += len(labels)

    def _sum(self, rows: Any, labels: npt.NDArray[np.int64]) -> float:
        if rows.shape[1] == 1:
            return binary_cross_entropy_with_logits(rows, labels[:, None].astype(np.float64), reduction="sum")[0]
        total: float = cross_entropy_alone(rows, labels, None, -100, "sum", 0.0)
        return total

    def compute(self) -> float:
        """Return the mean, or NaN without samples."""
        return self._total / self._samples if self._samples else math.nan


class Perplexity(LogLoss):
    """e^LogLoss, over all labels: the number of equally probable classes that would be as uncertain."""

    name = "perplexity"
    tasks: ClassVar[tuple[Task, ...]] = ("classes", None)

    def compute(self) -> float:
        """Return the perplexity, or NaN without samples; infinity beyond the range of a double."""
        mean = super().compute()
        return math.exp(mean) if mean < 709 else math.inf if mean == mean else math.nan
