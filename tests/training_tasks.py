"""Small tasks for training tests: samples of four classes, models, a trainer."""

import numpy as np

import fastnn
from fastnn import functional as F
from fastnn import nn, optim
from fastnn.training import Trainer

CLASSES = 4
RNG = np.random.default_rng(5)
CENTRES = RNG.normal(size=(CLASSES, 10)) * 1.5


def samples(n, rng=RNG):
    y = np.arange(n) % CLASSES
    return ((CENTRES[y] + rng.normal(size=(n, 10))) / 1.8).astype(np.float32), y


DATA, VALIDATION = samples(640), samples(256)


class Softmax(nn.Module):
    def __call__(self, x):
        y = F.softmax(x)
        return y, lambda dy, input_grad=True: F.softmax_backward(dy, y) if input_grad else None


def make_model(*extra, p=0.0, width=32, seed=1):
    fastnn.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(10, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(p), nn.Linear(width, CLASSES), *extra
    )


def plain(*extra, width=32, seed=1):
    fastnn.manual_seed(seed)
    return nn.Sequential(nn.Linear(10, width), nn.ReLU(), nn.Linear(width, CLASSES), *extra)


def make_trainer(model, lr=1e-2, optimizer=optim.AdamW, loss=None, **options):
    return Trainer(model, loss or nn.CrossEntropyLoss(), optimizer(model.parameters(), lr=lr), seed=3, **options)


def no_bias(model):
    for p in model.parameters():
        if p.data.ndim == 1:
            p.data[...] = -100
    return model
