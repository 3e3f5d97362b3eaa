"""The loop of a Trainer: hooks, stops, modes, validation within epochs, schedules, metrics, printed lines."""

import functools
import math

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.training import Callback, EarlyStopping, ModelCheckpoint, ProgressBar, StopTraining, Trainer

RNG = np.random.default_rng(31)
X = RNG.normal(size=(40, 5)).astype(np.float32)
Y = RNG.integers(0, 3, 40)
HOOKS = [name for name in vars(Callback) if name.startswith("on_") and name != "on_exception"]


def make_trainer(callbacks=(), scheduler=None, lr=0.01, **options):
    fastnn.manual_seed(5)
    model = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
    optimizer = optim.AdamW(model.parameters(), lr=lr)
    scheduler = scheduler and scheduler(optimizer)
    return Trainer(model, nn.CrossEntropyLoss(), optimizer, scheduler, callbacks=callbacks, **options)


def fit(trainer, validation=(X, Y), **options):
    return trainer.fit((X, Y), validation, **({"epochs": 2, "batch_size": 8, "verbose": False} | options))


class Spy(Callback):
    """Records every hook, and calls a function at one of them."""

    def __init__(self, at=None, do=None, time=1, log=None):
        self.at, self.do, self.time = at, do, time
        self.calls = [] if log is None else log
        self.logs = set()

    def note(self, hook, trainer):
        self.calls.append((hook, trainer.epoch, trainer.batch, trainer.step))
        self.logs.add((hook, len(trainer.logs)))
        if hook == self.at:
            self.time -= 1
            if self.time == 0:
                self.do(trainer)

    @property
    def hooks(self):
        return [call[0].removeprefix("on_") for call in self.calls]


for name in HOOKS:
    setattr(Spy, name, functools.partialmethod(lambda self, name, trainer: self.note(name, trainer), name))


def stop(trainer):
    raise StopTraining("enough")


def fail(trainer):
    raise RuntimeError("broken")


def test_all_hooks_in_order():
    spy = Spy()
    fit(make_trainer([spy], accumulate_grad_batches=2, val_check_interval=2))
    batch = ["batch_start", "backward_end"]
    inner = [*batch, "batch_end", *batch, "step_end", "validation_end", "batch_end"]
    last = [*batch, "step_end", "batch_end", "batches_end", "validation_end"]
    epoch = ["epoch_start", *inner, *inner, *last, "epoch_end"]
    assert spy.hooks == ["fit_start", *epoch, *epoch, "fit_end"]
    assert {n for hook, n in spy.logs if "batch_" in hook or hook == "on_step_end"} == {2}  # loss and accuracy so far
    assert {("on_validation_end", 4), ("on_epoch_end", 6)} == {e for e in spy.logs if e[0] in HOOKS[-1:] + HOOKS[3:4]}
    seen = [call[1:] for call in spy.calls if call[1] == 2 or call[0] == "on_fit_start"]
    assert seen == [
        *((0, 0, 0), (2, 0, 3), (2, 0, 3), (2, 0, 3), (2, 1, 3), (2, 1, 3), (2, 1, 3), (2, 2, 4), (2, 2, 4)),
        *((2, 2, 4), (2, 2, 4), (2, 2, 4), (2, 3, 4), (2, 3, 4), (2, 3, 4), (2, 4, 5), (2, 4, 5), (2, 4, 5)),
        *((2, 4, 5), (2, 4, 5), *[(2, 5, 6)] * 4, (2, 0, 6), (2, 0, 6)),
    ]


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("time", [1, 2, 3])  # of six batches, four validations, two epochs
def test_stop_from_every_hook(hook, time):
    log = []
    spies = [Spy(log=log), Spy(hook, stop, time), Spy(hook, lambda t: (_ for _ in ()).throw(StopTraining), time), Spy()]
    trainer = make_trainer(spies, accumulate_grad_batches=2, val_check_interval=2)
    fit(trainer, batch_size=14)
    often = {"on_fit_start": 1, "on_fit_end": 1, "on_epoch_start": 2, "on_batches_end": 2, "on_epoch_end": 2}
    never = time > often.get(hook, 4)
    assert trainer.stopped == (None if never or hook == "on_fit_end" else "enough")
    assert all(spy.hooks == spies[0].hooks for spy in spies), "somebody missed a hook"
    assert spies[0].hooks.count("fit_end") == 1 and spies[0].hooks[-1] == "fit_end"
    ended = spies[0].hooks.count("epoch_end")
    recorded = ended + bool(trainer.batch)  # the epoch that ended early, too
    assert recorded == trainer.epoch and {len(values) for values in trainer.history.values()} <= {recorded}
    assert len(trainer.history.steps["loss"]) == len(trainer.history.steps["lr"]) == trainer.step
    assert len(trainer.history.validations.get("step", [])) == spies[0].hooks.count("validation_end")
    if trainer.stopped:
        behind = {"on_validation_end": ["batch_end", "fit_end"] if time % 2 else ["epoch_end", "fit_end"]}
        last = ["validation_end", *behind[hook]] if hook in behind else [hook.removeprefix("on_"), "fit_end"]
        assert spies[0].hooks[-len(last) :] == last
    spies[1].at = spies[2].at = None
    fit(trainer)
    assert trainer.stopped is None and trainer.batch == 0 and trainer.ahead == 0


@pytest.mark.parametrize("hook", HOOKS)
def test_an_exception_in_any_hook_restores_everything(hook):
    spies = [Spy(hook, fail), Spy()]
    trainer = make_trainer(spies, val_check_interval=2)
    trainer.model.eval()
    trainer.model[3].training = True
    before = [module.training for module in trainer.model.modules()]
    with pytest.raises(RuntimeError, match=r"^broken$"):
        fit(trainer)
    assert [module.training for module in trainer.model.modules()] == before
    assert "fit_end" not in spies[1].hooks
    spies[1].calls.clear()
    epoch = trainer.epoch
    history = fit(trainer)
    assert trainer.epoch == epoch + 2 and np.isfinite(history["loss"]).all()
    assert spies[1].hooks.count("epoch_end") == 2 and spies[1].hooks.count("batch_end") == 10
    assert len(history.steps["loss"]) == trainer.step


class Last(Spy):
    runs_last = True


@pytest.mark.parametrize("hook", HOOKS)
def test_callbacks_that_run_last(hook):
    order = []
    spies = [kind(hook, lambda t, i=i: order.append(i)) for i, kind in enumerate((Last, Spy, Last, Spy))]
    fit(make_trainer(spies))
    assert order == [1, 3, 0, 2] and ModelCheckpoint.runs_last and not EarlyStopping.runs_last


def test_a_hook_may_be_set_on_an_object():
    callback, seen = Callback(), []
    callback.on_epoch_end = lambda trainer: seen.append(trainer.epoch)
    fit(make_trainer([callback]))
    assert seen == [1, 2]


@pytest.mark.parametrize("hook", HOOKS[2:])
def test_the_loop_sets_the_mode_whatever_a_callback_did(hook):
    """eval() in any hook is undone before the next forward; the mode of a single layer is up to the callback."""

    def run(do):
        modes = []

        class Net(nn.Sequential):
            def __call__(self, x):
                modes.append((self.training, self[1].training))
                return super().__call__(x)

        trainer = make_trainer([Spy(hook, do)], metrics=())
        trainer.model.__class__ = Net
        fit(trainer)
        return trainer, modes

    for do in (lambda t: t.model.eval(), lambda t: t.model.train(), lambda t: t.evaluate((X, Y))):
        trainer, modes = run(do)
        assert modes.count((True, True)) == 10 and {training == norm for training, norm in modes} == {True}
        assert trainer.model[1].num_batches_tracked == 10
    if hook == "on_epoch_start":
        assert run(lambda t: t.model[1].eval())[0].model[1].num_batches_tracked == 0


@pytest.mark.parametrize(
    ("interval", "window", "at"),
    [
        (0.25, 1, [1, 2, 3, 4, 5]),
        (0.5, 1, [2, 4, 5]),
        (3, 1, [3, 5]),
        (1.0, 1, [5]),
        (1, 1, [1, 2, 3, 4, 5]),
        (99, 1, [5]),
        (1e-9, 1, [1, 2, 3, 4, 5]),
        (3, 2, [4, 5]),
        (0.25, 3, [3, 5]),
        (np.float32(0.5), 1, [2, 4, 5]),
        (np.float64(0.5), 9, [5]),
        (np.int64(4), 1, [4, 5]),
    ],
)
def test_validation_within_epochs(interval, window, at):
    spy = Spy()
    trainer = make_trainer([spy], accumulate_grad_batches=window, val_check_interval=interval)
    history = fit(trainer)
    done = [batch for hook, _, batch, _ in spy.calls if hook == "on_validation_end"]
    assert done == at * 2
    steps = [math.ceil(batch / window) for batch in at]
    assert history.validations["step"] == [*steps, *(steps[-1] + step for step in steps)]
    assert len(history["val_loss"]) == 2
    assert history["val_loss"] == [history.validations["val_loss"][i] for i in (len(at) - 1, -1)]
    assert fit(trainer, None) is history and len(history.validations["step"]) == 2 * len(at)


@pytest.mark.parametrize("bad", [0, -1, 0.0, 1.5, -0.5, math.nan, math.inf, True, "1", None])
def test_a_bad_interval_is_refused(bad):
    with pytest.raises(ValueError, match=r"^val_check_interval: got .*, want a share of an epoch"):
        make_trainer(val_check_interval=bad)


def test_validation_changes_no_bit_of_the_training():
    first = make_trainer(val_check_interval=1)
    fit(first)
    second = make_trainer()
    fit(second, None)
    assert first.history["loss"] == second.history["loss"]
    assert all((a == second.model.state_dict()[k]).all() for k, a in first.model.state_dict().items())


LR = optim.lr_scheduler


@pytest.mark.parametrize(
    ("options", "scheduler", "rates"),
    [
        ({}, lambda o: LR.ExponentialLR(o, 0.5), [0.5**i for i in range(10)]),
        ({"accumulate_grad_batches": 2}, lambda o: LR.ExponentialLR(o, 0.5), [0.5**i for i in range(6)]),
        ({"scheduler_interval": "epoch"}, lambda o: LR.ExponentialLR(o, 0.5), [1.0] * 5 + [0.5] * 5),
        ({"epochs": 3}, lambda o: LR.ReduceLROnPlateau(o, factor=0.5, patience=0, threshold=0.9999),
         [1.0] * 10 + [0.5] * 5),
    ],
)  # fmt: skip
@pytest.mark.parametrize("validation", [(X, Y), None])
def test_schedules(options, scheduler, rates, validation):
    epochs = options.get("epochs", 2)
    trainer = make_trainer(scheduler=scheduler, lr=1.0, **{k: v for k, v in options.items() if k != "epochs"})
    given = []
    if isinstance(trainer.scheduler, LR.ReduceLROnPlateau):
        step = trainer.scheduler.step
        trainer.scheduler.step = lambda metrics: (given.append(metrics), step(metrics))
    history = fit(trainer, validation, epochs=epochs)
    if isinstance(trainer.scheduler, LR.ReduceLROnPlateau):
        assert given == history["val_loss" if validation else "loss"]
    assert history.steps["lr"] == pytest.approx(rates[: len(history.steps["lr"])]) and trainer.step >= len(rates)
    assert history["lr"] == history.steps["lr"][trainer.step // epochs - 1 :: trainer.step // epochs]


@pytest.mark.parametrize("interval", ["step", "epoch"])
@pytest.mark.parametrize("window", [1, 2])
def test_a_schedule_too_short_is_refused_at_once(window, interval):
    """A schedule that is one step too short is refused; one of the right length works, also over two fits."""
    steps = {"step": 2 * -(-5 // window), "epoch": 2}[interval]
    options = {"accumulate_grad_batches": window, "scheduler_interval": interval}
    trainer = make_trainer(scheduler=lambda o: LR.OneCycleLR(o, 0.1, steps - 1), **options)
    with pytest.raises(ValueError, match=rf"^scheduler: got total_steps = {steps - 1} with 0 .*, want {steps} more"):
        fit(trainer)
    assert trainer.step == 0 == trainer.epoch and trainer.history == {}
    trainer = make_trainer(scheduler=lambda o: LR.OneCycleLR(o, 0.1, steps), **options)
    fit(trainer, epochs=1)
    fit(trainer, epochs=1)
    assert trainer.scheduler.last_epoch == steps
    with pytest.raises(ValueError, match=rf"^scheduler: got total_steps = {steps} with {steps} of them done"):
        fit(trainer, epochs=1)


def test_a_share_of_an_epoch_is_not_rounded_down():
    """0.29 * 100 is slightly less than 29, and must still count as 29."""
    x, y = np.repeat(X, 5, axis=0), np.repeat(Y, 5)
    trainer = make_trainer(val_check_interval=0.29)
    trainer.fit((x, y), (X, Y), 1, 2, verbose=False)
    assert trainer.history.validations["step"] == [29, 58, 87, 100]


def test_parts_that_do_not_fit_are_refused():
    model = nn.Sequential(nn.Linear(5, 3))
    own, other = (optim.SGD(m.parameters(), lr=0.1) for m in (model, nn.Linear(5, 3)))
    foreign, loss = LR.ConstantLR(other), nn.CrossEntropyLoss()
    plateaus = LR.ConstantLR(own)
    plateaus.schedulers = [LR.ReduceLROnPlateau(own)]
    for options, error, sentence in (
        ({"scheduler": foreign}, ValueError, "scheduler: got one of another optimizer, want one of the trainer's"),
        ({"scheduler": object()}, TypeError, "scheduler: got object without step, want a schedule"),
        ({"scheduler_interval": "batch"}, ValueError, "scheduler_interval: got 'batch', want 'step' or 'epoch'"),
        ({"callbacks": [Callback]}, TypeError, "callbacks: got something else than a Callback"),
        ({"accumulate_grad_batches": 0}, ValueError, "accumulate_grad_batches: got 0, want a positive integer"),
        ({"accumulate_grad_batches": True}, ValueError, "accumulate_grad_batches: got True"),
        ({"metrics": ("gini",)}, ValueError, r"metrics: got 'gini', want one of \['accuracy', 'average_precision'"),
        ({"metrics": ("accuracy", "accuracy")}, ValueError, "metrics: got 'accuracy' twice, want each"),
        ({"metrics": (loss_, loss_)}, ValueError, "metrics: got 'loss_' twice, want each"),
        ({"metrics": (lr,)}, ValueError, "metrics: got 'lr' twice, want each name of the history once"),
        ({"metrics": (3,)}, TypeError, "metrics: got int, want names, metrics or functions"),
        ({"metrics": (val_loss,)}, ValueError, "metrics: got 'val_loss', want a name without 'val_'"),
        ({"callbacks": Callback()}, TypeError, "callbacks: got one Callback, want a list of them"),
        ({"optimizer": other}, ValueError, "optimizer: got none of the model's parameters, want them"),
        ({"scheduler": plateaus}, ValueError, "scheduler: got ConstantLR with a ReduceLROnPlateau in it"),
    ):
        with pytest.raises(error, match=f"^{sentence}"):
            Trainer(model, loss, **({"optimizer": own} | options))
    with pytest.raises(TypeError, match=r"^optimizer: got object without step, want an optimizer"):
        Trainer(model, loss, object())


def loss_(logits, labels):
    return float(nn.CrossEntropyLoss()(logits, labels)[0])


def val_loss(logits, labels):
    return 0.0


def lr(logits, labels):
    return 0.0


def test_metrics_are_means_over_samples():
    def top(logits, labels):
        return float((logits.argmax(1) == labels).mean())

    history = fit(make_trainer(metrics=("accuracy", loss_, top)), batch_size=7)
    for of in ("", "val_"):
        assert history[f"{of}loss_"] == pytest.approx(history[f"{of}loss"], rel=1e-6)
        assert history[f"{of}top"] == pytest.approx(history[f"{of}accuracy"], rel=1e-12)
    assert [*history] == ["loss", "accuracy", "loss_", "top", "val_loss", "val_accuracy", "val_loss_", "val_top", "lr",
                          "seconds"]  # fmt: skip
    sure = np.eye(3, dtype=np.float32)[Y]  # labels given as probabilities have an accuracy, too
    trainer = make_trainer()
    assert trainer.evaluate((X, sure))["accuracy"] == trainer.evaluate((X, Y))["accuracy"]


@pytest.mark.parametrize(("verbose", "own", "lines"), [("auto", 0, 2), (True, 0, 2), (False, 0, 0), ("auto", 1, 2)])
def test_what_is_said(capsys, verbose, own, lines):
    trainer = make_trainer([ProgressBar()] * own)
    fit(trainer, verbose=verbose)
    assert len(capsys.readouterr().out.splitlines()) == lines
