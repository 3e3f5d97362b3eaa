"""The options of a parameter group, checked whenever one is set: at construction, by a schedule, by hand."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Self

from fastnn._checks import flag, fraction, not_negative, number

Check = Callable[[str, Any], Any]
Agree = Callable[[Mapping[str, Any]], None]


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
    first, second = number(name, value[0]), number(name, value[1])
    if not (0 <= first < 1 and 0 <= second < 1):
        raise ValueError(f"{name}: got {value!r}, want two numbers in [0, 1)")
    return first, second


def state_dtype(name: str, value: Any) -> Literal["bfloat16", "int8"] | None:
    """What state is kept in."""
    if value is None or value == "bfloat16" or value == "int8":
        return value  # type: ignore[no-any-return]
    raise ValueError(f"{name}: got {value!r}, want None, 'bfloat16' or 'int8'")


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
    "rho": fraction,
    "alpha": fraction,
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
