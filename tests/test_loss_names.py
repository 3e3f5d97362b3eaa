"""The loss of a checkpoint is compared by its name and its arguments, whatever kind of function it is."""

import warnings
from functools import partial, wraps

import numpy as np
import pytest

import fastnn
from fastnn import functional as F
from fastnn import nn, optim
from fastnn.training import ModelCheckpoint, Trainer
from fastnn.training.losses import Losses, name_of

pytest.importorskip("safetensors")
X = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32)
Y = X[:, :2].copy()


def power(output, target, p=2.0, factor=1.0, of=abs):
    error = output - target
    size = of(error)
    return float(factor * np.mean(size**p)), (factor * p * size ** (p - 1) * np.sign(error) / error.size).astype("f4")


def size(x):
    return np.abs(x)


@wraps(power)
def decorated(output, target):
    return power(output, target)


class Power:
    def __init__(self, p=2.0):
        self.p = p

    def __call__(self, output, target):
        return power(output, target, self.p)

    def loss(self, output, target):
        return power(output, target, self.p)


class Other(Power):
    pass


class Named(Power):
    def __repr__(self):
        return f"Named(p={self.p})"


class WithFunc(Power):
    func = staticmethod(power)


class Outputs(nn.Module):
    """A model that returns a dict."""

    def __init__(self):
        self.inner = nn.Linear(3, 2)

    def __call__(self, x):
        y, backward = self.inner(x)
        return {"a": y}, lambda dy, input_grad=True: backward(dy["a"], input_grad)


def fit(loss, folder, resume=None, epochs=1):
    fastnn.manual_seed(0)
    several = isinstance(loss, dict)
    model, targets = (Outputs(), {"a": Y}) if several else (nn.Linear(3, 2), Y)
    trainer = Trainer(model, loss, optim.SGD(model.parameters(), lr=0.1), callbacks=[ModelCheckpoint(folder)])
    trainer.fit((X, targets), epochs=epochs, batch_size=8, verbose=False, resume=resume)
    return trainer


SAME = {  # two functions that make the same loss, as two runs of a program do
    "function": (lambda: power, lambda: power),
    "partial": (lambda: partial(power, p=3.0), lambda: partial(power, p=3.0)),
    "without arguments": (lambda: partial(power), lambda: power),
    "partial of partial": (
        lambda: partial(partial(power, p=3.0), factor=0.5),
        lambda: partial(power, factor=0.5, p=3.0),
    ),
    "function as argument": (
        lambda: partial(power, of=lambda x: np.abs(x)),
        lambda: partial(power, of=lambda x: x * 1),
    ),
    "lambda": (lambda: lambda o, t: power(o, t), lambda: lambda o, t: power(o, t)),
    "decorated": (lambda: decorated, lambda: decorated),
    "bound method": (lambda: Power().loss, lambda: Power().loss),
    "callable": (lambda: Power(), lambda: Power()),
    "partial of a callable": (lambda: partial(Power()), lambda: partial(Power())),
    "callable with func": (lambda: WithFunc(), lambda: WithFunc()),
    "of this package": (lambda: partial(F.huber_loss, delta=2.0), lambda: partial(F.huber_loss, delta=2.0)),
    "several": (lambda: {"a": partial(power, p=3.0)}, lambda: {"a": partial(power, p=3.0)}),
    "several functions": (lambda: {"a": lambda o, t: power(o, t)}, lambda: {"a": lambda o, t: power(o, t)}),
}


@pytest.mark.parametrize("kind", SAME)
def test_the_same_loss_is_resumed_in_silence(kind, tmp_path):
    first, second = (make() for make in SAME[kind])
    fit(first, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit(second, tmp_path, "latest", epochs=2).epoch == 2


OPTIONS = {  # the same loss with other arguments, and what the warning says
    "keyword": (partial(power, p=3.0), partial(power, p=4.0), r"power\(p=3.0\) .*, going on with power\(p=4.0\)"),
    "one more": (power, partial(power, p=4.0), r"power in the checkpoint, going on with power\(p=4.0\)"),
    "partial of partial": (
        partial(partial(power, p=3.0), factor=0.5),
        partial(partial(power, p=3.0), factor=0.25),
        r"power\(factor=0.5, p=3.0\) in .* power\(factor=0.25, p=3.0\)",
    ),
    "function": (partial(power, of=size), partial(power, of=abs), r"power\(of=size\) in .* power\(of=abs\)"),
    "of a lambda": (
        partial(lambda o, t, p: power(o, t, p), p=2.0),
        partial(lambda o, t, p: power(o, t, p), p=3.0),
        r"<lambda>\(p=2.0\) .* <lambda>\(p=3.0\)",
    ),
    "callable": (Named(2.0), Named(3.0), r"Named\(p=2.0\) in the checkpoint, going on with Named\(p=3.0\)"),
}


@pytest.mark.parametrize("kind", OPTIONS)
def test_other_arguments_are_told(kind, tmp_path):
    first, second, sentence = OPTIONS[kind]
    fit(first, tmp_path)
    with pytest.warns(UserWarning, match=f"^loss: got {sentence}"):
        fit(second, tmp_path, "latest", epochs=2)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (partial(power, p=2.0), partial(F.mse_loss)),
        (Power().loss, Other().loss),
        (Power(), Other()),
        (WithFunc(), power),
        (partial(power, p=2.0), lambda o, t: power(o, t)),
    ],
)
def test_another_loss_is_refused(first, second, tmp_path):
    fit(first, tmp_path)
    with pytest.raises(ValueError, match=r"^loss: got .* in the checkpoint, want .*; build the saved one"):
        fit(second, tmp_path, "latest", epochs=2)


def test_names():
    assert name_of(partial(power, p=np.float64(3))) == "power(p=np.float64(3.0))" or np.__version__ < "2"
    assert name_of(partial(power, 1, of=size)) == "power(1, of=size)"
    assert repr(Losses({"a": partial(power, p=3.0)})) == "Losses({'a': power(p=3.0)}, {'a': 1.0})"
    assert name_of(Power().loss) == "Power.loss" and name_of(nn.HuberLoss()) == "HuberLoss()"
