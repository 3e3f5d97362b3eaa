"""The demonstration: trains a network on handwritten digits, and writes its weights and curves."""

from fastnn.runs.demo import (
    BATCH_SIZE,
    DROPOUT,
    EPOCHS,
    LR,
    START_FACTOR,
    WARMUP,
    WEIGHT_DECAY,
    build_model,
    build_trainer,
    draw_curves,
    train,
)

__all__ = [
    "BATCH_SIZE",
    "DROPOUT",
    "EPOCHS",
    "LR",
    "START_FACTOR",
    "WARMUP",
    "WEIGHT_DECAY",
    "build_model",
    "build_trainer",
    "draw_curves",
    "train",
]
