"""Fine-tuning: a network trained on many samples gets a new head for a task with few."""

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.training import Freeze

rng = np.random.default_rng(0)
mix = rng.normal(size=(5, 40))


def task(n, classes):
    """Return signals (n, 40) of five hidden numbers; their first two decide the class, by an angle."""
    hidden = rng.normal(size=(n, 5))
    angle = np.arctan2(hidden[:, 1], hidden[:, 0]) / (2 * np.pi) % 1
    return np.tanh(hidden @ mix).astype(np.float32), (angle * classes).astype(np.int64)


def train(model, data, epochs, **options):
    trainer = fastnn.Trainer(model, nn.CrossEntropyLoss(), optim.AdamW(model.parameters(), lr=3e-3), **options)
    trainer.fit(data, epochs=epochs, verbose=False)
    return trainer


fastnn.manual_seed(0)
few, test = task(60, 3), task(1000, 3)
body = [nn.Linear(40, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU()]
train(nn.Sequential(*body, nn.Linear(32, 8)), task(20_000, 8), epochs=10)

model = nn.Sequential(*body, nn.Linear(32, 3))  # the trained layers, and a new head
before = body[0].weight.data.copy()
tuned = train(model, few, epochs=40, callbacks=[Freeze(["0", "1", "3"])])  # batch norm keeps its statistics too
assert (body[0].weight.data == before).all()
