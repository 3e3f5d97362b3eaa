"""Tabular regression: prices in the hundreds of thousands, learned as numbers of mean 0 and deviation 1."""

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.data import Normalize, train_validation_test_split
from fastnn.metrics import R2Score

rng = np.random.default_rng(0)
area, rooms, age = rng.uniform(30, 200, 1000), rng.integers(1, 7, 1000), rng.uniform(0, 80, 1000)
price = 4000 * area + 15_000 * rooms - 20 * area * age + rng.normal(0, 15_000, 1000)
x = np.stack([area, rooms, age], axis=1).astype(np.float32)
y = price.astype(np.float32)[:, None]  # (N, 1), like the model's output

fastnn.manual_seed(0)
train, validation, test = train_validation_test_split(x, y)
scale = Normalize(1).fit(train[1])  # of the training part alone, like that of the inputs


def scaled(part):
    return part[0], scale.transform(part[1])


model = nn.Sequential(Normalize(3).fit(train[0]), nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 1))
optimizer = optim.Adam(model.parameters(), lr=1e-2)
trainer = fastnn.Trainer(model, nn.MSELoss(), optimizer, metrics=["r2", "mae"])
trainer.fit(scaled(train), scaled(validation), epochs=60, verbose=False)

prices = scale.inverse_transform(trainer.predict(test[0]))
print(f"mean absolute error {np.abs(prices - test[1]).mean():.0f}")
r2 = R2Score()
r2.update(prices, test[1])
print(f"R2 {r2.compute():.3f}")
assert r2.compute() > 0.95
assert np.isclose(r2.compute(), trainer.evaluate(scaled(test))["r2"])  # R2 has no unit
