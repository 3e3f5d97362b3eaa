"""What all optimizers share: parameter groups, state, and one call into the kernels per step."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from fastnn.optim.options import Check, ParamGroup

Array = npt.NDArray[np.floating]


class Stepper(Protocol):
    """All tensors of an optimizer inside the compiled module, which has checked them."""

    def step(self, grads: Sequence[Array | None], groups: Sequence[tuple[Any, ...]]) -> None:
        """Check every gradient, then update every parameter that has one."""


class Optimizer(ABC):
    """Steps parameters in place.

    Args:
        params: an iterable of `fastnn.nn.Parameter` or of C-contiguous, writable float32 or float64 NumPy arrays; of
            (name, parameter) pairs; or of dicts with such a list under "params" and options of their own.
        defaults: the options of groups that do not set them.

    Attributes:
        param_groups: one dict per group; options may be set between steps, and are checked then.

    Raises:
        TypeError, ValueError: a parameter that the kernels cannot step in place, is listed twice or shares memory with
            another one; an option that has no meaning. Nothing is written before all of that has been checked.
    """

    checks: ClassVar[Mapping[str, Check]]

    def __init__(self, params: Iterable[Any], defaults: Mapping[str, Any]) -> None:
        self.param_groups: list[ParamGroup] = []
        self._names: list[str] = []
        self._params: list[Any] = []
        self._members: list[range] = []  # of each group, as indices of parameters
        for spec in _groups(params):
            unknown = spec.keys() - defaults.keys() - {"params"}
            if unknown:
                raise ValueError(f"params: got a group with {sorted(unknown)}, want options among {sorted(defaults)}")
            names, tensors = _named(spec["params"], len(self._params))
            self._members.append(range(len(self._params), len(self._params) + len(tensors)))
            self._names += names
            self._params += tensors
            options = {**defaults, **{k: v for k, v in spec.items() if k != "params"}}
            self.param_groups.append(ParamGroup(tensors, options, self.checks))
        self._arrays: list[Array] = [p if isinstance(p, np.ndarray) else p.data for p in self._params]
        self._steps = np.zeros(len(self._params), np.int64)
        self._state: dict[str, list[Array | None]] = {}
        self._stepper = self._new_stepper()

    def step(self, grads: Sequence[Array | None] | None = None) -> None:
        """Update every parameter that has a gradient.

        Args:
            grads: gradients in the order of all parameters, None for one to be left alone; by default each
                parameter's own `grad`.

        Raises:
            TypeError, ValueError: a gradient of another shape or dtype than its parameter, or overlapping one; no
                parameter of any group has been changed then.
        """
        own = [_own_gradient(p) for p in self._params] if grads is None else grads
        groups = zip(self._members, self.param_groups, strict=True)
        self._stepper.step(own, [(len(members), *self._values(group)) for members, group in groups])

    def zero_grad(self) -> None:
        """Forget the gradients of all `fastnn.nn.Parameter`s: the next backward writes instead of adding."""
        for p in self._params:
            if not isinstance(p, np.ndarray):
                p.zero_grad()

    def state_of(self, param: Any) -> dict[str, Any]:
        """What the optimizer keeps for one parameter: "step", an int, and its arrays by PyTorch's names.

        Raises:
            KeyError: not a parameter of this optimizer.
        """
        for i, p in enumerate(self._params):
            if p is param:
                arrays = {key: arrays[i] for key, arrays in self._state.items() if arrays[i] is not None}
                return {"step": int(self._steps[i]), **arrays}
        raise KeyError("param: got an object that is no parameter of this optimizer")

    @abstractmethod
    def _new_stepper(self) -> Stepper:
        """The compiled side, with whatever state the options of the moment need."""

    @abstractmethod
    def _values(self, group: ParamGroup) -> tuple[Any, ...]:
        """A group's options in the order in which the compiled side takes them."""


def _groups(params: Iterable[Any]) -> list[dict[str, Any]]:
    if not isinstance(params, Iterable) or isinstance(params, str | bytes | np.ndarray):
        raise TypeError(f"params: got {type(params).__name__}, want a list of parameters or of groups; [parameter]")
    entries = [params] if isinstance(params, dict) else list(params)
    if not entries:
        raise ValueError("params: got an empty list, want one parameter at least")
    if not isinstance(entries[0], dict):
        return [{"params": entries}]
    for entry in entries:
        if not isinstance(entry, dict) or "params" not in entry:
            raise ValueError(f"params: got {entry!r} among groups, want dicts with a list under 'params'")
    return entries


def _named(params: Iterable[Any], offset: int) -> tuple[list[str], list[Any]]:
    names, tensors = [], []
    for i, entry in enumerate(params):
        pair = isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], str)
        name, tensor = entry if pair else (f"params[{offset + i}]", entry)
        if not isinstance(tensor if isinstance(tensor, np.ndarray) else getattr(tensor, "data", None), np.ndarray):
            raise TypeError(
                f"{name}: got {type(tensor).__name__}, want a fastnn.nn.Parameter or a numpy.ndarray of float32 or "
                "float64; convert it with np.asarray"
            )
        names.append(name)
        tensors.append(tensor)
    return names, tensors


def _own_gradient(param: Any) -> Array | None:
    if isinstance(param, np.ndarray):
        raise TypeError("grads: got none, want one per parameter, since NumPy arrays carry no gradient; step(grads)")
    grad: Array | None = param.grad
    return grad
