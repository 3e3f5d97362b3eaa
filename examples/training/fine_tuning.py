"""Fine-tuning: a network trained on many samples gets a new head for a task with few."""

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.training import Freeze

rng = np.random.default_rng(0)
mix = rng.normal(size=(5, 40))


def task(n, classes):
    # Signals (n, 40) of five hidden numbers, of which two decide the class.
    hidden = rng.normal(size=(n, 5))
    angle = np.arctan2(hidden[:, 1], hidden[:, 0]) / (2 * np.pi) % 1
    return np.tanh(hidden @ mix).astype(np.float32), (angle * classes).astype(np.int64)


def train(body, classes, data, epochs, callbacks=()):
    model = nn.Sequential(*body, nn.Linear(32, classes))
    optimizer = optim.AdamW(model.parameters(), lr=3e-3)
    trainer = fastnn.Trainer(model, nn.CrossEntropyLoss(), optimizer, callbacks=callbacks)
    trainer.fit(data, epochs=epochs, verbose=False)
    return trainer


fastnn.manual_seed(0)
few, test = task(60, 3), task(1000, 3)
body, fresh = ([nn.Linear(40, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU()] for _ in range(2))
train(body, 8, task(10_000, 8), epochs=10)

# The trained layers and a new head. Freeze keeps weights and the statistics of batch norm.
tuned = train(body, 3, few, epochs=40, callbacks=[Freeze(["0", "1", "3"])]).evaluate(test)
alone = train(fresh, 3, few, epochs=40).evaluate(test)
print(f"accuracy {tuned['accuracy']:.3f}, without the first task {alone['accuracy']:.3f}")
assert tuned["accuracy"] > max(0.85, alone["accuracy"])
