"""detect_nan names the layer and the step where NaN or infinity appears; without it training continues."""

import math

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.training import Callback, Freeze, Trainer

RNG = np.random.default_rng(51)
X = RNG.normal(size=(40, 5)).astype(np.float32)
Y = RNG.integers(0, 3, 40)
NAN, INF = math.nan, math.inf


def make_trainer(callbacks=(), **options):
    fastnn.manual_seed(6)
    inner = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
    model = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), inner, nn.Dropout(0.1), nn.Linear(8, 3))
    return Trainer(model, nn.CrossEntropyLoss(), optim.AdamW(model.parameters()), callbacks=callbacks, **options)


def fit(trainer):
    with np.errstate(all="ignore"):
        return trainer.fit((X, Y), epochs=2, batch_size=8, verbose=False)


class Raw:
    """A loss that is NaN, or whose gradient overflows, from its n-th call on."""

    def __init__(self, first, loss=1.0, scale=1.0):
        self.calls, self.first, self.loss, self.scale = 0, first, loss, scale

    def __call__(self, logits, labels):
        self.calls += 1
        loss, dlogits = nn.CrossEntropyLoss()(logits, labels)
        return (loss * self.loss, dlogits * np.float32(self.scale)) if self.calls >= self.first else (loss, dlogits)


def spoil(name, value):
    def do(trainer):
        trainer.model.state_dict()[name].flat[0] = value

    return do


BROKEN = {  # change before a batch, loss, message
    "weight": (spoil("4.weight", INF), None, r"loss at step 3: got nan, which comes from weight of layer 4 \(Linear"),
    "bias": (spoil("1.bias", NAN), None, r"loss at step 3: got nan, which comes from bias of layer 1 \(BatchNorm1d"),
    "exploding": (lambda t: t.model[0].weight.data.__setitem__(..., 3e38), None,
                  r"loss at step 3: got nan, which comes from the result of layer 0 \(Linear"),
    "the loss": (None, Raw(3, loss=NAN), r"loss at step 3: got nan, which comes from the loss itself; look"),
    "a middle layer": (lambda t: t.model[2][0].weight.data.__setitem__(..., 3e38), None,
                       r"loss at step 3: got nan, which comes from the result of layer 2\.0 \(Linear"),
    "gradient": (None, Raw(3, scale=INF), r"gradient at step 3: got NaN or infinity in that of 4\.bias, the nearest"),
}  # fmt: skip


@pytest.mark.parametrize("clip", [None, 1.0])
@pytest.mark.parametrize("name", BROKEN)
def test_detect_nan_names_the_place(name, clip):
    do, loss, sentence = BROKEN[name]

    class Do(Callback):
        def on_batch_start(self, trainer):
            if trainer.step == 2 and do:
                do(trainer)

    def run(detect):
        trainer = make_trainer([Do()], gradient_clip_val=clip, detect_nan=detect)
        trainer.loss = loss or trainer.loss
        trainer.loss.calls = 0
        fit(trainer)
        return trainer

    with pytest.raises(FloatingPointError, match=f"^{sentence}"):
        run(True)
    trainer = run(False)  # training continues, and the history shows the NaN
    assert trainer.step == 10 and trainer.stopped is None and np.isfinite(trainer.history.steps["loss"][:2]).all()
    assert trainer.optimizer.skipped_steps == (0 if clip is None or name == "the loss" else 8)
    if name != "gradient" or clip is None:
        assert not np.isfinite(trainer.history["loss"][0])
    assert not any(map(math.isfinite, trainer.history.steps["loss"][3:])) or (name == "gradient" and clip)


def test_parameters_without_a_gradient_are_passed_over():
    """Among parameters that have a gradient, the one nearest to the loss is named."""
    trainer = make_trainer([Freeze("4")], detect_nan=True)
    trainer.loss = Raw(3, scale=INF)
    with pytest.raises(
        FloatingPointError, match=r"^gradient at step 3: got NaN or infinity in that of 2\.0\.bias, the"
    ):
        fit(trainer)


def test_one_entry_that_is_not_finite_is_found():
    """A single NaN or infinity in a gradient is enough, in whichever entry."""
    for value, place in ((NAN, 0), (INF, 17), (-INF, -1)):

        class Spoil(Callback):
            def on_backward_end(self, trainer, value=value, place=place):
                grad = trainer.model[0].weight.grad.copy()
                grad.flat[place] = value
                trainer.model[0].weight.grad = grad

        with pytest.raises(FloatingPointError, match=r"^gradient at step 1: got NaN or infinity in that of 0\.weight,"):
            fit(make_trainer([Spoil()], detect_nan=True))


def test_what_is_fine_is_passed_with_the_same_bits():
    plain, watched = (make_trainer(detect_nan=detect, gradient_clip_val=1.0) for detect in (False, True))
    for trainer in (plain, watched):
        fastnn.manual_seed(6)
        fit(trainer)
    assert plain.history.steps == watched.history.steps


def test_gradients_whose_squares_no_double_holds_are_finite():
    model = nn.Sequential(nn.Linear(5, 3, dtype=np.float64))

    def loss(logits, labels):
        value, dlogits = nn.CrossEntropyLoss()(logits, labels)
        return value, dlogits * 1e200

    trainer = Trainer(model, loss, optim.SGD(model.parameters(), lr=1e-200), detect_nan=True)
    trainer.fit((X.astype(np.float64), Y), batch_size=8, verbose=False)
    assert trainer.step == 5


def test_explaining_changes_nothing():
    """The batch is run a second time, but no generator, buffer or gradient changes."""
    states = []
    for detect in (True, False):
        trainer = make_trainer(detect_nan=detect)
        trainer.loss = Raw(2, loss=NAN)
        trainer.callbacks = (Stop(),)
        try:
            fit(trainer)
        except FloatingPointError:
            assert detect
        states.append((trainer.model[1].running_mean.copy(), fastnn.random.default_generator.state))
    assert (states[0][0] == states[1][0]).all() and states[0][1] == states[1][1]


class Stop(Callback):
    def on_backward_end(self, trainer):
        if trainer.step == 1:
            raise KeyboardInterrupt
