"""Layers: they agree with torch; their closures, their gradients, and refused arguments."""

import re

import numpy as np
import pytest

import fastnn
from fastnn import nn

RNG = np.random.default_rng(7)

# name -> (layer, the arguments of torch's layer, shape of x)
LAYERS = {
    "linear": (lambda d: nn.Linear(5, 3, dtype=d), ("Linear", 5, 3), (4, 5)),
    "linear-no-bias": (lambda d: nn.Linear(5, 3, False, dtype=d), ("Linear", 5, 3, False), (4, 5)),
    "linear-one-row": (lambda d: nn.Linear(5, 3, dtype=d), ("Linear", 5, 3), (5,)),
    "linear-axes": (lambda d: nn.Linear(5, 3, dtype=d), ("Linear", 5, 3), (2, 6, 4, 5)),
    "relu": (lambda d: nn.ReLU(), ("ReLU",), (3, 7)),
    "leaky-relu": (lambda d: nn.LeakyReLU(0.2), ("LeakyReLU", 0.2), (3, 7)),
    "elu": (lambda d: nn.ELU(1.5), ("ELU", 1.5), (3, 7)),
    "gelu": (lambda d: nn.GELU(), ("GELU",), (3, 7)),
    "gelu-tanh": (lambda d: nn.GELU("tanh"), ("GELU", "tanh"), (3, 7)),
    "silu": (lambda d: nn.SiLU(), ("SiLU",), (2, 3, 7)),
    "sigmoid": (lambda d: nn.Sigmoid(), ("Sigmoid",), (3, 7)),
    "tanh": (lambda d: nn.Tanh(), ("Tanh",), (3, 7)),
    "softplus": (lambda d: nn.Softplus(2.0, 1.0), ("Softplus", 2.0, 1.0), (3, 7)),
    "softmax": (lambda d: nn.Softmax(), ("Softmax", -1), (2, 3, 7)),
    "softmax-axis": (lambda d: nn.Softmax(dim=1), ("Softmax", 1), (2, 3, 7)),
    "log-softmax": (lambda d: nn.LogSoftmax(), ("LogSoftmax", -1), (3, 7)),
    "flatten": (lambda d: nn.Flatten(), ("Flatten",), (2, 3, 4, 5)),
    "flatten-some": (lambda d: nn.Flatten(-3, 2), ("Flatten", -3, 2), (2, 3, 4, 5)),
    "identity": (lambda d: nn.Identity(54, unused=True), ("Identity",), (3, 7)),
    "batch1d": (lambda d: nn.BatchNorm1d(6, dtype=d), ("BatchNorm1d", 6), (9, 6)),
    "batch1d-length": (lambda d: nn.BatchNorm1d(6, 1e-3, 0.3, dtype=d), ("BatchNorm1d", 6, 1e-3, 0.3), (5, 6, 4)),
    "batch1d-plain": (
        lambda d: nn.BatchNorm1d(6, affine=False, track_running_stats=False, dtype=d),
        ("BatchNorm1d", 6, 1e-5, 0.1, False, False),
        (9, 6),
    ),
    "batch2d": (lambda d: nn.BatchNorm2d(3, dtype=d), ("BatchNorm2d", 3), (4, 3, 5, 2)),
    "max-pool": (lambda d: nn.MaxPool2d(2), ("MaxPool2d", 2), (2, 3, 4, 7)),
    "max-pool-padded": (lambda d: nn.MaxPool2d((3, 2), 1, (1, 0)), ("MaxPool2d", (3, 2), 1, (1, 0)), (2, 3, 4, 7)),
    "layer": (lambda d: nn.LayerNorm(8, dtype=d), ("LayerNorm", 8), (5, 8)),
    "layer-shape": (lambda d: nn.LayerNorm((3, 4), dtype=d), ("LayerNorm", (3, 4)), (5, 2, 3, 4)),
    "layer-plain": (lambda d: nn.LayerNorm(8, 1e-2, False), ("LayerNorm", 8, 1e-2, False), (5, 8)),
    "layer-no-bias": (lambda d: nn.LayerNorm(8, bias=False, dtype=d), ("LayerNorm", 8, 1e-5, True, False), (5, 8)),
}


def network(dtype=np.float64, p=0.0):
    return nn.Sequential(
        nn.Linear(7, 6, dtype=dtype),
        nn.BatchNorm1d(6, dtype=dtype),
        nn.ReLU(),
        nn.Dropout(p),
        nn.Linear(6, 4, dtype=dtype),
        nn.LayerNorm(4, dtype=dtype),
        nn.Linear(4, 3, dtype=dtype),
    )


def torch_network(torch, p=0.0):
    t = torch.nn
    return t.Sequential(
        t.Linear(7, 6), t.BatchNorm1d(6), t.ReLU(), t.Dropout(p), t.Linear(6, 4), t.LayerNorm(4), t.Linear(4, 3)
    ).double()


def randomise(module):
    for parameter in module.parameters():
        parameter.data[...] = RNG.normal(size=parameter.shape)


def gradients(module):
    return {name: None if p.grad is None else p.grad.copy() for name, p in module.named_parameters()}


def copy_into_torch(torch, module, twin):
    state = {name: torch.from_numpy(array.copy()) for name, array in module.state_dict().items()}
    twin.load_state_dict(state, strict=True)


def assert_like_torch(torch, module, twin, x, dy):
    """Assert that output, dx, all gradients and the running statistics equal torch's to 1e-10 in float64."""
    assert list(module.state_dict()) == list(twin.state_dict())
    copy_into_torch(torch, module, twin)
    module.zero_grad()
    y, backward = module(x)
    dx = backward(dy)
    x_torch = torch.from_numpy(x.copy()).requires_grad_()
    y_torch = twin(x_torch)
    y_torch.backward(torch.from_numpy(dy))
    close = {"rtol": 1e-10, "atol": 1e-10}
    np.testing.assert_allclose(y, y_torch.detach().numpy(), **close)
    np.testing.assert_allclose(dx, x_torch.grad.numpy(), **close)
    for (name, parameter), (twin_name, twin_parameter) in zip(
        module.named_parameters(), twin.named_parameters(), strict=True
    ):
        assert name == twin_name
        np.testing.assert_allclose(parameter.grad, twin_parameter.grad.numpy(), err_msg=name, **close)
    for name, array in module.state_dict().items():
        np.testing.assert_allclose(array, twin.state_dict()[name].numpy(), err_msg=name, **close)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_layer_equals_torch(name, training):
    torch = pytest.importorskip("torch")
    make, (twin_name, *twin_options), shape = LAYERS[name]
    layer = make(np.float64).train(training)
    randomise(layer)
    twin = getattr(torch.nn, twin_name)(*twin_options).double().train(training)
    x = RNG.normal(2, 3, size=shape)
    assert_like_torch(torch, layer, twin, x, RNG.normal(size=layer(x)[0].shape))


@pytest.mark.parametrize("training", [True, False])
def test_network_equals_torch(training):
    torch = pytest.importorskip("torch")
    model, twin = network().train(training), torch_network(torch).train(training)
    assert_like_torch(torch, model, twin, RNG.normal(size=(9, 7)), RNG.normal(size=(9, 3)))


def test_loss_equals_torch():
    torch = pytest.importorskip("torch")
    logits, labels = RNG.normal(size=(6, 4)), RNG.integers(0, 4, 6)
    loss, dlogits = nn.CrossEntropyLoss()(logits, labels)
    logits_torch = torch.from_numpy(logits.copy()).requires_grad_()
    loss_torch = torch.nn.CrossEntropyLoss()(logits_torch, torch.from_numpy(labels))
    loss_torch.backward()
    assert isinstance(loss, float) and abs(loss - loss_torch.item()) < 1e-12
    np.testing.assert_allclose(dlogits, logits_torch.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", LAYERS)
def test_float32_stays_float32(name):
    make, _, shape = LAYERS[name]
    layer = make(np.float32)
    y, backward = layer(RNG.normal(size=shape).astype(np.float32))
    dx = backward(np.ones_like(y))
    arrays = [y, dx, *(p.grad for p in layer.parameters())]
    assert {a.dtype for a in arrays} == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", LAYERS)
def test_nothing_handed_in_is_written(name):
    make, _, shape = LAYERS[name]
    layer = make(np.float64)
    x = RNG.normal(size=shape)
    x_before = x.copy()
    y, backward = layer(x)
    dy = RNG.normal(size=y.shape)
    dy_before = dy.copy()
    backward(dy)
    assert (x == x_before).all() and (dy == dy_before).all()


def test_sequential_writes_neither_input_nor_dlogits():
    model = network(p=0.5)
    x, dy = RNG.normal(size=(9, 7)), RNG.normal(size=(9, 3))
    x_before, dy_before = x.copy(), dy.copy()
    model(x)[1](dy)
    assert (x == x_before).all() and (dy == dy_before).all()


@pytest.mark.parametrize("name", [*LAYERS, "network"])
def test_without_input_grad_only_dx_is_missing(name):
    make, _, shape = LAYERS.get(name, (network, None, (9, 7)))
    layer = make(np.float64)
    y, backward = layer(RNG.normal(size=shape))
    dy = RNG.normal(size=y.shape)
    assert backward(dy).shape == shape
    expected = gradients(layer)
    layer.zero_grad()
    assert backward(dy, input_grad=False) is None
    for name, gradient in gradients(layer).items():
        assert (gradient == expected[name]).all()


def test_nested_networks_without_input_grad():
    """Containers within containers, and modules of one's own, get the same gradients with and without input_grad."""
    inner = nn.Sequential(nn.Dropout(0.0), nn.Sequential(nn.Linear(4, 4), nn.ReLU()))
    model = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Sequential(inner)), nn.Linear(4, 2))
    gradients = []
    for input_grad in (True, False):
        y, backward = model(F32)
        dx = backward(np.ones_like(y), input_grad=input_grad)
        assert (dx is None) is not input_grad
        gradients.append([p.grad.copy() for p in model.parameters()])
        model.zero_grad()
    assert len(gradients[0]) == 4 and all((a == b).all() for a, b in zip(*gradients, strict=True))


def test_gradients_add_up_until_zero_grad():
    layer = nn.Linear(5, 3, dtype=np.float64)
    assert layer.weight.grad is None
    x, dy = RNG.normal(size=(4, 5)), RNG.normal(size=(4, 3))
    _, backward = layer(x)
    backward(dy)
    once, memory = gradients(layer), layer.weight.grad
    backward(dy)
    for name, gradient in gradients(layer).items():
        np.testing.assert_array_equal(gradient, 2 * once[name])
    layer.zero_grad()
    assert layer.weight.grad is None and layer.bias.grad is None
    memory[...] = np.nan  # old values in the memory must not matter
    backward(dy)
    assert layer.weight.grad is memory
    for name, gradient in gradients(layer).items():
        np.testing.assert_array_equal(gradient, once[name])


def test_two_calls_have_two_closures():
    layer = nn.BatchNorm1d(5, dtype=np.float64)
    x1, x2, dy = RNG.normal(size=(4, 5)), RNG.normal(size=(9, 5)), RNG.normal(size=(4, 5))
    _, alone = layer(x1)
    expected = alone(dy)
    _, backward1 = layer(x1)
    layer(x2)
    np.testing.assert_array_equal(backward1(dy), expected)


def test_no_cache_stays_in_the_layer():
    model = network()
    before = {name: set(vars(module)) for name, module in model.named_children()}
    model(RNG.normal(size=(9, 7)))[1](RNG.normal(size=(9, 3)))
    assert before == {name: set(vars(module)) for name, module in model.named_children()}


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_dropout_backward_uses_the_same_mask(p):
    layer = nn.Dropout(p, generator=fastnn.Generator(3))
    x = np.ones((50, 41))
    y, backward = layer(x)
    assert abs((y == 0).mean() - p) < 0.05
    layer(x)  # another mask, which the first closure must not use
    np.testing.assert_array_equal(backward(x), y)


def test_dropout_in_evaluation_is_the_identity():
    layer = nn.Dropout(0.5).eval()
    x = np.ones(4)
    y, backward = layer(x)
    assert y is x and backward(x) is x and backward(x, input_grad=False) is None


def test_batch_norm_counts_training_calls_only():
    layer = nn.BatchNorm1d(3)
    x = RNG.normal(size=(8, 3)).astype(np.float32)
    layer(x)
    layer.eval()(x)
    assert layer.num_batches_tracked == 1 and layer.num_batches_tracked.shape == ()
    mean = layer.running_mean.copy()
    layer(x)
    assert (layer.running_mean == mean).all()


def test_initial_values():
    fastnn.manual_seed(5)
    first = nn.Linear(100, 50)
    assert abs(first.weight.data).max() <= 0.1 and abs(first.bias.data).max() <= 0.1
    assert first.weight.data.std() == pytest.approx(0.1 / np.sqrt(3), rel=0.05)
    fastnn.manual_seed(5)
    assert (nn.Linear(100, 50).weight.data == first.weight.data).all()
    given = nn.Linear(100, 50, generator=fastnn.Generator(5))
    assert (given.weight.data == first.weight.data).all() and (given.bias.data == first.bias.data).all()


F32 = np.ones((2, 4), np.float32)
REFUSALS = [
    (lambda: nn.Linear(5, 3)(F32), ValueError, r"x: got shape (2, 4), want (..., 5); "),
    (lambda: nn.Linear(4, 3)(np.ones((), np.float32)), ValueError, r"x: got shape (), want (..., 4); "),
    (lambda: nn.Linear(4, 3)(np.ones((2, 4))), TypeError, "x: got float64, want a float32 array; "),
    (lambda: nn.Linear(4, 3)([[1.0] * 4]), TypeError, "x: got list, want a float32 array; "),
    (lambda: nn.Linear(4, 3)(F32)[1](F32), ValueError, "dy: got float32 (2, 4), want float32 (2, 3); "),
    (lambda: nn.Linear(4, 4)(F32)[1](np.ones((2, 4))), ValueError, "dy: got float64 (2, 4), want float32 (2, 4); "),
    (lambda: nn.Linear(0, 3), ValueError, "in_features: got 0, want a positive integer; "),
    (lambda: nn.Linear(4, 2.5), ValueError, "out_features: got 2.5, want a positive integer; "),
    (lambda: nn.Linear(4, 3, dtype=np.int32), TypeError, "dtype: got int32, want float32 or float64; "),
    (lambda: nn.Linear(4, 3, dtype=">f4"), TypeError, "dtype: got >f4, want float32 or float64; "),
    (lambda: nn.Dropout(1.5), ValueError, "p: got 1.5, want a probability in [0, 1]; "),
    (lambda: nn.Dropout(float("nan")), ValueError, "p: got nan, want a probability in [0, 1]; "),
    (lambda: nn.BatchNorm1d(0), ValueError, "num_features: got 0, want a positive integer; "),
    (lambda: nn.BatchNorm1d(5)(F32), ValueError, "x: got shape (2, 4), want (N, C) or (N, C, L) with C = 5; "),
    (lambda: nn.BatchNorm2d(4)(F32), ValueError, "x: got shape (2, 4), want (N, C, H, W) with C = 4; "),
    (lambda: nn.BatchNorm1d(4, affine=False)([[1.0] * 4]), TypeError, "x: got"),
    (lambda: nn.BatchNorm1d(4)(F32[:1]), ValueError, ""),
    (lambda: nn.BatchNorm1d(4)(F32.astype(np.float64)), TypeError, ""),
    (lambda: nn.LayerNorm(5)(F32), ValueError, ""),
    (lambda: nn.LayerNorm((4, 0)), ValueError, "normalized_shape: got 0, want a positive integer; "),
]


@pytest.mark.parametrize(("call", "error", "sentence"), REFUSALS)
def test_refuses(call, error, sentence):
    with pytest.raises(error, match="^" + re.escape(sentence)):
        call()


def test_refused_backward_writes_no_gradient():
    layer = nn.Linear(4, 3)
    _, backward = layer(F32)
    with pytest.raises(ValueError, match="dy"):
        backward(F32)
    x = np.ones((2, 5, 4), np.float32)
    _, backward = layer(x)
    for shape in ((5, 2, 3), (10, 3), (2, 5), (2, 5, 4), (2, 4, 3)):
        with pytest.raises(ValueError, match=r"^dy: got float32 .*, want float32 \(2, 5, 3\)"):
            backward(np.ones(shape, np.float32))
    assert layer.weight.grad is None and layer.bias.grad is None


def test_refused_batch_leaves_running_statistics():
    layer = nn.BatchNorm1d(4)
    with pytest.raises(ValueError):
        layer(F32[:1])
    assert (layer.running_mean == 0).all() and layer.num_batches_tracked == 0


@pytest.mark.parametrize("name", ["linear", "relu", "layer", "batch1d"])
def test_empty_batch(name):
    make, _, shape = LAYERS[name]
    layer = make(np.float64)
    y, backward = layer(np.empty((0, *shape[1:])))
    assert len(y) == 0 and backward(y).shape == (0, *shape[1:])
    assert all((p.grad == 0).all() for p in layer.parameters())


BAD_OPTIONS = [
    (nn.LeakyReLU, (float("nan"),), "^negative_slope: got nan, want"),
    (nn.ELU, (float("inf"),), "^alpha: got inf, want"),
    (nn.GELU, ("erf",), "^approximate: got 'erf', want"),
    (nn.MaxPool2d, (0,), "^kernel_size: got 0, want"),
    (nn.MaxPool2d, (2, 2, 2), r"^padding: got \(2, 2\), want at most half"),
    (nn.MaxPool2d, (16,), "^kernel_size: got .*, want a product of 255 at most"),
    (nn.Softplus, (0.0,), "^beta: got 0.0, want"),
    (nn.Softplus, (1.0, float("nan")), "^threshold: got nan, want"),
]


@pytest.mark.parametrize(("layer", "options", "sentence"), BAD_OPTIONS)
def test_bad_options_of_activations(layer, options, sentence):
    """Bad options are refused when the layer is made, not when it first runs."""
    with pytest.raises(ValueError, match=sentence):
        layer(*options)


def test_activations_show_their_options():
    """The repr of an activation shows its options, as in torch."""
    layers = nn.ReLU(), nn.LeakyReLU(0.2), nn.ELU(), nn.GELU("tanh"), nn.Softplus(2.0)
    assert [repr(layer) for layer in layers] == [
        "ReLU()",
        "LeakyReLU(negative_slope=0.2)",
        "ELU(alpha=1.0)",
        "GELU(approximate='tanh')",
        "Softplus(beta=2.0, threshold=20.0)",
    ]
