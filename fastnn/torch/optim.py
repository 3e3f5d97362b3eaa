"""The optimizers of `fastnn.optim` as torch.optim.Optimizer, for schedulers, hooks and trainers that require one."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch

from fastnn import optim


class Optimizer(torch.optim.Optimizer):
    """Base class: an optimizer of `fastnn.optim`, with the same arguments, over torch's CPU tensors.

    Attributes:
        fused: the optimizer of `fastnn.optim` that does the work.
        param_groups: the optimizer's groups; options are checked when they are set.
        state: the state of each parameter, as in `state_dict()`; tensors share memory with the optimizer's state.

    Raises:
        TypeError, ValueError: as in the optimizer of `fastnn.optim`.
    """

    rule: ClassVar[type[optim.Optimizer]]

    def __init_subclass__(cls, rule: type[optim.Optimizer] | None = None) -> None:
        if rule is None:  # a subclass of a class below, as made by trainers
            return
        cls.rule = rule
        cls.__doc__ = f"`fastnn.optim.{rule.__name__}` for PyTorch: see there for its arguments, and `Optimizer`."
        cls.__signature__ = inspect.signature(rule)

    def __init__(self, params: Any, *args: Any, **options: Any) -> None:
        self.fused = self.rule(params, *args, **options)
        super().__init__([dict(group) for group in self.fused.param_groups], dict(self.fused.defaults))
        self.param_groups = self.fused.param_groups

    def __getstate__(self) -> dict[str, Any]:
        return {"fused": self.fused, "defaults": self.defaults}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state | {"param_groups": state["fused"].param_groups})

    @property
    def state(self) -> dict[torch.Tensor, dict[str, Any]]:
        """See the class."""
        saved = self.fused.state_dict()["state"]
        params = [p for group in self.param_groups for p in group["params"]]
        return {p: saved[i] for i, p in enumerate(params) if i in saved}

    @state.setter
    def state(self, value: Mapping[torch.Tensor, Any]) -> None:
        if value:  # torch's own constructor sets an empty one
            raise TypeError("state: got a new one, want the optimizer's own; use load_state_dict")

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, as in torch; if it is invalid, nothing changes."""
        if self.param_groups is getattr(self.fused, "param_groups", None):
            self.fused.add_param_group(param_group)
        else:
            super().add_param_group(param_group)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        Args:
            closure: called first, with gradients enabled; it computes them and returns the loss, which `step` returns.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self.fused.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the state, as in torch; see `fastnn.optim.Optimizer.state_dict`."""
        for before in self._optimizer_state_dict_pre_hooks.values():
            before(self)
        state_dict = self.fused.state_dict()
        for after in self._optimizer_state_dict_post_hooks.values():
            changed = after(self, state_dict)
            state_dict = state_dict if changed is None else changed
        return state_dict

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load a state dict of fastnn's or torch's optimizer of the same name: all of it, or nothing if it raises.

        A parameter without an entry, because it had no gradient yet, starts anew.

        Raises:
            TypeError, ValueError, KeyError: as in `fastnn.optim.Optimizer.load_state_dict`.
        """
        for before in self._optimizer_load_state_dict_pre_hooks.values():
            changed = before(self, state_dict)
            state_dict = state_dict if changed is None else changed
        self.fused.load_state_dict(state_dict, strict=False)
        for after in self._optimizer_load_state_dict_post_hooks.values():
            after(self)


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


class SGD(Optimizer, rule=optim.SGD): ...


class Adam(Optimizer, rule=optim.Adam): ...


class AdamW(Optimizer, rule=optim.AdamW): ...


class Adamax(Optimizer, rule=optim.Adamax): ...


class NAdam(Optimizer, rule=optim.NAdam): ...


class RAdam(Optimizer, rule=optim.RAdam): ...


class Lion(Optimizer, rule=optim.Lion): ...


class Adagrad(Optimizer, rule=optim.Adagrad): ...


class Adadelta(Optimizer, rule=optim.Adadelta): ...


class RMSprop(Optimizer, rule=optim.RMSprop): ...


__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "as_torch",
]
