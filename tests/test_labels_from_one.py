"""fit warns of labels that are counted from 1, as in MATLAB and R, once, and only where they clearly are."""

import re
import warnings

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.training import Trainer

C = 4
X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
Y = np.arange(60) % C + 1


def trainer(outputs=C + 1, loss=None):
    fastnn.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, outputs))
    return Trainer(model, loss or nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))


SENTENCE = r"^train y: got all labels from 1 to 4, and 0 for no sample, with 5 outputs, .* pass y - 1 and .* 4 outputs"
FITS = {
    "fit": lambda t, y: t.fit((X, y), (X, y), verbose=False),
    "resumed fit": lambda t, y: t.fit((X, y), epochs=2, batch_size=7, verbose=False),
    "fit_one_cycle": lambda t, y: t.fit_one_cycle((X, y), (X, y), epochs=2, verbose=False),
}


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
@pytest.mark.parametrize("fit", FITS)
def test_told_once_with_a_remedy_that_works(fit, dtype):
    with pytest.warns(UserWarning) as found:
        FITS[fit](trainer(), Y.astype(dtype))
    assert len(found) == 1 and re.match(SENTENCE, str(found[0].message))
    assert fit == "fit_one_cycle" or found[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FITS[fit](trainer(C), Y.astype(dtype) - 1)


def test_functions_and_ignored_labels():
    ignoring = np.where(np.arange(60) % 7 == 0, -100, Y)
    for loss, y in ((fastnn.functional.softmax_cross_entropy, Y), (None, ignoring)):
        with pytest.warns(UserWarning, match=SENTENCE):
            trainer(loss=loss).fit((X, y), verbose=False)


SILENT = {
    "labels from 0": (trainer, Y - 1),
    "with 0": (trainer, np.where(np.arange(60) == 59, 0, Y)),
    "one missing": (trainer, np.where(Y == 2, 3, Y)),
    "the last missing": (trainer, np.where(Y == 4, 3, Y)),
    "more outputs": (lambda: trainer(C + 2), Y),
    "one class": (lambda: trainer(2), np.ones(60, np.int64)),
    "0 is ignored": (lambda: trainer(loss=nn.CrossEntropyLoss(ignore_index=0)), Y),
    "probabilities": (trainer, np.eye(C + 1, dtype=np.float32)[Y]),
    "regression": (lambda: trainer(1, nn.MSELoss()), Y[:, None].astype(np.float32)),
    "integers for regression": (lambda: trainer(1, nn.MSELoss()), Y[:, None]),
}


@pytest.mark.parametrize("kind", SILENT)
def test_silent_elsewhere(kind):
    make, y = SILENT[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make().fit((X, y), verbose=False)


def test_silent_outside_of_fit():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer().lr_find((X, Y), num_it=3)
        trainer().evaluate((X, Y))
        trainer().fit([(X, Y)], verbose=False)  # of batches, all labels are not known before
        trainer().fit((X, Y), transform=lambda x, y, g: (x, y - 1), verbose=False)
