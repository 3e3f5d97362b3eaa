"""initialize fills each layer of a model by its rule, and report describes the signals without changing the model."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support import Array, same_bits

import fastnn
from fastnn import Generator, init, nn, random

WIDE = 300
ACTIVATIONS: list[tuple[nn.Module | None, float]] = [
    (nn.ReLU(), math.sqrt(2 / WIDE)),
    (nn.LeakyReLU(0.5), math.sqrt(2 / 1.25 / WIDE)),
    (nn.LeakyReLU(0.0), math.sqrt(2 / WIDE)),
    (nn.ELU(), math.sqrt(2 / WIDE)),
    (nn.GELU(), math.sqrt(2 / WIDE)),
    (nn.SiLU(), math.sqrt(2 / WIDE)),
    (nn.Softplus(), math.sqrt(2 / WIDE)),
    (nn.Tanh(), 5 / 3 * math.sqrt(2 / (WIDE + 200))),
    (nn.Sigmoid(), math.sqrt(2 / (WIDE + 200))),
    (None, math.sqrt(2 / (WIDE + 200))),
]
RULES = {
    "he": math.sqrt(2 / WIDE),
    "kaiming": math.sqrt(2 / WIDE),
    "xavier": math.sqrt(2 / (WIDE + 200)),
    "glorot": math.sqrt(2 / (WIDE + 200)),
    "lecun": math.sqrt(1 / WIDE),
    "orthogonal": math.sqrt(1 / WIDE),
}


class Composite(nn.Module):
    """A user's module with parameters of its own."""

    def __init__(self) -> None:
        self.kernel = nn.Parameter(np.full((40, 50), 7.0, np.float32))
        self.bias = nn.Parameter(np.full(40, 7.0, np.float32))
        self.scale = nn.Parameter(np.full(40, 7.0, np.float32))
        self.act = nn.Tanh()
        self.inner = nn.Linear(40, 40)


def _deviates(array: Array, std: float) -> bool:
    return bool(abs(array.std() / std - 1) < 5 / math.sqrt(2 * array.size) and abs(array.mean()) < 5 * std / 200)


@pytest.mark.parametrize(("activation", "std"), ACTIVATIONS)
@pytest.mark.parametrize(
    "between", [(), (nn.Dropout(0.5),), (nn.BatchNorm1d(200), nn.Dropout(0.1)), (nn.LayerNorm((2, 100)),)]
)
def test_auto(between: tuple[nn.Module, ...], activation: nn.Module | None, std: float) -> None:
    """The rule "auto" is He or Xavier by the next activation, beyond norms and dropout and in nested containers."""
    linear = nn.Linear(WIDE, 200)
    tail = [] if activation is None else [activation]
    model = nn.Sequential(nn.Sequential(linear), *between, nn.Sequential(*tail, nn.Linear(200, 10)))
    assert init.initialize(model, seed=1) is model
    assert _deviates(linear.weight.data, std)
    assert linear.bias is not None and not linear.bias.data.any()


@pytest.mark.parametrize(("rule", "std"), RULES.items())
def test_rules(rule: str, std: float) -> None:
    """A named rule applies to all weights, whatever activation follows."""
    for activation in (nn.ReLU(), nn.Tanh()):
        linear = nn.Linear(WIDE, 200)
        init.initialize(nn.Sequential(linear, activation), rule, seed=2)
        assert abs(linear.weight.data.std() / std - 1) < 5 / math.sqrt(2 * WIDE * 200)


def test_norms_are_reset() -> None:
    """Norms get ones, zeros, and the running statistics of a new layer."""
    model = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.LayerNorm((2, 3)), nn.LayerNorm(6, bias=False))
    fresh = {k: v.copy() for k, v in model.state_dict().items()}
    for array in model.state_dict().values():
        array[...] = 5
    init.initialize(model, seed=1)
    for name, array in model.state_dict().items():
        if not name.startswith("0."):
            assert same_bits(array, fresh[name]), name


def test_a_custom_module() -> None:
    """In a user's module, matrices are weights, a vector called bias becomes zero, and other vectors stay."""
    model = Composite()
    init.initialize(model, seed=3)
    assert _deviates(model.kernel.data, 5 / 3 * math.sqrt(2 / 90))
    assert not model.bias.data.any() and (model.scale.data == 7).all()
    assert abs(model.inner.weight.data.std() / math.sqrt(2 / 80) - 1) < 0.2


def _weights(model: nn.Module) -> list[Array]:
    return [p.data.copy() for p in model.parameters() if len(p.shape) > 1]


def test_seeds() -> None:
    """The same seed gives the same model, and each weight's values depend only on its position."""

    def model(middle: int = 20) -> nn.Sequential:
        return nn.Sequential(
            nn.Linear(9, 9), nn.ReLU(), nn.Linear(9, middle), nn.ReLU(), nn.Linear(middle, 9), nn.ReLU()
        )

    a, b = (_weights(init.initialize(model(), seed=seed)) for seed in (5, Generator(5)))
    assert all(map(same_bits, a, b))
    c = _weights(init.initialize(model(30), seed=5))
    assert same_bits(a[0], c[0]) and a[1].shape != c[1].shape
    assert not same_bits(a[0], _weights(init.initialize(model(), seed=6))[0])
    fastnn.manual_seed(5)
    d, e = (_weights(init.initialize(model())) for _ in range(2))
    assert all(map(same_bits, a, d)) and not any(map(same_bits, d, e))
    numpys = [_weights(init.initialize(model(), seed=np.random.default_rng(1))) for _ in range(2)]
    assert all(map(same_bits, *numpys))


def test_shared_layers_are_filled_once() -> None:
    """A shared layer is filled once, by its first position."""
    shared = nn.Linear(9, 9)
    init.initialize(nn.Sequential(shared, nn.ReLU(), shared, nn.Tanh()), seed=1)
    alone = nn.Linear(9, 9)
    init.initialize(nn.Sequential(alone, nn.ReLU()), seed=1)
    assert same_bits(shared.weight.data, alone.weight.data)


def test_shared_activations_count_everywhere() -> None:
    """An activation that is used twice counts after both layers."""
    act, layers = nn.ReLU(), [nn.Linear(WIDE, WIDE) for _ in range(2)]
    init.initialize(nn.Sequential(layers[0], act, layers[1], act), seed=1)
    assert all(_deviates(layer.weight.data, math.sqrt(2 / WIDE)) for layer in layers)


def test_an_eps_makes_no_norm() -> None:
    """An attribute called eps does not make a module a norm; its matrix is still a weight."""
    model = Composite()
    vars(model)["eps"] = 1e-5
    init.initialize(model, seed=3)
    assert _deviates(model.kernel.data, 5 / 3 * math.sqrt(2 / 90))


def test_refusals() -> None:
    """Bad arguments are refused, and nothing is filled."""
    model = nn.Sequential(nn.Linear(3, 3))
    before = _weights(model)
    with pytest.raises(ValueError, match=r"^rule: got 'best', want one of auto, he, .*orthogonal"):
        init.initialize(model, "best")
    with pytest.raises(ValueError, match=r"^model: got a model without parameters"):
        init.initialize(nn.ReLU())
    for function in (init.initialize, lambda m: init.report(m, np.ones((2, 3)))):
        with pytest.raises(TypeError, match=r"^model: got int, want a fastnn.nn.Module"):
            function(3)
    with pytest.raises(ValueError, match=r"^batch: got shape \(0, 3\), want at least one sample"):
        init.report(model, np.ones((0, 3), np.float32))
    with pytest.raises(ValueError, match=r"^model: got a model without layers"):
        init.report(nn.Sequential(), np.ones((2, 3), np.float32))
    with pytest.raises(ValueError, match=r"^dy: got "):
        init.report(model, np.ones((2, 3), np.float32), np.ones((2, 4), np.float32))
    assert all(map(same_bits, before, _weights(model)))


def _deep(activation: type[nn.Module], layers: int = 20, width: int = 256) -> nn.Sequential:
    return nn.Sequential(*(layer for _ in range(layers) for layer in (nn.Linear(width, width), activation())))


BATCH = np.random.default_rng(0).standard_normal((128, 256)).astype(np.float32)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
def test_signals_in_deep_networks(activation: type[nn.Module]) -> None:
    """With "auto", signals survive twenty layers, forward and backward; too small or large weights cause warnings."""
    model = init.initialize(_deep(activation), seed=4)
    report = init.report(model, BATCH)
    deviations = [row.activation.std for row in report if row.layer.endswith("()")]
    assert 0.4 < deviations[-1] / deviations[0] < 2 and not report.warnings
    gradients = [row.gradient.std for row in report]
    assert 0.2 < gradients[0] / gradients[-1] < 5
    for factor, verdict in ((0.3, "vanishes"), (3.0, "explodes")):
        for name, parameter in init.initialize(model, seed=4).named_parameters():
            if name.endswith("weight"):
                parameter.data *= factor
        warnings = init.report(model, BATCH).warnings
        kinds = ("activation", "gradient") if factor < 1 else ("activation",)
        if activation is nn.Tanh and factor > 1:
            continue  # its values cannot explode
        for kind in kinds:
            assert any(f"the {kind} {verdict}" in warning for warning in warnings), warnings


def test_numbers_of_a_report() -> None:
    """Means, deviations and dead units of results and gradients are those of a network computed by hand."""
    linear = nn.Linear(2, 4, dtype=np.float64)
    linear.weight.data[...] = [[1, 0], [0, 1], [-1, -1], [0, 0]]
    assert linear.bias is not None
    linear.bias.data[...] = 0
    x, dy = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 1, 1, 1], [1, 0, 1, 0]])
    report = init.report(nn.Sequential(linear, nn.Sequential(nn.ReLU())), x, dy)
    first, second = report
    assert (first.name, second.name) == ("0", "1.0") and len(report) == 2
    values = np.array([[1.0, 2, -3, 0], [3, 4, -7, 0]])
    for signal, want in (
        (first.activation, values),
        (second.activation, np.maximum(values, 0)),
        (second.gradient, dy),
        (first.gradient, dy * (values > 0)),
    ):
        assert signal.mean == pytest.approx(want.mean()) and signal.std == pytest.approx(want.std())
        assert signal.dead == (~want.any(axis=0)).mean()
    assert report.warnings == ("1.0  ReLU(): 50% of its units are dead",)
    text = str(report)
    assert "activation" in text and "50.0%" in text and len({len(line) for line in text.splitlines()[1:-1]}) == 1


def test_channels_are_units() -> None:
    """In images a unit is a channel, which is dead if it is zero everywhere."""
    x = np.ones((2, 4, 3, 3))
    x[:, 1] = -1
    assert init.report(nn.Sequential(nn.ReLU()), x).layers[0].activation.dead == 0.25


def _everything(model: nn.Module) -> dict[str, Any]:
    found: dict[str, Any] = {name: array.copy() for name, array in model.state_dict().items()}
    found |= {f"{name}.grad": None if p.grad is None else p.grad.copy() for name, p in model.named_parameters()}
    found["training"] = [module.training for module in model.modules()]
    found["generators"] = [fastnn.random.default_generator.state]
    found["generators"] += [g.state for m in model.modules() if (g := vars(m).get("generator"))]
    return found


@pytest.mark.parametrize("with_gradients", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_a_report_changes_nothing(fails: bool, with_gradients: bool) -> None:
    """A report keeps running statistics, gradients, modes and generators, even if the model refuses the batch."""
    model = nn.Sequential(
        nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5), nn.Dropout(0.5, generator=3), nn.Linear(6, 2)
    )
    x = np.random.default_rng(0).standard_normal((8, 5)).astype(np.float32)
    if with_gradients:
        y, backward = model(x)
        backward(y)
    if fails:
        model = nn.Sequential(*model, nn.Linear(3, 3))
    before = _everything(model)
    if fails:
        with pytest.raises(ValueError, match=r"^x: got shape"):
            init.report(model, x)
    else:
        assert init.report(model, x) == init.report(model, x)
    after = _everything(model)
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert same_bits(value, after[name]) if isinstance(value, np.ndarray) else value == after[name], name


def test_a_report_does_not_depend_on_the_default_generator() -> None:
    """Without dy, the gradient that is sent back is always the same."""
    model = init.initialize(_deep(nn.ReLU, 2), seed=1)
    fastnn.manual_seed(1)
    first = init.report(model, BATCH)
    fastnn.manual_seed(2)
    random.normal_(np.empty(100))
    assert init.report(model, BATCH) == first


def test_warnings_of_a_report() -> None:
    """Zero and extreme weights in the first layer cause a warning; a norm resets the scale, which causes none."""
    model = nn.Sequential(nn.Linear(256, 256), nn.BatchNorm1d(256), nn.Linear(256, 256))
    assert not init.report(init.initialize(model, seed=1), 1e4 * BATCH).warnings
    linear = nn.Linear(256, 256)
    for factor, verdict in ((0.0, "vanishes"), (1e-3, "vanishes"), (1e3, "explodes")):
        init.initialize(linear, seed=1)
        linear.weight.data *= factor
        warnings = init.report(linear, BATCH).warnings
        assert len(warnings) == 1 and f"the activation {verdict}" in warnings[0]


def test_not_finite() -> None:
    """For a batch with NaN, the warning names the first layer."""
    x = BATCH.copy()
    x[0, 0] = np.nan
    warnings = init.report(init.initialize(_deep(nn.ReLU, 2), seed=1), x).warnings
    assert warnings[0].startswith("0  Linear") and "the activation is not finite" in warnings[0]


@pytest.mark.parametrize("scale", [1e20, 1e30])
def test_signals_at_the_end_of_float32(scale: float) -> None:
    """A signal whose square float32 cannot hold has a finite deviation and explodes."""
    model = init.initialize(_deep(nn.ReLU, 2), seed=1)
    model[0].weight.data *= np.float32(scale)
    report = init.report(model, BATCH)
    assert np.isfinite(report.layers[0].activation.std) and report.layers[0].activation.std > scale / 10
    assert report.warnings[0].startswith("0  Linear") and "the activation explodes" in report.warnings[0]


def test_a_title_stands_above_its_numbers() -> None:
    """The two titles are centred above the columns of their numbers, which are aligned."""
    report = init.report(nn.Sequential(nn.ReLU(), nn.LeakyReLU()), np.eye(3))
    title, head, first, second = str(report).split("\n")
    assert len(title) == len(head) == len(first) == len(second)
    assert head.startswith("layer ") and first.startswith("0  ReLU() ") and second.startswith("1  LeakyReLU(")
    begin = len("1  LeakyReLU(negative_slope=0.01)  ")
    for name in ("activation", "gradient"):
        assert title[begin : begin + 29] == f"{name:^29}"
        assert head[begin : begin + 29] == f"{'mean':>10} {'std':>10} {'dead':>7}"
        assert len(second[begin : begin + 29].split()) == 3
        begin += 31


class Changed(nn.Module):
    """Returns what a function makes of its input; its own gradient is 1."""

    def __init__(self, change: Callable[[Array], Array]) -> None:
        self.change, self.got = change, np.empty(0)

    def __call__(self, x: Array) -> tuple[Array, nn.Backward]:
        def backward(dy: Array, input_grad: bool = True) -> Array | None:
            self.got = dy
            return np.ones_like(x) if input_grad else None

        self.training = not self.training
        return self.change(x), backward


@pytest.mark.parametrize(("values", "dead"), [([1.0, -2.0, 0.0], 0.0), ([0.0, 0.0, 0.0], 1.0)])
def test_results_of_one_axis(values: list[float], dead: float) -> None:
    """One number per sample is one unit."""
    row = init.report(Changed(lambda x: x[:, 0]), np.array(values)[:, None]).layers[0]
    assert row.activation.dead == dead and row.activation.std == pytest.approx(np.std(values))


def test_a_channel_that_is_zero_in_part() -> None:
    """A channel is dead only if it is zero at every place of every image."""
    x = np.zeros((2, 5, 2, 3))
    x[0, 0, 0, 0] = x[1, 1, 1, 2] = x[0, 2, 1] = x[:, 3, :, 0] = 1
    assert init.report(Changed(np.copy), x).layers[0].activation.dead == 1 / 5


def test_results_in_another_order() -> None:
    """The gradient that a report draws is C-contiguous, whatever the layout of the result, and the same each time."""
    gradients = []
    for change in (np.copy, np.asfortranarray, lambda x: np.repeat(x, 2, axis=1)[:, ::2]):
        model = Changed(change)
        init.report(model, np.ones((3, 4)))
        assert model.got.flags.c_contiguous and model.got.std() > 0.3
        gradients.append(model.got)
    assert same_bits(gradients[0], gradients[1]) and same_bits(gradients[0], gradients[2])


@pytest.mark.parametrize("training", [True, False])
def test_a_report_restores_the_mode(training: bool) -> None:
    """A layer that changes its mode when it runs has its old one afterwards."""
    model = nn.Sequential(Changed(np.copy), nn.Sequential(nn.ReLU(), Changed(np.copy))).train(training)
    init.report(model, np.ones((3, 4)))
    assert [module.training for module in model.modules()] == [training] * 5


def test_a_signal_of_zeros_vanishes() -> None:
    """Zeros have vanished, also if the batch or dy were zeros already."""
    model = nn.Sequential(nn.LeakyReLU(), nn.LeakyReLU())
    x = np.random.default_rng(0).standard_normal((4, 3))
    layer = "LeakyReLU(negative_slope=0.01)"
    assert init.report(model, x, np.zeros_like(x)).warnings == (
        f"1  {layer}: the gradient vanishes, its deviation is 0",
    )
    assert f"0  {layer}: the activation vanishes, its deviation is 0" in init.report(model, 0 * x).warnings


def test_means_at_the_end_of_float32() -> None:
    """A sum that float32 cannot hold has a finite mean."""
    row = init.report(nn.Sequential(nn.ReLU()), np.full((4, 3), 2e38, np.float32)).layers[0]
    assert row.activation.mean == pytest.approx(2e38) and row.activation.std == pytest.approx(0, abs=1e24)
