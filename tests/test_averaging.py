"""Averages of weights: the formulas beside torch's, and what validation, callbacks and checkpoints get of them."""

import math
from typing import Any

import numpy as np
import pytest
from averaging_tasks import (
    RNG,
    VALIDATION,
    Recorder,
    X,
    Y,
    copied,
    fit,
    floats,
    make_model,
    make_trainer,
    same,
    stream,
)

from fastnn import nn
from fastnn.training import EMA, SWA, Callback, EarlyStopping, ModelCheckpoint, StopTraining, load_checkpoint
from fastnn.training.callbacks import averaging

EMAS: dict[
    str, tuple[dict[str, Any], Any]
] = {  # options; whether the average is updated after step s; decay of update n
    "plain": ({}, lambda s: True, lambda n: 0.999),
    "shorter": ({"decay": 0.5}, lambda s: True, lambda n: 0.5),
    "nothing stays": ({"decay": 0.0}, lambda s: True, lambda n: 0.0),
    "never moves": ({"decay": 1.0}, lambda s: True, lambda n: 1.0),
    "every third": ({"decay": 0.7, "update_every": 3}, lambda s: s % 3 == 0, lambda n: 0.7),
    "later": ({"decay": 0.9, "update_after_step": 5}, lambda s: s > 5, lambda n: 0.9),
    "warm-up": ({"use_warmup": True}, lambda s: True, lambda n: min(0.999, 1 - math.pow(1 + n, -2 / 3))),
    "own warm-up": (
        {"decay": 0.8, "use_warmup": True, "warmup_gamma": 4, "warmup_power": 1},
        lambda s: True,
        lambda n: min(0.8, 1 - 1 / (1 + n / 4)),
    ),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", EMAS)
def test_ema_is_its_formula_in_the_dtype_of_the_weights(name: str, dtype: Any) -> None:
    options, is_due, decay = EMAS[name]
    ema, recorder = EMA(**options), Recorder()
    trainer = make_trainer(recorder, ema, model=make_model(dtype=dtype))
    trainer.fit((X[:30].astype(dtype), Y[:30]), None, 3, 8, verbose=False)
    average: Any = None
    n = 0
    for step, weights in enumerate(recorder.steps, 1):
        if is_due(step):
            rate = dtype(1 - decay(n))
            new = floats(weights)
            average = (
                new
                if average is None
                else {k: a + rate * (new[k] - a) if rate != 1 else new[k] for k, a in average.items()}
            )
            n += 1
    assert ema.updates == n and same(ema.average, average) and all(a.dtype == dtype for a in ema.average.values())
    assert same(floats(trainer.model.state_dict()), average)
    assert trainer.model.state_dict()["1.running_mean"].tolist() == recorder.steps[-1]["1.running_mean"].tolist()


@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("kind", ["EMA", "SWA"])
def test_averages_are_those_of_torch(kind: str, use_buffers: bool) -> None:
    """200 updates: to the bit where torch evaluates the same formula, else to a rounding of torch's fused one."""
    torch = pytest.importorskip("torch")
    swa = torch.optim.swa_utils
    model = torch.nn.Sequential(torch.nn.Linear(5, 6), torch.nn.BatchNorm1d(6))
    own = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6))
    formula = lambda a, w, n: a + ((1 - 0.9) if kind == "EMA" else 1 / (int(n) + 1)) * (w - a)  # noqa: E731
    fused = swa.get_ema_multi_avg_fn(0.9) if kind == "EMA" else swa.get_swa_multi_avg_fn()
    same_formula = swa.AveragedModel(model, avg_fn=formula)
    theirs = swa.AveragedModel(model, multi_avg_fn=fused)
    ours = EMA(0.9, use_buffers) if kind == "EMA" else SWA(None)
    ours._parameters = {name: p.data for name, p in own.named_parameters()}
    ours.use_buffers = use_buffers
    for n in range(200):
        for array, tensor in zip(own.state_dict().values(), model.state_dict().values(), strict=True):
            array[...] = 1 + RNG.random(array.shape) if array.dtype.kind == "f" else n
            tensor.copy_(torch.from_numpy(array))
        same_formula.update_parameters(model)
        theirs.update_parameters(model)
        ours._update(own, 1 - 0.9 if kind == "EMA" else 1 / (n + 1))
    names = [
        name for name, a in own.state_dict().items() if use_buffers or ("running" not in name and a.dtype.kind == "f")
    ]
    assert list(ours.average) == sorted(names, key=lambda name: "running" in name or "num" in name)
    exact = {"module." + name: ours.average[name] for name in names if ours.average[name].dtype.kind == "f"}
    if use_buffers:
        swa.AveragedModel(model, avg_fn=formula, use_buffers=True)  # torch averages numbers of batches, too
        assert ours.average["1.num_batches_tracked"] == 199
        exact = {name: a for name, a in exact.items() if "running" not in name}
    for name, array in exact.items():
        assert np.array_equal(array, same_formula.state_dict()[name].numpy()), name
        np.testing.assert_array_max_ulp(array, theirs.state_dict()[name].numpy(), 2 if kind == "EMA" else 8)


def test_buffers_are_averaged_and_numbers_copied() -> None:
    ema, recorder = EMA(0.5, use_buffers=True), Recorder()
    trainer = make_trainer(ema, recorder)
    fit(trainer)
    mean = recorder.steps[0]["1.running_mean"]
    for weights in recorder.steps[1:]:
        mean = mean + np.float32(0.5) * (weights["1.running_mean"] - mean)
    assert np.array_equal(ema.average["1.running_mean"], mean) and ema.average["1.num_batches_tracked"] == 12
    assert same(trainer.model.state_dict(), ema.average)


def test_tied_and_frozen_parameters() -> None:
    """A shared parameter is averaged once; a frozen one stays what it is."""
    model = nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 3))
    model[1].weight = model[0].weight
    model[2].requires_grad_(False)
    frozen = copied(model[2])
    ema = EMA(0.9)
    fit(make_trainer(ema, model=model), validation=None)
    assert list(ema.average) == ["0.weight", "0.bias", "1.bias", "2.weight", "2.bias"]
    assert same(copied(model[2]), frozen)


class Evaluating(Callback):
    """Evaluates the model itself, and what validation said of it."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []

    def on_epoch_end(self, trainer: Any) -> None:
        self.seen.append((trainer.evaluate(VALIDATION, 8)["loss"], trainer.logs["val_loss"]))


AVERAGES: dict[str, Any] = {
    "EMA": lambda **options: EMA(0.8, **options),
    "EMA with buffers": lambda **options: EMA(0.8, True, **options),
    "SWA": lambda **options: SWA(0.2, 2, 2, **options),
}


@pytest.mark.parametrize("keep_averaged", [True, False])
@pytest.mark.parametrize("validate", [True, False])
@pytest.mark.parametrize("name", AVERAGES)
def test_what_is_validated_and_what_stays(name: str, validate: bool, keep_averaged: bool) -> None:
    average, recorder, evaluating = (
        AVERAGES[name](validate=validate, keep_averaged=keep_averaged),
        Recorder(),
        Evaluating(),
    )
    trainer = make_trainer(evaluating, recorder, average)
    fit(trainer)
    plain = Recorder()
    fit(make_trainer(plain, *([] if name != "SWA" else [SWA(0.2, 2, 2, validate=False, keep_averaged=False)])))
    assert all(map(same, recorder.epochs, plain.epochs)), "the average changes nothing that is trained"
    own, said = zip(*evaluating.seen, strict=True)
    begun = 1 if name == "SWA" else 0
    assert own[:begun] == said[:begun]
    assert all((a == b) is not validate for a, b in zip(own[begun:], said[begun:], strict=True))
    assert same(copied(trainer.model), recorder.epochs[-1]) is not keep_averaged
    if validate and keep_averaged:
        assert trainer.evaluate(VALIDATION, 8)["loss"] == said[-1]
    other = make_model()
    average.copy_to(other)
    assert same({k: other.state_dict()[k] for k in average.average}, average.average)


@pytest.mark.parametrize("name", AVERAGES)
@pytest.mark.parametrize("how", [StopTraining, KeyboardInterrupt, RuntimeError])
def test_a_fit_that_ends_early(name: str, how: Any) -> None:
    """The model has the average after StopTraining and Ctrl-C, wherever it comes; its own weights after an error."""

    class Ending(Callback):
        def on_batch_start(self, trainer: Any) -> None:
            if trainer.step == 9:
                raise how

    average, recorder = AVERAGES[name](), Recorder()
    trainer = make_trainer(Ending(), recorder, average)
    if how is RuntimeError:
        with pytest.raises(RuntimeError):
            fit(trainer)
        assert same(copied(trainer.model), recorder.steps[-1]) and trainer.optimizer.param_groups[0]["lr"] == 0.3
        return
    fit(trainer)
    assert trainer.step == 9 and average.updates == (1 if name == "SWA" else 9)
    assert same({k: trainer.model.state_dict()[k] for k in average.average}, average.average)
    assert not same(copied(trainer.model), recorder.steps[-1])


@pytest.mark.parametrize("where", ["forward", "swap"])
def test_ctrl_c_during_validation(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trained weights are put back into the model, also where they have been replaced in part."""
    copy, calls = averaging._copy, [0]

    def interrupt(to: Any = None, values: Any = None, *_: Any) -> Any:
        calls[0] += 1
        if where == "swap":
            copy(to, dict([*values.items()][:1] if calls[0] == 2 else values))
        if where == "forward" or calls[0] == 2:
            raise KeyboardInterrupt

    class Arm(Callback):
        def on_batches_end(self, trainer: Any) -> None:
            if where == "forward":
                monkeypatch.setattr(nn.Linear, "__call__", interrupt)
            else:
                monkeypatch.setattr(averaging, "_copy", interrupt)

    ema, recorder = EMA(0.8, keep_averaged=False), Recorder()
    trainer = make_trainer(ema, recorder, Arm())
    fit(trainer)
    assert (
        trainer.stopped == "KeyboardInterrupt" and trainer.epoch == 1 and calls[0] == (1 if where == "forward" else 2)
    )
    assert same(copied(trainer.model), recorder.steps[-1])


@pytest.mark.parametrize("keep_averaged", [True, False])
@pytest.mark.parametrize("first", ["average", "stopping"])
@pytest.mark.parametrize("name", AVERAGES)
@pytest.mark.parametrize("lr", [0.3, 30.0])
def test_best_weights_are_those_that_were_validated(name: str, first: str, keep_averaged: bool, lr: float) -> None:
    average, stopping = AVERAGES[name](keep_averaged=keep_averaged), EarlyStopping(patience=9)
    callbacks = (average, stopping) if first == "average" else (stopping, average)
    trainer = make_trainer(*callbacks, lr=lr)
    history = fit(trainer, 6)
    assert stopping.best == min(history["val_loss"]) == trainer.evaluate(VALIDATION, 8)["loss"]
    assert stopping.best_epoch == history.best_epoch("val_loss")


def test_checkpoints_have_both(tmp_path: Any) -> None:
    """A checkpoint has the trained weights and the average, which is what its score is of."""
    for order in (0, 1):
        saving, ema, recorder = ModelCheckpoint(tmp_path / str(order), "val_loss"), EMA(0.8), Recorder()
        callbacks = (saving, ema, recorder) if order else (ema, recorder, saving)
        history = fit(make_trainer(*callbacks), 4)
        assert saving.best is not None
        state = load_checkpoint(saving.best)
        assert same(state["model"], recorder.epochs[state["loop"]["epoch"] - 1])
        again = make_trainer(EMA(0.8), ModelCheckpoint(tmp_path / "x"))
        again.restore(state)
        ema = again.callbacks[0]  # type: ignore[assignment]
        ema.copy_to(again.model)
        assert again.evaluate(VALIDATION, 8)["loss"] == min(history["val_loss"])


REFUSED: dict[str, tuple[Any, Any]] = {
    r"^decay: got 1.5, want a number in \[0, 1\]$": (lambda: EMA(1.5), None),
    r"^update_every: got 0, want a positive integer": (lambda: EMA(update_every=0), None),
    r"^warmup_power: got 0, want a finite number > 0$": (lambda: EMA(warmup_power=0), None),
    r"^validate: got 1, want True or False$": (lambda: EMA(validate=1), None),  # type: ignore[arg-type]
    r"^swa_lr: got -1, want a finite number >= 0$": (lambda: SWA(-1), None),
    r"^swa_epoch_start: got 1.0, want an epoch, .* or a fraction": (lambda: SWA(0.1, 1.0), None),
    r"^anneal_strategy: got 'exp', want 'cos' or 'linear'$": (lambda: SWA(0.1, anneal_strategy="exp"), None),  # type: ignore[arg-type]
    r"^swa_lr: got 2 rates, want one, or 1": (lambda: SWA([0.1, 0.2]), fit),
    r"^swa_epoch_start: got 4 for a fit of 3 epochs, want at most 3$": (lambda: SWA(0.1, 4), fit),
    r"^swa_epoch_start: got 0.8 for a fit without a number of epochs": (
        lambda: SWA(0.1),
        lambda t: fit(t, None, max_steps=9),
    ),
    r"^callbacks: got SWA and EMA, want one average .* pass validate=False and keep_averaged=False": (
        lambda: (SWA(0.1, 1), EMA()),
        fit,
    ),
    r"^restore_best_weights: got True with EMA\(validate=False\), .* want False, or validate=True$": (
        lambda: (EarlyStopping(), EMA(validate=False)),
        fit,
    ),
    r"^train: got an iterator, which SWA cannot read again .* pass update_bn=False$": (
        lambda: SWA(0.1, 1),
        lambda t: t.fit(stream()(), None, 1, verbose=False),
    ),
    r"^validate: got True with an iterable of batches and batch norms, .* pass validate=False$": (
        lambda: SWA(0.1, 1),
        lambda t: t.fit(stream(), None, 1, verbose=False),
    ),
    r"^EMA: got no average yet, want at least one update; train first$": (
        EMA,
        lambda t: t.callbacks[0].copy_to(t.model),
    ),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_refused(sentence: str) -> None:
    make, act = REFUSED[sentence]
    with pytest.raises((TypeError, ValueError), match=sentence):
        made = make()
        trainer = make_trainer(*(made if isinstance(made, tuple) else (made,)))
        before = copied(trainer.model)
        try:
            act(trainer)
        finally:
            assert same(copied(trainer.model), before) and trainer.step == 0


def test_a_checkpoint_without_the_average(tmp_path: Any) -> None:
    """Either way it is told: an average that begins late by a warning, one that would be lost by an error."""
    fit(make_trainer(ModelCheckpoint(tmp_path)))
    ema = EMA(0.8)
    trainer = make_trainer(ema, ModelCheckpoint(tmp_path / "a"))
    fit(trainer, 1)
    with pytest.warns(
        UserWarning, match=r"^callbacks: got no state of EMA\.0 in the checkpoint, .* begins at step 12;"
    ):
        fit(trainer, 4, resume=tmp_path)
    assert ema.updates == 4
    with pytest.raises(ValueError, match=r"^callbacks: got the state of \['EMA.0'\] in the checkpoint, want those"):
        fit(make_trainer(ModelCheckpoint(tmp_path)), 5, resume=tmp_path / "a")
    trainer = make_trainer(EMA(0.8, use_buffers=True), ModelCheckpoint(tmp_path / "b"))
    before = copied(trainer.model)
    with pytest.raises(
        ValueError, match=r"^EMA: got an average without '1.running_mean' .* want use_buffers=False, or"
    ):
        fit(trainer, 5, resume=tmp_path / "a")
    assert same(copied(trainer.model), before)


def test_a_second_fit_begins_a_new_average() -> None:
    ema = EMA(0.8, update_after_step=5)
    trainer = make_trainer(ema)
    for _ in range(2):
        fit(trainer)
        assert ema.updates == 7


def test_decay_0_copies_whatever_the_sizes() -> None:
    model, ema = nn.Linear(1, 1), EMA(0.0)
    ema._parameters = {name: parameter.data for name, parameter in model.named_parameters()}
    for value in (1e8, 1e-3, -3e30):
        for parameter in model.parameters():
            parameter.data[...] = value
        ema._update(model, 1 - ema.current_decay)
        assert same(ema.average, model.state_dict())


def test_a_restored_average_is_a_copy() -> None:
    first, second = make_trainer(EMA(0.8)), make_trainer(EMA(0.8))
    fit(first)
    second.restore(first.capture())
    average = second.callbacks[0]
    assert isinstance(average, EMA) and average.updates == 12
    for array in average.average.values():
        array[...] = 7
    assert not any((array == 7).all() for array in first.callbacks[0].average.values())  # type: ignore[attr-defined]
