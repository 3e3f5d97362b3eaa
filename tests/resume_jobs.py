"""Training runs that are killed and resumed; prints a digest of everything that a run leaves.

    python resume_jobs.py run SETTING DIRECTORY [PLACE.HOOK.NUMBER]
    python resume_jobs.py every SETTING DIRECTORY [STEP]

"run" kills itself at the given point, if there is one. "every" forks a child for every such point, or for every STEP-th
one, and another child that resumes.
"""

import hashlib
import itertools
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.checkpoint.packing import pack
from fastnn.optim import lr_scheduler
from fastnn.random import Generator, default_generator
from fastnn.training import Callback, EarlyStopping, LearningRateMonitor, ModelCheckpoint, Trainer, latest

RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(84, 10)).astype(np.float32), RNG.integers(0, 3, 84)
TRAIN, VALIDATION = (X[:60], Y[:60]), (X[60:], Y[60:])
HOOKS = [name for name in vars(Callback) if name.startswith("on_") and name != "on_exception"]


class Kill(Callback):
    """Counts the calls of every hook, and kills the process at one of them."""

    def __init__(self, place, point):
        self.place, self.point = place, point
        self.counts = dict.fromkeys(HOOKS, 0)
        self.runs_last = place == "after"  # after ModelCheckpoint


def _counting(hook):
    def count(self, trainer):
        self.counts[hook] += 1
        if self.point == f"{self.place}.{hook}.{self.counts[hook]}":
            os.kill(os.getpid(), signal.SIGKILL)

    return count


for _hook in HOOKS:
    setattr(Kill, _hook, _counting(_hook))


def adamw(model, **options):
    return optim.AdamW(model.parameters(), lr=2e-2, **options)


def sgd(model):
    return optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)


SETTINGS = {  # optimizer, scheduler, options of Trainer, options of fit, options of EarlyStopping
    "plateau": (adamw, lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0, threshold=0.2),
                {"accumulate_grad_batches": 2, "gradient_clip_val": 0.5}, {}, {"patience": 5}),
    "one cycle": (sgd, lambda o: lr_scheduler.OneCycleLR(o, 0.1, 15), {}, {"sample_weight": RNG.random(60)}, {}),
    "fit_one_cycle": (adamw, None, {"accumulate_grad_batches": 3}, {"max_lr": 0.05}, {}),
    "int8": (lambda m: adamw(m, state_dtype="int8"), lambda o: lr_scheduler.StepLR(o, 1, 0.5),
             {"scheduler_interval": "epoch", "val_check_interval": 0.3}, {"class_weight": {0: 2.0}}, {"patience": 99}),
    "bfloat16": (lambda m: adamw(m, state_dtype="bfloat16", generator=default_generator),
                 lambda o: lr_scheduler.CosineAnnealingLR(o, 15), {"val_check_interval": 2}, {}, {"patience": 99}),
    "stops": (adamw, None, {"val_check_interval": 0.4}, {"epochs": 5}, {"patience": 7, "min_delta": 10.0}),
}  # fmt: skip


def build(setting, directory, point=None, seed=1):
    """Return a trainer, and the callbacks that count its hooks."""
    make, schedule, options, _, stopping = SETTINGS[setting]
    fastnn.manual_seed(seed)
    own = nn.Dropout(0.3, generator=Generator(seed)) if setting in ("int8", "one cycle") else nn.Dropout(0.3)
    model = nn.Sequential(nn.Linear(10, 16), nn.BatchNorm1d(16), nn.ReLU(), own, nn.Linear(16, 3), nn.Dropout(0.1))
    optimizer = make(model)
    kills = [Kill(place, point) for place in ("before", "after")]
    checkpoint = ModelCheckpoint(directory, "val_loss", save_top_k=2, every_n_steps=1)
    callbacks = [kills[0], LearningRateMonitor(), EarlyStopping(**stopping), checkpoint, kills[1]]
    scheduler = schedule and schedule(optimizer)
    return Trainer(model, nn.CrossEntropyLoss(), optimizer, scheduler, callbacks=callbacks, **options), kills


def train(trainer, setting, resume="latest", epochs=None):
    options = {"epochs": 3, "batch_size": 12, "verbose": False} | SETTINGS[setting][3]
    fit = trainer.fit_one_cycle if setting == "fit_one_cycle" else trainer.fit
    return fit(TRAIN, VALIDATION, resume=resume, **options | ({"epochs": epochs} if epochs else {}))


def digest(state):
    """Return a hash of all bits of a state."""
    arrays, text = pack(state)
    result = hashlib.sha256(text.encode())
    for name, array in arrays.items():
        result.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return result.hexdigest()


def left(trainer):
    """Return a digest of the final state without times; the modules' modes are included."""
    state = trainer.capture()
    del state["history"]["epochs"]["seconds"]
    return digest(state | {"training": [module.training for module in trainer.model.modules()]})


def run(setting, directory, point=None, resume="latest"):
    """Train from the directory's checkpoint, if any; the seed differs then, because it must not matter."""
    seed = 1 if latest(directory) is None else 2
    trainer, kills = build(setting, directory, point, seed)
    train(trainer, setting, resume)
    return left(trainer), [f"{k.place}.{hook}.{n + 1}" for k in kills for hook in HOOKS for n in range(k.counts[hook])
                           if not k.runs_last or hook in vars(ModelCheckpoint)]  # fmt: skip


def forked(work):
    """Run `work` in a child; return its result, or None if the child was killed."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, json.dumps(work()).encode())
            os._exit(0)
        finally:
            os._exit(1)
    os.close(write)
    with open(read, "rb") as pipe:
        text = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, -signal.SIGKILL), code
    return json.loads(text) if code == 0 else None


def resumed(setting, room, threads):
    fastnn.set_num_threads(threads)
    return run(setting, room)


def every(setting, directory, step=1):
    """Kill a run at every point and resume it, at some points twice; report the points where bits differ."""
    want, points = forked(lambda: run(setting, directory / "whole"))
    wrong = []
    for i, point in enumerate(itertools.islice(points, 0, None, step)):
        room = directory / str(i)
        assert forked(lambda at=(room, point): run(setting, *at)) is None, point
        got = forked(lambda at=room, threads=2 + i % 3: resumed(setting, at, threads))
        if got is None or got[0] != want or (i % 8 == 0 and forked(lambda at=room: run(setting, at)[0]) != want):
            wrong.append(point)
        shutil.rmtree(room)
    return {"points": points, "digest": want, "wrong": wrong}


if __name__ == "__main__":
    what, setting, directory, *rest = sys.argv[1:]
    if what == "run":
        print(json.dumps(run(setting, Path(directory), *rest)))
    else:
        print(json.dumps(every(setting, Path(directory), *map(int, rest))))
