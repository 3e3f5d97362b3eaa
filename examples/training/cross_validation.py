"""Hyper-parameters by cross-validation: the learning rate and the size with the best score over all folds."""

from functools import partial
from itertools import product

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.data import cross_validate, train_test_split

rng = np.random.default_rng(0)
x = rng.uniform(-1, 1, (600, 2)).astype(np.float32)
y = (np.hypot(x[:, 0], x[:, 1]) < 0.75).astype(np.int64)  # in a circle or not
train, test = train_test_split(x, y, stratify=True, seed=0)


def make_trainer(lr, hidden, fold):
    fastnn.manual_seed(fold)
    model = nn.Sequential(nn.Linear(2, hidden), nn.ReLU(), nn.Linear(hidden, 2))
    return fastnn.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr))


found = {}
for lr, hidden in product([1e-4, 1e-2], [4, 64]):
    scores = cross_validate(partial(make_trainer, lr, hidden), train, k=3, epochs=20, verbose=False)
    found[lr, hidden] = scores.mean["accuracy"]
    print(f"lr {lr}, hidden {hidden}: {scores.mean['accuracy']:.3f} +- {scores.std['accuracy']:.3f}")

best = max(found, key=found.get)
trainer = make_trainer(*best, fold=0)
trainer.fit(train, epochs=20, verbose=False)
print(best, trainer.evaluate(test))
assert best == (1e-2, 64) and trainer.evaluate(test)["accuracy"] > 0.9
