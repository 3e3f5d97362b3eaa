"""What all optimizers share: parameter groups, state, and one call into the kernels per group and step."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from fastnn.optim.options import Check, ParamGroup

Array = npt.NDArray[np.floating]


class Stepper(Protocol):
    """A group's tensors inside the compiled module."""

    def run(self) -> None:
        """Step with the gradients and options that were loaded."""


class _Group:
    """A parameter group's arrays: names, parameters, state by key, and how many steps each parameter has seen."""

    def __init__(self, names: list[str], params: list[Any], state_keys: Sequence[str]) -> None:
        self.names = names
        self.params = params
        self.arrays: list[Array] = [p if isinstance(p, np.ndarray) else p.data for p in params]
        self.state = {key: [np.zeros_like(a, order="C") for a in self.arrays] for key in state_keys}
        self.steps = np.zeros(len(params), np.int64)
        self.stepper: Any = None


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
        self._groups: list[_Group] = []
        entries = [params] if isinstance(params, dict) else list(params)
        if not entries:
            raise ValueError("params: got an empty list, want one parameter at least")
        specs = entries if isinstance(entries[0], dict) else [{"params": entries}]
        for spec in specs:
            unknown = spec.keys() - defaults.keys() - {"params"}
            if unknown:
                raise ValueError(f"params: got a group with {sorted(unknown)}, want options among {sorted(defaults)}")
            names, tensors = _named(spec["params"], sum(len(g.params) for g in self._groups))
            options = {**defaults, **{k: v for k, v in spec.items() if k != "params"}}
            self.param_groups.append(ParamGroup(tensors, options, self.checks))
            group = _Group(names, tensors, self._state_keys(self.param_groups[-1]))
            group.stepper = self._new_stepper(group)
            self._groups.append(group)
        _check_apart(self._groups)

    def step(self, grads: Sequence[Array | None] | None = None) -> None:
        """Update every parameter that has a gradient.

        Args:
            grads: gradients in the order of all parameters, None for one to be left alone; by default each
                parameter's own `grad`.

        Raises:
            TypeError, ValueError: a gradient of another shape or dtype than its parameter, or overlapping one; no
                parameter of any group has been changed then.
        """
        given: Iterator[Array | None] | None = None
        if grads is not None:
            wanted = sum(len(g.params) for g in self._groups)
            if len(grads) != wanted:
                raise ValueError(f"grads: got {len(grads)} gradients, want {wanted}, one per parameter or None")
            given = iter(grads)
        for group, options in zip(self._groups, self.param_groups, strict=True):
            mine = [_own_gradient(p) for p in group.params] if given is None else [next(given) for _ in group.params]
            self._load(group.stepper, mine, options)
        for group in self._groups:
            group.stepper.run()

    def zero_grad(self) -> None:
        """Forget the gradients of all `fastnn.nn.Parameter`s: the next backward writes instead of adding."""
        for group in self._groups:
            for p in group.params:
                if not isinstance(p, np.ndarray):
                    p.zero_grad()

    def state_of(self, param: Any) -> dict[str, Any]:
        """What the optimizer keeps for one parameter: "step", an int, and its arrays by PyTorch's names.

        Raises:
            KeyError: not a parameter of this optimizer.
        """
        for group in self._groups:
            for i, p in enumerate(group.params):
                if p is param:
                    return {"step": int(group.steps[i]), **{key: group.state[key][i] for key in group.state}}
        raise KeyError("param: got an object that is no parameter of this optimizer")

    @abstractmethod
    def _state_keys(self, options: ParamGroup) -> Sequence[str]:
        """Which arrays a group with these options keeps."""

    @abstractmethod
    def _new_stepper(self, group: _Group) -> Stepper:
        """The compiled side of a group."""

    @abstractmethod
    def _load(self, stepper: Any, grads: Sequence[Array | None], options: ParamGroup) -> None:
        """Check gradients and hand them over with the options of the moment; write nothing."""


def _named(params: Iterable[Any], offset: int) -> tuple[list[str], list[Any]]:
    names, tensors = [], []
    for i, entry in enumerate(params):
        name, tensor = entry if isinstance(entry, tuple) else (f"params[{offset + i}]", entry)
        if not isinstance(getattr(tensor, "data", None) if not isinstance(tensor, np.ndarray) else tensor, np.ndarray):
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


def _check_apart(groups: Sequence[_Group]) -> None:
    """No two parameters of different groups share memory; inside a group the compiled side has looked."""
    seen = sorted(
        (a.__array_interface__["data"][0], a.nbytes, name)
        for g in groups
        for name, a in zip(g.names, g.arrays, strict=True)
        if a.size
    )
    for (begin, size, first), (other, _, second) in itertools.pairwise(seen):
        if other < begin + size:
            raise ValueError(f"{second}: got memory that {first} has too, want every parameter once; list it once")
