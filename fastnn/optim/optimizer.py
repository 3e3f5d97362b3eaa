"""The base class of all optimizers: parameter groups, state, and one call into the kernels per step."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, ClassVar

import numpy as np

from fastnn import _core
from fastnn._checks import ordered
from fastnn._parameter import Parameter
from fastnn.optim.engine import Engine, restored_generator, rounding_generator
from fastnn.optim.options import CHECKS, SETTINGS, Extras, ParamGroup, state_dtype, unknown_options
from fastnn.optim.params import as_groups, as_named, check_norm, zero
from fastnn.optim.state import Layout, StateDtype, States
from fastnn.optim.state_dict import checked_entries, checked_groups, members, saved

Gradients = Sequence[Any]


_GRAD, _TENSORS_GRAD, _TRAINS = attrgetter("_grad"), attrgetter("grad"), attrgetter("requires_grad")


class Optimizer:
    """Base class of the optimizers, which update parameters in place.

    Args:
        params: an iterable of `fastnn.nn.Parameter`, of C-contiguous, writable float32 or float64 NumPy arrays, or of
            dense CPU tensors of PyTorch (float32, float64, or bfloat16 with its state in float32), which are updated in
            place; of (name, parameter) pairs; or of dicts with such a list under "params" and the group's own options.
        options: default options of the groups, by the names of `fastnn.optim.options.CHECKS`.
        extras: see `Extras`.

    Attributes:
        param_groups: one dict per group; options may be set between steps and are then checked.
        clip_grad_norm, zero_grad_after_step, error_if_nonfinite: as given; may be set between steps.
        last_grad_norm: the gradients' norm that the last step with `clip_grad_norm` found, or None.
        skipped_steps: number of steps that were skipped because the norm was not finite.

    Raises:
        TypeError, ValueError: a parameter cannot be updated in place, is listed twice or shares memory with another
            one, or an option is invalid. All of this is checked before anything is written.
    """

    rule: ClassVar[type["_core._Stepper"]]
    """The compiled stepper."""
    layout: ClassVar[Layout]
    """The layout of each parameter's state."""

    def __init__(self, params: Iterable[Any], options: Mapping[str, Any], **extras: Any) -> None:
        unknown = extras.keys() - Extras.__annotations__.keys()
        if unknown:
            raise unknown_options(type(self), sorted(unknown))
        self._state_dtype = state_dtype("state_dtype", extras.get("state_dtype"))
        self.clip_grad_norm = extras.get("clip_grad_norm")
        self.zero_grad_after_step = extras.get("zero_grad_after_step", False)
        self.error_if_nonfinite = extras.get("error_if_nonfinite", False)
        self.last_grad_norm: float | None = None
        self.skipped_steps = 0
        self.defaults = dict(options)
        self.param_groups: list[ParamGroup] = []
        self._states = States(self.layout, self._state_dtype)
        self._generator = rounding_generator(extras.get("generator"), self.state_dtype)
        for group in as_groups(params):
            self._append(group)
        self._build(self.param_groups)
        self._keep(self.param_groups)

    def __setattr__(self, name: str, value: Any) -> None:
        check = SETTINGS.get(name)
        super().__setattr__(name, check(name, value) if check else value)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_engine"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._keep(self.param_groups)
        self._build(self.param_groups)

    @property
    def state_dtype(self) -> StateDtype | None:
        """The format in which state is kept; it cannot be changed."""
        return self._state_dtype

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add a dict with parameters under "params" and their options; if it is invalid, nothing changes."""
        if not isinstance(param_group, Mapping) or "params" not in param_group:
            raise TypeError(f"param_group: got a {type(param_group).__name__} without 'params', want a dict with it")
        before, groups = dict(vars(self)), self.param_groups
        try:
            self._append(param_group)
            self._build(self.param_groups)
        except BaseException:
            vars(self).update(before)
            raise
        fresh, self.param_groups = self.param_groups, groups  # the same list object, since others may hold it
        self._keep(fresh)

    def step(self, grads: Gradients | None = None, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        Args:
            grads: gradients in the order of all parameters, None for a parameter to skip; by default each parameter's
                own `grad`. A callable is taken as the closure, as in PyTorch. A torch tensor whose `requires_grad` was
                switched off after it had been trained is frozen: it is skipped even if a gradient is left in it, which
                torch.optim would still use, as momentum would zeros. Pass its gradient here to step it nevertheless.
            closure: called first; it computes the gradients and returns the loss, which `step` returns.

        Raises:
            TypeError, ValueError: a gradient differs from its parameter in shape or dtype, or overlaps a parameter; no
                parameter of any group has then been changed.
            FloatingPointError: the norm is not finite, and `error_if_nonfinite`.
        """
        if callable(grads):
            grads, closure = None, grads
        loss = closure() if closure is not None else None
        groups = self._own_groups()
        if self._built != [self._needed(group) for group in groups]:
            self._build(groups)
        ordered("grads", grads)
        given = tuple(self._own_grads() if grads is None else grads)
        write_zeros = self.zero_grad_after_step and not (grads is None and self._are_parameters)
        norm = self._engine.step(given, groups, self.clip_grad_norm, write_zeros)
        self.last_grad_norm = norm
        if norm is not None and not math.isfinite(norm):
            if self.error_if_nonfinite:
                check_norm(norm)
            self.skipped_steps += 1
            if write_zeros:
                for grad in given:
                    zero(grad)
        if self.zero_grad_after_step and not write_zeros:
            self.zero_grad()
        elif write_zeros and grads is None:
            for state, grad in zip(self._states.each, given, strict=True):
                if grad is None:  # a frozen tensor may have one left, to which a later backward would add
                    zero(state.param.grad)
        return loss

    def zero_grad(self, set_to_none: bool = False) -> None:
        """Discard the gradients of all parameters.

        For a `fastnn.nn.Parameter` this needs no pass over memory: the next backward writes instead of adding. The
        gradient of a torch tensor is zeroed, or set to None with `set_to_none`.
        """
        for p in self._params:
            if isinstance(p, Parameter):
                p.zero_grad()
            elif not isinstance(p, np.ndarray):
                if set_to_none:
                    p.grad = None
                else:
                    zero(p.grad)

    def state_of(self, param: Any) -> dict[str, Any]:
        """Return the state of one parameter: "step", an int, and its arrays by PyTorch's names.

        Raises:
            KeyError: param is not a parameter of this optimizer.
        """
        for i, state in enumerate(self._states.each):
            if state.param is param:
                return {"step": int(self._states.steps[i])} | {k: s.read() for k, s in state.arrays.items()}
        raise KeyError("param: got an object that is not a parameter of this optimizer")

    def state_dict(self) -> dict[str, Any]:
        """Return all state that a resumed training needs, in PyTorch's layout.

        Returns:
            "state": for each parameter, by its number, PyTorch's entries; arrays in float32 or float64 regardless of
                `state_dtype`, or torch tensors if the parameter is one. Arrays of uncoded state share memory with the
                optimizer. "param_groups": the options, with the parameters' numbers and, if they have any, names.
                "generator": the state of the generator that rounds, only with coded state.
        """
        result = saved(self._own_groups(), self._states)
        if self.state_dtype is not None and self._generator is not None:
            result["generator"] = self._generator.state
        return result

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> None:
        """Load options and state from a `state_dict()` of this library or of PyTorch: all, or nothing if it raises.

        Parameters are matched by name if both sides have names, else by position.

        Args:
            strict: False allows a parameter without an entry, whose state then starts anew (PyTorch omits parameters
                that never had a gradient), and a group without some option, which then keeps its value.

        Raises:
            TypeError, ValueError, KeyError: an entry is missing or unknown, the number of parameters differs, a shape
                or dtype is wrong, or an option is invalid. Nothing has then been changed.
        """
        groups = checked_groups(state_dict, self._own_groups(), strict, type(self).__name__)
        entries = checked_entries(state_dict, groups, self._states, self._needed, strict)
        generator = None if self._generator is None else restored_generator(state_dict.get("generator"))
        self._build(groups)
        if self._generator is not None and generator is not None:
            self._generator.state = generator.state  # the generator may be shared
        self._keep(groups)
        for group, indices in members(groups):
            for i in indices:
                self._states.write(i, entries[i], self._initial(group))

    def _own_groups(self) -> list[ParamGroup]:
        """Return the groups; raise if they are not the optimizer's own any more."""
        if [*map(id, self.param_groups)] != self._kept:
            raise ValueError(
                "param_groups: got groups replaced, moved or taken away, want the optimizer's own, in order; set "
                "options in them, or call add_param_group"
            )
        return self.param_groups

    def _append(self, spec: Mapping[str, Any]) -> None:
        unknown = spec.keys() - self.defaults.keys() - {"params", "param_names", "initial_lr"}
        if unknown:
            raise ValueError(f"params: got a group with {sorted(unknown)}, want options among {sorted(self.defaults)}")
        names, params, are_named = as_named(spec, len(self._states.each))
        options = {**self.defaults, **{k: v for k, v in spec.items() if k not in ("params", "param_names")}}
        options |= {"param_names": names} if are_named else {}
        checks = {name: CHECKS[name] for name in self.defaults}
        # of the class, since a method of the optimizer would make a cycle that keeps its state alive
        agree = partial(type(self)._agree, state_dtype=self._state_dtype)
        group = ParamGroup(params, options, checks, agree)
        self._states = self._states.extended(names, params)
        self.param_groups = [*self.param_groups, group]

    def _build(self, groups: Sequence[ParamGroup]) -> None:
        """Build the compiled stepper for these groups, with the state that their options need now."""
        states = self._states
        for group, indices in members(groups):
            for i in indices:
                states.add_arrays(i, self._needed(group), self._initial(group))
        names, tensors = [s.name for s in states.each], [s.tensor for s in states.each]
        sizes = [len(group["params"]) for group in groups]
        shapes = [s.shape for s in states.each]
        steps, memory = states.steps.reshape(-1, 1), states.memory.reshape(-1, 1)
        self._engine = Engine(
            type(self).rule, tensors, names, shapes, sizes, states.columns(), [*steps], [*memory],
            self.state_dtype, self._generator,
        )  # fmt: skip
        self._built = [self._needed(group) for group in groups]
        self._params = [s.param for s in states.each]
        self._have_trained = all(s.has_trained for s in states.each)
        self._are_parameters = all(isinstance(p, Parameter) for p in self._params)

    def _own_grads(self) -> Iterable[Any]:
        if self._are_parameters:
            return map(_GRAD, self._params)
        if self._have_trained and all(map(_TRAINS, self._params)):  # nearly every step, and four times as fast
            return map(_TENSORS_GRAD, self._params)
        return [state.own_grad() for state in self._states.each]

    @classmethod
    def _needed(cls, group: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the kinds of state that a group's options need."""
        return tuple(cls.layout.kinds)

    @classmethod
    def _initial(cls, group: Mapping[str, Any]) -> float:
        """Return the initial value of state."""
        return 0.0

    @classmethod
    def _agree(cls, options: Mapping[str, Any], state_dtype: StateDtype | None) -> None:
        """Raise ValueError if options are incompatible."""

    def _keep(self, groups: Sequence[ParamGroup]) -> None:
        self.param_groups[:] = groups
        self._kept = [*map(id, groups)]
