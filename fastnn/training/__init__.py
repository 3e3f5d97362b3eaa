"""Training loops: `Trainer`, its callbacks, checkpoints, and the diagnosis of trainings that go wrong."""

from typing import TYPE_CHECKING, Any

from fastnn.checkpoint.file import CheckpointError, latest
from fastnn.checkpoint.file import load as load_checkpoint
from fastnn.checkpoint.file import save as save_checkpoint
from fastnn.training.callbacks import (
    EMA,
    SWA,
    Callback,
    CSVLogger,
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
from fastnn.training.history import History
from fastnn.training.lr_finder import LRFinder
from fastnn.training.trainer import Trainer

if TYPE_CHECKING:
    from fastnn.diagnosis import (
        GradientCheck,
        InitialLoss,
        Ladder,
        Overfit,
        Symptom,
        check_gradients,
        check_initial_loss,
        diagnose,
        learning_ladder,
        overfit_one_batch,
        overfit_one_sample,
    )

__all__ = [
    "EMA",
    "SWA",
    "CSVLogger",
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


def __getattr__(name: str) -> Any:
    """Import `fastnn.diagnosis` on first access of one of its names: its modules need this package to be complete."""
    if name not in __all__:
        raise AttributeError(f"module 'fastnn.training' has no attribute {name!r}")
    from fastnn import diagnosis

    return getattr(diagnosis, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
