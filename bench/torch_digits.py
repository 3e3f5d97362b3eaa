"""The network, data and training recipe of `fastnn.demo` in torch, to compare with."""

import time

import torch
from torch import nn
from torch.optim import lr_scheduler

from fastnn import demo
from fastnn.data import load_digits
from fastnn.optim.state import StateDtype
from fastnn.random import manual_seed


def build_torch(p: float = demo.DROPOUT) -> nn.Sequential:
    """Build the model of `demo.build_model` in torch."""
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


def train_torch(seed: int, epochs: int = demo.EPOCHS) -> tuple[float, float]:
    """Train once with fused AdamW; return accuracy on the 1,000 test images and the seconds of the training loop."""
    (x, y), (test_x, test_y) = ([torch.from_numpy(array) for array in part] for part in load_digits())
    torch.manual_seed(seed)
    model, criterion = build_torch(), nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=demo.LR, weight_decay=demo.WEIGHT_DECAY, fused=True)
    steps = epochs * -(-len(x) // demo.BATCH_SIZE)
    warmup = max(1, int(steps * demo.WARMUP))
    climb = lr_scheduler.LinearLR(optimizer, demo.START_FACTOR, 1.0, warmup)
    descent = lr_scheduler.CosineAnnealingLR(optimizer, steps - warmup)
    scheduler = lr_scheduler.SequentialLR(optimizer, [climb, descent], [warmup])
    started = time.perf_counter()
    for _ in range(epochs):
        for index in torch.randperm(len(x)).split(demo.BATCH_SIZE):
            optimizer.zero_grad()
            criterion(model(x[index]), y[index]).backward()
            optimizer.step()
            scheduler.step()
    seconds = time.perf_counter() - started
    model.eval()
    with torch.no_grad():
        return (model(test_x).argmax(1) == test_y).double().mean().item(), seconds


def train_fastnn(seed: int, epochs: int = demo.EPOCHS, state_dtype: StateDtype | None = None) -> tuple[float, float]:
    """Train as `demo.train` does, without files and output; return the same as `train_torch`."""
    train_data, test_data = load_digits()
    manual_seed(seed)
    steps = epochs * -(-len(train_data[0]) // demo.BATCH_SIZE)
    trainer = demo.build_trainer(demo.build_model(), steps, state_dtype=state_dtype)
    started = time.perf_counter()
    trainer.fit(train_data, epochs=epochs, batch_size=demo.BATCH_SIZE)
    seconds = time.perf_counter() - started
    return trainer.evaluate(test_data)["accuracy"], seconds


if __name__ == "__main__":
    for name, train in (("fastnn", train_fastnn), ("torch", train_torch)):
        runs = sorted(train(seed) for seed in range(5))
        print(f"{name}: accuracy " + " ".join(f"{a:.1%}" for a, _ in runs) + f", median {runs[2][0]:.1%}", end="")
        print(f", seconds {sorted(s for _, s in runs)[2]:.2f} (median)")
