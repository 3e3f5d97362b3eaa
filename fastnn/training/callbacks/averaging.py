"""Averages of weights: their base class, and the exponential moving average."""

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar

import numpy as np

from fastnn._checks import flag, fraction, integer, positive, positive_integer
from fastnn._types import AnyArray, Array
from fastnn.nn.module import Module
from fastnn.optim.sgd import SGD
from fastnn.training.callbacks.base import Callback
from fastnn.training.protocols import Training

Entries = dict[str, AnyArray]


class WeightAverage(Callback):
    """Base class of `EMA` and `SWA`, which keep an average of the weights beside the model.

    At every hook the model has the weights that are trained, so that a checkpoint resumes with the same bits. The
    average is in the model while it is validated, and after the fit. An average begins anew with every fit that is not
    resumed.

    Attributes:
        updates: number of weights in the average.
        average: name -> averaged array, as in the model's state dict; a shared parameter comes once, under its first
            name. Empty before the first update.
    """

    _rank: ClassVar[int] = 0

    def __init__(self, use_buffers: bool, validate: bool, keep_averaged: bool) -> None:
        self.use_buffers = flag("use_buffers", use_buffers)
        self.validate, self.keep_averaged = flag("validate", validate), flag("keep_averaged", keep_averaged)
        self._parameters: dict[str, Array] = {}
        self._own: list[tuple[AnyArray, AnyArray]] = []  # (the model's array, its own values) while others are in it
        self._memory: Entries = {}
        self.reset()

    def reset(self) -> None:
        """Forget the average."""
        self.updates, self.average = 0, Entries()
        self._stepper: SGD | None = None

    def copy_to(self, model: Module) -> None:
        """Copy the average into a model, for instance after `Trainer.restore` of a checkpoint.

        Raises:
            ValueError: there is no average yet, or the model lacks one of its arrays or has another shape.
            TypeError: an array has another dtype.
        """
        values = self._values()
        if not values:
            raise ValueError(f"{type(self).__name__}: got no average yet, want at least one update; train first")
        if unknown := values.keys() - model.state_dict().keys():
            raise ValueError(f"model: got one without {sorted(unknown)}, want them; build the averaged model")
        model.load_state_dict(values, strict=False)

    def on_fit_start(self, trainer: Training) -> None:
        """Check the callbacks; forget the average unless the fit is resumed."""
        if not trainer.resumed:
            self.reset()
        self._parameters = {name: p.data for name, p in trainer.model.named_parameters()}
        used = [type(c).__name__ for c in trainer.callbacks if isinstance(c, WeightAverage) and c.is_used]
        if len(used) > 1:
            raise ValueError(f"callbacks: got {' and '.join(used)}, want one average that is validated and kept; pass "
                             "validate=False and keep_averaged=False to the others")  # fmt: skip
        if self.updates:
            self._check(self._entries(trainer.model))

    def on_fit_end(self, trainer: Training) -> None:
        """Leave the model with the average, if there is one."""
        self._take_out()
        if self.updates and self.keep_averaged:
            self._prepare(trainer)
            try:
                self._put_in(trainer.model)
            except BaseException:
                self._take_out()
                raise
        self._own, self._memory = [], {}

    def on_exception(self, trainer: Training) -> None:
        """Leave the model with its own weights."""
        self._take_out()
        self._memory = {}

    def state_dict(self) -> dict[str, Any]:
        """Return the average and the number of updates."""
        return {"updates": self.updates, "average": self.average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict()`."""
        self.reset()
        self.updates = integer("updates", state["updates"])
        self.average = {name: array.copy() for name, array in state["average"].items()}

    def _check(self, own: Entries) -> None:
        """Raise ValueError unless an average that was loaded is one of these arrays."""
        name, saved = type(self).__name__, self.average
        if saved.keys() != own.keys():
            key = next(key for key in [*saved, *own] if (key in saved) != (key in own))
            kind = "with" if key in saved else "without"
            raise ValueError(f"{name}: got an average {kind} {key!r} in the checkpoint, want "
                             f"use_buffers={not self.use_buffers}, or the model that was saved")  # fmt: skip
        for key, array in own.items():
            got, want = (f"{a.dtype} {a.shape}" for a in (saved[key], array))
            if got != want:
                raise ValueError(f"{name}: got {key} of {got} in the checkpoint, want {want}; build the saved model")

    @property
    def is_used(self) -> bool:
        """Whether the average ever comes into the model."""
        return self.validate or self.keep_averaged

    @contextmanager
    def in_model(self, trainer: Training) -> Iterator[None]:
        """Put the average into the model inside the block, and the model's own values back afterwards."""
        if not self.updates:
            yield
            return
        self._prepare(trainer)
        try:
            self._put_in(trainer.model)
            yield
        finally:
            self._take_out()

    def _update(self, model: Module, rate: float) -> None:
        """average += rate (weights - average); the first update is a copy.

        A step of SGD that maximises, with weight decay 1 and the weights as gradients, is this formula for all tensors
        in one call and one pass: 12 bytes per float32.
        """
        entries = self._entries(model)
        if not self.updates:
            self.average = {name: np.array(array, order="C") for name, array in entries.items()}
            self._stepper = None
        elif rate == 1:
            _copy(self.average, entries)
        else:
            if self._stepper is None:
                averages = [self.average[name] for name in self._parameters]
                self._stepper = SGD(averages, weight_decay=1.0, maximize=True)
            self._stepper.param_groups[0]["lr"] = rate
            self._stepper.step([*self._parameters.values()])
            _average_buffers(self.average, {k: a for k, a in entries.items() if k not in self._parameters}, rate)
        self.updates += 1

    def _entries(self, model: Module) -> Entries:
        """Return the model's arrays that are averaged: parameters once each, then the buffers if they are."""
        if not self.use_buffers:
            return dict(self._parameters)
        found = {id(array): name for name, array in self._parameters.items()}
        state = model.state_dict()
        for name, array in state.items():
            found.setdefault(id(array), name)
        return {name: state[name] for name in found.values()}

    def _values(self) -> Entries:
        """Return what is in the model while it is validated."""
        return self.average

    def _prepare(self, trainer: Training) -> None:
        """Compute what `_values` needs."""

    def _put_in(self, model: Module) -> None:
        values, entries = self._values(), model.state_dict()
        for name in values.keys() - self._memory.keys():
            self._memory[name] = np.empty_like(values[name])
        _copy(self._memory, {name: entries[name] for name in values})
        self._own = [(entries[name], self._memory[name]) for name in values]
        _copy(entries, values)

    def _take_out(self) -> None:
        for array, own in self._own:
            np.copyto(array, own)
        self._own = []


class EMA(WeightAverage):
    """Keeps an exponential moving average of the weights: average += (1 - decay) (weights - average).

    The first update copies the weights. By default the average is what is validated, what `EarlyStopping` keeps as the
    best weights, and what the model has after the fit, also after Ctrl-C; the order of the callbacks does not matter.
    A file of `ModelCheckpoint` has both: the trained weights under "model" and the average among the callbacks; see
    `copy_to`. If another exception ends the fit, the model has the trained weights.

    Args:
        decay: the share of the average that stays at an update, in [0, 1].
        use_buffers: also average floating-point buffers, such as running statistics, and copy the others; False
            leaves the model's own in place.
        use_warmup: begin with a smaller decay: min(decay, 1 - (1 + n / warmup_gamma)^-warmup_power) at update n,
            counted from 0.
        update_every: optimizer steps of an update; decay is that of an update.
        update_after_step: optimizer steps of the fit before the first update.
        validate: validate with the average; False validates the trained weights.
        keep_averaged: leave the model with the average after the fit; False leaves the trained weights, unless
            `EarlyStopping` puts the best ones back.
        warmup_gamma, warmup_power: > 0, see `use_warmup`.

    Raises:
        TypeError, ValueError: an argument is out of range; at the start of a fit, there is another average that is
            used, or the checkpoint to resume from has another `use_buffers`.

    Source: B. Polyak, A. Juditsky, "Acceleration of stochastic approximation by averaging", SIAM J. Control Optim. 30
    (1992); names, defaults and warm-up are those of torch.optim.swa_utils and of timm's ModelEmaV3.
    """

    def __init__(
        self,
        decay: float = 0.999,
        use_buffers: bool = False,
        *,
        use_warmup: bool = False,
        update_every: int = 1,
        update_after_step: int = 0,
        validate: bool = True,
        keep_averaged: bool = True,
        warmup_gamma: float = 1.0,
        warmup_power: float = 2 / 3,
    ) -> None:
        super().__init__(use_buffers, validate, keep_averaged)
        self.decay, self.use_warmup = fraction("decay", decay), flag("use_warmup", use_warmup)
        self.update_every = positive_integer("update_every", update_every)
        self.update_after_step = integer("update_after_step", update_after_step)
        self.warmup_gamma = positive("warmup_gamma", warmup_gamma)
        self.warmup_power = positive("warmup_power", warmup_power)

    @property
    def current_decay(self) -> float:
        """The decay of the next update."""
        if not self.use_warmup:
            return self.decay
        return min(self.decay, 1 - math.pow(1 + self.updates / self.warmup_gamma, -self.warmup_power))

    def on_step_end(self, trainer: Training) -> None:
        """Update the average if it is due."""
        done = trainer.step - trainer.state.first_step
        if done > self.update_after_step and done % self.update_every == 0:
            self._update(trainer.model, 1 - self.current_decay)


def evaluated(trainer: Training) -> Any:
    """Return a context in which the model has the weights that are validated: an average, if there is one for that."""
    averages = [c for c in trainer.callbacks if isinstance(c, WeightAverage) and c.validate]
    return averages[0].in_model(trainer) if averages else nullcontext()


def _copy(to: Entries, values: Entries) -> None:
    for name, array in values.items():
        np.copyto(to[name], array)


def _average_buffers(averages: Entries, buffers: Entries, rate: float) -> None:
    """average += rate (buffer - average) for floats; a copy for others, such as numbers of batches."""
    for name, buffer in buffers.items():
        average = averages[name]
        if average.dtype.kind == "f":
            average += (buffer - average) * average.dtype.type(rate)
        else:
            np.copyto(average, buffer)
