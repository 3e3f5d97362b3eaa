"""Stochastic weight averaging."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from fastnn._checks import flag, fraction, integer, not_negative, positive_integer
from fastnn._trees import Tree
from fastnn.nn.module import Module
from fastnn.nn.norm import _BatchNorm
from fastnn.nn.tracing import kept
from fastnn.training.callbacks.averaging import Entries, WeightAverage
from fastnn.training.evaluation import in_mode
from fastnn.training.protocols import Training
from fastnn.training.state import ENDLESS


class SWA(WeightAverage):
    """Stochastic weight averaging: the mean of the weights after each of the last epochs, at a high learning rate.

    From the first averaged epoch on the trainer's scheduler rests, and the learning rate goes from where it stands to
    `swa_lr`, as with torch's SWALR: lr + (swa_lr - lr) a(min(1, k / anneal_epochs)) in epoch k of these, counted from
    0, or `swa_lr` at once if anneal_epochs is 0. After the fit the rate is again what the scheduler left.

    The running statistics of batch norms belong to other weights than the mean. So before it is validated, and at the
    end, a pass over the training data computes them for it, as torch's `update_bn` does: the mean over all batches.
    The pass changes neither the random numbers nor the order of the samples of the training. Norms in evaluation mode
    keep their statistics. It is one pass per averaged epoch; with validate=False one per fit, at its end.

    By default the mean is what is validated, what `EarlyStopping` keeps as the best weights, and what the model has
    after the fit, also after Ctrl-C. A fit that ends before the first averaged epoch does leaves the trained weights.

    Args:
        swa_lr: the learning rate of all parameter groups, or a sequence with one for each; None leaves it to the
            trainer's scheduler.
        swa_epoch_start: the first averaged epoch of the fit, counted from 1, or a float in (0, 1): max(1, the integer
            part of this fraction of all epochs).
        anneal_epochs: epochs until the rate is `swa_lr`, >= 0.
        anneal_strategy: "cos" for a(t) = (1 - cos(pi t)) / 2, "linear" for a(t) = t.
        update_bn: compute the running statistics of batch norms for the mean; False leaves the model's own.
        validate: validate with the mean; False validates the trained weights.
        keep_averaged: leave the model with the mean after the fit; False leaves the trained weights, unless
            `EarlyStopping` puts the best ones back.

    Raises:
        TypeError, ValueError: an argument is out of range; at the start of a fit, the number of rates is not that of
            parameter groups, the fit ends before the first averaged epoch, there is another average that is used, or
            the training data cannot be read again for the batch norms.

    Source: P. Izmailov et al., "Averaging weights leads to wider optima and better generalization", UAI 2018.
    """

    def __init__(
        self,
        swa_lr: float | Sequence[float] | None,
        swa_epoch_start: int | float = 0.8,
        anneal_epochs: int = 10,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        *,
        update_bn: bool = True,
        validate: bool = True,
        keep_averaged: bool = True,
    ) -> None:
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy: got {anneal_strategy!r}, want 'cos' or 'linear'")
        self.update_bn = flag("update_bn", update_bn)
        several = isinstance(swa_lr, Sequence | np.ndarray)
        rates: Any = swa_lr if several else [] if swa_lr is None else [swa_lr]
        self._rates = [not_negative("swa_lr", rate) for rate in rates]
        self.swa_lr, self.anneal_strategy = swa_lr, anneal_strategy
        self.swa_epoch_start = _start(swa_epoch_start)
        self.anneal_epochs = integer("anneal_epochs", anneal_epochs)
        super().__init__(False, validate, keep_averaged)

    def reset(self) -> None:
        """Forget the mean."""
        super().reset()
        self._statistics: Entries = {}
        self._refreshed = 0  # the update to which the statistics belong
        self._first = self._epoch = 0  # the first averaged epoch, once it has begun; the last one
        self._before: list[float] = []  # the groups' learning rates before it

    def on_fit_start(self, trainer: Training) -> None:
        """Check the epochs, the rates and the data."""
        super().on_fit_start(trainer)
        groups = len(trainer.optimizer.param_groups)
        if self._rates and len(self._rates) not in (1, groups):
            raise ValueError(f"swa_lr: got {len(self._rates)} rates, want one, or {groups}, one for each group")
        self._first = self._first or trainer.state.first_epoch + self._start_of(trainer)
        source = trainer.state.source
        if source is None or not self.update_bn or not self.is_used or not _norms(trainer.model):
            return
        if source.once:
            raise ValueError("train: got an iterator, which SWA cannot read again for the batch norms, want a list, or "
                             "a function that returns a new iterator; or pass update_bn=False")  # fmt: skip
        if self.validate:
            raise ValueError("validate: got True with an iterable of batches and batch norms, for which it would be "
                             "read again before every validation, want arrays or an object with len; or pass "
                             "validate=False")  # fmt: skip

    def on_epoch_start(self, trainer: Training) -> None:
        """Set the learning rate of an averaged epoch."""
        if trainer.epoch < self._first or not self._rates:
            return
        groups = trainer.optimizer.param_groups
        self._before = self._before or [float(group["lr"]) for group in groups]
        trainer.state.scheduler_rests = True
        t = min(1.0, (trainer.epoch - self._first) / self.anneal_epochs) if self.anneal_epochs else 1.0
        share = t if self.anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2
        rates = self._rates if len(self._rates) > 1 else self._rates * len(groups)
        for group, before, rate in zip(groups, self._before, rates, strict=True):
            group["lr"] = before * (1 - share) + rate * share

    def on_batches_end(self, trainer: Training) -> None:
        """Add the weights to the mean, once in an epoch."""
        if trainer.epoch >= self._first and trainer.epoch != self._epoch:
            self._update(trainer.model, 1 / (self.updates + 1))
            self._epoch = trainer.epoch

    def on_fit_end(self, trainer: Training) -> None:
        """Leave the model with the mean, and the learning rate as the scheduler left it."""
        self._put_back(trainer)
        super().on_fit_end(trainer)

    def on_exception(self, trainer: Training) -> None:
        """Leave the model with its own weights, and the learning rate as the scheduler left it."""
        self._put_back(trainer)
        super().on_exception(trainer)

    def state_dict(self) -> dict[str, Any]:
        """Return the mean, its statistics, and the epochs and rates."""
        begun = bool(self._before or self.updates)
        return super().state_dict() | {
            "statistics": self._statistics, "refreshed": self._refreshed, "first": self._first if begun else 0,
            "epoch": self._epoch, "before": self._before,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict()`."""
        super().load_state_dict(state)
        self._statistics = {name: array.copy() for name, array in state["statistics"].items()}
        self._refreshed, self._first, self._epoch = state["refreshed"], state["first"], state["epoch"]
        self._before = [float(rate) for rate in state["before"]]

    def _start_of(self, trainer: Training) -> int:
        """Return the first averaged epoch, counted from 1 over the epochs of the fit."""
        start, epochs = self.swa_epoch_start, trainer.epochs - trainer.state.first_epoch
        if isinstance(start, int) and start <= epochs:
            return start
        if isinstance(start, int):
            raise ValueError(f"swa_epoch_start: got {start} for a fit of {epochs} epochs, want at most {epochs}")
        if trainer.epochs >= ENDLESS:
            raise ValueError(f"swa_epoch_start: got {start} for a fit without a number of epochs, want the first "
                             "averaged epoch, an integer >= 1")  # fmt: skip
        return max(1, int(round(start * epochs, 9)))  # 0.29 of 100 are 29

    def _put_back(self, trainer: Training) -> None:
        for group, rate in zip(trainer.optimizer.param_groups, self._before, strict=False):
            group["lr"] = rate

    def _values(self) -> Entries:
        return self.average | self._statistics

    def _prepare(self, trainer: Training) -> None:
        """Compute the running statistics of batch norms for the mean, once for each update."""
        if not self.update_bn or self._refreshed == self.updates or trainer.state.fit_batches is None:
            return
        self._statistics = {}
        try:
            self._put_in(trainer.model)
            self._statistics = _refreshed(trainer.model, trainer.state.fit_batches.inputs(trainer.epoch))
        finally:
            self._take_out()
        self._refreshed = self.updates


def _start(value: Any) -> int | float:
    if isinstance(value, float | np.floating):
        if not 0 < fraction("swa_epoch_start", value) < 1:
            raise ValueError(f"swa_epoch_start: got {value!r}, want an epoch, an integer >= 1, or a fraction of all "
                             "epochs, a float in (0, 1)")  # fmt: skip
        return float(value)
    return positive_integer("swa_epoch_start", value, "1 is the first epoch of the fit")


def _norms(model: Module) -> list[_BatchNorm]:
    return [m for m in model.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]


def _refreshed(model: Module, inputs: Iterable[Tree]) -> Entries:
    """Return the running statistics of the batch norms in training mode, averaged over batches of these inputs."""
    with kept(model), in_mode(model, training=True):
        norms = [norm for norm in _norms(model) if norm.training]
        if not norms:
            return {}
        momenta = [norm.momentum for norm in norms]
        own = {id(array) for norm in norms for array in norm.state_dict().values()}
        own -= {id(p.data) for norm in norms for p in norm.parameters()}
        try:
            for norm in norms:
                _reset(norm)
            for x in inputs:
                model(x)
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
        return {name: array.copy() for name, array in model.state_dict().items() if id(array) in own}


def _reset(norm: _BatchNorm) -> None:
    """Begin the running statistics anew; without momentum each batch then counts equally."""
    norm.momentum = None
    for array, value in ((norm.running_mean, 0), (norm.running_var, 1), (norm.num_batches_tracked, 0)):
        assert array is not None
        array[...] = value
