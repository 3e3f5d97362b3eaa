"""What an optimizer keeps for its parameters, in the format that it is kept in."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from fastnn import _core
from fastnn._checks import not_array
from fastnn._types import AnyArray

StateDtype = Literal["bfloat16", "int8"]


class Stored:
    """One array of state: float32 or float64 as it is, or coded. What it holds at first means nothing: write it.

    Args:
        shape, dtype: of its values.
        state_dtype: "bfloat16" or "int8" for float32 values, None to keep them as they are.
        is_signed: False for what is never negative, which gives int8 another bit for its exponent.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], state_dtype: StateDtype | None, is_signed: bool
    ) -> None:
        self.is_signed = is_signed
        self.coded = state_dtype is not None
        self.scales: AnyArray | None = None
        if state_dtype is not None:
            dtype = np.dtype(np.uint8 if state_dtype == "int8" else np.uint16)
        # In huge pages, without which one thread takes a fifth longer for a step from memory.
        self.array = _core.empty(shape, dtype)
        if state_dtype == "int8":
            blocks = -(-self.array.size // _core.SCALE_ELEMENTS)
            self.scales = _core.empty((blocks,), np.dtype(np.float32))

    def read(self) -> AnyArray:
        """The values; where they are not coded, the array itself."""
        return _core.decode_state(self.array, self.scales, self.is_signed) if self.coded else self.array

    def write(self, values: AnyArray | float) -> None:
        """Replace the values, by one for all or by an array; those of `read` are kept exactly."""
        if self.coded:
            values = np.broadcast_to(np.float32(values), self.array.shape)
            _core.encode_state(values, self.array, self.scales, self.is_signed)
        else:
            np.copyto(self.array, values)


class ParamState:
    """One parameter's tensor, what is known of it, and the arrays of its state by their names."""

    def __init__(self, name: str, tensor: Any) -> None:
        self.name = name
        self.tensor = tensor
        self.shape, self.element = _core.describe(tensor, name)
        self.dtype: np.dtype[Any] = np.dtype(np.float64 if self.element == "float64" else np.float32)
        self.arrays: dict[str, Stored] = {}


def as_array(name: str, value: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> AnyArray:
    """An array or a torch tensor as an array of this shape and dtype; bfloat16 is widened, nothing else is converted.

    Raises:
        TypeError: no array, or another dtype.
        ValueError: another shape.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
    if not isinstance(value, np.ndarray) or value.dtype != dtype:
        raise not_array(name, value, dtype)
    if value.shape != shape:
        raise ValueError(f"{name}: got shape {value.shape}, want {shape}; load it into the model it was saved from")
    return value


def as_number(name: str, value: Any) -> float:
    """A number or a one-element array or tensor as a float.

    Raises:
        TypeError: anything else.
    """
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name}: got {type(value).__name__}, want a number; save it again") from None


def as_torch(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry of a state dict in torch's types, arrays sharing their memory, for parameters that are torch's."""
    torch = sys.modules["torch"]

    def tensor(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return torch.from_numpy(value)
        return value if value is None else torch.tensor(float(value), dtype=torch.float64)

    return {key: tensor(value) for key, value in entry.items()}


def check_keys(name: str, got: Iterable[str], want: Sequence[str], may: Iterable[str] = ()) -> None:
    """Refuse what has not all keys of `want`, or others that are not in `may`.

    Raises:
        ValueError: the sentence names those that are missing and those that are unknown.
    """
    found = set(got)
    missing, unknown = [k for k in want if k not in found], sorted(found - set(want) - set(may))
    if missing or unknown:
        raise ValueError(f"{name}: got entries without {missing} and with unknown {unknown}, want {list(want)}")


def matched(saved: Mapping[str, Any], names: Sequence[str] | None) -> list[Any]:
    """The saved ids of a group's parameters in the order of `names`, by name where both have names, else by position.

    Raises:
        ValueError: another number of parameters, or another set of names.
    """
    ids = list(saved["params"])
    saved_names = saved.get("param_names")
    if names is None or saved_names is None:
        return ids
    check_keys("param_names", saved_names, names)
    by_name = dict(zip(saved_names, ids, strict=True))
    return [by_name[name] for name in names]
