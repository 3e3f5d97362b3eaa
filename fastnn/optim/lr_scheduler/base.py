"""The base classes of all schedules: base rates, the step, state, preview and plot."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, SupportsFloat

import numpy as np

from fastnn._checks import not_negative, rate
from fastnn._figure import learning_rates
from fastnn._types import Float64
from fastnn.optim.lr_scheduler.checks import Checks, at_least, each, same_length

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COMMON: Checks = {
    "last_epoch": at_least(-1),
    "base_lrs": each(not_negative),
    "_last_lr": each(not_negative),
}


_STEPPED = "_groups_of_a_schedule_that_stepped"


class HasGroups(Protocol):
    """Protocol of a schedule's optimizer; torch's optimizers fit too."""

    @property
    def param_groups(self) -> Sequence[MutableMapping[str, Any]]:
        """One dict per group, with "lr"."""


class LRScheduler(ABC):
    """Sets each group's learning rate: at construction for step `last_epoch + 1`, then at each `step()`.

    A custom schedule defines `rate`. A group's "lr" that is set from outside lasts until the next step.

    Args:
        optimizer: the current rates of its groups become the base rates and are noted as "initial_lr"; a group that has
            "initial_lr" uses that, as in PyTorch, so that schedules made one after another can be composed. Unlike in
            PyTorch, an "initial_lr" that an earlier schedule noted does not count any more once that one has made a
            step: the next schedule begins with the current rates.
        last_epoch: the last completed step; -1 at the beginning. Otherwise every group must have "initial_lr".

    Attributes:
        last_epoch: the step of the current rates.
        base_lrs: the base rate of each group.
        checks: the options that are attributes and part of the state, each with its check function.

    Raises:
        TypeError, ValueError: an option is invalid, or a rate is not a finite number >= 0, at construction or a later
            step. The optimizer has then not been changed.
    """

    base_lrs: list[float]
    _last_lr: list[float]
    checks: ClassVar[Checks] = {}
    per_group: ClassVar[tuple[str, ...]] = ()
    """The options that are lists with one entry per group."""
    rebased: ClassVar[bool] = True
    """Whether a SequentialLR that begins with this schedule gives it the groups' current "initial_lr"."""

    def __init__(self, optimizer: HasGroups, last_epoch: int = -1) -> None:
        self.optimizer = with_groups(optimizer)
        last_epoch = at_least(-1)("last_epoch", last_epoch)
        self.base_lrs = self._bases(last_epoch)
        self._jump(last_epoch + 1)
        for group, base in zip(optimizer.param_groups, self.base_lrs, strict=True):
            if last_epoch == -1:
                group["initial_lr"] = base
        if last_epoch == -1:
            note_steps(optimizer, False)

    @abstractmethod
    def rate(self, step: int, base: float) -> float:
        """Return the learning rate after `step` steps of a group whose base rate is `base`.

        If the options differ between groups, those of the first group are used.
        """

    @property
    def scales(self) -> bool:
        """Return whether rate(step, base) == base * rate(step, 1), which ChainedScheduler needs."""
        return False

    def rates(self, step: int) -> list[float]:
        """Return the learning rate of each group after `step` steps."""
        return [self._rate(i, step, base) for i, base in enumerate(self.base_lrs)]

    def step(self) -> None:
        """Advance to the next step."""
        self._advance()

    def get_last_lr(self) -> list[float]:
        """Return the rate of each group that the last `step()` set."""
        return list(self._last_lr)

    def preview(self, n: int) -> Float64:
        """Return the rates of steps 0 to n - 1, (n, groups); nothing is changed."""
        rows = [self._valid(step) for step in range(at_least(0)("n", n))]
        return np.array(rows, np.float64).reshape(n, len(self.base_lrs))

    def plot(self, n: int, ax: Axes | None = None) -> Axes:
        """Draw `preview(n)` into `ax`, by default into new axes, and return the axes.

        Raises:
            ImportError: matplotlib is not installed.
        """
        return draw(self.preview(n), ax)

    def state_dict(self) -> dict[str, Any]:
        """Return step, rates and options, as numbers, strings and lists of them; functions are not saved."""
        return {key: _copied(getattr(self, key)) for key in (*_COMMON, *self.checks)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue where `state_dict()` was called. The optimizer is not changed; the next `step()` sets its rates.

        Raises:
            TypeError, ValueError: keys differ from those of `state_dict()`, or a value is invalid; nothing has then
                been changed.
        """
        self._restore(self._read(state_dict))
        if self.last_epoch > 0:
            note_steps(self.optimizer)

    def _set(self, **options: Any) -> None:
        vars(self).update({name: self.checks[name](name, value) for name, value in options.items()})

    def _read(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return the checked attributes of a state."""
        if not isinstance(state, Mapping):
            raise TypeError(f"state_dict: got {type(state).__name__}, want what state_dict() returns")
        wanted = self.state_dict().keys()
        if state.keys() != wanted:
            raise ValueError(
                f"state_dict: got the keys {list(state)}, want {list(wanted)}; load it into the class that saved it"
            )
        fresh = {key: check(key, state[key]) for key, check in {**_COMMON, **self.checks}.items()}
        self._agree(fresh)
        return fresh

    def _agree(self, options: Mapping[str, Any]) -> None:
        """Raise if options that pass their own checks are incompatible."""
        for key in ("base_lrs", "_last_lr", *self.per_group):
            if key in options:
                same_length(key, options[key], len(self.optimizer.param_groups))

    def _restore(self, fresh: dict[str, Any]) -> None:
        vars(self).update(fresh)

    def _bases(self, last_epoch: int) -> list[float]:
        bases, anew = [], last_epoch == -1 and self._begins_anew()
        for i, group in enumerate(self.optimizer.param_groups):
            if last_epoch >= 0 and "initial_lr" not in group:
                raise ValueError(
                    f"last_epoch: got {last_epoch} and no 'initial_lr' in param_groups[{i}], want it when a schedule "
                    f"is resumed; set it to the rate that the group began with"
                )
            noted = {"lr": group["lr"]} if anew else group
            bases.append(not_negative(f"initial_lr of param_groups[{i}]", self._initial(i, noted)))
        return bases

    def _begins_anew(self) -> bool:
        """Return whether the base rates are the current ones, and not those of an earlier schedule."""
        return have_stepped(self.optimizer)

    def _initial(self, i: int, group: Mapping[str, Any]) -> Any:
        return group.get("initial_lr", group["lr"])

    def _rate(self, group: int, step: int, base: float) -> float:
        """Return `rate` of the group with this index."""
        return self.rate(step, base)

    def _valid(self, step: int) -> list[float]:
        try:
            rates = self.rates(step)
        except OverflowError:
            raise ValueError(f"lr at step {step}: got more than a double can hold, want a finite number >= 0") from None
        return [rate(f"lr of param_groups[{i}] at step {step}", value) for i, value in enumerate(rates)]

    def _advance(self, metrics: SupportsFloat | None = None) -> None:
        self._take_in_groups()
        self._go(self.last_epoch + 1, metrics)
        note_steps(self.optimizer)

    def _take_in_groups(self) -> None:
        """Schedule the groups that were added to the optimizer since: as in PyTorch, each continues from its rate.

        A group with an "initial_lr" takes that as its base rate.
        """
        groups = self.optimizer.param_groups
        for i in range(len(self.base_lrs), len(groups)):
            lr = rate(f"lr of param_groups[{i}]", groups[i]["lr"])
            base = groups[i].get("initial_lr")
            base = self._base_of(lr) if base is None else rate(f"initial_lr of param_groups[{i}]", base)
            self._check_lists(i)
            self._add_group(base, lr)
            groups[i]["initial_lr"] = base

    def _base_of(self, lr: float) -> float:
        """Return the base rate whose rate is `lr` now, or `lr` itself if there is none."""
        low = self.rate(self.last_epoch, 0.0)
        slope = self.rate(self.last_epoch, 1.0) - low
        return (lr - low) / slope if slope > 0 and lr >= low else lr

    def _check_lists(self, group: int) -> None:
        for name in self.per_group:
            values = getattr(self, name)
            if any(value != values[0] for value in values):
                raise ValueError(
                    f"{name}: got one value per group and a group added since, param_groups[{group}], want the "
                    "schedule to have a value for it; make a new schedule with last_epoch"
                )

    def _add_group(self, base: float, lr: float) -> None:
        self.base_lrs = [*self.base_lrs, base]
        self._last_lr = [*self._last_lr, lr]
        for name in self.per_group:
            setattr(self, name, [*getattr(self, name), getattr(self, name)[0]])

    def _go(self, step: int, metrics: SupportsFloat | None = None) -> None:
        """Set the rates of `step`; only ReduceLROnPlateau uses `metrics`."""
        self._take(step, self._valid(step))

    def _jump(self, step: int) -> None:
        """Set the state as if all steps up to `step` had been done."""
        self._go(step)

    def _take(self, step: int, rates: list[float]) -> None:
        groups = self.optimizer.param_groups
        same_length("base_lrs", rates, len(groups))
        for group, value in zip(groups, rates, strict=True):
            group["lr"] = value
        self.last_epoch, self._last_lr = step, rates


class FactorLR(LRScheduler):
    """Base class of schedules that multiply the base rate by a factor that depends only on the step."""

    @abstractmethod
    def multiple(self, step: int) -> float:
        """Return the factor after `step` steps."""

    def rate(self, step: int, base: float) -> float:
        """See `LRScheduler`."""
        return base * self.multiple(step)

    @property
    def scales(self) -> bool:
        """See `LRScheduler`."""
        return True


def with_groups(optimizer: HasGroups) -> HasGroups:
    """Return the optimizer; raise TypeError unless its groups have learning rates."""
    groups = getattr(optimizer, "param_groups", None)
    if not isinstance(groups, Sequence) or not all(isinstance(g, MutableMapping) and "lr" in g for g in groups):
        raise TypeError(f"optimizer: got {type(optimizer).__name__}, want an optimizer: param_groups with 'lr' in each")
    return optimizer


def have_stepped(optimizer: HasGroups) -> bool:
    """Return whether a schedule has made a step since the newest one was made.

    An optimizer that has loaded a state dict has other groups, for which "initial_lr" counts.
    """
    noted = getattr(optimizer, _STEPPED, ())
    groups = optimizer.param_groups
    return len(noted) > 0 and all(any(group is other for other in groups) for group in noted)


def note_steps(optimizer: HasGroups, stepped: bool = True) -> None:
    """Note for the next schedule that one has made a step, or that a new one has been made."""
    with suppress(AttributeError):  # an object that takes no further attributes: as in PyTorch
        setattr(optimizer, _STEPPED, list(optimizer.param_groups) if stepped else [])


def draw(curve: Float64, ax: Axes | None) -> Axes:
    """Draw the rates of every group, (steps, groups), as `fastnn.plot.schedule` does."""
    return learning_rates({f"group {i}": rates for i, rates in enumerate(curve.T)}, ax)


def _copied(value: Any) -> Any:
    return list(value) if isinstance(value, list) else value
