"""Stochastic gradient descent."""

from collections.abc import Iterable
from typing import Any, Unpack

import numpy as np

from fastnn import _core
from fastnn.optim.optimizer import Extras, Optimizer
from fastnn.optim.options import ParamGroup


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if asked for.

    With g the gradient plus weight_decay * theta (its negative first, if `maximize`):
    b = momentum * b + (1 - dampening) * g, in the first step b = g, and theta -= lr * b; or, with `nesterov`,
    theta -= lr * (g + momentum * b). Without momentum, theta -= lr * g and no state is kept.

    Args:
        params: see `Optimizer`.
        lr, momentum, dampening, weight_decay: finite, >= 0.
        nesterov: needs momentum and no dampening.
        maximize: climb instead of descend.
        foreach, fused: kept for PyTorch's sake, without effect. differentiable: only False.
        extras: see `fastnn.optim.optimizer.Extras`.

    State: "momentum_buffer", the shape of its parameter, from the first step with momentum on.

    Source: I. Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013, with
    the velocity free of the learning rate, as PyTorch has it.
    """

    kinds = {"momentum_buffer": True}  # noqa: RUF012
    rule = _core.SGD
    counts_steps = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
        **extras: Unpack[Extras],
    ) -> None:
        super().__init__(params, locals(), **extras)

    def _needed(self, group: ParamGroup) -> tuple[str, ...]:
        if group["nesterov"] and (not group["momentum"] or group["dampening"]):
            raise ValueError("nesterov: got True, want it only with momentum > 0 and dampening = 0")
        return ("momentum_buffer",) if group["momentum"] else ()

    # The rule remembers 1 until the velocity has begun, for which PyTorch has None instead of a buffer.
    def _entry(self, i: int, needed: tuple[str, ...]) -> dict[str, Any]:
        entry = super()._entry(i, needed)
        return dict.fromkeys(entry) if self._memory[i] else entry

    def _checked_entry(self, i: int, entry: Any, needed: tuple[str, ...]) -> dict[str, Any]:
        if entry.get("momentum_buffer", 0) is None:
            return {}
        return super()._checked_entry(i, entry, needed)

    def _write_entry(self, i: int, entry: dict[str, Any] | None, needed: tuple[str, ...]) -> None:
        begun = bool(entry) and bool(needed)
        super()._write_entry(i, entry if begun else None, needed)
        self._memory[i] = np.float64(not begun)
