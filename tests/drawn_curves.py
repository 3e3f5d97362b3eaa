"""Histories drawn by hand, for tests of diagnoses."""

import numpy as np

from fastnn.training import History


def drawn(steps=(), **epochs):
    """Return a history with this loss by step and these curves by epoch."""
    history = History()
    history.steps["loss"], history.steps["lr"] = [float(value) for value in steps], [0.1] * len(steps)
    history.update({name: [float(value) for value in values] for name, values in epochs.items()})
    return history


def tenths(worst, end):
    """Return 100 steps from 2, whose second tenth is `worst` and the rest `end`."""
    return drawn([*[2.0] * 10, *[worst] * 10, *[end] * 80])


def thirds(middle, last, noise=0.0):
    """Return 99 steps from 2 to `middle` to `last`, whose median deviation is `noise`."""
    steps = np.repeat([2.0, middle, last], 33)
    steps[66:] += noise * np.resize([1, -1], 33)
    steps[98] = last
    return drawn(steps)


def leaps(*values, noise=0.0):
    """Return 200 steps that fall from 2 to 1 at once, with these values at steps 151, 152 ..."""
    steps = np.ones(200)
    steps[:10] = 2.0
    steps[10:] += noise * np.resize([1, -1], 190)
    for i, value in enumerate(values):
        steps[150 + i] = value
    return drawn(steps)


def validated(train, valid, start=2.0, **more):
    """Return a history with a loss that begins with `start`, and with these epochs."""
    return drawn([start] * 3 + [0.1 * start] * 60, loss=train, val_loss=valid, **more)


def accurate(right, val_right, before=0.5):
    """Return a history that ends with these accuracies; `before` is the validation's of the epoch before."""
    return validated([1, 0.3, 0.1], [1, 0.5, 0.4], accuracy=[0.5, 0.9, right], val_accuracy=[0.5, before, val_right])
