"""The optimizers of torch.optim, stepped by the kernels of `fastnn.optim`."""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from operator import attrgetter
from typing import Any, ClassVar, NamedTuple

import torch
from torch import _C, Tensor
from torch.optim import optimizer as torchs

from fastnn import _core, optim
from fastnn._checks import ordered
from fastnn.optim.engine import Engine, restored_generator, rounding_generator
from fastnn.optim.options import SETTINGS
from fastnn.optim.options import state_dtype as checked_state_dtype
from fastnn.optim.params import check_norm
from fastnn.torch.optim import entries
from fastnn.torch.optim.entries import Entry, Prepared

Params = list[Tensor]
_GRAD = attrgetter("grad")
_HOOKS_OF_ALL = torchs._global_optimizer_pre_hooks, torchs._global_optimizer_post_hooks


class _Table(NamedTuple):
    """What a step needs, built from `state` and `param_groups`; two members tell whether these are still the same."""

    engine: Engine
    params: Params
    built_for: list[Any]
    snapshot: _core.Snapshot
    fresh: list[Entry]


class Optimizer(torch.optim.Optimizer):
    """Base class of the optimizers: torch's own, but for `step`, which is one call into the kernels for all parameters.

    As in torch, `state` and `param_groups` hold all state and options, and may be changed between steps. The kernels
    step the tensors in `state` where they lie. A step runs torch's own code if a parameter or gradient is not a dense,
    contiguous CPU tensor in float32, float64 or bfloat16, if `differentiable` is set, and under torch.compile.

    Args:
        params, args, options: as for torch's optimizer of that name.
        state_dtype, clip_grad_norm, zero_grad_after_step, error_if_nonfinite, generator: see
            `fastnn.optim.options.Extras`. With the first three, a step never runs torch's code.

    Attributes:
        used_kernels: whether the last step ran in the kernels; None before the first.
        clip_grad_norm, zero_grad_after_step, error_if_nonfinite: as given; may be set between steps.
        last_grad_norm: the gradients' norm that the last step with `clip_grad_norm` found, or None.
        skipped_steps: number of steps that were skipped because the norm was not finite.

    Raises:
        TypeError, ValueError: as in torch's optimizer; or an argument of fastnn's own is invalid.
    """

    rule: ClassVar[type[optim.Optimizer]]
    """The optimizer of `fastnn.optim` whose kernels are used."""

    _step_supports_amp_scaling = property(lambda self: False, lambda self, value: None)  # gradients arrive unscaled
    _table: _Table | None = None
    param_groups: list[dict[str, Any]]

    def __init_subclass__(cls, rule: type[optim.Optimizer] | None = None) -> None:
        if rule is None:  # a subclass of a class below, as made by trainers
            return
        cls.rule = rule
        cls.__doc__ = f"`fastnn.optim.{rule.__name__}` for PyTorch: see there for its arguments, and `Optimizer`."
        cls.__signature__ = inspect.signature(rule)

    def __init__(
        self,
        params: Any,
        *args: Any,
        state_dtype: Any = None,
        clip_grad_norm: float | None = None,
        zero_grad_after_step: bool = False,
        error_if_nonfinite: bool = False,
        generator: Any = None,
        **options: Any,
    ) -> None:
        self._handed_out = [False]  # a list, so that wrappers that copy the attributes share it
        self._state_dtype = checked_state_dtype("state_dtype", state_dtype)
        self._generator = rounding_generator(generator, self._state_dtype)
        self.clip_grad_norm = clip_grad_norm
        self.zero_grad_after_step = zero_grad_after_step
        self.error_if_nonfinite = error_if_nonfinite
        self.last_grad_norm: float | None = None
        self.skipped_steps = 0
        self.used_kernels: bool | None = None
        ordered("params", params)
        super().__init__(params, *args, **options)
        self._handed_out[0] = False  # some of torch's classes fill the state here

    @property
    def state(self) -> Any:
        """The state of each parameter, as in torch.

        Once it was read, its tensors may be moved at any time, so every later step looks up where they lie.
        """
        self._handed_out[0] = True
        return vars(self)["state"]

    @state.setter
    def state(self, value: Any) -> None:
        self._handed_out[0] = True
        self.__dict__["state"] = value

    def __setattr__(self, name: str, value: Any) -> None:
        check = SETTINGS.get(name)
        super().__setattr__(name, check(name, value) if check else value)

    def __getstate__(self) -> dict[str, Any]:
        own = ("_state_dtype", "_generator", *SETTINGS, "last_grad_norm", "skipped_steps", "used_kernels")
        state: dict[str, Any] = super().__getstate__()
        return state | {name: getattr(self, name) for name in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._handed_out = [True]
        super().__setstate__(state)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, as in torch; if it is invalid, nothing changes."""
        super().add_param_group(param_group)
        if self._state_dtype is None:
            return
        added = self.param_groups.pop()
        wrong = [p.dtype for p in added["params"] if p.dtype is not torch.float32]
        if wrong:
            raise TypeError(f"params: got {wrong[0]}, want float32, since state_dtype is {self._state_dtype}")
        self.rule._agree(added, self._state_dtype)
        self.param_groups.append(added)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        Args:
            closure: called first, with gradients enabled; it computes them and returns the loss, which `step` returns.
        """
        hooks = (
            _HOOKS_OF_ALL[0] or _HOOKS_OF_ALL[1] or self._optimizer_step_pre_hooks or self._optimizer_step_post_hooks
        )
        step = self._observed_step if hooks or torch.autograd._profiler_enabled() else self._step
        return step(closure)

    step.hooked = True  # type: ignore[attr-defined]  # torch's wrapper around every step takes 40 us with 400 tensors

    def _step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        differentiable = any(group.get("differentiable") for group in self.param_groups)
        if self._can_step_of_torch():
            if differentiable or _is_traced():
                self._step_of_torch()
                return loss
        elif differentiable:
            raise ValueError("differentiable: got True, want False in Lion and with state_dtype, clip_grad_norm or "
                             "zero_grad_after_step; set it to False")  # fmt: skip
        try:
            table, norm = self._run()
        except (TypeError, ValueError):
            self._table = None
            if not self._can_step_of_torch():
                raise
            self._step_of_torch()
            return loss
        self.used_kernels = True
        self._finish(norm, table)
        return loss

    _observed_step = torch.optim.Optimizer.profile_hook_step(_step)  # with hooks, and named in profiles

    def state_dict(self) -> dict[str, Any]:
        """Return the state, as in torch; state in fewer bits is decoded to float32."""
        hook = self.register_state_dict_post_hook(_decode, prepend=True)
        try:
            result: dict[str, Any] = super().state_dict()
        finally:
            hook.remove()
        return result

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load a state dict of fastnn's or torch's optimizer of the same name: all of it, or nothing if it raises.

        Raises:
            ValueError: the groups differ, or a tensor has another shape than its parameter.
            TypeError: the state of the generator that rounds is not one.
        """
        before = vars(self)["state"], self.param_groups
        with self._last_of_hooks() as seen:
            super().load_state_dict(dict(state_dict))
        try:
            generator = restored_generator(seen.get("generator"))
            entries.check_loaded(vars(self)["state"], seen, self.param_groups, self.rule.layout)
        except Exception:
            self.state, self.param_groups = before
            raise
        if generator is not None and self._generator is not None:
            self._generator.state = generator.state

    @torch._disable_dynamo  # type: ignore[untyped-decorator]  # it would trace the use of NumPy
    def _run(self) -> tuple[_Table, float | None]:
        """Make one step in the kernels; return the table and the norm of the gradients."""
        groups, table = list(self.param_groups), self._table
        built_for = [(len(group["params"]), self.rule._needed(group)) for group in groups]
        options = groups, self.clip_grad_norm, self.zero_grad_after_step
        if table is not None and table.built_for == built_for and table.snapshot.has(groups):
            grads = tuple(map(_GRAD, table.params))
            if table.snapshot.fits(vars(self)["state"], grads, self._handed_out[0]):
                with suppress(TypeError, ValueError):  # of a parameter of another dtype now, as after model.double()
                    return table, table.engine.step(grads, *options)
        params = [p for group in groups for p in group["params"]]
        grads = tuple(map(_GRAD, params))
        with torch.no_grad(), entries.kept_unless_done(vars(self)["state"], params):
            table = self._table = self._build(params, grads, built_for)
            return table, table.engine.step(grads, *options)

    def _build(self, params: Params, grads: tuple[Tensor | None, ...], built_for: list[Any]) -> _Table:
        """Complete the state of the parameters that have a gradient, and build the engine over it."""
        rule, layout, state = self.rule, self.rule.layout, vars(self)["state"]
        rows: list[Prepared | None] = []
        names: list[str] = []
        for i, pair in enumerate(zip(params, grads, strict=True)):
            for tensor in pair:  # first, since most refusals come from here, and nothing was copied yet
                if tensor is not None:
                    _core.describe(tensor, f"params[{i}]")
        for group, (size, needed) in zip(self.param_groups, built_for, strict=True):
            names += group.get("param_names") or [f"params[{len(names) + i}]" for i in range(size)]
            keeps, initial = layout.counts_steps or bool(needed), rule._initial(group)
            for p in group["params"]:
                row, i = None, len(rows)
                if not keeps or grads[i] is not None or entries.is_complete(state.get(p), layout, needed):
                    entry = state.setdefault(p, {}) if keeps else {}
                    row = entries.prepare(entry, p, names[i], layout, needed, initial, self._state_dtype)
                rows.append(row)
        engine = Engine(
            rule.rule, params, names, [tuple(p.shape) for p in params], [size for size, _ in built_for],
            entries.columns(rows, layout), *entries.numbers(rows), self._state_dtype, self._generator,
        )  # fmt: skip
        snapshot = _core.Snapshot(state, params, [row is not None for row in rows])
        return _Table(engine, params, built_for, snapshot, [row.entry for row in rows if row and row.is_fresh])

    def _finish(self, norm: float | None, table: _Table) -> None:
        self.last_grad_norm = norm
        if norm is None or math.isfinite(norm):
            table.fresh.clear()
            return
        for entry in table.fresh:  # no step has initialised the momentum
            for kind in self.rule.layout.kinds:
                entry.pop(kind, None)
                entry.pop(f"{kind}_scale", None)
            self._table = None
        if self.error_if_nonfinite:
            check_norm(norm)
        self.skipped_steps += 1
        if self.zero_grad_after_step:
            self.zero_grad(set_to_none=False)

    def _can_step_of_torch(self) -> bool:
        own = self._state_dtype is not None or self.clip_grad_norm is not None or self.zero_grad_after_step
        return not own and self.rule is not optim.Lion

    def _step_of_torch(self) -> None:
        entries.narrow(vars(self)["state"], self.param_groups, self.rule.layout)
        step = super().step
        if getattr(step.__func__, "hooked", False):  # hooks surround our own step already
            step = step.__func__.__wrapped__.__get__(self)
        step()
        self.used_kernels = False

    @contextmanager
    def _last_of_hooks(self) -> Iterator[dict[str, Any]]:
        """Collect the state dict that the hooks before loading leave."""
        seen: dict[str, Any] = {}
        hook = self.register_load_state_dict_pre_hook(lambda _, state_dict: seen.update(state_dict))
        try:
            yield seen
        finally:
            hook.remove()


def _is_traced() -> bool:
    return (
        torch.compiler.is_compiling()
        or bool(_C._len_torch_dispatch_stack())
        or bool(_C._are_functorch_transforms_active())
    )


def _decode(optimizer: Any, state_dict: dict[str, Any]) -> None:
    if optimizer._generator is None:  # the state is not coded
        return
    layout = optimizer.rule.layout
    state_dict["state"] = {i: entries.decoded(entry, layout) for i, entry in state_dict["state"].items()}
    state_dict["generator"] = optimizer._generator.state
