"""Stochastic gradient descent."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fastnn import _core
from fastnn.optim.optimizer import Array, Optimizer, Stepper
from fastnn.optim.options import ParamGroup, flag, not_negative


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

    State: "momentum_buffer", the shape of its parameter, from the first step with momentum on.

    Source: I. Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013, with
    the velocity free of the learning rate, as PyTorch has it.
    """

    checks = {  # noqa: RUF012
        "lr": not_negative,
        "momentum": not_negative,
        "dampening": not_negative,
        "weight_decay": not_negative,
        "nesterov": flag,
        "maximize": flag,
    }

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
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def step(self, grads: Sequence[Array | None] | None = None) -> None:
        """See `Optimizer.step`."""
        buffers = self._state["momentum_buffer"]
        for group, members in zip(self.param_groups, self._members, strict=True):
            if group["momentum"] and members and buffers[members[0]] is None:
                self._stepper = self._new_stepper()  # momentum has been switched on since
        super().step(grads)

    def _new_stepper(self) -> Stepper:
        if not self._state:
            self._state["momentum_buffer"] = [None] * len(self._arrays)
            self._momentum_steps = np.zeros(len(self._arrays), np.int64)
        buffers = self._state["momentum_buffer"]
        for group, members in zip(self.param_groups, self._members, strict=True):
            _check_nesterov(group)
            for i in members if group["momentum"] else ():
                buffers[i] = np.zeros_like(self._arrays[i]) if buffers[i] is None else buffers[i]
        return _core.SGD(self._arrays, buffers, self._steps, self._momentum_steps, self._names)

    def _values(self, group: ParamGroup) -> tuple[Any, ...]:
        _check_nesterov(group)
        return tuple(group[name] for name in self.checks)


def _check_nesterov(group: ParamGroup) -> None:
    if group["nesterov"] and (not group["momentum"] or group["dampening"]):
        raise ValueError("nesterov: got True, want it only with momentum > 0 and dampening = 0")
