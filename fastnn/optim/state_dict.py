"""Writes and checks state dicts of optimizers in PyTorch's layout. No function here changes an optimizer."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fastnn._checks import is_array, not_array, number
from fastnn._types import AnyArray
from fastnn.optim.options import ParamGroup
from fastnn.optim.state import States

Entry = Mapping[str, Any]


def members(groups: Iterable[ParamGroup]) -> Iterator[tuple[ParamGroup, range]]:
    """Yield every group with the indices of its parameters among those of all groups."""
    first = 0
    for group in groups:
        yield group, range(first, first + len(group["params"]))
        first += len(group["params"])


def saved(groups: Iterable[ParamGroup], states: States) -> dict[str, Any]:
    """Return "state" and "param_groups" of a state dict."""
    state, options = {}, []
    for group, indices in members(groups):
        options.append({k: v for k, v in group.items() if k != "params"} | {"params": [*indices]})
        for i in indices:
            entry = states.entry(i)
            state[i] = _as_torch(entry) if hasattr(states.each[i].param, "detach") else entry
    return {"state": state, "param_groups": options}


def checked_groups(state_dict: Any, groups: Sequence[ParamGroup], strict: bool, name: str) -> list[ParamGroup]:
    """Return new groups of the same parameters with the options of a state dict.

    Args:
        name: name of the optimizer's class.

    Raises:
        TypeError, ValueError: the argument is not a state dict, its groups differ, or a group lacks an option (strict).
    """
    for key, kind in (("param_groups", Sequence), ("state", Mapping)):
        if not isinstance(state_dict, Mapping) or not isinstance(state_dict.get(key), kind):
            raise TypeError(f"{key}: got no {kind.__name__} of that name, want what state_dict() returns")
    found = state_dict["param_groups"]
    for group in found:
        if not isinstance(group, Mapping) or not isinstance(group.get("params"), Sequence):
            raise TypeError("param_groups: got a group without a list of params, want what state_dict() returns")
    got, want = [len(g["params"]) for g in found], [len(g["params"]) for g in groups]
    if got != want:
        raise ValueError(f"param_groups: got {got} parameters, want {want}; load it into the model it was saved from")
    return [_checked_group(options, group, strict, name) for options, group in zip(found, groups, strict=True)]


def _checked_group(options: Mapping[str, Any], group: ParamGroup, strict: bool, name: str) -> ParamGroup:
    missing = [k for k in group.checks if k not in options]
    if missing and strict:
        raise ValueError(
            f"param_groups: got a group without {missing}, want one saved by {name}; strict=False keeps the values"
        )
    values = {k: v.item() if hasattr(v, "detach") else v for k, v in options.items() if k != "params"}
    own = {k: group[k] for k in (*missing, "param_names") if k in group}
    return group.renewed(values | own)


def checked_entries(
    state_dict: Mapping[str, Any],
    groups: Sequence[ParamGroup],
    states: States,
    needed: Callable[[ParamGroup], tuple[str, ...]],
    strict: bool,
) -> list[Entry]:
    """Return the entry of every parameter in the optimizer's order, {} if its state starts anew.

    Args:
        groups: as `checked_groups` returned them.
        needed: the kinds of state that the options of a group need.

    Raises:
        TypeError, ValueError: an entry is missing, unknown, or does not fit its parameter.
    """
    state = state_dict["state"]
    ids = [_matched(s, group.get("param_names")) for s, group in zip(state_dict["param_groups"], groups, strict=True)]
    flat = [key for keys in ids for key in keys]
    if len(set(flat)) != len(flat):
        raise ValueError("param_groups: got a parameter twice, want each once")
    if set(state) - set(flat):
        raise ValueError(f"state: got entries {sorted(set(state) - set(flat))} of no parameter, want one per parameter")
    entries: list[Entry] = []
    for (group, indices), keys in zip(members(groups), ids, strict=True):
        kinds = needed(group)
        for i, key in zip(indices, keys, strict=True):
            if key not in state and strict and (kinds or states.layout.counts_steps):
                name = states.each[i].name
                raise ValueError(f"state of {name}: got none, want an entry; strict=False starts it anew")
            entries.append(_checked_entry(state[key], states, i, kinds) if key in state else {})
    return entries


def _checked_entry(entry: Any, states: States, i: int, needed: tuple[str, ...]) -> Entry:
    own, layout = states.each[i], states.layout
    if not isinstance(entry, Mapping):
        raise TypeError(f"state of {own.name}: got {type(entry).__name__}, want a dict; save it again")
    if layout.none_at_first and any(entry.get(kind, own) is None for kind in layout.kinds):
        return {}
    numbers = [name for name, has in (("step", layout.counts_steps), (layout.memory_name, True)) if name and has]
    _check_keys(f"state of {own.name}", entry, [*numbers, *needed], layout.kinds)
    checked: dict[str, Any] = {}
    for key, value in entry.items():
        name = f"{key} of {own.name}"
        checked[key] = _as_number(name, value) if key in numbers else as_array(name, value, own.shape, own.dtype)
    if layout.counts_steps and not (0 <= checked["step"] < 2**53 and checked["step"] == int(checked["step"])):
        raise ValueError(f"step of {own.name}: got {checked['step']}, want a whole number in [0, 2**53)")
    if layout.memory_name and not 0 <= checked[layout.memory_name] <= 1:
        memory = checked[layout.memory_name]
        raise ValueError(f"{layout.memory_name} of {own.name}: got {memory}, want a number in [0, 1]")
    return checked


def as_array(name: str, value: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> AnyArray:
    """Return an array or torch tensor as an array of this shape and dtype; only bfloat16 is converted.

    Raises:
        TypeError: the value is not an array, or has another dtype.
        ValueError: it has another shape.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
    if not is_array(value) or value.dtype != dtype:
        raise not_array(name, value, dtype)
    if value.shape != shape:
        raise ValueError(f"{name}: got shape {value.shape}, want {shape}; load it into the model it was saved from")
    return value


def _as_number(name: str, value: Any) -> float:
    """Return a number or an array or tensor of one element, (), (1,) or (1, 1), as a float.

    Raises:
        TypeError: the value is something else.
    """
    try:
        return number(name, value.item() if hasattr(value, "item") else value)
    except (TypeError, ValueError, RuntimeError):
        got = f"shape {tuple(value.shape)}" if getattr(value, "shape", ()) else type(value).__name__
        raise TypeError(f"{name}: got {got}, want a number; save it again") from None


def _as_torch(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry with torch's types, for parameters that are torch tensors; tensors share the arrays' memory."""
    torch = sys.modules["torch"]

    def tensor(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return torch.from_numpy(value)
        return value if value is None else torch.tensor(float(value), dtype=torch.float64)

    return {key: tensor(value) for key, value in entry.items()}


def _check_keys(name: str, got: Iterable[str], want: Sequence[str], may: Iterable[str] = ()) -> None:
    """Raise ValueError unless `got` has every key of `want` and no other keys except those in `may`.

    The message lists the missing and the unknown keys.
    """
    found = set(got)
    missing, unknown = [k for k in want if k not in found], sorted(found - set(want) - set(may))
    if missing or unknown:
        raise ValueError(f"{name}: got entries without {missing} and with unknown {unknown}, want {list(want)}")


def _matched(saved: Mapping[str, Any], names: Sequence[str] | None) -> list[Any]:
    """Return the saved ids of a group's parameters in the order of `names`; by position unless both have names.

    Raises:
        ValueError: the number of parameters or the set of names differs.
    """
    ids = list(saved["params"])
    saved_names = saved.get("param_names")
    if names is None or saved_names is None:
        return ids
    twice = [name for name, count in Counter(saved_names).items() if count > 1]
    if twice or len(saved_names) != len(ids):
        raise ValueError(f"param_names: got {len(saved_names)} names for {len(ids)} parameters, {twice} of them twice, "
                         "want one for each, every name once; save it again")  # fmt: skip
    _check_keys("param_names", saved_names, names)
    by_name = dict(zip(saved_names, ids, strict=True))
    return [by_name[name] for name in names]
