"""Rare cases: one sample in fifty matters. Accuracy says little; F1 and average precision say what is found."""

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.data import train_validation_test_split
from fastnn.training import EarlyStopping

rng = np.random.default_rng(0)
y = (rng.random(10_000) < 0.02).astype(np.int64)
x = rng.normal(size=(10_000, 20)).astype(np.float32)
x[:, :10] += 1.2 * y[:, None]
train, validation, test = train_validation_test_split(x, y, stratify=True, seed=0)


def scores(**options):
    fastnn.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 2))
    trainer = fastnn.Trainer(
        model,
        nn.CrossEntropyLoss(),
        optim.AdamW(model.parameters(), lr=1e-3),
        metrics=["accuracy", "recall", "f1", "average_precision"],  # of class 1, as in scikit-learn
        callbacks=[EarlyStopping("val_average_precision", patience=5)],
    )
    trainer.fit(train, validation, epochs=50, verbose=False, **options)
    return trainer.evaluate(test)


plain, balanced = scores(), scores(class_weight="balanced")
print(plain, balanced, sep="\n")
assert plain["accuracy"] > 0.98  # as for a model that never finds a case
assert balanced["recall"] > max(plain["recall"], 0.85)  # weights find more cases, and accept more false alarms
assert balanced["average_precision"] > 0.5
