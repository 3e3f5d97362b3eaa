"""F.linear and its gradients: the bits of the separate functions, differences, nn.Sequential, wrong arguments."""

import itertools
import re
from typing import Any

import numpy as np
import pytest
from support import DTYPES, Array, running, same_bits

import fastnn
from fastnn import Generator, nn
from fastnn import functional as F

ACTIVATIONS: dict[str, float | None] = {
    "identity": None, "relu": None, "leaky_relu": 0.2, "elu": 0.7, "gelu": None, "gelu_tanh": None, "silu": None,
    "sigmoid": None, "tanh": None, "softplus": 2.0,
}  # fmt: skip
each_dtype = pytest.mark.parametrize("dtype", DTYPES)
each_activation = pytest.mark.parametrize(("activation", "alpha"), ACTIVATIONS.items(), ids=ACTIVATIONS)


def _random(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@each_dtype
@each_activation
@pytest.mark.parametrize("p", [0.0, 0.3])
def test_bits_of_the_separate_functions(dtype: Any, activation: str, alpha: float | None, p: float) -> None:
    """Forward and backward, on every instruction set, for shapes that are cut into several parts."""
    for shape, n in (((7, 20), 9), ((3, 5, 20), 40), ((20,), 5), ((2, 0, 20), 3), ((130, 400), 300), ((50, 20), 1)):
        x, weight, bias = _random(shape, dtype), _random((n, shape[-1]), dtype, 1), _random((n,), dtype, 2)
        product = F.matmul(x, weight.T)
        want, mask = F.bias_activation(
            product, bias, activation, p, alpha=alpha, generator=Generator(3), return_mask=True
        )
        dy = _random(want.shape, dtype, 4)
        dz, dbias = F.bias_activation_backward(dy, product, bias, activation, mask, alpha=alpha)
        rows = dz.reshape(-1, n)
        for isa, threads in itertools.product(fastnn.supported_isas(), (1, 3)):
            with running(isa, threads):
                options: dict[str, Any] = {"alpha": alpha, "generator": Generator(3)}
                assert same_bits(F.linear(x, weight, bias, activation, p, **options), want)
                options["generator"] = Generator(3)
                y, saved = F.linear(x, weight, bias, activation, p, **options, return_saved=True)
                assert same_bits(y, want)
                dx, dweight, db = F.linear_backward(dy, x, weight, bias, activation, saved, alpha=alpha)
                assert db is not None and same_bits(db, dbias)
                assert dx is not None and same_bits(dx, F.matmul(dz, weight))
                assert same_bits(dweight, F.matmul(rows.T, x.reshape(-1, shape[-1])))


@each_activation
def test_gradients_by_differences(activation: str, alpha: float | None) -> None:
    x, weight, bias = _random((4, 5), float), _random((3, 5), float, 1), _random((3,), float, 2)
    dy = _random((4, 3), float, 3)
    saved = F.linear(x, weight, bias, activation, 0.4, alpha=alpha, generator=Generator(9), return_saved=True)[1]
    gradients = F.linear_backward(dy, x, weight, bias, activation, saved, alpha=alpha)
    for array, gradient in zip((x, weight, bias), gradients, strict=True):
        assert gradient is not None
        for i in np.ndindex(array.shape):
            values = []
            for step in (1e-6, -1e-6):
                array[i] += step
                y = F.linear(x, weight, bias, activation, 0.4, alpha=alpha, generator=Generator(9))
                values.append((y * dy).sum())
                array[i] -= step
            assert gradient[i] == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5, abs=1e-7)


@each_dtype
def test_options(dtype: Any) -> None:
    x, weight = _random((6, 5), dtype), _random((4, 5), dtype, 1)
    out = np.empty((6, 4), dtype)
    assert F.linear(x, weight, out=out) is out
    assert same_bits(out, F.matmul(x, weight.T))
    g = Generator(1)
    assert same_bits(F.linear(x, weight, p=0.5, training=False, generator=g), out) and g.offset == 0
    dx, dweight, dbias = F.linear_backward(out, x, weight, input_grad=False)
    assert dx is None and dbias is None and dweight.shape == weight.shape
    assert (F.linear(x, weight, p=1.0) == 0).all()
    wide = _random((6, 10), dtype)
    assert same_bits(F.linear(wide[:, ::2], weight), F.matmul(wide[:, ::2], weight.T))
    batch = _random((4, 3, 6, 5), dtype).swapaxes(0, 2)
    assert same_bits(F.linear(batch, weight, activation="relu"), np.maximum(F.matmul(batch, weight.T), 0))


X, W, B = np.ones((3, 4), np.float32), np.ones((2, 4), np.float32), np.ones(2, np.float32)
WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"x": X[:, :3]}, ValueError, "x: got shape (3, 3), want (..., 4), the features of weight on the last axis"),
    ({"x": np.ones((), "f")}, ValueError, "x: got shape (), want"),
    ({"x": [[1.0] * 4]}, TypeError, "x: got list, want a numpy.ndarray"),
    ({"weight": W[0]}, ValueError, "weight: got shape (4,), want (out_features, in_features)"),
    ({"weight": W.astype(float)}, TypeError, "weight: got float64, want float32 like the rest"),
    ({"bias": np.ones(3, "f")}, ValueError, "bias: got shape (3,), want (2,)"),
    ({"bias": B.astype(float)}, TypeError, "bias: got float64, want float32 like the rest"),
    ({"activation": "swish"}, ValueError, "activation: got 'swish'"),
    ({"alpha": 0.5}, ValueError, "alpha: got 0.5, want None for identity, which has no option"),
    ({"p": 1.5}, ValueError, "p: got 1.5, want a number in [0"),
    ({"out": np.ones((3, 4), "f")}, ValueError, "out: got shape (3, 4), want (3, 2)"),
    ({"x": W, "out": W[:, :2]}, ValueError, "out: got strided memory"),
    ({"x": np.ma.masked_array(X)}, TypeError, "x: got a masked array"),
]


@pytest.mark.parametrize(("changed", "error", "sentence"), WRONG)
def test_wrong_arguments(changed: dict[str, Any], error: type[Exception], sentence: str) -> None:
    arguments: dict[str, Any] = {"x": X, "weight": W, "bias": B} | changed
    with pytest.raises(error, match=re.escape(sentence)):
        F.linear(**arguments)


def test_out_must_not_share_memory() -> None:
    memory = np.ones(40, np.float32)
    x, weight, bias = memory[:12].reshape(3, 4), memory[20:28].reshape(2, 4), memory[34:36]
    for begin, name in ((8, "x"), (16, "weight"), (26, "weight"), (32, "bias")):
        with pytest.raises(ValueError, match=f"out: got memory that overlaps {name}"):
            F.linear(x, weight, bias, out=memory[begin : begin + 6].reshape(3, 2))


GRADIENT_WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"dy": np.ones((2, 2), "f")}, ValueError, "dy: got float32 (2, 2), want float32 (3, 2); pass what belongs to"),
    ({"dy": np.ones((3, 2))}, ValueError, "dy: got float64 (3, 2), want float32 (3, 2)"),
    ({"dy": 1.0}, TypeError, "dy: got "),
    ({"x": [[1.0]]}, TypeError, "x: got "),
    ({"x": np.ones((3, 5), "f")}, ValueError, "x: got shape (3, 5), want (..., 4), the x of forward"),
    ({"weight": np.ones((9, 4), "f")}, ValueError, "dy: got float32 (3, 2), want float32 (3, 9)"),
    ({"weight": np.ones(4, "f")}, ValueError, "weight: got shape (4,), want (out_features, in_features)"),
    ({"bias": np.ones(3, "f")}, ValueError, "bias: got float32 (3,), want float32 (2,)"),
]


@pytest.mark.parametrize(("changed", "error", "sentence"), GRADIENT_WRONG)
def test_wrong_arguments_of_backward(changed: dict[str, Any], error: type[Exception], sentence: str) -> None:
    arguments: dict[str, Any] = {"dy": np.ones((3, 2), np.float32), "x": X, "weight": W, "bias": B} | changed
    with pytest.raises(error, match=re.escape(sentence)):
        F.linear_backward(**arguments)


def test_strided_gradients() -> None:
    dy = np.ones((2, 3), np.float32).T
    got, want = F.linear_backward(dy, X, W, B), F.linear_backward(dy.copy(), X, W, B)
    assert all(same_bits(a, b) for a, b in zip(got, want, strict=True) if a is not None and b is not None)


def test_without_features_the_mask_takes_its_numbers() -> None:
    g, x, weight, bias = Generator(5), np.ones((100, 0), "f"), np.ones((30, 0), "f"), np.ones(30, "f")
    first = F.linear(x, weight, bias, "relu", 0.5, generator=g)
    assert g.offset > 0 and not same_bits(F.linear(x, weight, bias, "relu", 0.5, generator=g), first)
    wrong: Any
    for wrong in (None, np.float32(1)):
        with pytest.raises(TypeError, match="weight: got"):
            F.linear(X, wrong, p=0.5)


def test_the_closure_keeps_the_bias_of_its_call() -> None:
    """A bias that changes or is replaced between forward and backward changes no gradient."""
    x, dy, layer = _random((4, 5), np.float32), _random((4, 3), np.float32, 1), nn.Linear(5, 3, generator=1)
    bias, gradients = layer.bias, []
    assert bias is not None
    for change in (False, True):
        layer.zero_grad()
        _, backward = nn.Sequential(layer, nn.GELU())(x)
        if change:
            bias.data[...] += 5
            layer.bias = None
        gradients.append([backward(dy), layer.weight.grad.copy(), bias.grad.copy()])
    assert all(same_bits(a, b) for a, b in zip(*gradients, strict=True))


def test_wrong_options_are_those_of_their_layer() -> None:
    """An option that was set later is refused by its own layer."""
    layers: list[Any] = [nn.Dropout(0.5), nn.GELU(), nn.LeakyReLU()]
    layers[0].p, layers[1].approximate, layers[2].negative_slope = 2.0, "foo", None
    for layer in layers:
        with pytest.raises((ValueError, TypeError)) as caught:
            layer(_random((4, 5), np.float32))
        with pytest.raises(type(caught.value), match=rf"model\[1\] {type(layer).__name__}"):
            nn.Sequential(nn.Linear(5, 5), layer)(_random((4, 5), np.float32))


def test_what_backward_needs_is_asked_for() -> None:
    y = F.linear(X, W, B, "gelu")
    with pytest.raises(ValueError, match=r"saved: got None, want what linear\(\.\.\., return_saved=True\) returned"):
        F.linear_backward(y, X, W, B, "gelu")


FOLLOWERS: list[list[nn.Module]] = [
    [nn.ReLU()], [nn.LeakyReLU(0.3)], [nn.ELU(0.7)], [nn.GELU()], [nn.GELU("tanh")], [nn.SiLU()], [nn.Dropout(0.4)],
    [nn.ReLU(), nn.Dropout(0.4)], [nn.GELU(), nn.Dropout(0.4)], [nn.Dropout(0.4), nn.ReLU()], [nn.ReLU(), nn.GELU()],
    [nn.Tanh(), nn.Dropout(0.4)],
]  # fmt: skip


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("followers", FOLLOWERS, ids=lambda f: "+".join(type(layer).__name__ for layer in f))
def test_sequential_gives_the_bits_of_its_layers(followers: list[nn.Module], train: bool) -> None:
    """What Sequential runs in one pass is what the layers give one after the other."""
    model = nn.Sequential(nn.Linear(20, 30), *followers, nn.Linear(30, 4)).train(train)
    x, dy = _random((50, 20), np.float32), _random((50, 4), np.float32, 1)
    fastnn.manual_seed(5)
    y, backward = model(x)
    dx = backward(dy)
    got = [y, dx, *(p.grad.copy() for p in model.parameters())]
    model.zero_grad()
    fastnn.manual_seed(5)
    z, closures = x, []
    for layer in model:
        z, closure = layer(z)
        closures.append(closure)
    dz = dy
    for closure in reversed(closures):
        dz = closure(dz)
    for a, b in zip(got, [z, dz, *(p.grad for p in model.parameters())], strict=True):
        assert same_bits(a, b)


def test_layers_of_ones_own_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sequential runs only fastnn's own layers in one pass: subclasses and replaced methods are called."""
    called = []

    class Mine(nn.ReLU):
        def __call__(self, x: Array) -> Any:
            called.append("subclass")
            return super().__call__(x)

    def replaced(self: nn.ReLU, x: Array) -> Any:
        called.append("replaced")
        return original(self, x)

    x = _random((4, 5), np.float32)
    nn.Sequential(nn.Linear(5, 5), Mine())(x)
    original = nn.ReLU.__call__
    monkeypatch.setattr(nn.ReLU, "__call__", replaced)
    nn.Sequential(nn.Linear(5, 5), nn.ReLU())(x)
    assert called == ["subclass", "replaced"]
