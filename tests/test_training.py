"""Trainer: results, refused arguments, and that a seed determines every bit."""

import sys

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.data.sampler import ORDER_STREAM
from fastnn.training import Callback, ProgressBar, Trainer

RNG = np.random.default_rng(11)
X = RNG.normal(size=(50, 6)).astype(np.float32)
Y = RNG.integers(0, 3, 50)


def make_model(p=0.2):
    return nn.Sequential(nn.Linear(6, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(p), nn.Linear(64, 3))


def make_trainer(model=None, callbacks=(), lr=1e-2, **options):
    model = make_model() if model is None else model
    optimizer = optim.AdamW(model.parameters(), lr=lr)
    return Trainer(model, nn.CrossEntropyLoss(), optimizer, callbacks=callbacks, **options)


def test_small_data_are_memorised():
    fastnn.manual_seed(1)
    trainer = make_trainer(make_model(p=0.0))
    history = trainer.fit((X, Y), epochs=200, batch_size=50)
    assert trainer.evaluate((X, Y)) == pytest.approx({"accuracy": 1.0, "loss": 0.0}, abs=0.05)
    assert history["loss"][-1] < 0.05 < 0.5 < history["loss"][0]


def run(first_seed, threads, **options):
    before = fastnn.get_num_threads()
    fastnn.set_num_threads(threads)
    try:
        fastnn.manual_seed(first_seed)
        model = nn.Sequential(nn.Linear(40, 300), nn.BatchNorm1d(300), nn.ReLU(), nn.Dropout(0.3), nn.Linear(300, 3))
        x = np.random.default_rng(0).normal(size=(600, 40)).astype(np.float32)
        y = (x[:, 0] > 0).astype(np.int64)
        make_trainer(model, **options).fit((x, y), epochs=2, batch_size=256)
        return model.state_dict()
    finally:
        fastnn.set_num_threads(before)


def equal(first, second):
    return all((first[name] == second[name]).all() for name in first)


def test_seed_fixes_every_bit_on_any_number_of_threads():
    first = run(3, threads=1)
    assert equal(first, run(3, threads=1))
    assert equal(first, run(3, threads=2))
    assert not equal(first, run(4, threads=1))
    assert not equal(first, run(3, threads=1, seed=99))


class OneBatch(nn.Module):
    """Records the samples it sees: the first feature is their number."""

    def __init__(self):
        self.layer = nn.Linear(1, 2)
        self.seen = {"order": []}

    def __call__(self, x):
        y, layer_backward = self.layer(x)
        if self.training:
            self.seen["order"].append(x[:, 0].astype(int).tolist())

        def backward(dy, input_grad=True):
            assert not input_grad  # the gradient with respect to the images is not needed
            return layer_backward(dy, input_grad)

        return y, backward


def test_every_sample_once_an_epoch_in_a_new_order():
    model = OneBatch()
    trainer = make_trainer(model, seed=5)
    x, y = np.arange(10, dtype=np.float32).reshape(10, 1), np.zeros(10, np.int64)
    trainer.fit((x, y), epochs=2, batch_size=4)
    trainer.fit((x, y), epochs=1, batch_size=4)
    batches = model.seen["order"]
    assert [len(batch) for batch in batches] == [4, 4, 2] * 3
    epochs = [[*batches[i], *batches[i + 1], *batches[i + 2]] for i in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert trainer.epoch == 3 and trainer.step == 9


class Hooks(Callback):
    def __init__(self):
        self.calls = []

    def on_fit_start(self, trainer):
        self.calls.append(("fit_start", trainer.epoch, trainer.epochs, trainer.batches))

    def on_fit_end(self, trainer):
        self.calls.append(("fit_end", trainer.epoch))

    def on_epoch_start(self, trainer):
        self.calls.append(("epoch_start", trainer.epoch))

    def on_epoch_end(self, trainer):
        self.calls.append(("epoch_end", trainer.epoch, sorted(trainer.logs)))

    def on_batch_end(self, trainer):
        self.calls.append(("batch_end", trainer.step, sorted(trainer.logs)))


def test_hooks_are_called_in_order():
    hooks = Hooks()
    make_trainer(callbacks=[hooks]).fit((X, Y), (X, Y), epochs=2, batch_size=25)
    record = ["accuracy", "loss", "lr", "seconds", "val_accuracy", "val_loss"]
    assert hooks.calls == [
        ("fit_start", 0, 2, 2),
        *(("epoch_start", 1), ("batch_end", 1, record[:2]), ("batch_end", 2, record[:2]), ("epoch_end", 1, record)),
        *(("epoch_start", 2), ("batch_end", 3, record[:2]), ("batch_end", 4, record[:2]), ("epoch_end", 2, record)),
        ("fit_end", 2),
    ]


def test_history_is_averaged_over_samples():
    model = nn.Sequential(nn.Linear(6, 3))
    optimizer = optim.SGD(model.parameters(), lr=0.0)  # nothing changes, so each epoch must equal the whole data
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer)
    history = trainer.fit((X, Y), (X, Y), epochs=2, batch_size=7)
    logits = trainer.predict(X)
    loss, accuracy = nn.CrossEntropyLoss()(logits, Y)[0], (logits.argmax(1) == Y).mean()
    for name, expected in {"loss": loss, "accuracy": accuracy, "val_loss": loss, "val_accuracy": accuracy}.items():
        assert history[name] == pytest.approx([expected] * 2, rel=1e-6), name
    assert trainer.evaluate((X, Y), batch_size=7) == pytest.approx({"loss": loss, "accuracy": accuracy}, rel=1e-6)
    assert history["lr"] == [0.0, 0.0] and min(history["seconds"]) > 0
    assert trainer.logs == {name: values[-1] for name, values in history.items()}


def test_curves_stay_as_long_where_some_epochs_have_no_validation():
    trainer = make_trainer()
    for validation in (None, (X, Y), None):
        history = trainer.fit((X, Y), validation, epochs=1, batch_size=25, verbose=False)
    assert [len(curve) for curve in history.values()] == [3] * 6
    assert np.isnan(history["val_loss"]).tolist() == [True, False, True] and history.best_epoch() == 2


def test_scheduler_steps_after_every_optimizer_step():
    model = make_model()
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    scheduler = optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, 10)
    history = Trainer(model, nn.CrossEntropyLoss(), optimizer, scheduler).fit((X, Y), epochs=2, batch_size=10)
    assert scheduler.last_epoch == 10
    assert history["lr"] == pytest.approx([0.6, 0.1])


def test_fit_equals_the_loop_written_by_hand():
    fastnn.manual_seed(2)
    fitted = make_model()
    make_trainer(fitted, seed=4).fit((X, Y), epochs=1, batch_size=20)
    fastnn.manual_seed(2)
    model = make_model()
    optimizer, criterion = optim.AdamW(model.parameters(), lr=1e-2), nn.CrossEntropyLoss()
    order = fastnn.random.permutation(50, fastnn.Generator(4, ORDER_STREAM + 1))
    for index in np.split(order, [20, 40]):
        logits, backward = model(X[index])
        _, dlogits = criterion(logits, Y[index])
        backward(dlogits)
        optimizer.step()
        optimizer.zero_grad()
    assert equal(fitted.state_dict(), model.state_dict())


def test_gradients_left_behind_are_forgotten():
    def fit(spoil):
        fastnn.manual_seed(2)
        model = make_model()
        if spoil:
            for parameter in model.parameters():
                parameter.grad = np.full_like(parameter.data, 1e3)
        make_trainer(model).fit((X, Y), epochs=1, batch_size=25)
        return model.state_dict()

    assert equal(fit(spoil=False), fit(spoil=True))


def test_modes_are_restored():
    model = make_model().eval()
    model[3].training = True
    before = [module.training for module in model.modules()]
    trainer = make_trainer(model)
    seen = []

    class Look(Callback):
        def on_batch_end(self, trainer):
            seen.append({module.training for module in model.modules()})

    trainer.callbacks = (Look(),)
    trainer.fit((X, Y), (X, Y), epochs=2, batch_size=25)
    assert seen == [{True}] * 4
    assert [module.training for module in model.modules()] == before
    model.train()
    assert (trainer.predict(X) == trainer.predict(X)).all()  # no dropout
    count = model[1].num_batches_tracked.copy()
    trainer.evaluate((X, Y))
    assert model[1].num_batches_tracked == count and all(module.training for module in model.modules())
    model.eval()
    with pytest.raises(IndexError):
        trainer.fit((X, np.full(50, 3)), epochs=1)
    assert not any(module.training for module in model.modules())


def test_predict_joins_its_batches():
    trainer = make_trainer()
    whole = trainer.predict(X)
    assert whole.shape == (50, 3) and whole.dtype == np.float32
    np.testing.assert_allclose(trainer.predict(X, batch_size=7), whole, rtol=1e-5, atol=1e-6)


def test_strided_data_is_as_good():
    trainer = make_trainer(nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 3)))
    strided = np.repeat(X, 2, axis=1)[:, ::2]
    assert not strided.flags.c_contiguous
    np.testing.assert_array_equal(trainer.predict(strided), trainer.predict(X))
    assert trainer.evaluate((strided, Y)) == trainer.evaluate((X, Y))
    trainer.fit((strided, Y))


class Column(nn.Module):
    """Accepts samples that are single numbers."""

    def __init__(self):
        self.layer = nn.Linear(1, 3)

    def __call__(self, x):
        y, layer_backward = self.layer(x[:, None])
        return y, lambda dy, input_grad=True: layer_backward(dy, False)


def test_samples_of_one_number_and_one_sample():
    trainer = make_trainer(Column())
    history = trainer.fit((X[:, 0].copy(), Y), (X[:1, 0].copy(), Y[:1]), batch_size=7)
    assert len(history["val_loss"]) == 1 and trainer.predict(X[:1, 0].copy()).shape == (1, 3)
    assert trainer.evaluate((X[:1, 0].copy(), Y[:1]))["accuracy"] in (0.0, 1.0)
    with pytest.raises(ValueError, match=r"^x: got shape \(\), want at least one sample"):
        trainer.predict(np.array(1, np.float32))
    with pytest.raises(ValueError, match=r"^train y: got shape \(\), want at least one sample"):
        trainer.fit((X, np.array(1)))


def spoilt(x, row, column):
    x = x.copy()
    x[row, column] = np.nan
    return x


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda t: t.fit((X[:0], Y[:0])), ValueError, r"train x: got shape \(0, 6\), want at least one sample; "),
        (lambda t: t.fit((X[:-1], Y)), ValueError, r"train y: got shape \(50,\), want \(49,\), .*; "),
        (lambda t: t.fit((X, Y), (X[:9], Y)), ValueError, r"validation y: got shape \(50,\), want \(9,\)"),
        (lambda t: t.evaluate((X[:9], Y)), ValueError, r".* y: got shape \(50,\), want \(9,\)"),
        (lambda t: t.fit((X, Y[:-1])), ValueError, r"train y: got shape \(49,\), want \(50,\), .*; "),
        (lambda t: t.fit((X, Y[:, None])), ValueError, r"train y: got shape \(50, 1\), want \(50,\), one label"),
        (
            lambda t: t.fit((X, Y.astype(float))),
            TypeError,
            r"train y: got float64, want integer labels; pass y.astype\(np.int64\)",
        ),
        (lambda t: t.fit((X, Y > 0)), TypeError, "train y: got bool, want integer labels; pass y.astype"),
        (lambda t: t.fit((X, list(Y))), TypeError, "train y: got list, want an array; convert it with np.array"),
        (lambda t: t.fit((X, np.where(Y == 1, 3, Y))), IndexError, r"train y: got label 3 at row \d+, want one in "),
        (lambda t: t.fit((X, Y), (X, Y - 1)), IndexError, r"validation y: got label -1 at row \d+, want one in "),
        (lambda t: t.fit((spoilt(X, 7, 4), Y)), ValueError, "train x: got nan at row 7, column 4, want finite numbers"),
        (lambda t: t.fit((X, Y), (spoilt(X, 0, 1), Y)), ValueError, "validation x: got nan at row 0, column 1, want"),
        (lambda t: t.fit((X[:, :5], Y)), ValueError, r"train x: got float32 \(50, 5\), .*model\[0\]"),
        (
            lambda t: t.fit((X.astype(int), Y)),
            TypeError,
            r"train x: got int64 \(50, 6\), .* convert integers with .astype",
        ),
        (lambda t: t.fit((X.tolist(), Y)), TypeError, "train x: got list, want an array; convert it with np.array"),
        (lambda t: t.fit((X > 0, Y)), TypeError, r"train x: got bool, want numbers; convert it with .astype\(np"),
        (lambda t: t.fit(X), TypeError, r"train: got ndarray, want a tuple \(x, y\)"),
        (lambda t: t.fit((X, Y, Y[:3])), ValueError, r"sample_weight: got shape \(3,\), want \(50,\)"),
        (lambda t: t.fit((X, Y), (X,)), TypeError, r"validation: got a tuple of 1, want \(x, y\)"),
        (lambda t: t.fit((X, Y), (X, Y[:3])), ValueError, r"validation y: got shape \(3,\)"),
        (lambda t: t.fit((X, Y), epochs=0), ValueError, "epochs: got 0, want a positive integer; "),
        (lambda t: t.fit((X, Y), epochs=1.5), ValueError, "epochs: got 1.5, want a positive integer; "),
        (lambda t: t.fit((X, Y), batch_size=-1), ValueError, "batch_size: got -1, want a positive integer; "),
        (lambda t: make_trainer(seed=-1).fit((X, Y)), ValueError, r"seed: got -1, want an integer in \[0, 2\*\*64\)"),
        (lambda t: t.evaluate((X[:0], Y[:0])), ValueError, "data x: got shape"),
        (lambda t: t.evaluate((X, Y), batch_size=0), ValueError, "batch_size: got 0"),
        (lambda t: t.predict(X[:0]), ValueError, "x: got shape"),
        (lambda t: t.predict(X, batch_size=0), ValueError, "batch_size: got 0"),
        (lambda t: t.fit((X[:1], Y[:1])), ValueError, "batch_size: got 32 for 1 samples, want one that does not leave"),
        (lambda t: t.fit((X, Y), batch_size=7), ValueError, "batch_size: got 7 for 50 samples, want one that does not"),
        (lambda t: t.fit((X, Y), batch_size=1), ValueError, "batch_size: got 1 for 50 samples, want one that does not"),
        (lambda t: t.fit((X, Y), verbose="never"), ValueError, "verbose: got 'never', want 'auto', True or False"),
        (lambda t: t.fit((X, Y), resume=True), TypeError, "resume: got True, want 'latest', a path or None"),
    ],
)
def test_refusals_change_nothing(call, error, sentence):
    trainer = make_trainer()
    before = {name: array.copy() for name, array in trainer.model.state_dict().items()}
    with pytest.raises(error, match=f"^{sentence}"):
        call(trainer)
    assert equal(before, trainer.model.state_dict()) and trainer.step == 0 and trainer.history == {}


def test_a_line_per_epoch(capsys):
    make_trainer(callbacks=[ProgressBar()]).fit((X, Y), (X, Y), epochs=2, batch_size=25)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert all(f"  {name} " in lines[0] for name in ("loss", "accuracy", "val_loss", "val_accuracy", "lr", "seconds"))


def test_a_bar_on_a_terminal(capsys, monkeypatch):
    tqdm = pytest.importorskip("tqdm")
    bars = []

    class Bar(tqdm.tqdm):
        def __init__(self, **options):
            super().__init__(**options)
            bars.append(self)

    monkeypatch.setattr(tqdm, "tqdm", Bar)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    trainer = make_trainer(callbacks=[ProgressBar()])
    for _ in range(2):
        trainer.fit((X, Y), epochs=2, batch_size=25)
    out, err = capsys.readouterr()
    assert [line.split("  ")[0] for line in out.splitlines()] == [
        f"epoch {i}/{n}" for i, n in enumerate((2, 2, 4, 4), 1)
    ]
    assert [(bar.n, bar.total, bar.disable) for bar in bars] == [(4, 4, True)] * 2  # closed at the end
    assert "batch" in err


def test_no_bar_without_tqdm(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    make_trainer(callbacks=[ProgressBar()]).fit((X, Y), batch_size=25)
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1 and err == ""


def test_attributes_tell_where_the_loop_stands():
    """Each attribute is the field of the same name, and the trainer's history is the one that fit returns."""
    trainer = make_trainer(metrics=("accuracy",))
    assert trainer.fit((X, Y), verbose=False) is trainer.history
    values = {"epoch": 2, "epochs": 7, "batch": 3, "batches": 11, "step": 13, "stopped": "enough", "resumed": True,
              "has_stepped": False, "inputs": X, "times": (1.0, 2.0, 3.0, 4.0, 5.0)}  # fmt: skip
    for name, value in values.items():
        setattr(trainer.state, name, value)
    assert all(getattr(trainer, name) is value for name, value in values.items())
    assert trainer.ahead == trainer.state.ahead == (7 - 2) * 11 + (11 - 3)
    assert trainer.monitors == ["loss", "accuracy"]
    trainer.state.validates = True
    assert trainer.monitors == ["loss", "accuracy", "val_loss", "val_accuracy"]
