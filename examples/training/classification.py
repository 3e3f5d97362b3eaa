"""Tabular classification: three kinds of wine, told apart by thirteen measurements of each."""

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.data import Normalize, train_validation_test_split
from fastnn.training import EarlyStopping

try:
    from sklearn.datasets import load_wine

    x, y = load_wine(return_X_y=True)
except ImportError:  # without scikit-learn, a table that looks like it
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 178)
    x = rng.normal(rng.normal(size=(3, 13))[y], 0.7) * np.logspace(-1, 3, 13)

fastnn.manual_seed(0)
x = x.astype(np.float32)
train, validation, test = train_validation_test_split(x, y, (0.6, 0.2, 0.2), stratify=True)

model = nn.Sequential(
    Normalize(x.shape[1]).fit(train[0]),  # the columns differ in scale by a factor of a thousand
    nn.Linear(x.shape[1], 32),
    nn.ReLU(),
    nn.Dropout(0.2),
    nn.Linear(32, 3),
)
optimizer = optim.AdamW(model.parameters(), lr=1e-2)
stop = EarlyStopping(patience=20)  # the model gets the weights of the best epoch back
trainer = fastnn.Trainer(model, nn.CrossEntropyLoss(), optimizer, callbacks=[stop])
trainer.fit(train, validation, epochs=200, batch_size=16, verbose=False)

print(trainer.stopped, trainer.evaluate(test))
assert trainer.evaluate(test)["accuracy"] > 0.9
