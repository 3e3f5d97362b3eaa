"""Data sets that need no download, splits whose parts do not leak into each other, samplers, and normalisation."""

from fastnn.data.cross_validation import FoldScores, Learner, cross_validate
from fastnn.data.digits import load_digits
from fastnn.data.normalize import Normalize
from fastnn.data.sampler import RandomSampler, Sampler, SequentialSampler, WeightedRandomSampler
from fastnn.data.splits import KFold, StratifiedKFold, train_test_split, train_validation_test_split

__all__ = [
    "FoldScores",
    "KFold",
    "Learner",
    "Normalize",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "StratifiedKFold",
    "WeightedRandomSampler",
    "cross_validate",
    "load_digits",
    "train_test_split",
    "train_validation_test_split",
]
