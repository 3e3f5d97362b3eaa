"""Checks of a schedule's options: functions (name, value) -> value, which raise TypeError or ValueError."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from fastnn._checks import integer

Check = Callable[[str, Any], Any]
Checks = Mapping[str, Check]


def at_least(least: int) -> Check:
    """Return a check for an integer >= `least` that 64 bits hold."""
    return lambda name, value: integer(name, value, least)


def choice(*allowed: str) -> Check:
    """Return a check for one of the given strings."""

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f"{name}: got {value!r}, want one of {list(allowed)}")
        return value

    return check


def function(name: str, value: Any) -> Callable[..., Any]:
    """Return a callable."""
    if not callable(value):
        raise TypeError(f"{name}: got {value!r}, want a function")
    return value  # type: ignore[no-any-return]


def each(check: Check) -> Check:
    """Return a check for a list whose entries all pass `check`."""

    def check_all(name: str, values: Any) -> list[Any]:
        if isinstance(values, str | bytes) or not isinstance(values, Iterable):
            raise TypeError(f"{name}: got {values!r}, want a list")
        return [check(f"{name}[{i}]", value) for i, value in enumerate(values)]

    return check_all


def sorted_steps(name: str, values: Any) -> list[int]:
    """Return integers >= 0 in non-decreasing order."""
    steps: list[int] = each(at_least(0))(name, values)
    if any(a > b for a, b in pairwise(steps)):
        raise ValueError(f"{name}: got {steps}, want them sorted; sorted({name})")
    return steps


def rising_steps(name: str, values: Any) -> list[int]:
    """Return integers >= 1 in strictly increasing order."""
    steps: list[int] = each(at_least(1))(name, values)
    if any(a >= b for a, b in pairwise(steps)):
        raise ValueError(f"{name}: got {steps}, want each greater than the one before")
    return steps


def per_group(name: str, value: Any, count: int, check: Check) -> list[Any]:
    """Return one checked value per parameter group, from a list of them or one value for all."""
    if not isinstance(value, list | tuple):
        return [check(name, value)] * count
    return same_length(name, each(check)(name, value), count)


def same_length(name: str, values: Sequence[Any], count: int) -> list[Any]:
    """Return a list after checking that it has one entry per parameter group."""
    if len(values) != count:
        raise ValueError(f"{name}: got {len(values)} values, want {count}, one per parameter group")
    return list(values)
