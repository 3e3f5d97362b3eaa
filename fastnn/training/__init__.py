"""Training loops: `Trainer`, the callbacks that hang into it, checkpoints, and what tells why a training goes wrong."""

from fastnn.checkpoint.file import CheckpointError, latest
from fastnn.checkpoint.file import load as load_checkpoint
from fastnn.checkpoint.file import save as save_checkpoint
from fastnn.training.callbacks import (
    Callback,
    EarlyStopping,
    Freeze,
    LearningRateMonitor,
    ModelCheckpoint,
    ProgressBar,
    StopTraining,
    TensorBoard,
    TimingMonitor,
    progressive_unfreezing,
)
from fastnn.training.diagnostics import (
    Ladder,
    Overfit,
    learning_ladder,
    overfit_one_batch,
    overfit_one_sample,
)
from fastnn.training.gradient_check import GradientCheck, check_gradients
from fastnn.training.history import History
from fastnn.training.initial_loss import InitialLoss, check_initial_loss
from fastnn.training.lr_finder import LRFinder
from fastnn.training.symptoms import Symptom, diagnose
from fastnn.training.trainer import Trainer

__all__ = [
    "Callback",
    "CheckpointError",
    "EarlyStopping",
    "Freeze",
    "GradientCheck",
    "History",
    "InitialLoss",
    "LRFinder",
    "Ladder",
    "LearningRateMonitor",
    "ModelCheckpoint",
    "Overfit",
    "ProgressBar",
    "StopTraining",
    "Symptom",
    "TensorBoard",
    "TimingMonitor",
    "Trainer",
    "check_gradients",
    "check_initial_loss",
    "diagnose",
    "latest",
    "learning_ladder",
    "load_checkpoint",
    "overfit_one_batch",
    "overfit_one_sample",
    "progressive_unfreezing",
    "save_checkpoint",
]
