"""The options of a parameter group, checked whenever one is set: at construction, by a schedule, by hand."""

import math
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import Any, Literal, Self

Check = Callable[[str, Any], Any]
Agree = Callable[[Mapping[str, Any]], None]

FLOAT32_MAX = 3.4028234663852886e38


def not_negative(name: str, value: Any) -> float:
    """A finite number >= 0, within what float32 holds."""
    number = _number(name, value)
    if not 0 <= number < math.inf:
        raise ValueError(f"{name}: got {value!r}, want a finite number >= 0")
    if number > FLOAT32_MAX:
        raise ValueError(f"{name}: got {value!r}, want a number that float32 can hold; {FLOAT32_MAX} is the largest")
    return number


def share(name: str, value: Any) -> float:
    """A number in [0, 1]."""
    number = _number(name, value)
    if not 0 <= number <= 1:
        raise ValueError(f"{name}: got {value!r}, want a number in [0, 1]")
    return number


def flag(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name}: got {value!r}, want True or False")
    return value


def choice(name: str, value: Any) -> bool | None:
    """True, False, or None, with which PyTorch leaves the choice to itself. It has no effect here."""
    return None if value is None else flag(name, value)


def never(name: str, value: Any) -> bool:
    """False: what this library does not do."""
    if flag(name, value):
        raise ValueError(f"{name}: got True, want False, since no step here can be differentiated; use torch.optim")
    return False


def betas(name: str, value: Any) -> tuple[float, float]:
    """Two decay rates in [0, 1)."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"{name}: got {value!r}, want a pair of numbers in [0, 1)")
    first, second = _number(name, value[0]), _number(name, value[1])
    if not (0 <= first < 1 and 0 <= second < 1):
        raise ValueError(f"{name}: got {value!r}, want two numbers in [0, 1)")
    return first, second


def state_dtype(name: str, value: Any) -> Literal["bfloat16", "int8"] | None:
    """What state is kept in."""
    if value is None or value == "bfloat16" or value == "int8":
        return value  # type: ignore[no-any-return]
    raise ValueError(f"{name}: got {value!r}, want None, 'bfloat16' or 'int8'")


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}: got {value!r}, want a real number")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name}: got a number of {len(str(value))} digits, want one that a double can hold") from None


CHECKS: dict[str, Check] = {
    "lr": not_negative,
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
    "rho": share,
    "alpha": share,
    "centered": flag,
    "maximize": flag,
    "foreach": choice,
    "fused": choice,
    "capturable": flag,
    "differentiable": never,
}
"""Every option that an optimizer here has, and what checks it."""


class ParamGroup(dict[str, Any]):
    """A dict of "params" and options; setting an option checks it and changes nothing where it is refused.

    Args:
        params: the parameters of the group; they stay.
        options: the value of every option.
        checks: for each option a function (name, value) -> value, which raises TypeError or ValueError.
        agree: raises ValueError where options that pass their own checks do not fit together.
    """

    def __init__(
        self, params: Iterable[Any], options: Mapping[str, Any], checks: Mapping[str, Check], agree: Agree
    ) -> None:
        super().__init__(params=tuple(params))
        self._checks, self._agree = checks, agree
        self.update(options)

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set several options; all are checked before any is set."""
        fresh = {name: self._checks.get(name, _unchecked)(name, value) for name, value in dict(*args, **kwargs).items()}
        if "params" in fresh:
            raise TypeError("params: got other ones, want the group's own for good; use add_param_group")
        self._agree({**self, **fresh})
        super().update(fresh)

    def __reduce__(self) -> tuple[Any, ...]:
        options = {name: value for name, value in self.items() if name != "params"}
        return ParamGroup, (self["params"], options, self._checks, self._agree)

    def __ior__(self, other: Any) -> Self:  # type: ignore[override, misc]
        self.update(other)
        return self

    def setdefault(self, name: str, default: Any = None) -> Any:
        """As `dict.setdefault`, checked."""
        if name not in self:
            self[name] = default
        return self[name]

    def _kept(self, *_: object) -> Any:
        raise TypeError(
            "param_groups: got a call that takes options away, want every option to stay; set another value"
        )

    __delitem__ = pop = popitem = clear = _kept


def _unchecked(name: str, value: Any) -> Any:
    return value
