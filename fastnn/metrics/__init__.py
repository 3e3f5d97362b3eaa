"""Metrics over all samples of an epoch or a data set: objects with `update`, `compute` and `reset`.

    metric = F1Score("macro")
    for logits, labels in batches:
        metric.update(logits, labels)
    print(metric.compute())

A `Trainer` takes them by name ("f1_macro"), as objects, or as functions, those of scikit-learn among them.
"""

from fastnn.metrics.base import FunctionMetric, Metric
from fastnn.metrics.classification import (
    Accuracy,
    BalancedAccuracy,
    ConfusionMatrix,
    F1Score,
    Precision,
    Recall,
)
from fastnn.metrics.named import NAMED, named
from fastnn.metrics.ranking import ROCAUC, AveragePrecision, LogLoss, Perplexity, TopKAccuracy
from fastnn.metrics.regression import MeanAbsoluteError, MeanSquaredError, R2Score, RootMeanSquaredError

__all__ = [
    "NAMED",
    "ROCAUC",
    "Accuracy",
    "AveragePrecision",
    "BalancedAccuracy",
    "ConfusionMatrix",
    "F1Score",
    "FunctionMetric",
    "LogLoss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "Perplexity",
    "Precision",
    "R2Score",
    "Recall",
    "RootMeanSquaredError",
    "TopKAccuracy",
    "named",
]
