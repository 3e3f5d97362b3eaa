"""The demonstration: trains a network on handwritten digits, and writes its weights and curves.

The recipe was chosen on 800 of the 4,000 training images; the 1,000 test images were not used for it.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from fastnn import init, nn, optim, plot
from fastnn._figure import new_figure
from fastnn.data import load_digits
from fastnn.optim import lr_scheduler
from fastnn.optim.state import StateDtype
from fastnn.random import manual_seed
from fastnn.runs.saved import WEIGHTS, make_run, save_run
from fastnn.training.trainer import Trainer

EPOCHS = 40
BATCH_SIZE = 128
LR = 3e-3
WEIGHT_DECAY = 1e-2
DROPOUT = 0.3
WARMUP = 0.1
"""The fraction of all steps in which the learning rate rises from START_FACTOR * LR to LR; then a cosine leads to 0."""
START_FACTOR = 0.01


def build_model(p: float = DROPOUT) -> nn.Sequential:
    """Build the network, (N, 784) -> logits (N, 10), float32; `p` is the probability of both dropout layers."""
    return nn.Sequential(
        nn.Linear(784, 256),
        nn.BatchNorm1d(256),
        nn.ReLU(),
        nn.Dropout(p),
        nn.Linear(256, 128),
        nn.LayerNorm(128),
        nn.ReLU(),
        nn.Dropout(p),
        nn.Linear(128, 10),
    )


def build_trainer(model: nn.Module, steps: int, state_dtype: StateDtype | None = None) -> Trainer:
    """Build a trainer: AdamW with linear warm-up and cosine decay over `steps` optimizer steps, and cross-entropy."""
    optimizer = optim.AdamW(model.parameters(), lr=LR, weight_decay=WEIGHT_DECAY, state_dtype=state_dtype)
    warmup = max(1, int(steps * WARMUP))
    climb = lr_scheduler.LinearLR(optimizer, START_FACTOR, 1.0, warmup)
    descent = lr_scheduler.CosineAnnealingLR(optimizer, steps - warmup)
    scheduler = lr_scheduler.SequentialLR(optimizer, [climb, descent], [warmup])
    return Trainer(model, nn.CrossEntropyLoss(), optimizer, scheduler)


def train(epochs: int = EPOCHS, seed: int = 0, directory: str | Path = "runs") -> Path:
    """Train on 4,000 images, validate on 1,000 others, and print a line per epoch and the result.

    Args:
        epochs: passes over the training images, > 0.
        seed: seed of weights, dropout and order: the same seed gives the same files, except for the times in them.
        directory: where the directory of the run, named by the time, is made.

    Returns:
        The directory of the run, with model.safetensors, curves.png and the files for `fastnn.report.write_report`.

    Raises:
        ImportError: a package of the extra `demo` is missing; nothing has been trained then.
    """
    # Before the training: a missing package must not cost a finished one.
    import matplotlib.figure  # noqa: F401
    import safetensors.numpy  # noqa: F401

    train_data, test_data = load_digits()
    manual_seed(seed)
    model = init.initialize(build_model())
    trainer = build_trainer(model, epochs * -(-len(train_data[0]) // BATCH_SIZE))
    run = make_run(Path(directory))
    started = time.perf_counter()
    history = trainer.fit(train_data, test_data, epochs=epochs, batch_size=BATCH_SIZE)
    seconds = time.perf_counter() - started

    trainer.save(run / WEIGHTS)
    save_run(run, trainer, test_data)
    draw_curves(history, run / "curves.png")
    accuracy = history["val_accuracy"][-1]
    print(f"{accuracy:.1%} of {len(test_data[0])} unseen digits right after {seconds:.1f} s of training; see {run}")
    return run


def draw_curves(history: Mapping[str, Sequence[float]], path: Path) -> None:
    """Draw loss and accuracy of training and validation over epochs into a PNG file."""
    figure = new_figure(10, 4)
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        plot.learning_curves(history, name, axes)
    figure.savefig(path)
