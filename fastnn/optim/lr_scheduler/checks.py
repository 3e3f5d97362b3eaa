"""Checks of a schedule's options: functions (name, value) -> value that raise TypeError or ValueError."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from fastnn._checks import integer

Check = Callable[[str, Any], Any]
Checks = Mapping[str, Check]


def at_least(least: int) -> Check:
    """An integer >= `least` that 64 bits hold."""
    return lambda name, value: integer(name, value, least)


def choice(*allowed: str) -> Check:
    """One of some strings."""

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f"{name}: got {value!r}, want one of {list(allowed)}")
        return value

    return check


def function(name: str, value: Any) -> Callable[..., Any]:
    """Something to call."""
    if not callable(value):
        raise TypeError(f"{name}: got {value!r}, want a function")
    return value  # type: ignore[no-any-return]


def each(check: Check) -> Check:
    """A list whose every entry passes `check`."""

    def check_all(name: str, values: Any) -> list[Any]:
        if isinstance(values, str | bytes) or not isinstance(values, Iterable):
            raise TypeError(f"{name}: got {values!r}, want a list")
        return [check(f"{name}[{i}]", value) for i, value in enumerate(values)]

    return check_all


def sorted_steps(name: str, values: Any) -> list[int]:
    """Integers >= 0, none smaller than the one before."""
    steps: list[int] = each(at_least(0))(name, values)
    if any(a > b for a, b in pairwise(steps)):
        raise ValueError(f"{name}: got {steps}, want them sorted; sorted({name})")
    return steps


def rising_steps(name: str, values: Any) -> list[int]:
    """Integers >= 1, each greater than the one before."""
    steps: list[int] = each(at_least(1))(name, values)
    if any(a >= b for a, b in pairwise(steps)):
        raise ValueError(f"{name}: got {steps}, want each greater than the one before")
    return steps


def per_group(name: str, value: Any, count: int, check: Check) -> list[Any]:
    """One checked value per parameter group, from a list of them or one for all."""
    if not isinstance(value, list | tuple):
        return [check(name, value)] * count
    return same_length(name, each(check)(name, value), count)


def same_length(name: str, values: Sequence[Any], count: int) -> list[Any]:
    """A list with one entry per parameter group."""
    if len(values) != count:
        raise ValueError(f"{name}: got {len(values)} values, want {count}, one per parameter group")
    return list(values)
