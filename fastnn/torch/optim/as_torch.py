"""State dicts over arrays, for torch's optimizers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


def as_torch(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state dict with copies of its arrays as tensors, for torch's optimizer of the same name.

    torch refuses the arrays in the state dict of an optimizer over NumPy arrays or `fastnn.nn.Parameter`. The other
    direction needs no conversion: `fastnn.optim` loads tensors.

    Args:
        state_dict: what `state_dict()` of an optimizer of `fastnn.optim` returned.

    Raises:
        TypeError: the argument is not a state dict.
    """
    if not isinstance(state_dict, Mapping) or not isinstance(state_dict.get("state"), Mapping):
        raise TypeError(f"state_dict: got {type(state_dict).__name__}, want what state_dict() of an optimizer returned")
    state = {i: {key: _as_tensor(value) for key, value in entry.items()} for i, entry in state_dict["state"].items()}
    return {**state_dict, "state": state}


def _as_tensor(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, torch.Tensor):
        return value.clone()
    return value if value is None else torch.tensor(float(value), dtype=torch.float64)
