"""Layers, losses and metrics of one's own that forget something: the error names the part; arrays of theirs stay."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.metrics import Metric
from fastnn.training import Trainer

X = np.random.default_rng(0).standard_normal((32, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0)


def trainer(loss: Any = None, model: Any = None, **options: Any) -> Trainer:
    """Return a trainer of a small network."""
    fastnn.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3)) if model is None else model
    loss = nn.CrossEntropyLoss() if loss is None else loss
    return Trainer(model, loss, optim.SGD(model.parameters(), lr=0.1), **options)


class Twice(nn.Module):
    """y = 2 x, with any closure."""

    def __init__(self, backward: Any) -> None:
        self.backward = backward

    def __call__(self, x: Any) -> Any:
        return x * 2, self.backward


CLOSURES: tuple[tuple[Any, str], ...] = (
    (
        lambda dy, input_grad=True: None,
        r"got None from its closure, want an array like its input x; let backward return",
    ),
    (lambda dy, input_grad=True: 0.0, r"got float from its closure, want float32 \(32, 8\)"),
    (lambda dy, input_grad=True: (dy,), r"got tuple from its closure, want float32 \(32, 8\)"),
    (lambda dy, input_grad=True: dy[:, :2], r"got float32 \(32, 2\) from its closure, want float32 \(32, 8\)"),
    (lambda dy, input_grad=True: dy * np.ones(1), r"got float64 \(32, 8\) .*return dx\.astype\(x\.dtype\)"),
    (lambda dy: dy * 2, r"got a closure that takes \(dy\), want \(dy, input_grad=True\); define it as def backward"),
)


@pytest.mark.parametrize(("closure", "sentence"), CLOSURES)
def test_closures_of_layers(closure, sentence):
    model = nn.Sequential(nn.Linear(4, 8), Twice(closure), nn.Linear(8, 3))
    before = {name: array.copy() for name, array in model.state_dict().items()}
    with pytest.raises(TypeError, match=f"^Twice: {sentence}"):
        trainer(model=model).fit((X, Y), verbose=False)
    assert all((before[name] == array).all() for name, array in model.state_dict().items())


def test_a_closure_of_the_whole_model_and_its_other_spellings():
    class Whole(nn.Module):
        def __init__(self, spelling: str) -> None:
            self.linear, self.spelling = nn.Linear(4, 3), spelling

        def __call__(self, x: Any) -> Any:
            y, back = self.linear(x)
            spellings: dict[str, Any] = {
                "none": lambda dy: back(dy),
                "position": lambda dy, g=True: back(dy, g),
                "keyword": lambda dy, *, input_grad=True: back(dy, input_grad),
            }
            return y, spellings[self.spelling]

    with pytest.raises(TypeError, match=r"^Whole: got a closure that takes \(dy\), want"):
        trainer(model=Whole("none")).fit((X, Y), verbose=False)
    losses = [trainer(model=Whole(s)).fit((X, Y), epochs=2, verbose=False)["loss"] for s in ("position", "keyword")]
    assert losses[0] == losses[1] and losses[0][1] < losses[0][0]


def test_a_type_error_within_a_closure_is_not_changed():
    def backward(dy, input_grad=True):
        return dy + "a"

    model = nn.Sequential(nn.Linear(4, 8), Twice(backward), nn.Linear(8, 3))
    with pytest.raises(TypeError) as caught:
        trainer(model=model).fit((X, Y), verbose=False)
    assert "closure" not in str(caught.value)


def test_layers_that_lose_rows():
    class Lose(nn.Module):
        def __init__(self, cut: Any) -> None:
            self.cut = cut

        def __call__(self, x: Any) -> Any:
            return self.cut(x), lambda dy, input_grad=True: None

    for cut, shape in ((lambda x: x[:-1], r"\(31, 3\)"), (lambda x: x[0], r"\(3,\)"), (lambda x: x.sum(), r"\(\)")):
        lossy = trainer(model=nn.Sequential(nn.Linear(4, 3), Lose(cut)))
        sentence = rf"model: got a result of shape {shape} for 32 samples, want \(32, \.\.\.\), a row for each"
        for call in (lossy.predict, lambda x, lossy=lossy: lossy.fit((x, Y), verbose=False)):
            with pytest.raises(ValueError, match=sentence):
                call(X)
    with pytest.raises(ValueError, match=r"for 4 samples, .*for a single sample pass x\[None\]"):
        trainer().predict(X[0])
    assert trainer().predict(X[0][None]).shape == (1, 3)


LOSSES: tuple[tuple[Any, str], ...] = (
    (lambda o, t: (1.0, 1.0), r"got a gradient of float from .*, want float32 \(32, 3\), like the model's result"),
    (lambda o, t: (1.0, o[:, :1]), r"got a gradient of float32 \(32, 1\) from .*; give every element its own"),
    (lambda o, t: (1.0, o[:1]), r"got a gradient of float32 \(1, 3\) from "),
    (lambda o, t: (1.0, o.astype(float)), r"got a gradient of float64 .*return np\.asarray\(gradient, output\.dtype"),
    (lambda o, t: (1.0, o.tolist()), r"got a gradient of list .*return np\.asarray\(gradient, output\.dtype\)$"),
    (lambda o, t: (1.0, (o, o)), r"got a gradient of tuple of .*, want float32 \(32, 3\)"),
    (lambda o, t: (None, o), "got a loss of NoneType from .*, want one number and its gradient"),
    (lambda o, t: ("1", o), "got a loss of str from"),
    (lambda o, t: (1j, o), "got a loss of complex from"),
    (lambda o, t: (np.ones(1), o), r"got a loss of shape \(1,\) from"),
)


@pytest.mark.parametrize(("loss", "sentence"), LOSSES)
def test_losses(loss, sentence):
    for options in ({}, {"accumulate_grad_batches": 2}):
        with pytest.raises(TypeError, match=f"^loss: {sentence}"):
            trainer(loss, **options).fit((X, Y), verbose=False)


def half_square(output, target):
    """The mean of output^2 / 2 over samples, whose gradient is the output itself, up to a factor."""
    return 0.5 * float((output**2).sum()), output


def test_arrays_that_a_loss_returns_are_not_written_to():
    """A gradient may be the model's result, which the metrics need, or an array that the loss keeps or shares."""

    def largest(output, target):
        return float(np.abs(output).max())

    kept = np.ones((8, 3), np.float32)
    plain = trainer(half_square, metrics=[largest])
    accumulated = trainer(half_square, metrics=[largest], accumulate_grad_batches=4)
    for some in (plain, accumulated):
        some.optimizer.param_groups[0]["lr"] = 0.0
        some.fit((X, Y), batch_size=8, verbose=False, shuffle=False)
    assert plain.history["largest"] == accumulated.history["largest"]
    for several in (False, True):
        loss = lambda output, target: (1.0, kept)  # noqa: E731
        options = {"loss_weights": (3.0,), "metrics": None} if several else {"accumulate_grad_batches": 2}
        model = nn.Sequential(nn.Linear(4, 3))
        if several:
            model = OneOfOne(model)
        some = trainer((loss,) if several else loss, model=model, **options)
        some.fit((X, (Y,) if several else Y), batch_size=8, verbose=False)
        assert (kept == 1).all()
    weighted = trainer(Each(kept))
    weighted.fit((X, Y), batch_size=8, verbose=False, sample_weight=np.full(32, 2.0))
    assert (kept == 1).all()
    shared = np.broadcast_to(np.float32(1), (8, 3))  # read-only
    trainer(lambda o, t: (1.0, shared), accumulate_grad_batches=2).fit((X, Y), batch_size=8, verbose=False)


class Each:
    """A loss with the loss of each sample, whose gradient is always the same array."""

    def __init__(self, kept: Any) -> None:
        self.kept = kept

    def __call__(self, output: Any, target: Any) -> Any:
        return 1.0, self.kept

    def each(self, output: Any, target: Any) -> Any:
        return np.ones(len(output), np.float32), self.kept


class OneOfOne(nn.Module):
    """A model whose result is a tuple of one array."""

    def __init__(self, body: nn.Module) -> None:
        self.body = body

    def __call__(self, x: Any) -> Any:
        y, backward = self.body(x)
        return (y,), lambda dy, input_grad=True: backward(dy[0], input_grad)


class Returns(Metric):
    """A metric that returns anything."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def update(self, output: Any, target: Any) -> None:
        pass

    def reset(self) -> None:
        pass

    def compute(self) -> Any:
        return self.value


@pytest.mark.parametrize("value", [np.ones(3), np.ones(1), None, "0.5", {"a": 1}, 1j, np.complex64(1)])
def test_metrics_that_return_no_number_are_refused_before_the_training(value):
    foreign = SimpleNamespace(update=lambda o, t: None, reset=lambda: None, compute=lambda: value)
    for metric, name in ((Returns(value), r"Returns\.compute"), (foreign, "SimpleNamespace"), (lambda o, t: value, "")):
        some = trainer(metrics=[metric])
        with pytest.raises(TypeError, match=rf"^metrics: got .* from {name}.*, want one number; return a float"):
            some.fit((X, Y), verbose=False)
        assert some.step == 0
    several = trainer((nn.CrossEntropyLoss(),), model=OneOfOne(nn.Linear(4, 3)), metrics={0: Returns(value)})
    with pytest.raises(TypeError, match=r"^metrics: got .* from Returns\.compute"):
        several.fit((X, (Y,)), verbose=False)


def test_a_metric_that_lacks_a_method_and_one_that_fails_later():
    class Half(Metric):
        def update(self, output, target):
            pass

        def reset(self):
            pass

    some = trainer(metrics=[Half()])
    with pytest.raises(NotImplementedError, match=r"^Half: define compute\(self\)"):
        some.fit((X, Y), verbose=False)
    assert some.step == 0

    class Late(Returns):
        rows = 0

        def reset(self):
            self.rows = 0

        def update(self, output, target):
            self.rows += len(output)

        def compute(self):
            return np.array(0.5) if self.rows == 32 else np.ones(self.rows)[self.rows]

    late = trainer(metrics=[Late(0)])  # cannot say anything of the first 8 samples
    assert late.fit((X, Y), batch_size=8, epochs=1, verbose=False)["Late"] == [0.5]
    assert type(late.history["Late"][0]) is float


def test_metrics_may_return_tensors_of_torch():
    torch = pytest.importorskip("torch")
    some = trainer(metrics=[Returns(torch.tensor(0.5)), lambda o, t: torch.tensor(0.25)])
    found = some.fit((X, Y), verbose=False)
    assert (found["Returns"], found["<lambda>"]) == ([0.5], [0.25])
