"""A stream of batches: a generator makes them while the model trains, and nothing is kept."""

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.optim.lr_scheduler import CosineAnnealingLR

rng = np.random.default_rng(0)


def points(n):
    """Points of two spirals that wind around each other."""
    y = rng.integers(0, 2, n)
    radius = rng.uniform(0.1, 1, n)
    angle = 6 * radius + np.pi * y
    x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return x.astype(np.float32), y


def batches():
    while True:
        yield points(128)


fastnn.manual_seed(0)
model = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))
optimizer = optim.Adam(model.parameters(), lr=1e-2)
schedule = CosineAnnealingLR(optimizer, T_max=1000)
trainer = fastnn.Trainer(model, nn.CrossEntropyLoss(), optimizer, schedule, val_check_interval=250)
# The function, not what it returns: a generator can be read only once. It has no end, so max_steps ends the training.
history = trainer.fit(batches, points(1000), max_steps=1000, verbose=False)

print(trainer.stopped, history.validations["val_accuracy"])
assert history.validations["val_accuracy"][-1] > 0.98
