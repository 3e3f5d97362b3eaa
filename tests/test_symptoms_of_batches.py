"""diagnose names what a batch shows: inputs and targets of the wrong scale, NaN, constants, results that guess."""

import math

import numpy as np
import pytest
from drawn_curves import drawn
from training_tasks import CLASSES, DATA, VALIDATION, Softmax, no_bias, plain, samples

import fastnn
from fastnn import nn, optim
from fastnn.data import Normalize, load_digits
from fastnn.training import Trainer, diagnose

RNG = np.random.default_rng(2)
SGD = {"optimizer": optim.SGD}
W = RNG.normal(size=(10, 1))


def diagnosed(model, data, batch, lr=1e-2, optimizer=optim.AdamW, loss=None, epochs=5, validation=None):
    trainer = Trainer(model, loss or nn.CrossEntropyLoss(), optimizer(model.parameters(), lr=lr), seed=1)
    with np.errstate(all="ignore"):
        history = trainer.fit(data, validation, epochs, 32, verbose=False)
    return {symptom.name: symptom for symptom in diagnose(history, model=model, batch=batch)}


def both(change_x=lambda x: x, change_y=lambda y: y):
    return tuple((change_x(x).astype(np.float32), change_y(y)) for x, y in (DATA, VALIDATION))


def unbalanced(data):
    """Return the data with half of the labels 0, so that a guess costs less than log C."""
    x, y = data
    return x, np.where(RNG.random(len(y)) < 0.6, 0, y)


def one_output(width=32):
    fastnn.manual_seed(1)
    return nn.Sequential(nn.Linear(10, width), nn.ReLU(), nn.Linear(width, 1))


def targets(scale=1.0, mean=0.0):
    return [(x, (x @ W * scale + mean).astype(np.float32)) for x, _ in (DATA, VALIDATION)]


OFFSET = both(lambda x: 0.1 * x + 500)
CASES = {  # a training, its symptoms
    "offset": (lambda: diagnosed(plain(), *OFFSET), {"no better than a guess", "unscaled input"}),
    "offset, SGD": (lambda: diagnosed(plain(), *OFFSET, lr=0.1, **SGD), {"plateau at log C", "unscaled input"}),
    "300 x + 500": (
        lambda: diagnosed(plain(), *both(lambda x: 300 * x + 500), lr=0.1, **SGD),
        {"unscaled input", "dead units"},
    ),
    "300 x + 500, unbalanced": (
        lambda: diagnosed(plain(), *map(unbalanced, both(lambda x: x + 500)), lr=3e-2),
        {"no better than a guess", "unscaled input"},
    ),
    "tiny inputs": (lambda: diagnosed(plain(), *both(lambda x: x * 1e-4), lr=1e-3), {"unscaled input"}),
    "constant inputs": (
        lambda: diagnosed(plain(), *both(lambda x: np.ones_like(x))),
        {"plateau at log C", "constant input"},
    ),
    "one sample for all": (
        lambda: diagnosed(plain(), DATA, (np.repeat(DATA[0][:1], 40, 0), DATA[1][:40])),
        {"constant input"},
    ),
    "all ReLU dead": (
        lambda: diagnosed(no_bias(plain()), DATA, VALIDATION, lr=1e-3),
        {"plateau at log C", "constant result", "dead units"},
    ),
    "rate far too high": (lambda: diagnosed(plain(), DATA, VALIDATION, lr=10.0, **SGD), {"diverging"}),
    "rate far too low": (lambda: diagnosed(plain(), DATA, VALIDATION, lr=1e-7), {"loss does not fall"}),
    "softmax before the loss": (
        lambda: diagnosed(plain(Softmax()), DATA, VALIDATION, epochs=8),
        {"softmax before the loss"},
    ),
    "targets of 1e4": (
        lambda: diagnosed(one_output(), *targets(1e4), loss=nn.MSELoss(), lr=1e-3),
        {"unscaled targets"},
    ),
    "targets around 1e4": (
        lambda: diagnosed(one_output(), *targets(1.0, 1e4), loss=nn.MSELoss(), lr=1e-3),
        {"loss does not fall", "unscaled targets"},
    ),
    "targets of 1e4, SGD": (
        lambda: diagnosed(one_output(), *targets(1e4), loss=nn.MSELoss(), **SGD),
        {"NaN or infinity", "unscaled targets"},
    ),
    "targets of 1e-5": (
        lambda: diagnosed(one_output(), *targets(1e-5), loss=nn.MSELoss(), lr=1e-3),
        {"unscaled targets"},
    ),
    "noise as targets": (
        lambda: diagnosed(
            nn.Sequential(nn.Linear(10, 1)),
            *((x, RNG.normal(size=(len(x), 1)).astype(np.float32)) for x, _ in (DATA, VALIDATION)),
            loss=nn.MSELoss(),
        ),
        {"no better than a guess"},
    ),
    "one output, dead": (
        lambda: diagnosed(
            no_bias(one_output()),
            *both(change_y=lambda y: (y[:, None] > 1).astype(np.float32)),
            loss=nn.BCEWithLogitsLoss(),
            lr=0.3,
            epochs=40,
        ),
        {"no better than a guess", "constant result", "dead units"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_named(case):
    make, expected = CASES[case]
    found = make()
    assert found.keys() >= expected, "\n".join(map(str, found.values()))
    assert "NaN in the data" not in found and (("constant input" in found) is ("constant input" in expected))


def digits(change=lambda x: x):
    (x, y), (more_x, more_y) = load_digits()
    return (change(x[:1600]), y[:1600]), (change(more_x[:200]), more_y[:200])


def network(first=()):
    fastnn.manual_seed(0)
    return nn.Sequential(*first, nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))


@pytest.mark.parametrize("options", [{"lr": 1e-3}, {"lr": 0.1, **SGD}, {"lr": 0.01, **SGD}, {"lr": 3e-3, "epochs": 3}])
def test_healthy_digits(options):
    pytest.importorskip("sklearn")
    train, validation = digits()
    assert diagnosed(network(), train, validation, validation=validation, **options) == {}


def test_the_remedy_for_inputs():
    """The scale is named, with numbers; with Normalize as the first layer nothing is left to name."""
    pytest.importorskip("sklearn")
    train, validation = digits(lambda x: 300 * x + 500)
    options = {"validation": validation, "lr": 0.01, "optimizer": optim.SGD}
    found = diagnosed(network(), train, validation, **options)
    scale = math.sqrt(float(np.mean(np.square(validation[0], dtype=np.float64))))
    assert f"its root mean square is {scale:.3g}, want about 1" in found["unscaled input"].evidence
    assert "of layer 0 is" in found["unscaled input"].evidence and "Normalize" in found["unscaled input"].remedy
    x = train[0]
    layer = eval("Normalize(x.shape[1]).fit(x)", {"Normalize": Normalize, "x": x})
    assert "fastnn.data.Normalize(x.shape[1]).fit(x) the first layer" in found["unscaled input"].remedy
    for first in ([layer], [nn.Flatten(), layer]):
        assert diagnosed(network(first), train, validation, **options) == {}


@pytest.mark.parametrize(
    ("change", "is_named"),
    [
        (lambda x: x, False),
        (lambda x: x + 2, False),
        (lambda x: 0.1 * x + 2, True),  # far from 0 for its deviation
        (lambda x: 20 * x, True),
        (lambda x: 1e-3 * x, True),
    ],
)
def test_the_scale_that_the_first_layer_gets(change, is_named):
    """Where something is wrong, the input's scale is named unless Normalize or a norm comes first."""
    x, flat = change(DATA[0]).astype(np.float32), drawn([math.log(CLASSES)] * 40)
    for first, named in (
        ([], is_named),
        ([nn.Flatten()], is_named),
        ([Normalize(10).fit(x)], False),
        ([nn.Flatten(), Normalize(10).fit(x)], False),
        ([nn.BatchNorm1d(10)], False),
    ):
        found = diagnose(flat, model=nn.Sequential(*first, *plain()), batch=(x, DATA[1]))
        assert ("unscaled input" in [symptom.name for symptom in found]) is named


def test_the_remedy_for_targets():
    (x, y), (more_x, more_y) = targets(1e4, 3e4)
    found = diagnosed(one_output(), (x, y), (more_x, more_y), loss=nn.MSELoss(), lr=1e-3)
    assert "they vary by 3.12e+04 around 2.39e+04, want about 1 around 0" in found["unscaled targets"].evidence
    assert "fastnn.data.Normalize(()).fit(y)" in found["unscaled targets"].remedy
    scaler = Normalize(()).fit(y)
    data = (x, scaler.transform(y)), (more_x, scaler.transform(more_y))
    assert diagnosed(one_output(), *data, loss=nn.MSELoss(), lr=1e-2) == {}


def spoilt(array, value, *place):
    array = array.astype(np.float32)
    array[place] = value
    return array


@pytest.mark.parametrize(("value", "text"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_nan_in_a_batch(value, text):
    model, curve = plain(), drawn([2.0] * 30)
    (first, found) = diagnose(curve, model=model, batch=(spoilt(DATA[0], value, 3, 2), DATA[1]))
    assert (first.name, found.name) == ("loss does not fall", "NaN in the data")
    assert found.evidence == f"batch x: got {text} at row 3, column 2"
    x, y = targets()[0]
    (found,) = diagnose(drawn([0.5] * 5), model=one_output(), batch=(x, spoilt(y, value, 7, 0)))
    assert found.evidence == f"batch y: got {text} at row 7, column 0"


def test_healthy_regressions_and_decisions():
    for loss in (nn.MSELoss(), nn.L1Loss(), nn.HuberLoss()):
        for scale, mean in ((1.0, 0.0), (2.0, 3.0), (0.1, 0.0)):
            assert diagnosed(one_output(), *targets(scale, mean), loss=loss, epochs=10) == {}
    data = both(change_y=lambda y: (y[:, None] > 1).astype(np.float32))
    assert diagnosed(one_output(), *data, loss=nn.BCEWithLogitsLoss(), epochs=10) == {}


def test_a_task_of_many_rare_and_hard_labels_is_healthy():
    """Labels of which one is frequent, and many wrong: the model is better than their frequencies."""
    rng = np.random.default_rng(4)
    train, validation = samples(2000, rng), samples(500, rng)
    for data in (train, validation):
        wrong = rng.random(len(data[1])) < 0.6
        data[1][wrong] = 0
    found = diagnosed(plain(), train, validation, lr=3e-3, epochs=8)
    assert not found.keys() & {"no better than a guess", "constant result", "unscaled input"}


@pytest.mark.parametrize("samples_given", [1, 2, 5])
def test_small_batches(samples_given):
    batch = tuple(part[:samples_given] for part in VALIDATION)
    assert diagnosed(plain(), DATA, batch) == {}
    assert diagnose(drawn([1.0] * 5), model=plain(), batch=batch) == []


def test_models_of_several_outputs_and_distributions():
    """What has no one result per target, or distributions as targets, is not judged by its batch."""
    y = np.full((40, CLASSES), 1 / CLASSES, np.float32)
    assert diagnose(drawn([1.0, 0.5] * 5), model=plain(), batch=(DATA[0][:40], y)) == []
