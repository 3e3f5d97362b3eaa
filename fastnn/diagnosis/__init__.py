"""Finds problems of a model or its training: checks to run before a long training, and symptoms in its results."""

from fastnn.diagnosis.catalogue import Symptom
from fastnn.diagnosis.gradient_check import GradientCheck, check_gradients
from fastnn.diagnosis.initial_loss import InitialLoss, check_initial_loss
from fastnn.diagnosis.overfit import Ladder, Overfit, learning_ladder, overfit_one_batch, overfit_one_sample
from fastnn.diagnosis.symptoms import diagnose

__all__ = [
    "GradientCheck",
    "InitialLoss",
    "Ladder",
    "Overfit",
    "Symptom",
    "check_gradients",
    "check_initial_loss",
    "diagnose",
    "learning_ladder",
    "overfit_one_batch",
    "overfit_one_sample",
]
