"""SWA: learning rates and running statistics beside torch's, and what a pass for the statistics leaves alone."""

from typing import Any

import numpy as np
import pytest
from averaging_tasks import VALIDATION, Recorder, X, copied, fit, floats, make_model, make_trainer, same, stream

import fastnn
from fastnn import nn
from fastnn.data import RandomSampler
from fastnn.optim import lr_scheduler
from fastnn.random import Generator
from fastnn.training import SWA, Callback, EarlyStopping, ModelCheckpoint, save_checkpoint


@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("anneal", [0, 1, 3])
def test_learning_rates_of_swa(strategy: Any, anneal: int) -> None:
    """Those of torch's SWALR behind the schedule, which rests; afterwards the schedule's own."""
    torch = pytest.importorskip("torch")
    trainer = make_trainer(SWA(0.05, 3, anneal, strategy), schedule=lambda o: lr_scheduler.ExponentialLR(o, 0.9))
    trainer.scheduler_interval = "epoch"
    rates = fit(trainer, 7)["lr"]
    theirs = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    schedule = torch.optim.lr_scheduler.ExponentialLR(theirs, 0.9)
    theirs.step()
    want = []
    for epoch in range(1, 8):
        if epoch == 3:
            swalr = torch.optim.swa_utils.SWALR(theirs, 0.05, anneal, strategy)
        want.append(theirs.param_groups[0]["lr"])
        (swalr if epoch >= 3 else schedule).step()
    assert rates == pytest.approx(want, rel=1e-12)
    assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(0.3 * 0.9**2)


def test_swa_is_the_mean_with_statistics_of_its_own() -> None:
    """The mean of the last epochs' weights; running statistics as torch's update_bn computes them over the batches."""
    torch = pytest.importorskip("torch")
    swa, recorder = SWA(None, 0.5), Recorder()
    model = make_model()
    model[3].p = 0.0
    trainer = make_trainer(swa, recorder, model=model, seed=11)
    history = fit(trainer, 6)
    averaged = recorder.epochs[2:]  # max(1, int(0.5 * 6)) = 3
    mean = {name: np.mean([w[name].astype(np.float64) for w in averaged], axis=0) for name in floats(averaged[0])}
    assert swa.updates == 4
    for name, array in mean.items():
        np.testing.assert_allclose(trainer.model.state_dict()[name], array, rtol=3e-7, atol=1e-7)
    theirs = torch.nn.Sequential(torch.nn.Linear(5, 6), torch.nn.BatchNorm1d(6), torch.nn.ReLU(), torch.nn.Identity(),
                                 torch.nn.Linear(6, 3))  # fmt: skip
    theirs.load_state_dict({k: torch.from_numpy(a.copy()) for k, a in trainer.model.state_dict().items()})
    order = RandomSampler(30).order(11, 6)
    torch.optim.swa_utils.update_bn([torch.from_numpy(X[order[i : i + 8]]) for i in range(0, 30, 8)], theirs)
    for name in ("1.running_mean", "1.running_var", "1.num_batches_tracked"):
        np.testing.assert_allclose(trainer.model.state_dict()[name], theirs.state_dict()[name].numpy(), rtol=1e-5)
    assert trainer.model[1].momentum == 0.1
    assert history["val_loss"][-1] == trainer.evaluate(VALIDATION, 8)["loss"]


@pytest.mark.parametrize("transform", [None, lambda x, y, g: (x * 2, y)])
@pytest.mark.parametrize("frozen", [False, True])
def test_a_refresh_leaves_no_trace(transform: Any, frozen: bool) -> None:
    """Neither random numbers, nor the batch in `inputs`, nor modes change; a frozen norm keeps its statistics."""
    inputs: list[Any] = []

    class Looking(Callback):
        def on_validation_end(self, trainer: Any) -> None:
            inputs.append(trainer.inputs.copy())

    found = []
    for options in ({}, {"update_bn": False}):
        trainer = make_trainer(Looking(), SWA(0.1, 2, **options), val_check_interval=2, accumulate_grad_batches=2)
        trainer.model.train()
        trainer.model[1].training = not frozen
        trainer.model[1].running_mean[...] = 0.5
        own = Generator(4)
        trainer.model[3].generator = own
        fit(trainer, transform=transform)
        found.append((fastnn.random.default_generator.state, own.state, inputs[:], copied(trainer.model)))
        assert trainer.model[1].training is not frozen
        inputs.clear()
    assert repr(found[0][:3]) == repr(found[1][:3]) and same(*(f[3] if frozen else floats(f[3]) for f in found))


class Counting(nn.Module):
    """Counts the samples it sees in training."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, x: Any) -> Any:
        self.seen += len(x) if self.training else 0
        return x, lambda dy, input_grad=True: dy


@pytest.mark.parametrize(("validate", "passes"), [(True, 3 + 2), (False, 3 + 1)])
def test_a_refresh_is_one_pass_for_each_mean(validate: bool, passes: int) -> None:
    model = make_model()
    model = nn.Sequential(Counting(), *model)
    stopping = EarlyStopping(patience=9, restore_best_weights=validate)
    fit(make_trainer(SWA(0.1, 2, validate=validate), stopping, model=model, val_check_interval=2))
    assert model[0].seen - 1 in (passes * 30, passes * 30 - 1)  # and one sample is tried before the first step


def test_remedies_of_streams() -> None:
    for data, options, average in (
        (stream(), {}, SWA(0.1, 1, validate=False)),
        (stream()(), {}, SWA(0.1, 1, update_bn=False)),
    ):
        trainer = make_trainer(average)
        trainer.fit(data, VALIDATION, 1, verbose=False, **options)  # type: ignore[arg-type]
        assert same({k: trainer.model.state_dict()[k] for k in average.average}, average.average)


def test_a_schedule_of_steps_rests() -> None:
    trainer = make_trainer(SWA(0.05, 2, 0), schedule=lambda o: lr_scheduler.ExponentialLR(o, 0.9))
    history = fit(trainer)
    assert history.steps["lr"] == pytest.approx([0.3, 0.27, 0.243, 0.2187, *[0.05] * 8])
    assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(0.3 * 0.9**4)
    assert trainer.scheduler is not None and trainer.scheduler.last_epoch == 4  # type: ignore[attr-defined]


def test_a_longer_fit_keeps_the_first_averaged_epoch(tmp_path: Any) -> None:
    """A fraction counts the epochs of the fit in which the mean began."""
    for epochs in (2, 8):
        swa = SWA(0.1, 0.5)
        trainer = make_trainer(swa, ModelCheckpoint(tmp_path))
        fit(trainer, epochs, resume="latest")
        assert swa.updates == epochs


def test_a_checkpoint_before_the_validation(tmp_path: Any) -> None:
    """The weights of an epoch are averaged once, though the hook is called again."""

    class Saving(Callback):
        def on_batches_end(self, trainer: Any) -> None:
            save_checkpoint(tmp_path / f"{trainer.epoch}.safetensors", trainer.capture())

    whole = make_trainer(SWA(0.1, 1), Saving())
    fit(whole)
    for epoch in (1, 2, 3):
        again = make_trainer(SWA(0.1, 1), Saving())
        fit(again, resume=tmp_path / f"{epoch}.safetensors")
        assert same(copied(again.model), copied(whole.model)) and again.callbacks[0].updates == 3  # type: ignore[attr-defined]


def test_a_refresh_within_an_epoch_keeps_the_last_batch() -> None:
    found = []
    for update_bn in (True, False):
        trainer = make_trainer(SWA(0.1, 1, update_bn=update_bn, validate=False))
        fit(trainer, max_steps=6)
        found.append(trainer.inputs.tolist())
    assert found[0] == found[1] and len(found[0]) == 8
