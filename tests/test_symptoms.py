"""diagnose finds the fault of each faulty training run, none in healthy ones, and those of curves drawn by hand."""

import math

import numpy as np
import pytest
from drawn_curves import drawn
from training_tasks import CLASSES, DATA, RNG, VALIDATION, Softmax, make_model, make_trainer, no_bias, plain

from fastnn import nn, optim
from fastnn.diagnosis.catalogue import TEXTS
from fastnn.training import diagnose


def names(symptoms):
    assert all(str(symptom).startswith(symptom.name) and str(symptom).endswith(".") for symptom in symptoms)
    return [symptom.name for symptom in symptoms]


def trained(model, data=DATA, validation=VALIDATION, epochs=5, batch_size=32, **options):
    trainer = make_trainer(model, **options)
    with np.errstate(all="ignore"):
        history = trainer.fit(data, validation, epochs, batch_size, verbose=False)
    return trainer, history


LARGE = (DATA[0] * 300 + 200, DATA[1])
SHUFFLED = (DATA[0], RNG.permutation(DATA[1]))
FEW_NOISY = (RNG.normal(size=(64, 10)).astype(np.float32), RNG.integers(0, CLASSES, 64))
SGD = {"optimizer": optim.SGD}


def spoilt():
    """Return data with two equal outliers that have different labels."""
    x = DATA[0].copy()
    x[7] *= 1e3
    x[8] = x[7]
    return x, DATA[1]


def noisy(data, share):
    """Return the data with some wrong labels."""
    rng = np.random.default_rng(1)
    y = data[1].copy()
    wrong = rng.random(len(y)) < share
    y[wrong] = rng.integers(0, CLASSES, wrong.sum())
    return data[0], y


OF_MODELS = ("softmax before the loss", "constant result", "unscaled input", "dead units", "signal out of range")
SICK = {
    "dead": (lambda: trained(no_bias(plain()), lr=1e-3), ["plateau at log C", "dead units"]),
    "lr too high": (lambda: trained(plain(), noisy(DATA, 0.5), None, lr=3.0), ["diverging"]),
    "lr too low": (lambda: trained(plain(), lr=1e-7), ["loss does not fall"]),
    "lr low": (lambda: trained(plain(), lr=2e-3, epochs=10, **SGD), ["slow convergence"]),
    "noise by heart": (
        lambda: trained(plain(width=256), FEW_NOISY, epochs=60, batch_size=16),
        ["validation no better than a guess"],
    ),
    "by heart": (
        lambda: trained(plain(width=256), noisy((DATA[0][:24], DATA[1][:24]), 0.5), epochs=60, batch_size=8),
        ["overfitting"],
    ),
    "softmax": (lambda: trained(plain(Softmax()), epochs=8), ["softmax before the loss"]),
    "shuffled": (lambda: trained(plain(width=4), SHUFFLED, lr=1e-3), ["plateau at log C"]),
    "nan": (lambda: trained(plain(), lr=1e38, **SGD), ["NaN or infinity"]),
    "unscaled": (lambda: trained(plain(), LARGE, lr=0.1, **SGD), ["NaN or infinity", "unscaled input"]),
    "dropout": (lambda: trained(make_model(p=0.9), epochs=8), ["validation better than training"]),
    "outliers": (lambda: trained(plain(), spoilt(), epochs=6), ["spikes"]),
}


@pytest.mark.parametrize("name", SICK)
def test_symptoms(name):
    make, expected = SICK[name]
    trainer, history = make()
    found = diagnose(history, model=trainer.model, batch=VALIDATION if name != "unscaled" else LARGE)
    assert set(names(found)) >= set(expected), "\n".join(map(str, found))
    of_curves = [name for name in expected if name not in OF_MODELS]
    assert [name for name in names(found) if name not in OF_MODELS] == of_curves
    assert names(diagnose(history, classes=CLASSES)) == of_curves


HEALTHY = {
    "batch norm": lambda: trained(make_model()),
    "some dropout": lambda: trained(make_model(p=0.2)),
    "plain": lambda: trained(plain()),
    "sgd": lambda: trained(plain(), lr=0.1, **SGD),
    "long": lambda: trained(plain(), epochs=40, lr=3e-3),
    "small batches": lambda: trained(plain(), batch_size=3, lr=1e-3),
    "a last batch of one": lambda: trained(plain(), (DATA[0][:609], DATA[1][:609]), epochs=6),
    "no validation": lambda: trained(make_model(), validation=None),
    "a fifth of the labels wrong": lambda: trained(plain(width=8), noisy(DATA, 0.2), noisy(VALIDATION, 0.2), epochs=8),
    "one epoch": lambda: trained(make_model(), epochs=1),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_trainings_have_no_symptoms(name):
    trainer, history = HEALTHY[name]()
    assert diagnose(history, classes=CLASSES) == []
    assert diagnose(history, model=trainer.model, batch=VALIDATION) == []


def test_trainings_that_are_validated_from_later_on_or_no_longer_are_healthy():
    for validations in ((None, VALIDATION), (VALIDATION, None)):
        trainer = make_trainer(make_model())
        for validation in validations:
            history = trainer.fit(DATA, validation, 4, 32, verbose=False)
        assert np.isnan(history["val_loss"]).sum() == 4
        assert diagnose(history, classes=CLASSES) == []
        assert diagnose(history, model=trainer.model, batch=VALIDATION) == []


@pytest.mark.parametrize(("weighted", "size"), [(0.5, 2), (0.3, 1), (0.7, 1)])
def test_steps_in_which_nothing_has_a_weight_are_healthy(weighted, size):
    """Steps without any weighted sample are healthy, also as the last step, which happens for some seeds."""
    ends = set()
    for seed in range(8):
        weights = (np.random.default_rng(seed).random(len(DATA[1])) < weighted).astype(float)
        trainer = make_trainer(plain(), lr=2e-3)
        trainer.seed = seed
        history = trainer.fit(DATA, VALIDATION, 2, size, sample_weight=weights, verbose=False)
        ends.add(math.isnan(history.steps["loss"][-1]))
        assert np.isnan(history.steps["loss"]).any() and np.isfinite(history["loss"]).all()
        assert diagnose(history, classes=CLASSES) == []
        assert diagnose(history, model=trainer.model, batch=VALIDATION) == []
    assert ends == {False, True}


def validated(history):
    """Return the history with validations only in some epochs."""
    history.validations["val_loss"] = [value for value in history["val_loss"] if not math.isnan(value)]
    return history


def falling(n=200, start=2.0, end=0.1, noise=0.0):
    return end + (start - end) * np.exp(-np.arange(n) / n * 10) + noise * np.random.default_rng(0).normal(size=n)


def put(curve, **at):
    for place, value in at.items():
        curve[int(place[1:])] = value
    return curve


FALL = falling()
LOG4 = math.log(CLASSES)
NAN = math.nan
DRAWN = [
    # history, names, a part of the first symptom's evidence
    (drawn(), [], ""),
    (drawn([2.0] * 20), [], ""),  # too few steps
    (drawn(FALL), [], ""),
    (drawn(falling(noise=0.1)), [], ""),
    (drawn(-FALL), [], ""),
    (drawn([2.0] * 21), ["loss does not fall"], "from 2 to 2 in 21 steps"),
    (drawn([0.02] * 40), [], ""),  # a trained model
    (drawn([1.0] * 40, accuracy=[0.97]), [], ""),
    (drawn([0.9, *falling(199, 1.2, 0.9)]), [], ""),  # an easy first batch
    (drawn([2.0, 0.5, 3.0, 1.0, 9.0] * 40), ["loss does not fall"], ""),  # noise is not a spike
    (drawn([LOG4] * 40), ["plateau at log C"], "1.386"),
    (drawn([*np.linspace(20, LOG4, 50), *[LOG4] * 150]), ["plateau at log C"], "to 1.386 in 200 steps"),
    (drawn(np.linspace(LOG4 * 1.1, LOG4 * 0.9, 100)), ["slow convergence"], ""),  # the loss passes log C
    (drawn(np.linspace(2, 1.2, 100)), ["slow convergence"], "in the last third"),
    (drawn(np.linspace(2, 0.5, 100)), [], ""),
    (drawn(np.linspace(2, 9, 100)), ["diverging"], ""),
    (drawn([2.0, *np.linspace(50, 1.95, 99)]), ["diverging"], "by way of"),
    (drawn([2.0, *np.linspace(50, 0.9, 30), *[0.9] * 70]), [], ""),  # the loss came back
    (drawn([*FALL, *np.linspace(0.1, 1.5, 100)]), ["diverging"], "by way of 0.1"),
    (drawn([1.3, 300.0, 80.0, *[0.8] * 97]), ["diverging"], "by way of 300"),  # the burst has spoilt it for good
    (drawn([1.3, 300.0, 80.0, *falling(97, 0.8, 0.1)]), [], ""),
    (drawn(put(falling(), _150=9.0)), ["spikes"], "leaps at 1 of 200 steps, first at 151; most at 151"),
    (drawn(put(falling(), _150=4.0)), [], ""),  # one hard batch
    (drawn(put(falling(), _150=4.0, _152=3.0)), ["spikes"], "leaps at 1 of"),
    (drawn(put(falling(), _150=1.5, _151=1.5)), [], ""),
    (drawn(put(falling(), _70=math.nan, _60=math.inf)), ["NaN or infinity"], "step 61 of 200 is inf"),
    (drawn(FALL, val_loss=[1, math.nan], loss=[1, 1]), ["NaN or infinity"], "validation 2 of 2 is nan"),
    (drawn(put(falling(), _70=NAN, _150=NAN), loss=[1, NAN]), ["NaN or infinity"], "step 151 of 200 is nan"),
    (drawn(put(falling(), _70=NAN, _60=math.inf), loss=[1, 1]), ["NaN or infinity"], "step 61 of 200 is inf"),
    (drawn(FALL, loss=[1, math.inf]), ["NaN or infinity"], "epoch 2 of 2 is inf"),
    (drawn([*FALL, *[NAN] * 10], loss=[1, 1]), ["NaN or infinity"], "step 201 of 210 is nan"),  # broken off
    (drawn([*FALL, NAN], loss=[1, 1]), ["NaN or infinity"], "step 201 of 201 is nan"),
    (drawn(put(falling(), _199=NAN), loss=[1, 1]), [], ""),
    (drawn(put(falling(), _5=NAN, _150=9.0), loss=[1, 1]), ["spikes"], "at 1 of 199 steps, first at 151; most at 151"),
    (validated(drawn(FALL, loss=[1, 0.5, 0.2, 0.1], val_loss=[NAN, 0.7, 0.8, NAN])), ["overfitting"], "0.8 in valid"),
    (validated(drawn(FALL, loss=[1, 0.3, 0.2], val_loss=[NAN, 0.2, 0.5])), ["overfitting"], "best in epoch 2 with 0.2"),
    (validated(drawn(FALL, loss=[2, 1, 0.9], val_loss=[NAN, NAN, 0.3])), [], ""),  # no validation before training
    (validated(drawn(FALL, loss=[1, 1], val_loss=[NAN, math.inf])), ["NaN or infinity"], "validation 1 of 1 is inf"),
    (drawn(FALL, loss=[1, 0.5, 0.2], val_loss=[1, 0.7, 0.6]), [], ""),
    (drawn(FALL, loss=[1, 0.5, 0.2], val_loss=[1, 0.9, 0.8]), ["overfitting"], "0.2 in training and 0.8 in validation"),
    (drawn(FALL, loss=[1, 0.5, 0.2], val_loss=[1, 0.9, 0.8]), ["overfitting"], "; training loss 0.2 (bias), 0.6 more"),
    (drawn(FALL, loss=[1, 0.5], val_loss=[1, 1.9]), [], ""),  # only two epochs
    (drawn(FALL, loss=[1, 0.3, 0.2], val_loss=[0.9, 0.2, 0.5]), ["overfitting"], "best in epoch 2 with 0.2"),
    (drawn(FALL, loss=[1, 0.2, 0.4], val_loss=[0.9, 0.2, 0.7]), [], ""),  # training became worse, too
    (drawn(FALL, loss=[2, 1, 0.9], val_loss=[1, 0.3, 0.3]), ["validation better than training"], ""),
    (drawn(FALL, loss=[2, 1.2, 0.9], val_loss=[1.1, 0.9, 0.3]), [], ""),  # the mean of an epoch is reached within it
    (
        drawn(
            FALL, loss=[1, 0.3, 0.1], val_loss=[1, 0.9, 0.9], accuracy=[0.5, 0.9, 0.99], val_accuracy=[0.5, 0.7, 0.8]
        ),
        ["overfitting"],
        "training error 1.0% (bias), 19.0% more in validation (variance)",
    ),
    (drawn(FALL, loss=[1, 0.3, 0.1], val_loss=[1, 0.9, 0.9], accuracy=[0.9] * 3, val_accuracy=[0.85] * 3), [], ""),
    (
        drawn(FALL, loss=[1, 0.3, 0.1], val_loss=[1.4] * 3, accuracy=[0.9] * 3, val_accuracy=[0.3] * 3),
        ["validation no better than a guess"],
        "",
    ),
    (
        drawn(FALL, loss=[1, 0.3, 0.1], val_loss=[0.1] * 3, accuracy=[0.7] * 3, val_accuracy=[0.9] * 3),
        ["validation better than training"],
        "",
    ),
]


@pytest.mark.parametrize(("history", "expected", "evidence"), DRAWN)
def test_drawn_curves(history, expected, evidence):
    found = diagnose(history, classes=CLASSES)
    assert names(found) == expected
    assert not expected or evidence in found[0].evidence, found[0].evidence


@pytest.mark.parametrize(
    ("classes", "guess", "better"),
    [(2, 0.62, 0.63), (2, 0.5, 0.745), (3, 0.44, 0.45), (10, 0.14, 0.15), (1000, 0.00149, 0.00151)],
)
def test_accuracies_of_a_guess(classes, guess, better):
    for val_accuracy, name in ((guess, "validation no better than a guess"), (better, "overfitting")):
        history = drawn(FALL, loss=[1, 0.3, 0.1], val_loss=[1.4] * 3, accuracy=[1] * 3, val_accuracy=[val_accuracy] * 3)
        assert names(diagnose(history, classes=classes)) == [name]
    assert names(diagnose(history)) == ["overfitting"]


@pytest.mark.parametrize("classes", [1, 0, -3, True])
def test_one_class_is_refused(classes):
    with pytest.raises(ValueError, match=rf"^classes: got {classes}, want an integer >= 2, or None"):
        diagnose(drawn(FALL), classes=classes)


def test_no_layer_is_blamed_where_several_have_nan():
    nan = drawn([LOG4] * 20 + [math.nan])
    model = make_model()
    model[4].weight.data[0, 0] = model[4].bias.data[0] = math.nan
    (found,) = diagnose(nan, model=model, batch=DATA)
    assert "weight of layer 4 (Linear" in found.cause
    model[1].bias.data[3] = math.inf
    (found,) = diagnose(nan, model=model, batch=DATA)
    assert "the parameters of 2 layers, and which was the first can no longer be told" in found.cause
    assert "detect_nan=True" in found.cause
    nested = nn.Sequential(nn.Sequential(nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 6)), nn.Linear(6, CLASSES))
    for layer in (nested[0][0], nested[0][2]):
        layer.weight.data[0, 0] = math.nan
    (found,) = diagnose(nan, model=nested, batch=DATA)
    assert "the parameters of 2 layers" in found.cause
    trainer, history = SICK["nan"][0]()  # the last step has made all of them NaN
    (found,) = diagnose(history, model=trainer.model, batch=VALIDATION)
    assert "the parameters of 2 layers" in found.cause and "layer 0" not in found.cause


ADVICE = {  # a word of the cause, a word of the remedy
    "NaN or infinity": ("step that was too large", "detect_nan=True"),
    "diverging": ("too high", "lower it"),
    "plateau at log C": ("does not depend on the input", "overfit_one_batch"),
    "loss does not fall": ("too low or too high", "Trainer.lr_find"),
    "slow convergence": ("too low", "raise the rate"),
    "spikes": ("outliers", "look at the batch"),
    "overfitting": ("by heart", "EarlyStopping"),
    "validation no better than a guess": ("do not belong", "look at samples"),
    "validation better than training": ("harder", "Trainer.evaluate"),
    "softmax before the loss": ("softmax of a softmax", "remove the softmax"),
    "no better than a guess": ("no more than the frequencies", "overfit_one_batch"),
    "NaN in the data": ("missing values", "fill the gaps"),
    "constant input": ("were lost", "look at samples"),
    "constant result": ("no signal passes", "fastnn.init.report"),
    "unscaled input": ("are initialised for", "subtract the mean"),
    "unscaled targets": ("returns about 0", "inverse_transform"),
    "dead units": ("biases", "LeakyReLU"),
    "signal out of range": ("too small or too large", "fastnn.init.initialize"),
}


def test_negative_losses():
    """A log-density may be negative; gaps between training and validation are relative to its size."""
    loss = falling(200, 1.0, -3.0)
    means = loss.reshape(10, 20).mean(1)
    for start in (0.0, -5.0):
        steps, epochs = loss + start, means + start
        assert diagnose(drawn(steps, loss=epochs, val_loss=epochs + 0.02)) == []
    risen = np.concatenate([means[:5] - 5, means[4] - 5 + np.arange(1, 6)])
    assert "overfitting" in names(diagnose(drawn(loss - 5, loss=means - 5, val_loss=risen)))


@pytest.mark.parametrize("first", [1, 3])
def test_overfitting_after_steps_without_weight(first):
    """Steps without a weighted sample have no loss; the size of the loss is that of the first steps that have one."""
    loss = falling(200, 2.0, 0.1)
    means = loss.reshape(10, 20).mean(1)
    loss[:first] = math.nan
    risen = np.concatenate([means[:4], means[3] + 0.3 * np.arange(1, 7)])
    assert "overfitting" in names(diagnose(drawn(loss, loss=means, val_loss=risen)))


def test_classes_that_are_given():
    """The number of classes that is given counts, and not the columns of the model's result."""
    level = np.full(200, math.log(3))
    wide = nn.Sequential(nn.Linear(10, 7))
    batch = DATA[0], DATA[1] % 3
    assert "plateau at log C" in names(diagnose(drawn(level), classes=3, model=wide, batch=batch))
    assert "plateau at log C" not in names(diagnose(drawn(level), model=wide, batch=batch))


def test_causes_and_remedies():
    """Each symptom has its own cause and remedy, in this order."""
    assert ADVICE.keys() == TEXTS.keys()
    for name, (of_cause, of_remedy) in ADVICE.items():
        cause, remedy = TEXTS[name]
        assert of_cause in cause and of_remedy in remedy, name
        assert len({name, cause, remedy}) == 3


def test_model_tells_which_layer_and_its_input():
    flat, nan = drawn([LOG4] * 40), drawn([LOG4] * 20 + [math.nan])
    norm_first = nn.Sequential(nn.BatchNorm1d(10), nn.Linear(10, CLASSES))
    large = (DATA[0] * 300, DATA[1])
    assert "unscaled input" in names(diagnose(flat, model=plain(), batch=large))
    assert "unscaled input" not in names(diagnose(flat, model=norm_first, batch=large))
    model = plain()
    model[2].weight.data[0, 0] = math.nan
    (found,) = diagnose(nan, model=model, batch=DATA)
    assert "weight of layer 2" in found.cause and "step 21" in found.evidence
    (_, weak) = diagnose(flat, model=tiny(plain()), batch=DATA)
    assert (
        weak.name == "signal out of range" and "0  Linear(10, 32, bias=True): the activation vanishes" in weak.evidence
    )
    one_sample = diagnose(flat, model=make_model(), batch=(DATA[0][:1], DATA[1][:1]))
    assert "plateau at log C" in names(one_sample)


def tiny(model):
    for p in model[0].parameters():
        p.data *= 1e-4
    return model


def test_softmax_is_not_blamed_where_the_loss_knows_it():
    assert diagnose(drawn(falling(end=0.01)), model=plain(Softmax()), batch=DATA) == []
    assert "softmax before the loss" in names(diagnose(drawn(falling(end=0.75)), model=plain(Softmax()), batch=DATA))


def test_model_needs_a_batch():
    with pytest.raises(ValueError, match="model, batch: got one without the other"):
        diagnose(drawn(FALL), model=plain())
    with pytest.raises(ValueError, match="model, batch: got one without the other"):
        diagnose(drawn(FALL), batch=DATA)
