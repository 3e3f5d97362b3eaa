"""Callbacks hook into the training loop."""

from fastnn.training.callbacks.averaging import EMA
from fastnn.training.callbacks.base import Callback, StopTraining
from fastnn.training.callbacks.csv_logger import CSVLogger
from fastnn.training.callbacks.freezing import Freeze, progressive_unfreezing
from fastnn.training.callbacks.monitors import LearningRateMonitor, TimingMonitor
from fastnn.training.callbacks.progress import ProgressBar
from fastnn.training.callbacks.saving import ModelCheckpoint
from fastnn.training.callbacks.stopping import EarlyStopping
from fastnn.training.callbacks.swa import SWA
from fastnn.training.callbacks.tensorboard import TensorBoard

__all__ = [
    "EMA",
    "SWA",
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "Freeze",
    "LearningRateMonitor",
    "ModelCheckpoint",
    "ProgressBar",
    "StopTraining",
    "TensorBoard",
    "TimingMonitor",
    "progressive_unfreezing",
]
