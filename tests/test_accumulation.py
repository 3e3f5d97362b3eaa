"""Gradient accumulation: k batches make the same step as one batch k times as large, for all kinds of weights."""

import math

import numpy as np
import pytest
import reference

import fastnn
from fastnn import nn, optim
from fastnn.functional import mse_loss
from fastnn.training import Callback, Trainer
from fastnn.training.weighing import Weighing

RNG = np.random.default_rng(21)
N, C = 46, 4
X = RNG.normal(size=(N, 5))
Y = RNG.integers(0, C, N)
UNEVEN = np.where(np.arange(N) < 17, -100, Y)  # the order is random, so a batch's share of ignored labels varies
PROBABILITIES = RNG.dirichlet(np.ones(C), N)
SAMPLES = RNG.uniform(0, 3, N) * (RNG.random(N) > 0.3)
CLASSES = {0: 0.25, 2: 3.0}
WEIGHT = np.array([1.0, 0.5, 3.0, 2.0])


def ce(dtype, **options):
    options |= {"weight": WEIGHT.astype(dtype)} if "weight" in options else {}
    return nn.CrossEntropyLoss(**options)


TABLE = {
    "plain": ({}, Y, {}),
    "sample_weight": ({}, Y, {"sample_weight": SAMPLES}),
    "class_weight dict": ({}, Y, {"class_weight": CLASSES}),
    "class_weight array": ({}, Y, {"class_weight": [0.25, 1.0, 3.0, 1.0]}),
    "both weights": ({}, Y, {"sample_weight": SAMPLES, "class_weight": CLASSES}),
    "loss weight": ({"weight": 1}, Y, {}),
    "ignored": ({}, UNEVEN, {}),
    "loss weight, ignored": ({"weight": 1}, UNEVEN, {}),
    "another ignored": ({"weight": 1, "ignore_index": 2}, Y, {"sample_weight": SAMPLES}),
    "everything": ({"weight": 1, "label_smoothing": 0.1}, UNEVEN, {"sample_weight": SAMPLES, "class_weight": CLASSES}),
    "smoothing": ({"label_smoothing": 0.2}, Y, {}),
    "sum": ({"reduction": "sum"}, Y, {}),
    "sum, everything": ({"reduction": "sum", "weight": 1}, UNEVEN, {"sample_weight": SAMPLES}),
    "probabilities": ({}, PROBABILITIES, {"sample_weight": SAMPLES}),
    "regression": (None, PROBABILITIES, {}),
}


def fit(dtype, case, batch_size, window, lr=0.05, epochs=2, **options):
    loss_options, y, weights = case
    fastnn.manual_seed(7)
    model = nn.Sequential(nn.Linear(5, 8, dtype=dtype), nn.GELU(), nn.Linear(8, C, dtype=dtype))
    optimizer = optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    loss = mse_loss if loss_options is None else ce(dtype, **loss_options)
    trainer = Trainer(model, loss, optimizer, metrics=(), accumulate_grad_batches=window, **options)
    y = y.astype(dtype) if y.ndim == 2 else y
    trainer.fit((X.astype(dtype), y), epochs=epochs, batch_size=batch_size, verbose=False, **weights)
    return trainer


@pytest.mark.parametrize("name", TABLE)
# last batch short, last window short, both, neither
@pytest.mark.parametrize(("size", "window"), [(5, 2), (4, 3), (9, 8), (1, 7)])
def test_a_window_is_one_large_batch(name, size, window):
    for dtype, bound in ((np.float64, 1e-12), (np.float32, 2e-5)):
        parts, whole = fit(dtype, TABLE[name], size, window), fit(dtype, TABLE[name], size * window, 1)
        assert parts.step == whole.step == 2 * -(-N // (size * window))
        for key, array in parts.model.state_dict().items():
            np.testing.assert_allclose(array, whole.model.state_dict()[key], rtol=bound, atol=bound, err_msg=key)
        for curve in ("loss", "lr"):
            got, want = ([t.history[curve], t.history.steps[curve]] for t in (parts, whole))
            for g, w in zip(got, want, strict=True):
                np.testing.assert_allclose(g, w, rtol=bound, err_msg=curve)


@pytest.mark.parametrize("name", [name for name in TABLE if not name.startswith(("sum", "regression"))])
def test_losses_and_weights_by_hand(name):
    """The loss, and a step along its gradient, are weighted means over the samples that count."""
    loss_options, y, weights = TABLE[name]
    # with lr 0 nothing changes, so the epoch's loss is the mean over all samples
    trainer = fit(np.float64, TABLE[name], 6, 3, epochs=1, lr=0.0)
    options = dict(loss_options) | ({"weight": WEIGHT} if "weight" in loss_options else {})
    w = np.asarray(weights.get("sample_weight", np.ones(N)))
    by_class = weights.get("class_weight", {})
    by_class = by_class if isinstance(by_class, dict) else dict(enumerate(by_class))
    w = w * [by_class.get(int(label), 1.0) for label in (y if y.ndim == 1 else np.zeros(N))]
    counts = w.copy()
    if y.ndim == 1:
        counts *= [
            0.0 if i == options.get("ignore_index", -100) else WEIGHT[i] if "weight" in options else 1 for i in y
        ]
    start = {key: array.copy() for key, array in trainer.model.state_dict().items()}
    before = X @ start["0.weight"].T + start["0.bias"]
    hidden = reference.gelu(before)
    logits = hidden @ start["2.weight"].T + start["2.bias"]
    each, gradient = reference.softmax_cross_entropy(logits, y, reduction="none", **options)
    assert trainer.history["loss"] == pytest.approx([float(each @ w) / counts.sum()], rel=1e-12)
    gradient *= w[:, None] / counts.sum()
    behind = gradient @ start["2.weight"] * reference.gelu_slope(before)
    want = {
        "0.weight": behind.T @ X,
        "0.bias": behind.sum(0),
        "2.weight": gradient.T @ hidden,
        "2.bias": gradient.sum(0),
    }
    moved = fit(np.float64, TABLE[name], 5, 99, epochs=1).model.state_dict()  # one window of ten batches
    for key, slope in want.items():
        np.testing.assert_allclose(moved[key], start[key] - 0.05 * slope, rtol=1e-12, atol=1e-14)


def test_a_sum_is_reported_as_a_mean_and_trained_as_a_sum():
    mean, total = (fit(np.float64, ({"reduction": r}, Y, {}), 5, 2, epochs=1, lr=lr) for r, lr in
                   (("mean", 0.1), ("sum", 0.1 / 10)))  # fmt: skip
    np.testing.assert_allclose(mean.history.steps["loss"][:4], total.history.steps["loss"][:4], rtol=1e-12)
    assert mean.evaluate((X, Y))["loss"] == pytest.approx(mean.loss(mean.predict(X), Y)[0], rel=1e-12)
    assert total.evaluate((X, Y), 7)["loss"] == pytest.approx(total.loss(total.predict(X), Y)[0] / N, rel=1e-12)


@pytest.mark.parametrize("name", [name for name, (_, _, weights) in TABLE.items() if not weights])
@pytest.mark.parametrize("size", [1, 7, 45, 46])
def test_evaluation_in_batches_is_that_of_the_whole(size, name):
    """Evaluation in batches gives the loss of the whole, however many samples count in a batch, even none."""
    trainer = fit(np.float64, TABLE[name], 46, 1, epochs=1)
    options, y, _ = TABLE[name]
    total = trainer.loss(trainer.predict(X), y)[0]
    want = total / N if (options or {}).get("reduction") == "sum" else total
    if name.startswith("sum, everything"):
        want = total / WEIGHT[y[y >= 0]].sum()
    assert trainer.evaluate((X, y), size)["loss"] == pytest.approx(want, rel=1e-12)


def nothing(first, last):
    """Return weights and labels that exclude the samples at these positions of the first epoch's order."""
    order = fastnn.random.permutation(N, fastnn.Generator(7, fastnn.data.sampler.ORDER_STREAM + 1))
    rows = order[first:last]
    weights, labels = np.ones(N), Y.copy()
    weights[rows], labels[rows] = 0, -100
    return weights, labels


@pytest.mark.parametrize("how", ["weights", "labels"])
def test_a_batch_and_a_window_of_no_weight(how):
    """The second of three batches has no weight; then the second window has none, and its step changes nothing."""
    weights, labels = nothing(5, 10)
    case = ({}, labels, {}) if how == "labels" else ({}, Y, {"sample_weight": weights})
    parts, whole = fit(np.float64, case, 5, 3, epochs=1, seed=7), fit(np.float64, case, 15, 1, epochs=1, seed=7)
    for key, array in parts.model.state_dict().items():
        np.testing.assert_allclose(array, whole.model.state_dict()[key], rtol=1e-12, atol=1e-14)
    weights, labels = nothing(15, 30)
    case = ({}, labels, {}) if how == "labels" else ({}, Y, {"sample_weight": weights})
    seen = []

    class Look(Callback):
        def on_backward_end(self, trainer):
            seen.append(max(float(abs(p.grad).max()) for p in trainer.model.parameters()))

    trainer = fit(np.float64, case, 5, 3, epochs=1, seed=7, callbacks=[Look()], detect_nan=True)
    assert [g == 0 for g in seen] == [False] * 3 + [True] * 3 + [False] * 4
    steps = np.array(trainer.history.steps["loss"])
    assert np.isnan(steps).tolist() == [False, True, False, False]
    mean = (15 * steps[0] + 15 * steps[2] + steps[3]) / 31
    assert trainer.history["loss"] == pytest.approx([mean], rel=1e-12)
    smooth = trainer.history.smoothed(share=0.5)  # smoothing keeps the gap and continues after it
    assert np.isnan(smooth).tolist() == np.isnan(steps).tolist()
    assert smooth[2] == pytest.approx((0.25 * steps[0] + 0.5 * steps[2]) / 0.75, rel=1e-12)


def test_nothing_but_ignored_labels_is_nan():
    trainer = fit(np.float32, ({}, np.full(N, -100), {}), 5, 2)
    assert all(map(math.isnan, (*trainer.history["loss"], *trainer.history.steps["loss"])))
    assert all(np.isfinite(array).all() for array in trainer.model.state_dict().values())


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ({"sample_weight": np.ones(N - 1)}, r"sample_weight: got shape \(45,\), want \(46,\)"),
        ({"sample_weight": np.ones((N, 1))}, r"sample_weight: got shape \(46, 1\)"),
        ({"sample_weight": np.zeros(N)}, "sample_weight, class_weight: got nothing but 0"),
        ({"sample_weight": -np.ones(N)}, "sample_weight: got NaN, infinity or a negative number"),
        ({"sample_weight": np.full(N, np.nan)}, "sample_weight: got NaN, infinity or a negative number"),
        ({"class_weight": {0: np.inf}}, "class_weight: got inf, want a finite number >= 0"),
        ({"class_weight": {9: 1.0}}, r"class_weight: got weights of \[9\], want labels that occur in y"),
        ({"class_weight": [1.0, 2.0]}, r"class_weight: got shape \(2,\), want one number for each class up to 3"),
        ({"class_weight": [1.0, 2.0, 3.0]}, r"class_weight: got shape \(3,\), want one number for each class up to 3"),
        ({"class_weight": np.ones((4, 1))}, r"class_weight: got shape \(4, 1\)"),
        (
            {"sample_weight": np.where(np.arange(N) == 7, np.inf, 1.0)},
            "sample_weight: got NaN, infinity or a negative number",
        ),
        (
            {"sample_weight": np.where(np.arange(N) == 7, -1e-9, 1.0)},
            "sample_weight: got NaN, infinity or a negative number",
        ),
        ({"class_weight": dict.fromkeys(range(4), 0.0)}, "sample_weight, class_weight: got nothing but 0"),
    ],
)
def test_weights_are_refused(weights, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        fit(np.float32, ({}, Y, weights), 5, 1)


def test_a_loss_without_each_weights_samples_too():
    """It is called for one sample after another; with weights of 1 the training is the one without weights."""

    def run(loss, **weights):
        fastnn.manual_seed(7)
        model = nn.Sequential(nn.Linear(5, C, dtype=np.float64))
        trainer = Trainer(model, loss, optim.SGD(model.parameters(), lr=0.5), metrics=())
        trainer.fit((X, Y), epochs=1, batch_size=5, verbose=False, **weights)
        return model[0].weight.data

    plain = lambda logits, labels: nn.CrossEntropyLoss()(logits, labels)  # noqa: E731
    for weights in ({}, {"sample_weight": np.ones(N)}):
        np.testing.assert_allclose(run(plain, **weights), run(nn.CrossEntropyLoss()), rtol=1e-12)
    own = run(plain, sample_weight=SAMPLES)
    np.testing.assert_allclose(own, run(nn.CrossEntropyLoss(), sample_weight=SAMPLES), rtol=1e-12)


def test_class_weights_need_labels():
    with pytest.raises(ValueError, match=r"class_weight: got it for targets of float32, shape \(46, 4\), want integer"):
        fit(np.float32, ({}, PROBABILITIES, {"class_weight": CLASSES}), 5, 1)
    trainer = fit(np.float32, TABLE["plain"], 5, 1, epochs=1)
    with pytest.raises(ValueError, match=r"class_weight: got it for targets of int64, shape \(46, 1\), want integer"):
        trainer.fit((X.astype(np.float32), Y[:, None]), class_weight=CLASSES)
    with pytest.raises(ValueError, match=r"class_weight: got it for targets of float64, shape \(46,\), want integer"):
        fit(np.float32, ({}, Y.astype(float), {"class_weight": CLASSES}), 5, 1)


class Plain:
    """An optimizer that does not belong to this library."""

    def __init__(self, parameters, lr):
        self.param_groups = [{"params": list(parameters), "lr": lr}]

    def step(self):
        for p in self.param_groups[0]["params"]:
            if p.grad is not None:
                p.data -= self.param_groups[0]["lr"] * p.grad

    def zero_grad(self):
        for p in self.param_groups[0]["params"]:
            p.zero_grad()


@pytest.mark.parametrize("window", [1, 3])
@pytest.mark.parametrize(
    ("clip", "scale"),
    # 0 does not clip; no step is taken if the norm overflows a double
    [(None, 1.0), (0.0, 1.0), (0.05, 1.0), (1e6, 1.0), (0.05, 1e200)],
)
def test_clipping_is_the_same_in_a_foreign_optimizer(clip, window, scale):
    def run(make):
        fastnn.manual_seed(7)
        model = nn.Sequential(nn.Linear(5, C, dtype=np.float64))
        before = model[0].weight.data.copy()
        optimizer = make(model.parameters(), lr=0.5)

        def loss(logits, labels):
            value, dlogits = nn.CrossEntropyLoss()(logits, labels)
            return value, dlogits * scale

        trainer = Trainer(model, loss, optimizer, gradient_clip_val=clip, accumulate_grad_batches=window)
        trainer.fit((X, Y), epochs=2, batch_size=5, verbose=False)
        assert (clip is not None and scale != 1) == bool((model[0].weight.data == before).all())
        return trainer

    own, others = run(optim.SGD), run(Plain)
    assert own.step == others.step and own.optimizer.clip_grad_norm is None  # it is set during the fit alone
    assert (own.optimizer.last_grad_norm is not None) == bool(clip)
    np.testing.assert_allclose(own.model[0].weight.data, others.model[0].weight.data, rtol=1e-12)
    np.testing.assert_allclose(own.history["loss"], others.history["loss"], rtol=1e-12)


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf, "1", True])
def test_a_bad_norm_is_refused(bad):
    with pytest.raises((ValueError, TypeError), match=r"^gradient_clip_val: got "):
        fit(np.float32, TABLE["plain"], 5, 1, gradient_clip_val=bad)


@pytest.mark.parametrize(
    ("window", "weights"), [(1, {}), (3, {}), (1, {"class_weight": {0: 2.0}}), (3, {"class_weight": {0: 2.0}})]
)
def test_no_memory_from_the_system_after_the_first_epoch(window, weights):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(1024, 400)).astype(np.float32), rng.integers(0, 10, 1024)
    model = nn.Sequential(nn.Linear(400, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Dropout(0.1), nn.Linear(512, 10))
    counts = []

    class Count(Callback):
        def on_batch_end(self, trainer):
            counts.append(fastnn.memory_stats()["system_allocations"])

    stopping = fastnn.training.EarlyStopping(patience=9)
    for validation, first, callbacks in ((None, 1, ()), ((x, y), 8, [stopping])):
        counts.clear()
        fastnn.empty_cache()
        trainer = Trainer(model, nn.CrossEntropyLoss(), optim.AdamW(model.parameters()),
                          callbacks=[*callbacks, Count()], accumulate_grad_batches=window)  # fmt: skip
        trainer.fit((x, y), validation, epochs=3, batch_size=128, **weights)
        assert len(counts) == 24 and counts[0] > 0
        assert len(set(counts[first:])) == 1, counts


def test_weights_are_computed_once(monkeypatch):
    calls, weights = [], Weighing.weights
    monkeypatch.setattr(Weighing, "weights", lambda self, samples: calls.append(1) or weights(self, samples))
    fit(np.float32, ({}, Y, {"class_weight": "balanced"}), 5, 2)
    assert len(calls) == 1
