"""Errors of layers say where in the model they come from; what Flatten, Identity and Softmax refuse."""

import traceback
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.nn.tracing import leaves

X = np.ones((32, 784), np.float32)


class Returns(nn.Module):
    """A layer whose call returns anything."""

    def __init__(self, result: Any) -> None:
        self._result = [lambda: result]  # in a list, and a function, so that it is no member

    def __call__(self, x: Any) -> Any:
        return self._result[0]()


class Raises(nn.Module):
    """A layer that raises an error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __call__(self, x: Any) -> Any:
        raise self.error


class Block(nn.Module):
    """A layer with a Sequential of its own."""

    def __init__(self) -> None:
        self.body = nn.Sequential(nn.ReLU(), nn.Linear(8, 3))

    def __call__(self, x: Any) -> Any:
        return self.body(x)


class TwoArguments(ValueError):
    """An error that is not made from a message alone."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first, second)


def wide() -> nn.Linear:
    """Return the layer before the wrong one."""
    return nn.Linear(784, 16)


WANT = r"x: got shape \(32, 16\), want \(..., 8\); features lie on the last axis; "
GOT = r"this layer got float32 \(32, 16\), the model float32 \(32, 784\)$"
MODELS: dict[str, tuple[Any, str]] = {
    "flat": (nn.Sequential(wide(), nn.ReLU(), nn.Linear(8, 3)), r"model\[2\] Linear\(8, 3, bias=True\): "),
    "nested": (nn.Sequential(wide(), nn.Sequential(nn.ReLU(), nn.Linear(8, 3))),
               r"model\[1\]\[1\] Linear\(8, 3, bias=True\): "),
    "nested twice": (nn.Sequential(nn.Sequential(wide(), nn.Sequential(nn.Linear(8, 3)))),
                     r"model\[0\]\[1\]\[0\] Linear\(.*\): "),
    "residual": (nn.Sequential(wide(), nn.Residual(nn.Linear(8, 3))), r"model\[1\]\[0\] Linear\(8, 3, bias=True\): "),
    "named": (nn.Sequential(OrderedDict(a=wide(), b=nn.Sequential(nn.Linear(8, 3)))),
              r"model\.b\[0\] Linear\(8, 3, bias=True\): "),
    "own": (nn.Sequential(wide(), Block()), r"model\[1\] Block > \[1\] Linear\(8, 3, bias=True\): "),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_errors_name_the_layer(name: str) -> None:
    """The message has the layer's place, class, sentence and input, and the model's input, each once."""
    model, place = MODELS[name]
    with pytest.raises(ValueError, match=f"^{place}{WANT}{GOT}") as caught:
        model(X)
    assert (
        type(caught.value) is ValueError and str(caught.value).count("model[") + str(caught.value).count("model.") == 1
    )
    assert caught.value.__suppress_context__ and not hasattr(caught.value, "__notes__")
    assert 'in _run_with\n    raise ValueError(f"x: got' in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "error", [TypeError("odd"), ValueError("odd"), fastnn._checks.NotAnInteger("odd"), np.exceptions.AxisError("odd")]
)
def test_errors_keep_their_class(error: Exception) -> None:
    """Also classes derived from TypeError and ValueError, which the package and NumPy raise."""
    with pytest.raises(type(error), match=r"^model\[1\] Raises\(\): odd; this layer got float32 \(32, 784\)") as caught:
        nn.Sequential(nn.Identity(), Raises(error))(X)
    assert type(caught.value) is type(error)


@pytest.mark.parametrize("error", [TwoArguments("a", "b"), RuntimeError("odd"), KeyError("odd"), KeyboardInterrupt()])
def test_other_errors_pass_unchanged(error: BaseException) -> None:
    """Errors of other kinds, and those that cannot be made anew, are the same objects."""
    with pytest.raises(type(error)) as caught:
        nn.Sequential(nn.Sequential(Raises(error)))(X)  # type: ignore[arg-type]
    assert caught.value is error


RESULTS: list[tuple[Any, str]] = [
    (None, "NoneType"), (X, "ndarray"), ((X,), "a tuple of 1"), ((X, abs, 1), "a tuple of 3"),
    ((X, None), "a tuple of 2"), ([X, abs], "list"), ("ab", "str"),
]  # fmt: skip


@pytest.mark.parametrize(("result", "got"), RESULTS, ids=[got for _, got in RESULTS])
def test_results_that_are_no_pair(result: Any, got: str) -> None:
    """The sentence names the layer and what it must return, in a Sequential, a Trainer and a report."""
    sentence = rf"Returns\.__call__: got {got} as its result, want a pair \(y, backward\) .*; end it with return"
    layer = Returns(result)
    with pytest.raises(TypeError, match=rf"^model\[1\] Returns\(\): {sentence}"):
        nn.Sequential(nn.Identity(), layer)(X)
    with pytest.raises(TypeError, match=rf"^{sentence}"):
        fastnn.init.report(nn.Sequential(layer), X)
    p = nn.Parameter(np.ones(1, np.float32))
    with pytest.raises(TypeError, match=rf"^train x: got float32 \(32, 784\), of which the first 32 raise: {sentence}"):
        fastnn.Trainer(layer, nn.CrossEntropyLoss(), optim.SGD([p])).fit((X, np.zeros(32, int)))


def test_a_residual_is_one_layer_of_a_report() -> None:
    """Its layers do not run one after the other alone, so a trace does not expand it."""
    model = nn.Sequential(nn.Sequential(nn.ReLU(), nn.Residual(nn.ReLU())), nn.Identity())
    assert [name for name, _ in leaves(model)] == ["0.0", "0.1", "1"]
    np.testing.assert_array_equal([float(row.activation.mean) for row in fastnn.init.report(model, X)], [1, 2, 2])


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "strided": (lambda: nn.Flatten()(X.T), ValueError, r"x: got strided memory, .*; pass np.ascontiguousarray\(x\)"),
    "vector": (lambda: nn.Flatten()(X[0]), ValueError, r"x: got shape \(784,\), want an axis 1 .*x\[None\]"),
    "no axes": (lambda: nn.Flatten(0)(np.ones(())), ValueError, r"x: got shape \(\), want an axis 0"),
    "order": (lambda: nn.Flatten(1, 0)(X), ValueError, r"x: got .*, want an axis 1 .* not before it an axis 0"),
    "far": (lambda: nn.Flatten(1, 2)(X), ValueError, r"x: got shape \(32, 784\), want"),
    "list": (lambda: nn.Flatten()([[1.0]]), TypeError, r"x: got list, want a float32 or float64 array; "),
    "integers": (lambda: nn.Flatten()(np.ones((2, 2), int)), TypeError, r"x: got int64, want a float32"),
    "dy": (lambda: nn.Flatten()(X)[1](X[1:]), ValueError, r"dy: got shape \(31, 784\), want \(32, 784\); pass"),
    "dim": (lambda: nn.Flatten(1.5), TypeError, r"start_dim: got 1.5, want the number of an axis, an integer; 1 is"),
    "identity": (lambda: nn.Identity()([1.0]), TypeError, r"x: got list, want a float32 or float64 array"),
    "softmax": (lambda: nn.Softmax(None), TypeError, r"dim: got None, want the number of an axis, an integer; -1"),
    "softmax axis": (lambda: nn.LogSoftmax(2)(X), ValueError, r"dim: got 2, want"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    """Each sentence has a remedy."""
    call, error, sentence = REFUSED[name]
    with pytest.raises(error, match=f"^{sentence}"):
        call()


def test_memory_is_shared() -> None:
    """Flatten and Identity copy nothing, forward and backward."""
    x = np.ones((2, 3, 4))
    for layer in (nn.Flatten(), nn.Flatten(0), nn.Identity()):
        y, backward = layer(x)
        dx = backward(y)
        assert np.shares_memory(x, y) and dx is not None and dx.shape == x.shape and np.shares_memory(dx, y)
        assert backward(y, input_grad=False) is None
    assert nn.Flatten()(np.ones((0, 3, 4)))[0].shape == (0, 12)
