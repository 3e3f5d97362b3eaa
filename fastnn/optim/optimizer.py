"""What all optimizers share: parameter groups, state, and one call into the kernels per step."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any, ClassVar, TypedDict

import numpy as np

from fastnn import _core
from fastnn._autograd import count_writes
from fastnn._checks import flag, not_negative
from fastnn._parameter import Parameter
from fastnn.optim.options import CHECKS, ParamGroup, state_dtype
from fastnn.optim.params import as_groups, as_named, check_norm, checked_grad, tensor_of, zero
from fastnn.optim.state import ParamState, StateDtype, Stored
from fastnn.optim.state_dict import Stateful
from fastnn.random import BLOCK_WORDS, Generator, RandomSource, as_generator, default_generator

Gradients = Sequence[Any]


class Extras(TypedDict, total=False):
    """The arguments that every optimizer has beside PyTorch's.

    Attributes:
        state_dtype: "bfloat16" or "int8" keeps the state of float32 parameters in 2 bytes or 1 (with a float32 scale
            for every 64), rounded at random so that no small change is lost on average. Needs float32 parameters.
        clip_grad_norm: finite, >= 0: gradients are scaled as `clip_grad_norm_` would, within the step.
        zero_grad_after_step: the step ends with the gradients zeroed, as `zero_grad()` would.
        error_if_nonfinite: with `clip_grad_norm`, a norm that is NaN or infinite raises; else the step is skipped and
            counted in `skipped_steps`.
        generator: of the random rounding; by default one that `fastnn.manual_seed` determines.
    """

    state_dtype: StateDtype | None
    clip_grad_norm: float | None
    zero_grad_after_step: bool
    error_if_nonfinite: bool
    generator: RandomSource | None


class Optimizer(Stateful):
    """Steps parameters in place.

    Args:
        params: an iterable of `fastnn.nn.Parameter`, of C-contiguous, writable float32 or float64 NumPy arrays, or of
            dense CPU tensors of PyTorch (float32, float64, or bfloat16 with its state in float32), which are stepped
            where they lie; of (name, parameter) pairs; or of dicts with such a list under "params" and options of
            their own.
        options: those of groups that do not set them; other names are passed over.
        extras: see `Extras`.

    Attributes:
        param_groups: one dict per group; options may be set between steps, and are checked then.
        clip_grad_norm, zero_grad_after_step, error_if_nonfinite: as given; may be set between steps.
        last_grad_norm: the gradients' norm that the last step with `clip_grad_norm` found, or None.
        skipped_steps: how many steps were skipped for a norm that was not finite.

    Raises:
        TypeError, ValueError: a parameter that the kernels cannot step in place, is listed twice or shares memory with
            another one; an option that has no meaning. Nothing is written before all of that has been checked.
    """

    rule: ClassVar[type["_core._Stepper"]]
    """The compiled side."""

    def __init_subclass__(cls) -> None:
        """The options are those arguments of the constructor that `options.CHECKS` knows."""
        code = cls.__init__.__code__
        arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        cls.checks = getattr(cls, "checks", {}) | {name: CHECKS[name] for name in arguments if name in CHECKS}

    def __init__(self, params: Iterable[Any], options: Mapping[str, Any], **extras: Any) -> None:
        unknown = extras.keys() - Extras.__annotations__.keys()
        if unknown:
            raise TypeError(
                f"{type(self).__name__}: got unknown arguments {sorted(unknown)}, see help({type(self).__name__})"
            )
        self._state_dtype = state_dtype("state_dtype", extras.get("state_dtype"))
        self.clip_grad_norm = extras.get("clip_grad_norm")
        self.zero_grad_after_step = extras.get("zero_grad_after_step", False)
        self.error_if_nonfinite = extras.get("error_if_nonfinite", False)
        self.last_grad_norm: float | None = None
        self.skipped_steps = 0
        self.defaults = {name: options[name] for name in self.checks}
        self.param_groups: list[ParamGroup] = []
        self._params: list[Any] = []
        self._states: list[ParamState] = []
        self._steps, self._memory = np.zeros(0, np.int64), np.ones(0)
        self._generator = _generator(extras.get("generator"), self.state_dtype)
        for group in as_groups(params):
            self._append(group)
        self._build(self.param_groups)
        self._keep(self.param_groups)

    def __setattr__(self, name: str, value: Any) -> None:
        check = {"clip_grad_norm": _limit, "zero_grad_after_step": flag, "error_if_nonfinite": flag}.get(name)
        super().__setattr__(name, check(name, value) if check else value)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_stepper"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._keep(self.param_groups)
        self._build(self.param_groups)

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add a dict with parameters under "params" and options of their own; where it is refused, nothing changes."""
        if not isinstance(param_group, Mapping) or "params" not in param_group:
            raise TypeError(f"param_group: got a {type(param_group).__name__} without 'params', want a dict with it")
        before, groups = dict(vars(self)), self.param_groups
        try:
            self._append(param_group)
            self._build(self.param_groups)
        except BaseException:
            vars(self).update(before)
            raise
        fresh, self.param_groups = self.param_groups, groups  # the same list as ever, for those who hold it
        self._keep(fresh)

    def step(self, grads: Gradients | None = None, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        Args:
            grads: gradients in the order of all parameters, None for one to be left alone; by default each
                parameter's own `grad`. A callable is taken for the closure, as in PyTorch.
            closure: called first; it computes the gradients and returns the loss, which is then returned.

        Raises:
            TypeError, ValueError: a gradient of another shape or dtype than its parameter, or overlapping one; no
                parameter of any group has been changed then.
            FloatingPointError: the norm is not finite, and `error_if_nonfinite`.
        """
        if callable(grads):
            grads, closure = None, grads
        loss = closure() if closure is not None else None
        groups = self.param_groups
        if [*map(id, groups)] != self._kept:
            raise ValueError(
                "param_groups: got groups replaced, moved or taken away, want the optimizer's own in their order; set "
                "options in them, or call add_param_group"
            )
        if self._built != [self._needed(group) for group in groups]:
            self._build(groups)
        given = tuple(map(self._get_grad, self._params) if grads is None else grads)
        write_zeros = self.zero_grad_after_step and not (grads is None and self._are_parameters)
        norm, written = self._run(given, write_zeros)
        if written:
            count_writes(written)
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
        return loss

    def zero_grad(self, set_to_none: bool = False) -> None:
        """Forget the gradients of all parameters that have them.

        For a `fastnn.nn.Parameter` that costs no pass over memory: the next backward writes instead of adding. The
        gradient of a torch tensor is zeroed, or dropped with `set_to_none`.
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
        """What the optimizer keeps for one parameter: "step", an int, and its arrays by PyTorch's names.

        Raises:
            KeyError: not a parameter of this optimizer.
        """
        for i, p in enumerate(self._params):
            if p is param:
                return {"step": int(self._steps[i])} | {k: s.read() for k, s in self._states[i].arrays.items()}
        raise KeyError("param: got an object that is no parameter of this optimizer")

    def _run(self, grads: tuple[Any, ...], write_zeros: bool) -> tuple[float | None, list[Any]]:
        groups, limit = self.param_groups, self.clip_grad_norm
        g = self._generator
        if g is None:
            return self._stepper.step(grads, groups, limit, write_zeros, 0, 0, 0)
        offset = g.reserve(self._words)
        norm: float | None = math.nan
        try:
            norm, written = self._stepper.step(
                grads, groups, limit, write_zeros, g.seed, g.stream, offset // BLOCK_WORDS
            )
        finally:
            if norm is not None and not math.isfinite(norm):  # no step has been taken
                g.give_back(offset, self._words)
        return norm, written

    def _append(self, spec: Mapping[str, Any]) -> None:
        unknown = spec.keys() - self.defaults.keys() - {"params", "param_names", "initial_lr"}
        if unknown:
            raise ValueError(f"params: got a group with {sorted(unknown)}, want options among {sorted(self.defaults)}")
        names, tensors, are_named = as_named(spec, len(self._params))
        options = {**self.defaults, **{k: v for k, v in spec.items() if k not in ("params", "param_names")}}
        options |= {"param_names": names} if are_named else {}
        group = ParamGroup(tensors, options, self.checks, self._agree)
        states = [ParamState(name, tensor_of(p)) for name, p in zip(names, tensors, strict=True)]
        for state in states:
            if self.state_dtype is not None and state.element != "float32":
                raise TypeError(
                    f"{state.name}: got {state.element}, want float32, since state_dtype is {self.state_dtype}"
                )
        self.param_groups = [*self.param_groups, group]
        self._params = [*self._params, *tensors]
        self._states = [*self._states, *states]
        self._steps = np.concatenate([self._steps, np.zeros(len(tensors), np.int64)])
        self._memory = np.concatenate([self._memory, np.ones(len(tensors))])

    def _build(self, groups: Sequence[ParamGroup]) -> None:
        """Make the compiled side anew, with whatever state the options of the moment need."""
        states = iter(self._states)
        for group in groups:
            for own in islice(states, len(group["params"])):
                for kind in self._needed(group):
                    if kind not in own.arrays:
                        stored = Stored(own.shape, own.dtype, self.state_dtype, self.kinds[kind])
                        stored.write(self._initial(group))
                        own.arrays[kind] = stored
        state = []
        for kind, is_signed in self.kinds.items():
            kept = [s.arrays.get(kind) for s in self._states]
            state.append(([x.array if x else None for x in kept], [x.scales if x else None for x in kept], is_signed))
        names, tensors = [s.name for s in self._states], [s.tensor for s in self._states]
        sizes = [len(group["params"]) for group in groups]
        dtype = self.state_dtype or ""
        self._stepper = type(self).rule(tensors, names, sizes, state, self._steps, self._memory, dtype)
        self._built = [self._needed(group) for group in groups]
        self._words = sum(-(-math.prod(s.shape) // _core.CHUNK) for s in self._states) * BLOCK_WORDS
        self._are_parameters = all(isinstance(p, Parameter) for p in self._params)
        arrays = any(isinstance(p, np.ndarray) for p in self._params)
        self._get_grad = checked_grad if arrays else attrgetter("_grad" if self._are_parameters else "grad")

    def _keep(self, groups: Sequence[ParamGroup]) -> None:
        self.param_groups[:] = groups
        self._kept = [*map(id, groups)]


def _limit(name: str, value: Any) -> float | None:
    return None if value is None else not_negative(name, value)


def _generator(given: RandomSource | None, state_dtype: StateDtype | None) -> Generator | None:
    """What rounds the state; no rounding, no generator."""
    chosen = None if given is None else as_generator(given)
    if state_dtype is None:
        return None
    return chosen or Generator(default_generator.seed, 2**63 + default_generator.reserve(1) // BLOCK_WORDS)
