"""The state that an optimizer keeps for its parameters, and its formats."""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fastnn import _core
from fastnn._parameter import Parameter
from fastnn._types import AnyArray
from fastnn.optim.params import tensor_of

StateDtype = Literal["bfloat16", "int8"]


class Stored:
    """One array of state, float32, float64 or coded. Its content is undefined until `write` sets it.

    Args:
        shape, dtype: shape and dtype of the values.
        state_dtype: "bfloat16" or "int8" for float32 values, None to keep them as they are.
        is_signed: False for values that are never negative, which gives int8 one more bit for the exponent.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], state_dtype: StateDtype | None, is_signed: bool
    ) -> None:
        self.is_signed = is_signed
        self.coded = state_dtype is not None
        self.scales: AnyArray | None = None
        if state_dtype is not None:
            dtype = np.dtype(np.uint8 if state_dtype == "int8" else np.uint16)
        # Huge pages: without them a step from memory takes one thread a fifth longer.
        self.array = _core.empty(shape, dtype)
        if state_dtype == "int8":
            blocks = -(-self.array.size // _core.SCALE_ELEMENTS)
            self.scales = _core.empty((blocks,), np.dtype(np.float32))

    def read(self) -> AnyArray:
        """Return the values; if they are not coded, the array itself."""
        return _core.decode_state(self.array, self.scales, self.is_signed) if self.coded else self.array

    def write(self, values: AnyArray | float) -> None:
        """Set the values, to one number or to an array; values returned by `read` are stored exactly."""
        if self.coded:
            values = np.broadcast_to(np.float32(values), self.array.shape)
            _core.encode_state(values, self.array, self.scales, self.is_signed)
        else:
            np.copyto(self.array, values)


class ParamState:
    """One parameter, the tensor that is updated, and the arrays of its state by name."""

    def __init__(self, name: str, param: Any) -> None:
        self.name, self.param = name, param
        self.tensor = tensor_of(param)
        self.shape, self.element = _core.describe(self.tensor, name)
        self.dtype: np.dtype[Any] = np.dtype(np.float64 if self.element == "float64" else np.float32)
        self.arrays: dict[str, Stored] = {}
        self.has_trained = self._trains()

    def own_grad(self) -> Any:
        """Return the parameter's own gradient; None for a torch tensor that was trained and is frozen now.

        Raises:
            TypeError: the parameter is an array, which has none.
        """
        if isinstance(self.param, np.ndarray):
            raise TypeError("grads: got none, want one per parameter, since NumPy arrays have no gradient; step(grads)")
        grad = self.param.grad
        if grad is None or isinstance(self.param, Parameter):
            return grad
        if self._trains():
            self.has_trained = True
            return grad
        return None if self.has_trained else grad

    def _trains(self) -> bool:
        return bool(getattr(self.param, "requires_grad", False))


@dataclass(frozen=True)
class Layout:
    """The kinds of state that an optimizer keeps for each parameter, and their form in a state dict.

    Attributes:
        kinds: PyTorch's names of the arrays, each with whether its values can be negative.
        counts_steps: whether a state dict has a "step" for each parameter.
        memory_name: the name, in a state dict, of the number that the rule keeps for each parameter.
        none_at_first: whether a parameter's number is 1 until its first step, and its arrays None in a state dict until
            then, as in PyTorch.
    """

    kinds: Mapping[str, bool]
    counts_steps: bool = True
    memory_name: str | None = None
    none_at_first: bool = False


class States:
    """The state of all parameters of an optimizer, in the order of its groups.

    Attributes:
        each: a `ParamState` per parameter.
        steps: float64, the number of steps of each parameter so far; exact up to 2^53.
        memory: float64, the number that the rule keeps for each parameter.
    """

    def __init__(self, layout: Layout, state_dtype: StateDtype | None) -> None:
        self.layout, self.state_dtype = layout, state_dtype
        self.each: list[ParamState] = []
        self.steps, self.memory = np.zeros(0), np.ones(0)

    def extended(self, names: Sequence[str], params: Sequence[Any]) -> "States":
        """Return the state of these and further parameters; the object itself does not change.

        Raises:
            TypeError: the kernels cannot update a parameter, or its state cannot be kept in `state_dtype`.
        """
        more = [ParamState(name, param) for name, param in zip(names, params, strict=True)]
        for state in more:
            if self.state_dtype is not None and state.element != "float32":
                raise TypeError(
                    f"{state.name}: got {state.element}, want float32, since state_dtype is {self.state_dtype}"
                )
        result = copy(self)
        result.each = [*self.each, *more]
        result.steps = np.concatenate([self.steps, np.zeros(len(more))])
        result.memory = np.concatenate([self.memory, np.ones(len(more))])
        return result

    def add_arrays(self, i: int, kinds: Iterable[str], initial: float) -> None:
        """Give parameter i those arrays of `kinds` that it does not have yet, filled with `initial`."""
        own = self.each[i]
        for kind in kinds:
            if kind not in own.arrays:
                own.arrays[kind] = Stored(own.shape, own.dtype, self.state_dtype, self.layout.kinds[kind])
                own.arrays[kind].write(initial)

    def columns(self) -> list[tuple[list[Any], list[Any], bool]]:
        """Return for each kind the arrays of all parameters, their scales, and whether values can be negative."""
        result = []
        for kind, is_signed in self.layout.kinds.items():
            kept = [state.arrays.get(kind) for state in self.each]
            result.append(([x.array if x else None for x in kept], [x.scales if x else None for x in kept], is_signed))
        return result

    def entry(self, i: int) -> dict[str, Any]:
        """Return parameter i's entry in a state dict, with all its state, even if its options no longer need it."""
        layout = self.layout
        entry: dict[str, Any] = {"step": int(self.steps[i])} if layout.counts_steps else {}
        if layout.memory_name is not None:
            entry[layout.memory_name] = float(self.memory[i])
        entry |= {kind: stored.read() for kind, stored in self.each[i].arrays.items()}
        return dict.fromkeys(entry) if layout.none_at_first and self.memory[i] else entry

    def write(self, i: int, entry: Mapping[str, Any], initial: float) -> None:
        """Set the state of parameter i from a checked entry; missing arrays start anew with `initial`."""
        own, layout = self.each[i], self.layout
        kinds = entry.keys() & layout.kinds.keys()
        self.add_arrays(i, kinds, initial)  # the current options may not need them, later ones may
        self.steps[i] = int(entry.get("step", 0))
        self.memory[i] = float(not kinds) if layout.none_at_first else entry.get(layout.memory_name or "", 1.0)
        for kind, stored in own.arrays.items():
            stored.write(entry.get(kind, initial))
