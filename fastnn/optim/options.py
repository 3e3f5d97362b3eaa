"""The options of an optimizer and of its parameter groups, checked whenever one is set."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self, TypedDict

import numpy as np  # noqa: F401  # RandomSource names it in quotes, and the hints of Extras are evaluated here

from fastnn._checks import flag, fraction, is_array, not_negative, number, rate
from fastnn._words import nearest
from fastnn.optim.state import StateDtype
from fastnn.random import RandomSource

Check = Callable[[str, Any], Any]
Agree = Callable[[Mapping[str, Any]], None]


def choice(name: str, value: Any) -> bool | None:
    """Return True, False, or None, by which PyTorch makes its own choice. The value has no effect here."""
    return None if value is None else flag(name, value)


def never(name: str, value: Any) -> bool:
    """Return False; raise for True, which this library does not support."""
    if flag(name, value):
        raise ValueError(f"{name}: got True, want False, since no step here can be differentiated; use torch.optim")
    return False


def plain(value: Any) -> Any:
    """Return an array or tensor of one number, also inside a pair, as that number; anything else as it is."""
    if isinstance(value, tuple | list):
        return type(value)(map(plain, value)) if type(value) in (tuple, list) else value
    is_number = (is_array(value) or hasattr(value, "detach")) and getattr(value, "shape", None) in ((), (1,))
    return value.item() if is_number else value


def betas(name: str, value: Any) -> tuple[float, float]:
    """Return two decay rates in [0, 1)."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"{name}: got {value!r}, want a pair of numbers in [0, 1)")
    first, second = number(name, value[0]), number(name, value[1])
    if not (0 <= first < 1 and 0 <= second < 1):
        raise ValueError(f"{name}: got {value!r}, want two numbers in [0, 1)")
    return first, second


def state_dtype(name: str, value: Any) -> StateDtype | None:
    """Return the format in which state is kept."""
    if value is None or value == "bfloat16" or value == "int8":
        return value  # type: ignore[no-any-return]
    raise ValueError(f"{name}: got {value!r}, want None, 'bfloat16' or 'int8'")


CHECKS: dict[str, Check] = {
    "lr": rate,
    "weight_decay": not_negative,
    "momentum": not_negative,
    "dampening": not_negative,
    "nesterov": flag,
    "betas": betas,
    "eps": not_negative,
    "amsgrad": flag,
    "decoupled_weight_decay": flag,
    "momentum_decay": not_negative,
    "lr_decay": not_negative,
    "initial_accumulator_value": not_negative,
    "rho": fraction,
    "alpha": fraction,
    "centered": flag,
    "maximize": flag,
    "foreach": choice,
    "fused": choice,
    "capturable": flag,
    "differentiable": never,
}
"""Every option of an optimizer, and the function that checks it."""


class Extras(TypedDict, total=False):
    """The arguments that every optimizer has in addition to PyTorch's.

    Attributes:
        state_dtype: "bfloat16" or "int8" keeps the state of float32 parameters in 2 bytes or 1 (with a float32 scale
            for every 64), rounded at random so that small changes are kept on average. Requires float32 parameters.
        clip_grad_norm: finite, >= 0: the step scales the gradients as `clip_grad_norm_` does.
        zero_grad_after_step: the step zeroes the gradients at its end, as `zero_grad()` does.
        error_if_nonfinite: with `clip_grad_norm`, raise if the norm is NaN or infinite; otherwise such a step is
            skipped and counted in `skipped_steps`.
        generator: source of the random rounding; by default one that `fastnn.manual_seed` determines.
    """

    state_dtype: StateDtype | None
    clip_grad_norm: float | None
    zero_grad_after_step: bool
    error_if_nonfinite: bool
    generator: RandomSource | None


def _limit(name: str, value: Any) -> float | None:
    return None if value is None else not_negative(name, value)


SETTINGS: dict[str, Check] = {"clip_grad_norm": _limit, "zero_grad_after_step": flag, "error_if_nonfinite": flag}
"""Every extra that may be set between steps, and the function that checks it."""


class ParamGroup(dict[str, Any]):
    """A dict of "params" and options; setting an option checks it first and changes nothing if it is invalid.

    Args:
        params: the parameters of the group, which cannot be replaced.
        options: the value of every option.
        checks: for each option a function (name, value) -> value, which raises TypeError or ValueError.
        agree: raises ValueError if options that pass their own checks are incompatible.
    """

    def __init__(
        self, params: Iterable[Any], options: Mapping[str, Any], checks: Mapping[str, Check], agree: Agree
    ) -> None:
        super().__init__(params=tuple(params))
        self.checks, self._agree = checks, agree
        self.update(options)

    def renewed(self, options: Mapping[str, Any]) -> "ParamGroup":
        """Return a group of the same parameters and checks with other options."""
        return ParamGroup(self["params"], options, self.checks, self._agree)

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set several options; all are checked before any is set."""
        given = dict(*args, **kwargs)
        fresh = {name: self.checks[name](name, plain(v)) if name in self.checks else v for name, v in given.items()}
        if "params" in fresh:
            raise TypeError("params: got other parameters, want the group's own; use add_param_group")
        self._agree({**self, **fresh})
        super().update(fresh)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (dict(self), self.checks, self._agree)

    def __ior__(self, other: Any) -> Self:  # type: ignore[override, misc]
        self.update(other)
        return self

    def setdefault(self, name: str, default: Any = None) -> Any:
        """Like `dict.setdefault`, with checks."""
        if name not in self:
            self[name] = default
        return self[name]

    def _kept(self, *_: object) -> Any:
        raise TypeError(
            "param_groups: got a call that takes options away, want every option to stay; set another value"
        )

    __delitem__ = pop = popitem = clear = _kept


def _unpickled(items: Mapping[str, Any], checks: Mapping[str, Check], agree: Agree) -> ParamGroup:
    """Return an unpickled group, without checks: `agree` may be a method of an optimizer that is not yet complete."""
    group = ParamGroup((), {}, {}, lambda _: None)
    dict.update(group, items)
    group.checks, group._agree = checks, agree
    return group


def unknown_options(kind: type, unknown: list[str]) -> TypeError:
    """Return the error for arguments that an optimizer does not have, with the nearest that it has."""
    known = [name for name in inspect.signature(kind).parameters if name not in ("params", "extras")]
    near = [nearest(name, [*known, *Extras.__annotations__]) for name in unknown]
    shown = ", ".join(name for name in near if name.isidentifier())
    want = f", want {shown}" if shown else ""
    return TypeError(f"{kind.__name__}: got unknown arguments {unknown}{want}, see help({kind.__name__})")
