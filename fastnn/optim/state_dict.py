"""The state of an optimizer on its way to a file and back, in PyTorch's layout."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from fastnn.optim.options import Check, ParamGroup
from fastnn.optim.state import ParamState, StateDtype, Stored, as_array, as_number, as_torch, check_keys, matched
from fastnn.random import Generator


class Stateful:
    """The part of an optimizer that saves and loads."""

    checks: ClassVar[dict[str, Check]]
    """For each option of a group what checks its value."""
    kinds: ClassVar[Mapping[str, bool]]
    """The state's names, as PyTorch has them, each with whether it can be negative."""
    counts_steps: ClassVar[bool] = True
    """Whether a state dict has a "step" for each parameter."""
    memory_name: ClassVar[str | None] = None
    """What a state dict calls the number that the rule keeps for each parameter."""

    param_groups: list[ParamGroup]
    _params: list[Any]
    _states: list[ParamState]
    _steps: npt.NDArray[np.int64]
    _memory: npt.NDArray[np.float64]
    _generator: Generator | None
    _state_dtype: StateDtype | None

    @property
    def state_dtype(self) -> StateDtype | None:
        """What state is kept in; for good."""
        return self._state_dtype

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed training needs, in PyTorch's layout.

        Returns:
            "state": for each parameter, by its number, what PyTorch would have there; arrays in float32 or float64
                whatever they are kept in, torch tensors where the parameter is one. Those kept as they are share
                memory with the optimizer. "param_groups": the options, with the parameters' numbers and, if they
                have any, names. "generator": with coded state, where the random rounding is.
        """
        state, groups = {}, []
        for group, members in self._grouped():
            groups.append({k: v for k, v in group.items() if k != "params"} | {"params": [*members]})
            for i in members:
                entry = self._entry(i)
                state[i] = as_torch(entry) if hasattr(self._params[i], "detach") else entry
        result: dict[str, Any] = {"state": state, "param_groups": groups}
        if self.state_dtype is not None and self._generator is not None:
            result["generator"] = self._generator.state
        return result

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> None:
        """Take over options and state from `state_dict()`, of this library or of PyTorch: all of it or nothing.

        Parameters are matched by name where both sides have names, else by position.

        Args:
            strict: False allows a parameter without an entry, as PyTorch leaves out those that never had a gradient:
                its state begins anew; and a group without some option, which then keeps its value.

        Raises:
            TypeError, ValueError, KeyError: a missing or unknown entry, another number of parameters, a wrong shape or
                dtype, an option that has no meaning. Nothing has changed then.
        """
        for key, kind in (("param_groups", Sequence), ("state", Mapping)):
            if not isinstance(state_dict, Mapping) or not isinstance(state_dict.get(key), kind):
                raise TypeError(f"{key}: got no {kind.__name__} of that name, want what state_dict() returns")
        groups = self._checked_groups(state_dict["param_groups"], strict)
        entries = self._checked_state(state_dict, groups, strict)
        generator = self._checked_generator(state_dict.get("generator"))
        self._build(groups)
        if self._generator is not None and generator is not None:
            self._generator.state = generator.state  # the object may be others' too
        self._keep(groups)
        for (group, members), saved in zip(self._grouped(), entries, strict=True):
            for i, entry in zip(members, saved, strict=True):
                self._write_entry(i, entry, group)

    def _checked_groups(self, saved: Sequence[Mapping[str, Any]], strict: bool) -> list[ParamGroup]:
        for group in saved:
            if not isinstance(group, Mapping) or not isinstance(group.get("params"), Sequence):
                raise TypeError("param_groups: got a group without a list of params, want what state_dict() returns")
        got, want = [len(g["params"]) for g in saved], [len(g["params"]) for g in self.param_groups]
        if got != want:
            raise ValueError(
                f"param_groups: got {got} parameters, want {want}; load it into the model it was saved from"
            )
        fresh = []
        for group, options in zip(self.param_groups, saved, strict=True):
            missing = [k for k in self.checks if k not in options]
            if missing and strict:
                raise ValueError(
                    f"param_groups: got a group without {missing}, want one saved by {type(self).__name__}; "
                    "strict=False keeps what is here"
                )
            values = {k: v.item() if hasattr(v, "detach") else v for k, v in options.items() if k != "params"}
            names = {k: group[k] for k in ("param_names",) if k in group}
            kept = {k: group[k] for k in missing}
            fresh.append(ParamGroup(group["params"], values | kept | names, self.checks, self._agree))
        return fresh

    def _checked_state(
        self, state_dict: Mapping[str, Any], groups: Sequence[ParamGroup], strict: bool
    ) -> list[list[dict[str, Any]]]:
        """The entry of every parameter of every group, {} where its state begins anew."""
        state, saved = state_dict["state"], state_dict["param_groups"]
        ids = [matched(s, group.get("param_names")) for s, group in zip(saved, groups, strict=True)]
        flat = [key for keys in ids for key in keys]
        if len(set(flat)) != len(flat):
            raise ValueError("param_groups: got a parameter twice, want each once")
        if set(state) - set(flat):
            raise ValueError(
                f"state: got entries {sorted(set(state) - set(flat))} of no parameter, want one per parameter"
            )
        entries = []
        for (_, members), group, keys in zip(self._grouped(), groups, ids, strict=True):
            needed = self._needed(group)
            for i, key in zip(members, keys, strict=True):
                if key not in state and strict and (needed or self.counts_steps):
                    name = self._states[i].name
                    raise ValueError(f"state of {name}: got none, want an entry; strict=False starts it anew")
            entries.append([self._checked_entry(i, state[key], needed) if key in state else {}
                            for i, key in zip(members, keys, strict=True)])  # fmt: skip
        return entries

    def _checked_generator(self, saved: Mapping[str, Any] | None) -> Generator | None:
        if self.state_dtype is None or saved is None:
            return self._generator
        if not isinstance(saved, Mapping):
            raise TypeError(f"generator: got {type(saved).__name__}, want a dict; save it again")
        restored = Generator(0)
        restored.state = saved
        return restored

    def _needed(self, group: ParamGroup) -> tuple[str, ...]:
        """The kinds of state that a group's options ask for."""
        return tuple(self.kinds)

    def _initial(self, group: ParamGroup) -> float:
        """What state begins with."""
        return 0.0

    def _agree(self, options: Mapping[str, Any]) -> None:
        """Raise ValueError where options do not fit together."""

    def _entry(self, i: int) -> dict[str, Any]:
        """Parameter i in a state dict, with all state that it has, also such as its options need no more."""
        entry: dict[str, Any] = {"step": int(self._steps[i])} if self.counts_steps else {}
        if self.memory_name is not None:
            entry[self.memory_name] = float(self._memory[i])
        return entry | {kind: stored.read() for kind, stored in self._states[i].arrays.items()}

    def _checked_entry(self, i: int, entry: Mapping[str, Any], needed: tuple[str, ...]) -> dict[str, Any]:
        own = self._states[i]
        if not isinstance(entry, Mapping):
            raise TypeError(f"state of {own.name}: got {type(entry).__name__}, want a dict; save it again")
        numbers = [name for name, has in (("step", self.counts_steps), (self.memory_name, True)) if name and has]
        check_keys(f"state of {own.name}", entry, [*numbers, *needed], self.kinds)
        checked: dict[str, Any] = {}
        for key, value in entry.items():
            name = f"{key} of {own.name}"
            checked[key] = as_number(name, value) if key in numbers else as_array(name, value, own.shape, own.dtype)
        if self.counts_steps and not (0 <= checked["step"] < 2**63 and checked["step"] == int(checked["step"])):
            raise ValueError(f"step of {own.name}: got {checked['step']}, want a whole number in [0, 2**63)")
        if self.memory_name and not 0 <= checked[self.memory_name] <= 1:
            raise ValueError(
                f"{self.memory_name} of {own.name}: got {checked[self.memory_name]}, want a number in [0, 1]"
            )
        return checked

    def _write_entry(self, i: int, entry: Mapping[str, Any], group: ParamGroup) -> None:
        own = self._states[i]
        self._steps[i] = int(entry.get("step", 0))
        self._memory[i] = entry.get(self.memory_name or "", 1.0)
        for kind in own.arrays.keys() | (entry.keys() & self.kinds.keys()):
            if kind not in own.arrays:  # the options of the moment do not need it, those to come may
                own.arrays[kind] = Stored(own.shape, own.dtype, self.state_dtype, self.kinds[kind])
            own.arrays[kind].write(entry[kind] if kind in entry else self._initial(group))

    def _grouped(self) -> Iterable[tuple[ParamGroup, range]]:
        """Every group with the indices of its parameters."""
        first = 0
        for group in self.param_groups:
            yield group, range(first, first + len(group["params"]))
            first += len(group["params"])

    def _build(self, groups: Sequence[ParamGroup]) -> None:
        """Make the compiled side anew for these groups."""
        raise NotImplementedError

    def _keep(self, groups: Sequence[ParamGroup]) -> None:
        """Have these groups from now on."""
        raise NotImplementedError
