"""Forecasts with a range: a loss of one's own learns the quantiles, a metric of one's own counts what they cover."""

import numpy as np

import fastnn
from fastnn import nn, optim

QUANTILES = np.array([0.1, 0.5, 0.9], np.float32)


def pinball(output, target):
    """The loss of outputs (N, 3), the three quantiles of targets (N, 1), and its gradient."""
    error = target - output
    gradient = np.where(error > 0, -QUANTILES, 1 - QUANTILES).astype(np.float32) / output.size
    return float(-(gradient * error).sum()), gradient


def coverage(output, target):
    """The share of targets between the first quantile and the last, over all samples of an epoch."""
    return ((output[:, :1] <= target) & (target <= output[:, 2:])).mean()


rng, t = np.random.default_rng(0), np.arange(4000)
series = (np.sin(t / 8) + 0.5 * np.sin(t / 3) + rng.normal(0, 0.2, len(t))).astype(np.float32)
windows = np.lib.stride_tricks.sliding_window_view(series, 25)
x, y = windows[:, :24], windows[:, 24:]  # the past, and the next value; the parts are in the order of time

fastnn.manual_seed(0)
model = nn.Sequential(nn.Linear(24, 64), nn.ReLU(), nn.Linear(64, 3))
trainer = fastnn.Trainer(model, pinball, optim.Adam(model.parameters(), lr=1e-3), metrics=[coverage])
trainer.fit((x[:3000], y[:3000]), epochs=20, verbose=False)
scores = trainer.evaluate((x[3000:], y[3000:]))
print(scores)
assert abs(scores["coverage"] - 0.8) < 0.1
