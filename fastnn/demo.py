"""The demonstration: a network trained on real handwritten digits, with its weights and curves left behind."""

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
