"""A training run that was killed continues with the same bits; one that cannot continue is refused and left unchanged.

FASTNN_TEST_CHECKPOINTS=full kills at every point of every setting in new processes, too.
"""

import copy
import json
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
from checkpoint_files import FULL
from resume_jobs import SETTINGS, build, digest, left, train
from support import python

import fastnn
from fastnn import nn, optim
from fastnn.optim import lr_scheduler
from fastnn.training import Callback, CheckpointError, EarlyStopping, ModelCheckpoint, Trainer
from fastnn.training import load_checkpoint as load
from fastnn.training import save_checkpoint as save

pytest.importorskip("safetensors")
JOBS = str(Path(__file__).with_name("resume_jobs.py"))
THREADS = cycle("123")


@pytest.mark.parametrize("setting", SETTINGS)
def test_killed_anywhere(room, setting):
    """A run killed at any hook of any step, before or after the write, ends with the same bits (in forked children)."""
    found = json.loads(python(JOBS, "every", setting, str(room), str(1 if setting == "plateau" else 15)))
    assert len(found["points"]) > 60 and found["wrong"] == []


def killed(*arguments):
    """Run a new process that kills itself."""
    environment = os.environ | {"FASTNN_NUM_THREADS": next(THREADS)}
    process = subprocess.run([sys.executable, JOBS, "run", *arguments], env=environment, capture_output=True, text=True)
    assert process.returncode == -signal.SIGKILL, process.stderr


def resumed(setting, directory):
    return json.loads(python(JOBS, "run", setting, str(directory), FASTNN_NUM_THREADS=next(THREADS)))


SAMPLE = {
    "plateau": ("after.on_batch_end.8", "before.on_epoch_end.2"),
    "fit_one_cycle": ("before.on_epoch_end.1",),
    "stops": ("before.on_validation_end.3",),
}


@pytest.mark.parametrize("setting", SETTINGS if FULL else SAMPLE)
def test_killed_in_new_processes(room, setting):
    """Runs in new processes, with other numbers of threads, end with the same bits."""
    want, points = resumed(setting, room / "whole")

    def digest_after(point):
        killed(setting, str(room / point), point)
        return resumed(setting, room / point)[0]

    points = points if FULL else SAMPLE[setting]
    with ThreadPoolExecutor(2) as pool:
        wrong = [point for point, got in zip(points, pool.map(digest_after, points), strict=True) if got != want]
    assert wrong == []


def test_killed_again_and_again(room):
    """A process that is killed again and again after one step still ends with the same bits."""
    want, points = resumed("plateau", room / "whole")
    for _ in range(sum(point.startswith("after.on_batch_end") for point in points) // 3 if FULL else 2):
        killed("plateau", str(room / "often"), "before.on_batch_start.3" if FULL else "before.on_batch_start.5")
    assert resumed("plateau", room / "often")[0] == want


def test_ways_to_say_from_where(room):
    """resume accepts a file, a directory, and "latest" in an empty or missing one; also after the end or for longer."""
    trainer, _ = build("plateau", room / "a")
    train(trainer, "plateau", room)  # there is no checkpoint yet: training starts at the beginning
    want, last = left(trainer), trainer.callbacks[3].last
    assert not trainer.resumed and trainer.step == 9 and last.name == "step-00000009.safetensors"
    (room / "b").mkdir()
    for directory, source in ((room / "b", "latest"), (room / "c", "latest"), (room / "c", room / "b")):
        trainer, _ = build("plateau", directory)
        train(trainer, "plateau", source)
        assert left(trainer) == want and trainer.resumed is (source != "latest")
    for source in (last, str(last), room / "a", "latest"):  # everything is done: nothing is trained
        trainer, kills = build("plateau", room / "a", seed=5)
        train(trainer, "plateau", source)
        assert left(trainer) == want and trainer.resumed and kills[0].counts["on_batch_start"] == 0
    train(trainer, "plateau", "latest", epochs=4)
    assert trainer.epoch == 4 and trainer.step == 12 and len(trainer.history["loss"]) == 4
    whole, _ = build("plateau", room / "d")
    train(whole, "plateau", epochs=4)
    assert left(whole) == left(trainer)


STORED = {
    "configuration": {"model", "optimizer", "scheduler", "loss", "metrics"},
    "loop": {"epoch", "batch", "step", "first_epoch", "first_step", "stopped"},
    "data": {"seed", "samples", "batch_size", "accumulate_grad_batches", "val_check_interval"},
    "meter": {"loss", "weight", "samples", "metrics"},
    "history": {"epochs", "steps", "validations", "directions"},
}


def test_what_a_checkpoint_stores(room):
    """The names in a file stay, because later versions must read it; its loop is the trainer's position."""
    trainer, _ = build("plateau", room)
    train(trainer, "plateau")
    state = load(trainer.callbacks[3].last)
    assert state.keys() == {*STORED, "model", "optimizer", "scheduler", "generators", "callbacks", "source"}
    assert {name: state[name].keys() for name in STORED} == STORED
    assert state["loop"] == {"epoch": 3, "batch": 0, "step": 9, "first_epoch": 0, "first_step": 0, "stopped": None}
    assert state["data"]["samples"] == 60 and state["data"]["batch_size"] == 12


def test_early_stopping_stays_stopped(room):
    trainer, _ = build("stops", room)
    train(trainer, "stops")
    want, why = left(trainer), trainer.stopped
    assert trainer.epoch == 3 and "has not become better for 8 validations" in why
    again, kills = build("stops", room, seed=7)
    train(again, "stops")
    assert left(again) == want and again.stopped == why and kills[0].counts["on_batch_start"] == 0
    best = again.callbacks[2].state_dict()["weights"]
    assert digest(best) == digest(again.model.state_dict()) != digest(load(again.callbacks[3].last)["model"])


class Extra(Callback):
    """Has a state only after one was loaded."""

    def __init__(self):
        self.state = {}

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.state = dict(state)


def mlp(hidden=4, dropout=nn.Dropout, dtype=np.float32, bias=True, p=0.2):
    first, last = nn.Linear(3, hidden, bias, dtype=dtype), nn.Linear(hidden, 2, dtype=dtype)
    return nn.Sequential(first, nn.BatchNorm1d(hidden, dtype=dtype), dropout(p), last)


def own_dropout(p):
    return nn.Dropout(p, generator=fastnn.random.Generator(1))


def make(
    directory,
    model=mlp,
    optimizer=optim.AdamW,
    schedule=lr_scheduler.StepLR,
    callbacks=(Extra, EarlyStopping),
    loss=None,
    **more,
):
    fastnn.manual_seed(11)
    model = model()
    optimizer = optimizer(model.parameters(), lr=0.1)
    scheduler = schedule(optimizer, 2) if schedule else None
    callbacks = [*(kind() for kind in callbacks), ModelCheckpoint(directory)]
    return Trainer(model, loss or nn.CrossEntropyLoss(), optimizer, scheduler, callbacks=callbacks, **more)


DATA = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32), np.arange(24) % 2


def fit(trainer, rows=24, batch_size=8, epochs=2, **options):
    x, y = DATA
    x = x.astype(next(trainer.model.parameters()).dtype)
    return trainer.fit((x[:rows], y[:rows]), (x, y), epochs, batch_size, verbose=False, **options)


def all_of(trainer):
    """Return a digest of everything, and the attributes that a checkpoint does not contain."""
    return digest(trainer.capture()), trainer.batches, trainer.epochs, trainer.resumed, repr(trainer.times)


@pytest.mark.parametrize(
    ("how", "options", "error", "sentence"),
    [
        ({"model": lambda: mlp(5)}, {}, ValueError, r"model: got 0.weight of .*4, 3\) in .*, want 0.weight .*5, 3"),
        ({"model": lambda: mlp(bias=False)}, {}, ValueError, "model: got 0.bias of float32 .*, want 1.weight"),
        ({"model": lambda: mlp(dtype=np.float64)}, {}, ValueError, "model: got 0.weight of float32 .* of float64"),
        ({"model": lambda: nn.Sequential(mlp())}, {}, ValueError, "model: got 0.weight .*, want 0.0.weight"),
        ({"model": lambda: mlp(dropout=own_dropout)}, {}, ValueError, "generators: got another number"),
        ({"optimizer": optim.SGD}, {}, ValueError, "optimizer: got AdamW in the checkpoint, want SGD"),
        ({"schedule": None}, {}, ValueError, "scheduler: got StepLR in the checkpoint, want NoneType"),
        ({"schedule": lr_scheduler.CosineAnnealingLR}, {}, ValueError, "scheduler: got StepLR in .*, want CosineAnn"),
        ({"callbacks": ()}, {}, ValueError, r"callbacks: got the state of \['EarlyStopping.0'\] in the checkpoint"),
        ({"model": lambda: nn.Sequential(*mlp(), nn.ReLU())}, {}, ValueError, r"model: got nothing .*, want .*ReLU"),
        ({"model": lambda: mlp(dropout=lambda p: nn.ReLU())}, {}, ValueError, "model: got .*Dropout.* want .*ReLU"),
        ({"loss": lambda *a: nn.CrossEntropyLoss()(*a)}, {}, ValueError, "loss: got CrossEntropyLoss in .*, want <lam"),
        ({"metrics": ()}, {}, ValueError, r"metrics: got \['accuracy'\] in the checkpoint, want \[\]"),
        ({"seed": 1}, {}, ValueError, "seed: got 1, want 11, with which"),
        ({}, {"rows": 23}, ValueError, "samples: got 23, want 24"),
        ({}, {"batch_size": 4}, ValueError, "batch_size: got 4, want 8"),
        ({"accumulate_grad_batches": 2}, {}, ValueError, "accumulate_grad_batches: got 2, want 1"),
        ({"val_check_interval": 1}, {}, ValueError, "val_check_interval: got 1, want 3"),
    ],
)  # fmt: skip
def test_another_training_is_refused(tmp_path, how, options, error, sentence):
    """Another training run is refused by the first part that differs, and nothing changes."""
    fit(make(tmp_path))
    trainer = make(tmp_path / "other", **how)
    fit(trainer, epochs=1)
    before = all_of(trainer)
    with pytest.raises(error, match=f"^{sentence}"):
        fit(trainer, resume=tmp_path, **options)
    assert all_of(trainer) == before


@pytest.mark.parametrize("interval", ["step", "epoch"])
@pytest.mark.parametrize("window", [1, 2])
def test_a_schedule_too_short_to_go_on_with(tmp_path, window, interval):
    """The rest of an epoch counts, wherever in it the checkpoint was written."""
    steps = -(-3 // window)
    whole = steps if interval == "step" else 1

    def trainer():
        every_step = ModelCheckpoint(tmp_path, save_last=9, every_n_steps=1)
        options = {"accumulate_grad_batches": window, "scheduler_interval": interval}
        made = make(tmp_path, schedule=None, callbacks=(lambda: every_step,), **options)
        made.scheduler = lr_scheduler.OneCycleLR(made.optimizer, 0.1, 2 * whole)
        return made

    fit(trainer())
    for step in range(1, 2 * steps + 1):
        source = tmp_path / f"step-{step:08}.safetensors"
        with pytest.raises(ValueError, match=r"^scheduler: got total_steps") as refused:
            fit(trainer(), epochs=3, resume=source)
        done, missing = re.search(r"with (\d) of them done, want (\d) more;", str(refused.value)).groups()
        assert int(done) + int(missing) == 3 * whole and int(done) in (step, (step - 1) // steps, step // steps)
        again = trainer()
        fit(again, resume=source)
        assert again.scheduler.last_epoch == 2 * whole


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (
            {"model": lambda: mlp(p=0.7)},
            r"model: got \(2\): Dropout\(p=0.2\) in .*, going on with \(2\): Dropout\(p=0.7\)",
        ),
        (
            {"loss": nn.CrossEntropyLoss(label_smoothing=0.3)},
            r"loss: got CrossEntropyLoss\(\) in .* CrossEntropyLoss\(label_",
        ),
    ],
)
def test_other_options_are_told(tmp_path, how, told):
    """Other options only cause a warning, because they may be intended, as when a callback changed the dropout."""
    fit(make(tmp_path))
    trainer = make(tmp_path / "other", **how)
    with pytest.warns(UserWarning, match=f"^{told}"):
        fit(trainer, epochs=3, resume=tmp_path)
    assert trainer.epoch == 3


def test_an_option_of_several_lines_is_one(tmp_path):
    """An option printed over several lines, such as weights of many classes, counts as one."""

    class Weighted(nn.CrossEntropyLoss):
        def __repr__(self):
            return f"Weighted({np.full(40, self.label_smoothing)!r})"

    fit(make(tmp_path, loss=Weighted(label_smoothing=0.1)))
    fit(make(tmp_path / "other", loss=Weighted(label_smoothing=0.1)), epochs=3, resume=tmp_path)
    with pytest.warns(UserWarning, match=r"^loss: got Weighted\(array\(\[0.1, .* going on with Weighted"):
        fit(make(tmp_path / "third", loss=Weighted(label_smoothing=0.2)), epochs=3, resume=tmp_path)


def test_parts_that_change_while_training_are_put_back(tmp_path):
    """Parts that change during training, such as a loss that shows its last value, are restored."""

    class Last:
        value = 0.0

        def __call__(self, logits, labels):
            self.value, dlogits = nn.CrossEntropyLoss()(logits, labels)
            return self.value, dlogits

        def __repr__(self):
            return f"Last(value={self.value})"

    trainer = make(tmp_path, loss=Last())
    state = copy.deepcopy(trainer.capture())
    trainer.lr_find(DATA, num_it=5, batch_size=8)
    assert trainer.loss.value and digest(trainer.capture() | {"configuration": 0}) == digest(
        state | {"configuration": 0}
    )
    fit(trainer)
    trainer.restore(state)
    assert digest(trainer.capture()["model"]) == digest(state["model"])


@pytest.mark.parametrize("spoil", ["monitor", "directory", "state"])
def test_a_callback_that_refuses_a_resumed_fit(tmp_path, spoil):
    """A callback that refuses a resumed fit leaves nothing changed, though the checkpoint is read before it."""
    fit(make(tmp_path))
    trainer = make("/proc/fastnn" if spoil == "directory" else tmp_path / "other")
    extra, stopping, _ = trainer.callbacks
    trainer.model[0].weight.grad = np.ones_like(trainer.model[0].weight.data)
    before = all_of(trainer)
    if spoil == "monitor":
        stopping.monitor = "val_f1"
    if spoil == "state":
        extra.state_dict = lambda: {"a": {1, 2}}
    error = {"monitor": ValueError, "directory": OSError, "state": TypeError}[spoil]
    with pytest.raises(error):
        fit(trainer, resume=tmp_path)
    extra.state_dict = lambda: {}
    assert all_of(trainer) == before and (trainer.model[0].weight.grad == 1).all()


def at(*path, to):
    def change(state):
        *way, last = path
        for key in way:
            state = state[key]
        state[last] = to(state[last]) if callable(to) else to

    return change


SPOILT = {
    "optimizer's shape": at("optimizer", "state", 0, "exp_avg", to=lambda a: a[:1]),
    "optimizer's dtype": at("optimizer", "state", 3, "exp_avg_sq", to=lambda a: a.astype(np.float64)),
    "optimizer's step": at("optimizer", "state", 1, "step", to=-1),
    "optimizer's option": at("optimizer", "param_groups", 0, "lr", to=float("nan")),
    "no optimizer": at("optimizer", to=[]),
    "scheduler's key": at("scheduler", "gamma", to="x"),
    "no scheduler": at("scheduler", to=None),
    "generator": at("generators", 0, "offset", to=-1),
    "history": at("history", "steps", to=[1]),
    "meter": at("meter", to={}),
    "early stopping": at("callbacks", "EarlyStopping.0", to={"best": 1.0}),
    "model's checkpoint": at("callbacks", "ModelCheckpoint.0", "last", to=[3]),
    "loop": at("loop", "epoch", to="x"),
    "batch": at("loop", "batch", to=-1),
    "seed": at("data", "seed", to=[1]),
    "data": at("data", to={}),
    "model": at("model", "0.weight", to=1.0),
    "callbacks": at("callbacks", to=[]),
}


@pytest.mark.parametrize("name", SPOILT)
def test_all_or_nothing(tmp_path, name):
    """A file with a valid checksum and wrong content leaves every state as before, also of parts already loaded."""
    first = make(tmp_path)
    first.callbacks[0].state = {"anything": 1}
    fit(first)
    state = load(first.callbacks[-1].last)
    SPOILT[name](state)
    (tmp_path / "spoilt").mkdir()
    path = tmp_path / "spoilt" / "a.safetensors"
    save(path, state)
    trainer = make(tmp_path / "other")
    fit(trainer, epochs=1)
    before = all_of(trainer)
    with pytest.raises((CheckpointError, ValueError, TypeError, KeyError, AttributeError)):
        fit(trainer, resume=path)
    assert all_of(trainer) == before
    fit(trainer, resume=tmp_path)  # a good file can still be loaded
    assert digest(trainer.model.state_dict()) == digest(first.model.state_dict())


def test_names_from_a_file_delete_nothing(tmp_path):
    """A hostile list of files to delete is harmless: only names that ModelCheckpoint itself writes count."""
    fit(make(tmp_path / "a"))
    victims = [tmp_path / "victim", tmp_path / "step-00000001.safetensors", tmp_path / "a" / "mine.safetensors"]
    for victim in victims:
        victim.write_bytes(b"dear")
    path = next(iter((tmp_path / "a").glob("step-*6.safetensors")))
    state = load(path)
    names = [
        str(victims[0]),
        "../victim",
        "../step-00000001.safetensors",
        "mine.safetensors",
        "step-00000001.safetensors/..",
    ]
    state["callbacks"]["ModelCheckpoint.0"] = {"last": names, "top": []}
    save(path, state)
    fit(make(tmp_path / "a"), epochs=4, resume=path)
    assert [victim.read_bytes() for victim in victims] == [b"dear"] * 3
