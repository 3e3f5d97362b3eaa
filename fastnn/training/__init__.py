"""Training loops: `Trainer` and the callbacks that hang into it."""

from fastnn.training.callbacks import Callback, ProgressBar
from fastnn.training.trainer import Trainer

__all__ = ["Callback", "ProgressBar", "Trainer"]
