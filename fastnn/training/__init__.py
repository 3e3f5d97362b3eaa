"""Training loops: `Trainer`, the callbacks that hang into it, checkpoints, and what tells why a training goes wrong."""

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
from fastnn.training.checkpoint import CheckpointError, latest
from fastnn.training.checkpoint import load as load_checkpoint
from fastnn.training.checkpoint import save as save_checkpoint
from fastnn.training.history import History
from fastnn.training.lr_finder import LRFinder
from fastnn.training.trainer import Trainer

__all__ = [
    "Callback",
    "CheckpointError",
    "EarlyStopping",
    "Freeze",
    "History",
    "LRFinder",
    "LearningRateMonitor",
    "ModelCheckpoint",
    "ProgressBar",
    "StopTraining",
    "TensorBoard",
    "TimingMonitor",
    "Trainer",
    "latest",
    "load_checkpoint",
    "progressive_unfreezing",
    "save_checkpoint",
]
