"""Layers agree with reference formulas: results, all gradients, running statistics, names and defaults."""

import math

import numpy as np
import pytest
import reference
from reference import activation

import fastnn
from fastnn import nn

RNG = np.random.default_rng(17)
CLOSE = {"rtol": 1e-11, "atol": 1e-12}


def linear(layer, x, dy):
    rows, gradient = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    y = np.einsum("...i,oi->...o", x, layer.weight.data) + (layer.bias.data if layer.bias else 0)
    dx = np.einsum("...o,oi->...i", dy, layer.weight.data)
    return y, dx, {"weight": np.einsum("no,ni->oi", gradient, rows), "bias": gradient.sum(0)}


def elementwise(name, *options):
    def reference_of(layer, x, dy):
        return activation.VALUES[name](x, *options), dy * activation.SLOPES[name](x, *options), {}

    return reference_of


def data(parameter):
    return None if parameter is None else parameter.data


def batch_norm(eps=1e-5, momentum=0.1):
    def reference_of(layer, x, dy):
        own = layer.training or layer.running_mean is None
        running = layer.running_mean, layer.running_var
        weight = data(layer.weight)
        y, mean, rstd, *after = reference.batch_norm(x, *running, weight, data(layer.bias), own, momentum, eps)
        dx, dweight, dbias = reference.batch_norm_backward(dy, x, weight, mean, rstd, own)
        statistics = dict(zip(("running_mean", "running_var"), after, strict=True)) if running[0] is not None else {}
        if statistics:
            statistics["num_batches_tracked"] = int(layer.training)
        return y, dx, {"weight": dweight, "bias": dbias} | statistics

    return reference_of


def layer_norm(axes, eps=1e-5):
    def reference_of(layer, x, dy):
        y, _, _ = reference.layer_norm(x, axes, data(layer.weight), data(layer.bias), eps)
        dx, dweight, dbias = reference.layer_norm_backward(dy, x, axes, data(layer.weight), eps)
        return y, dx, {"weight": dweight, "bias": dbias}

    return reference_of


def max_pool(*sizes):
    def reference_of(layer, x, dy):
        y, places = reference.max_pool2d(x, *sizes)
        return y, reference.max_pool2d_backward(dy, places, x.shape, *sizes), {}

    return reference_of


F64 = np.float64
# Layer, its reference, the shape of x, and the names of its state.
LAYERS = {
    "linear": (lambda: nn.Linear(5, 3, dtype=F64), linear, (4, 5), "weight bias"),
    "linear-no-bias": (lambda: nn.Linear(5, 3, False, dtype=F64), linear, (4, 5), "weight"),
    "linear-one-row": (lambda: nn.Linear(5, 3, dtype=F64), linear, (5,), "weight bias"),
    "linear-axes": (lambda: nn.Linear(5, 3, dtype=F64), linear, (2, 6, 4, 5), "weight bias"),
    "linear-two-axes": (lambda: nn.Linear(5, 3, dtype=F64), linear, (2, 6, 5), "weight bias"),
    "linear-wide": (lambda: nn.Linear(70, 130, dtype=F64), linear, (33, 70), "weight bias"),
    "relu": (nn.ReLU, elementwise("relu"), (3, 7), ""),
    "leaky-relu": (nn.LeakyReLU, elementwise("leaky_relu"), (3, 7), ""),
    "leaky-relu-0.2": (lambda: nn.LeakyReLU(0.2), elementwise("leaky_relu", 0.2), (3, 7), ""),
    "elu": (nn.ELU, elementwise("elu"), (3, 7), ""),
    "elu-1.5": (lambda: nn.ELU(1.5), elementwise("elu", 1.5), (3, 7), ""),
    "gelu": (nn.GELU, elementwise("gelu"), (3, 7), ""),
    "gelu-tanh": (lambda: nn.GELU("tanh"), elementwise("gelu_tanh"), (3, 7), ""),
    "silu": (nn.SiLU, elementwise("silu"), (2, 3, 7), ""),
    "sigmoid": (nn.Sigmoid, elementwise("sigmoid"), (3, 7), ""),
    "tanh": (nn.Tanh, elementwise("tanh"), (3, 7), ""),
    "softplus": (nn.Softplus, elementwise("softplus"), (3, 7), ""),
    "softplus-2": (lambda: nn.Softplus(2.0, 1.0), elementwise("softplus", 2.0, 1.0), (3, 7), ""),
    "batch1d": (lambda: nn.BatchNorm1d(6, dtype=F64), batch_norm(), (9, 6), "all"),
    "batch1d-length": (
        lambda: nn.BatchNorm1d(6, 1e-3, 0.3, dtype=F64), batch_norm(1e-3, 0.3), (5, 6, 4), "all",
    ),
    "batch1d-not-affine": (
        lambda: nn.BatchNorm1d(6, affine=False, dtype=F64), batch_norm(), (9, 6),
        "running_mean running_var num_batches_tracked",
    ),
    "batch1d-not-tracked": (
        lambda: nn.BatchNorm1d(6, track_running_stats=False, dtype=F64), batch_norm(), (9, 6), "weight bias",
    ),
    "batch1d-average-not-tracked": (
        lambda: nn.BatchNorm1d(6, momentum=None, track_running_stats=False, dtype=F64), batch_norm(), (9, 6),
        "weight bias",
    ),
    "batch2d": (lambda: nn.BatchNorm2d(3, dtype=F64), batch_norm(), (4, 3, 5, 2), "all"),
    "layer": (lambda: nn.LayerNorm(8, dtype=F64), layer_norm(1), (5, 8), "weight bias"),
    "layer-shape": (lambda: nn.LayerNorm((3, 4), dtype=F64), layer_norm(2), (5, 2, 3, 4), "weight bias"),
    "layer-plain": (lambda: nn.LayerNorm(8, 1e-2, False), layer_norm(1, 1e-2), (5, 8), ""),
    "layer-no-bias": (lambda: nn.LayerNorm(8, bias=False, dtype=F64), layer_norm(1), (5, 8), "weight"),
    "max-pool": (lambda: nn.MaxPool2d(2), max_pool((2, 2), (2, 2), (0, 0)), (2, 3, 4, 7), ""),
    "max-pool-padded": (
        lambda: nn.MaxPool2d((3, 2), 1, (1, 0)), max_pool((3, 2), (1, 1), (1, 0)), (2, 3, 4, 7), "",
    ),
}  # fmt: skip
ALL = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name, training):
    make, reference_of, shape, names = LAYERS[name]
    layer = make().train(training)
    assert [*layer.state_dict()] == (ALL if names == "all" else names.split())
    for parameter in layer.parameters():
        parameter.data[...] = RNG.normal(size=parameter.shape)
    if getattr(layer, "running_mean", None) is not None:
        layer.running_mean[...], layer.running_var[...] = RNG.normal(size=shape[1]), RNG.uniform(0.5, 2, shape[1])
    x = RNG.normal(0.5, 2, size=shape)
    y_shape = layer(x)[0].shape
    layer = _again(layer, make, training)
    dy = RNG.normal(size=y_shape)
    want_y, want_dx, rest = reference_of(layer, x, dy)
    y, backward = layer(x)
    dx = backward(dy)
    np.testing.assert_allclose(y, want_y, **CLOSE)
    np.testing.assert_allclose(dx, want_dx, **CLOSE)
    for key, parameter in layer.named_parameters():
        np.testing.assert_allclose(parameter.grad, rest[key], err_msg=key, **CLOSE)
    assert backward(dy, input_grad=False) is None
    for key, parameter in layer.named_parameters():
        np.testing.assert_allclose(parameter.grad, 2 * rest[key], err_msg=key, **CLOSE)
    for key, array in layer.state_dict().items():
        if key not in dict(layer.named_parameters()):
            np.testing.assert_allclose(array, rest[key], err_msg=key, **CLOSE)


def _again(layer, make, training):
    """Return a new layer with the same parameters and no batch counted."""
    other = make().train(training)
    state = {key: array for key, array in layer.state_dict().items() if key != "num_batches_tracked"}
    other.load_state_dict(state, strict=False)
    return other


def test_initial_linear():
    """Weights are He-uniform with a slope of sqrt(5), +-1 / sqrt(in_features); so is the bias, which is drawn next."""
    for width in (1, 4, 100):
        layer = nn.Linear(width, 3, dtype=F64, generator=fastnn.Generator(5))
        generator, bound = fastnn.Generator(5), 1 / math.sqrt(width)
        weight = fastnn.random.uniform_(np.empty((3, width)), -bound, bound, generator)
        np.testing.assert_allclose(layer.weight.data, weight, rtol=1e-14)
        bias = fastnn.random.uniform_(np.empty(3), -bound, bound, generator)
        np.testing.assert_allclose(layer.bias.data, bias, rtol=1e-14)


def test_dropout():
    """Kept elements are multiplied by 1 / (1 - p), and masks come from the layer's own stream, block after block."""
    layer, generator = nn.Dropout(0.25, generator=fastnn.Generator(3, 4)), fastnn.Generator(3, 4)
    x = RNG.normal(size=(5, 31))
    for block in (0, 2):
        keep = reference.dropout_keep(x.size, 0.25, 3, 4, block).reshape(x.shape)
        y, backward = layer(x)
        np.testing.assert_allclose(y, np.where(keep, x / 0.75, 0), rtol=1e-15)
        np.testing.assert_allclose(backward(x), y, rtol=1e-15)
        generator.reserve(-(-x.size // 2))
        assert layer.generator.offset == generator.offset
    fastnn.manual_seed(9)
    assert (nn.Dropout()(x)[0] == fastnn.functional.dropout(x, 0.5, generator=9)).all()


WEIGHT = RNG.uniform(0.5, 2, 4)
LOSSES = [
    {},
    {"reduction": "sum"},
    {"weight": WEIGHT},
    {"ignore_index": 2, "weight": WEIGHT},
    {"label_smoothing": 0.3},
    {"weight": WEIGHT, "label_smoothing": 0.3, "reduction": "sum", "ignore_index": 1},
]


@pytest.mark.parametrize("options", LOSSES, ids=str)
def test_cross_entropy(options):
    """The loss, its gradient, the loss of each sample, and its weight in the mean equal the reference's."""
    logits, labels = RNG.normal(size=(9, 4)), RNG.integers(0, 4, 9)
    labels[3] = options.get("ignore_index", -100)
    loss = nn.CrossEntropyLoss(**options)
    for found, want in zip(
        loss(logits, labels), reference.softmax_cross_entropy(logits, labels, **options), strict=True
    ):
        np.testing.assert_allclose(found, want, **CLOSE)
    ignored = labels == options.get("ignore_index", -100)
    counts = np.where(ignored, 0, (WEIGHT if "weight" in options else np.ones(4))[np.where(ignored, 0, labels)])
    np.testing.assert_array_equal(loss.counts(labels), counts)
    each, gradient = reference.softmax_cross_entropy(logits, labels, **(options | {"reduction": "none"}))
    divisor = np.where(ignored | (options.get("reduction") == "sum"), 1, counts)
    for found, want in zip(loss.each(logits, labels), (each / divisor, gradient / divisor[:, None]), strict=True):
        np.testing.assert_allclose(found, want, **CLOSE)
    probabilities = RNG.dirichlet(np.ones(4), 9)
    assert loss.counts(probabilities) is None
    plain = nn.CrossEntropyLoss(**{k: v for k, v in options.items() if k == "weight"})
    whole = np.arange(9) % 4
    assert (plain.counts(whole) is None) == ("weight" not in options)


def test_losses_show_their_options():
    assert repr(nn.CrossEntropyLoss()) == "CrossEntropyLoss()"
    shown = nn.CrossEntropyLoss(np.ones(2), 3, "sum", 0.5)
    want = "CrossEntropyLoss(weight=array([1., 1.]), ignore_index=3, reduction='sum', label_smoothing=0.5)"
    assert repr(shown) == want


def test_layers_show_their_options():
    layers = {
        nn.Linear(5, 3): "Linear(5, 3, bias=True)",
        nn.Linear(5, 3, False): "Linear(5, 3, bias=False)",
        nn.Dropout(0.25): "Dropout(p=0.25)",
        nn.BatchNorm1d(4, 1e-3, None): "BatchNorm1d(4, eps=0.001, momentum=None, affine=True)",
        nn.BatchNorm2d(4, affine=False): "BatchNorm2d(4, eps=1e-05, momentum=0.1, affine=False)",
        nn.LayerNorm(4): "LayerNorm((4,), eps=1e-05, elementwise_affine=True)",
        nn.LayerNorm((2, 4), 0.1, False): "LayerNorm((2, 4), eps=0.1, elementwise_affine=False)",
        nn.MaxPool2d(2, (1, 2), 1): "MaxPool2d(kernel_size=(2, 2), stride=(1, 2), padding=(1, 1))",
        nn.Sequential(nn.ReLU(), nn.Sequential(nn.Tanh())): (
            "Sequential(\n  (0): ReLU()\n  (1): Sequential(\n    (0): Tanh()\n  )\n)"
        ),
    }
    assert [repr(layer) for layer in layers] == [*layers.values()]
