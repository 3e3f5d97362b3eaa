"""What the Trainer promises: next to nothing over a bare loop, and a good network without a rate set by hand."""

import statistics
from collections.abc import Callable

import machine
import numpy as np
import pytest
from speeds import Bar

import fastnn
from fastnn import demo, nn, optim
from fastnn.benchmark import interleave
from fastnn.data import load_digits
from fastnn.training import EarlyStopping, Trainer

BATCH, EPOCHS, STEPS = 32, 10, 16


def mlp() -> tuple[nn.Module, nn.CrossEntropyLoss, optim.AdamW]:
    """The layers of the demo without what is drawn at random or normalised."""
    fastnn.manual_seed(0)
    layers = nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)
    model = nn.Sequential(*layers)
    return model, nn.CrossEntropyLoss(), optim.AdamW(model.parameters())


def test_overhead(bar: Bar, seconds: float, capsys: pytest.CaptureFixture[str]) -> None:
    """Whole fits with the default callbacks, beside the same steps written by hand, over batches in a random order."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((STEPS * BATCH, 784), np.float32)
    y = rng.integers(0, 10, len(x))
    model, criterion, optimizer = mlp()

    def bare() -> None:
        for _ in range(EPOCHS):
            for index in fastnn.random.permutation(len(x)).reshape(-1, BATCH):
                logits, backward = model(x[index])
                _, dlogits = criterion(logits, y[index])
                backward(dlogits, input_grad=False)
                optimizer.step(), optimizer.zero_grad()

    trainer = Trainer(model, criterion, optimizer)  # the same, since where arrays lie makes a few per cent
    overheads = {}
    for threads in machine.THREADS:
        with machine.threads(threads):
            sides: dict[str, Callable[[], object]] = {
                "bare": bare,
                "Trainer": lambda: trainer.fit((x, y), epochs=EPOCHS, batch_size=BATCH),
            }
            times = {name: sample.median for name, sample in interleave(sides, 40 * seconds, rounds=15).items()}
        capsys.readouterr()
        overheads[threads] = 100 * (times["Trainer"] / times["bare"] - 1)
        with capsys.disabled():
            print({name: f"{s / EPOCHS / STEPS * 1e6:.0f} us a step" for name, s in times.items()})
    bar("Trainer over a bare loop, MLP, batch 32, %", max(overheads.values()), "<=", 5)


def test_digits_without_a_rate(bar: Bar, seeds: int) -> None:
    """The suggested rate, one cycle and early stopping; the median over seeds, on images that train nothing."""
    (x, y), test = load_digits()
    found = []
    for seed in range(seeds):
        fastnn.manual_seed(seed)
        model = fastnn.init.initialize(demo.build_model())
        stop = EarlyStopping("val_accuracy", patience=10)
        trainer = Trainer(model, nn.CrossEntropyLoss(), optim.AdamW(model.parameters()), callbacks=[stop])
        trainer.fit_one_cycle((x[:3200], y[:3200]), (x[3200:], y[3200:]), epochs=40, batch_size=64, verbose=False)
        found.append(100 * trainer.evaluate(test)["accuracy"])
    print("accuracy by seed: " + ", ".join(f"{percent:.1f} %" for percent in found))
    bar("digits, early stopping, one cycle, suggested rate, %", statistics.median(found), ">=", 94.0)
