"""What is resumed or restored is checked: files that hold no training, other parts, and what only warns."""

import copy
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.training import Callback, CheckpointError, EarlyStopping, ModelCheckpoint, TimingMonitor, Trainer
from fastnn.training import load_checkpoint as load
from fastnn.training import save_checkpoint as save
from fastnn.training.configuration import described

pytest.importorskip("safetensors")
X, Y = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32), np.arange(24) % 2
NONE = object()


def layers(p: float = 0.2) -> list[nn.Module]:
    return [nn.Linear(3, 4), nn.Dropout(p), nn.Dropout(p), nn.Linear(4, 2)]


def make(*callbacks: Any, model: Any = None, optimizer: Any = optim.AdamW, **options: Any) -> Trainer:
    fastnn.manual_seed(11)
    model = nn.Sequential(*layers()) if model is None else model
    return Trainer(model, nn.CrossEntropyLoss(), optimizer(model.parameters(), lr=0.1), callbacks=callbacks, **options)


def fit(trainer: Trainer, epochs: int = 1, **options: Any) -> Any:
    return trainer.fit((X, Y), epochs=epochs, batch_size=8, verbose=False, **options)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The content of a checkpoint after one epoch."""
    trainer, path = make(), tmp_path_factory.mktemp("whole") / "a.safetensors"
    fit(trainer)
    save(path, trainer.capture())
    return load(path)


def copied(trainer: Trainer) -> dict[str, Any]:
    return {name: array.copy() for name, array in trainer.model.state_dict().items()}


def equal(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all((first[name] == second[name]).all() for name in first)


PARTS = ("configuration", "loop", "data", "model", "optimizer", "scheduler", "generators", "meter", "history",
         "callbacks")  # fmt: skip
NO_TRAINING = [
    *(((part,), NONE) for part in PARTS),
    (("more",), 1),
    *(((part,), []) for part in ("configuration", "loop", "data", "model", "callbacks")),
    *(((part, name), NONE) for part, names in {
        "loop": ("epoch", "batch", "step", "first_epoch", "stopped"),
        "data": ("seed", "samples", "batch_size", "accumulate_grad_batches", "val_check_interval"),
        "configuration": ("model", "optimizer", "scheduler", "loss", "metrics"),
    }.items() for name in names),
    (("loop", "more"), 1),
    (("data", "more"), 1),
    *((("loop", name), bad) for name in ("epoch", "batch", "step", "first_epoch") for bad in (-1, 1.0, True, None)),
    (("loop", "step"), 2**63),
    (("loop", "stopped"), 3),
    (("data", "seed"), -1),
    (("data", "seed"), 1.5),
    (("generators",), {}),
    (("model", "0.weight"), 1.0),
    (("callbacks", "EarlyStopping.0"), [1]),
    (("callbacks",), {"EarlyStopping.0": {}, "EarlyStopping.1": [1]}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value"), NO_TRAINING, ids=lambda v: ".".join(v) if isinstance(v, tuple) else None)
def test_a_state_that_is_no_training(tmp_path: Path, state: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """A whole file without a part, or with one of a wrong kind or range, is not taken for a training's."""
    spoilt = copy.deepcopy(state)
    *way, last = path
    part = spoilt
    for name in way:
        part = part[name]
    if value is NONE:
        del part[last]
    else:
        part[last] = value
    file = tmp_path / "a.safetensors"
    save(file, spoilt)
    trainer = make()
    before = copied(trainer)
    with pytest.raises(CheckpointError, match=r"a\.safetensors: got a state that is not a training's, want ModelCheck"):
        fit(trainer, resume=file)
    assert trainer.step == 0 and equal(before, trainer.model.state_dict())


def test_large_counters_and_more_of_the_configuration(tmp_path: Path, state: dict[str, Any]) -> None:
    """The largest step that 64 bits hold, a reason to stop, and a name that a later version adds are accepted."""
    kept = copy.deepcopy(state)
    kept["loop"] |= {"step": 2**63 - 5, "stopped": "enough"}
    kept["configuration"]["more"] = "of a later version"
    save(tmp_path / "a.safetensors", kept)
    trainer = make()
    fit(trainer, epochs=1, resume=tmp_path / "a.safetensors")
    assert trainer.step == 2**63 - 5 and trainer.epoch == 1


@pytest.mark.parametrize("longer", [False, True])
def test_layers_more_or_fewer_at_the_end(state: dict[str, Any], tmp_path: Path, longer: bool) -> None:
    """Another number of entries is refused where all entries that both have are equal."""
    save(tmp_path / "a.safetensors", state)
    model = nn.Sequential(*layers(), nn.Linear(2, 2)) if longer else nn.Sequential(*layers()[:3])
    own, name = (6, r"4\.") if longer else (2, r"3\.")
    sentence = rf"^model: got 4 entries in the checkpoint, want {own}; one has no {name}(weight|bias)"
    with pytest.raises(ValueError, match=sentence):
        fit(make(model=model), resume=tmp_path / "a.safetensors")
    trainer = make(model=nn.Sequential(*layers(), nn.Linear(2, 2)) if longer else nn.Sequential(*layers()[:3]))
    before = copied(trainer)
    with pytest.raises(ValueError, match=sentence):
        trainer.restore(state)
    assert equal(before, trainer.model.state_dict())


def own_dropout() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.2), nn.Dropout(0.2, generator=fastnn.Generator(1)),
                         nn.Linear(4, 2))  # fmt: skip


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"optimizer": optim.Adam}, "optimizer: got AdamW in the checkpoint, want Adam; build the saved one"),
        ({"model": nn.Sequential(nn.Linear(3, 2))}, r"model: got 0.weight of float32 \(4, 3\) in the checkpoint, want"),
        ({"model": own_dropout()}, "generators: got another number of them in the checkpoint than in the model"),
    ],
)
def test_restoring_another_training(state: dict[str, Any], options: Any, sentence: str) -> None:
    """`restore` refuses the state of other parts, and changes nothing."""
    trainer = make(**options)
    before = copied(trainer)
    with pytest.raises(ValueError, match=f"^{sentence}"):
        trainer.restore(state)
    assert equal(before, trainer.model.state_dict()) and trainer.epoch == 0 and trainer.history == {}


def test_restoring_goes_back(state: dict[str, Any]) -> None:
    """After `restore` the training has the weights, counters and curves of the state, and no gradient."""
    trainer = make()
    fit(trainer, epochs=3)
    trainer.restore(state)
    assert equal(state["model"], trainer.model.state_dict())
    assert (trainer.epoch, trainer.step, len(trainer.history["loss"])) == (1, 3, 1)
    assert all(p.grad is None for p in trainer.model.parameters())
    assert all(s["step"] == 3 for s in trainer.optimizer.state_dict()["state"].values())


@pytest.mark.parametrize("part", ["history", "meter", "optimizer"])
def test_restoring_what_is_broken_changes_nothing(state: dict[str, Any], part: str) -> None:
    """Parts that were already restored when another one raises are put back, with all their values."""
    trainer = make()
    fit(trainer, epochs=2)
    before = copy.deepcopy(trainer.capture())
    with pytest.raises((ValueError, TypeError, KeyError)):
        trainer.restore(copy.deepcopy(state) | {part: {}})
    after = trainer.capture()
    assert equal(before["model"], after["model"]) and before["loop"] == after["loop"]
    assert equal(before["history"]["steps"], after["history"]["steps"])
    assert before["generators"] == after["generators"] and before["meter"] == after["meter"]
    moments = [s["optimizer"]["state"][0]["exp_avg"] for s in (before, after)]
    assert (moments[0] == moments[1]).all() and not (moments[0] == state["optimizer"]["state"][0]["exp_avg"]).all()


def test_latest_needs_a_checkpoint_callback(tmp_path: Path) -> None:
    for callbacks in ((), (EarlyStopping("loss"),)):
        trainer = make(*callbacks)
        with pytest.raises(ValueError, match=r"^resume: got 'latest' without a ModelCheckpoint among the callbacks"):
            fit(trainer, resume="latest")
        assert trainer.step == 0
    with pytest.raises(OSError, match=r"gone\.safetensors"):
        fit(make(), resume=tmp_path / "gone.safetensors")


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(("step", "want"), [(2, 2), (3, 3), (5, 5)])
def test_latest_is_the_furthest_of_several_directories(tmp_path: Path, order: int, step: int, want: int) -> None:
    """Wherever among the callbacks it was written, and if there is no other directory yet."""

    class Die(Callback):
        runs_last = True

        def on_batch_end(self, trainer: Any) -> None:
            if trainer.step == step:
                raise RuntimeError

    def callbacks() -> list[ModelCheckpoint]:
        return [ModelCheckpoint(tmp_path / "epochs"), ModelCheckpoint(tmp_path / "steps", every_n_steps=1)][::order]

    with pytest.raises(RuntimeError):
        fit(make(*callbacks(), Die()), epochs=2)
    (tmp_path / "epochs").rmdir() if step < 3 else None
    seen: list[int] = []
    begin = Callback()
    begin.on_fit_start = lambda trainer: seen.append(trainer.step)  # type: ignore[method-assign]
    trainer = make(*callbacks(), begin)
    fit(trainer, epochs=2, resume="latest")
    assert seen == [want] and trainer.step == 6


def test_callbacks_that_the_checkpoint_does_not_know(tmp_path: Path) -> None:
    """A callback that is new in the resumed fit begins with its own state."""
    fit(make(ModelCheckpoint(tmp_path)))
    new = [EarlyStopping("loss", patience=9), TimingMonitor(None)]
    trainer = make(*new, ModelCheckpoint(tmp_path))
    fit(trainer, epochs=3, resume="latest")
    assert trainer.resumed and trainer.epoch == 3 and new[0].best_epoch in (2, 3) and new[1].iterations == 6


@pytest.mark.parametrize(("p", "count"), [(0.2, 0), (0.7, 1)])
def test_one_warning_for_all_options(tmp_path: Path, p: float, count: int) -> None:
    """Equal options cause no warning; of several that differ only the first is told."""
    fit(make(ModelCheckpoint(tmp_path)))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        fit(make(ModelCheckpoint(tmp_path), model=nn.Sequential(*layers(p))), epochs=2, resume="latest")
    told = [str(warning.message) for warning in seen]
    assert len(told) == count
    assert not told or told[0].endswith("going on with (1): Dropout(p=0.7)")


def test_options_are_told_as_json_has_them() -> None:
    """Tuples become lists, and what JSON does not have becomes text; parameters are left out."""
    trainer = make()
    trainer.optimizer.param_groups[0]["where"] = Path("a/b")
    fit(trainer)
    (group,) = described(trainer)["groups"]
    assert group["where"] == "a/b" and group["betas"] == [0.9, 0.999] and group["lr"] == 0.1 and "params" not in group
    assert json.loads(json.dumps(described(trainer))) == described(trainer)


class SetRate(Callback):
    """Does what the warning of another rate says."""

    def on_fit_start(self, trainer: Any) -> None:
        for group in trainer.optimizer.param_groups:
            group["lr"] = 0.3


def test_other_samples_and_rates_warn(tmp_path: Path) -> None:
    """A resumed fit that gets other samples of the same shape, or another rate that is not used, says so."""

    def again(x: Any, y: Any, *callbacks: Any, lr: float = 0.1, epochs: int = 2) -> Trainer:
        trainer = make(*callbacks, ModelCheckpoint(tmp_path, save_last=9))
        for group in trainer.optimizer.param_groups:
            group["lr"] = lr
        trainer.fit((x, y), epochs=epochs, batch_size=8, verbose=False, resume="latest")
        return trainer

    again(X, Y, epochs=1)
    again(X.copy(), Y)  # a warning would be an error
    again(X, Y.astype(np.int32), epochs=3)
    changed = X.copy()
    changed[7] += 1
    for x, y in ((changed, Y), (X, Y[::-1].copy())):
        with pytest.warns(
            UserWarning, match=r"^train: got other samples than in .*step-.*safetensors, want the same for"
        ):
            again(x, y, epochs=3)
    with pytest.warns(
        UserWarning, match=r"^lr: got 0.2, going on with 0.1 of the checkpoint; to change it, set the opt"
    ):
        trainer = again(X, Y, SetRate(), lr=0.2, epochs=4)
    assert trainer.history.steps["lr"][-1] == 0.3
    again(X, Y, lr=0.2, epochs=5)  # the rate has changed on the way
