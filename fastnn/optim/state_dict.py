"""The state of an optimizer on its way to a file and back, in PyTorch's layout."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from fastnn.optim.options import Check, ParamGroup
from fastnn.optim.state import ParamState, StateDtype, as_array, as_number, as_torch, check_keys, matched
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
    state_dtype: StateDtype | None
    _params: list[Any]
    _states: list[ParamState]
    _steps: npt.NDArray[np.int64]
    _memory: npt.NDArray[np.float64]
    _generator: Generator | None

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed training needs, in PyTorch's layout.

        Returns:
            "state": for each parameter, by its number, what PyTorch would have there; arrays in float32 or float64
                whatever they are kept in, torch tensors where the parameter is one. Those kept as they are share
                memory with the optimizer. "param_groups": the options, with the parameters' numbers and, if they
                have any, names. "generator": with coded state, where the random rounding is.
        """
        state, groups = {}, []
        for group, members, needed in self._grouped():
            saved = {k: v for k, v in group.items() if k not in ("params", "param_names")} | {"params": [*members]}
            groups.append(saved | ({"param_names": group["param_names"]} if "param_names" in group else {}))
            for i in members:
                entry = self._entry(i, needed)
                state[i] = as_torch(entry) if hasattr(self._params[i], "detach") else entry
        result: dict[str, Any] = {"state": state, "param_groups": groups}
        if self.state_dtype is not None and self._generator is not None:
            g = self._generator
            result["generator"] = {"seed": g.seed, "stream": g.stream, "block": g.block}
        return result

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> None:
        """Take over options and state from `state_dict()`, of this library or of PyTorch: all of it or nothing.

        Parameters are matched by name where both sides have names, else by position.

        Args:
            strict: False allows a parameter without an entry, as PyTorch leaves out those that never had a gradient;
                its state begins anew.

        Raises:
            TypeError, ValueError, KeyError: a missing or unknown entry, another number of parameters, a wrong shape or
                dtype, an option that has no meaning. Nothing has changed then.
        """
        groups, state = state_dict["param_groups"], state_dict["state"]
        got, want = [len(g["params"]) for g in groups], [len(g["params"]) for g in self.param_groups]
        if got != want:
            raise ValueError(
                f"param_groups: got {got} parameters, want {want}; load it into the model it was saved from"
            )
        fresh: list[ParamGroup] = []
        entries: list[tuple[int, dict[str, Any] | None, tuple[str, ...]]] = []
        used = set()
        for saved, (group, members, _) in zip(groups, self._grouped(), strict=True):
            missing = [k for k in self.checks if k not in saved]
            if missing:
                raise ValueError(
                    f"param_groups: got a group without {missing}, want one saved by {type(self).__name__}"
                )
            own = {k: group[k] for k in ("param_names",) if k in group}
            options = {k: v for k, v in saved.items() if k not in ("params", "param_names")} | own
            fresh.append(ParamGroup(group["params"], options, self.checks))
            needed = self._needed(fresh[-1])
            for i, key in zip(members, matched(saved, group.get("param_names")), strict=True):
                used.add(key)
                if key not in state and state and strict:
                    raise ValueError(
                        f"state: got none for {self._states[i].name}, want an entry; strict=False starts it anew"
                    )
                entries.append((i, self._checked_entry(i, state[key], needed) if key in state else None, needed))
        if set(state) - used:
            raise ValueError(f"state: got entries {sorted(set(state) - used)} of no parameter, want one per parameter")
        generator = state_dict.get("generator") if self.state_dtype is not None else None
        if generator is not None:
            check_keys("generator", generator, ("seed", "stream", "block"))
            restored = Generator(generator["seed"], generator["stream"])
            restored.block = generator["block"]
            self._generator = restored
        self.param_groups[:] = fresh
        self._build()
        for i, entry, needed in entries:
            self._write_entry(i, entry, needed)

    def _needed(self, group: ParamGroup) -> tuple[str, ...]:
        """The kinds of state that a group's options ask for."""
        return tuple(self.kinds)

    def _initial(self, group: ParamGroup) -> float:
        """What state begins with."""
        return 0.0

    def _entry(self, i: int, needed: tuple[str, ...]) -> dict[str, Any]:
        """Parameter i in a state dict."""
        entry: dict[str, Any] = {"step": int(self._steps[i])} if self.counts_steps else {}
        if self.memory_name is not None:
            entry[self.memory_name] = float(self._memory[i])
        return entry | {kind: self._states[i].arrays[kind].read() for kind in needed}

    def _checked_entry(self, i: int, entry: Mapping[str, Any], needed: tuple[str, ...]) -> dict[str, Any]:
        state = self._states[i]
        numbers = [*["step"] * self.counts_steps, *[self.memory_name] * (self.memory_name is not None)]
        check_keys(f"state of {state.name}", entry, [*filter(None, numbers), *needed])
        checked: dict[str, Any] = {}
        for key, value in entry.items():
            name = f"{key} of {state.name}"
            in_kinds = key in needed
            checked[key] = as_array(name, value, state.shape, state.dtype) if in_kinds else as_number(name, value)
        if self.counts_steps and not (checked["step"] >= 0 and checked["step"] == int(checked["step"])):
            raise ValueError(f"step of {state.name}: got {checked['step']}, want a whole number >= 0")
        return checked

    def _write_entry(self, i: int, entry: dict[str, Any] | None, needed: tuple[str, ...]) -> None:
        self._steps[i] = 0 if entry is None else int(entry.get("step", 0))
        self._memory[i] = 1.0 if entry is None or self.memory_name is None else entry[self.memory_name]
        for kind in needed:
            stored = self._states[i].arrays[kind]
            stored.write(np.zeros(self._states[i].shape, self._states[i].dtype) if entry is None else entry[kind])

    def _grouped(self) -> Iterable[tuple[ParamGroup, range, tuple[str, ...]]]:
        """Every group with the indices of its parameters and the kinds of state that it needs."""
        first = 0
        for group in self.param_groups:
            yield group, range(first, first + len(group["params"])), self._needed(group)
            first += len(group["params"])

    def _build(self) -> None:
        """Make the compiled side anew."""
        raise NotImplementedError
