"""Stochastic gradient descent."""

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from fastnn import _core
from fastnn.optim.optimizer import Optimizer
from fastnn.optim.options import Extras, ParamGroup
from fastnn.optim.state import Layout


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
        foreach, fused: kept for PyTorch's sake, without effect.
        differentiable: only False.
        extras: see `fastnn.optim.options.Extras`.

    State: "momentum_buffer", the shape of its parameter, once there is momentum; None in a state dict until a step.

    Source: I. Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013, with
    the velocity free of the learning rate, as PyTorch has it.
    """

    layout = Layout({"momentum_buffer": True}, counts_steps=False, none_at_first=True)
    rule = _core.SGD

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
        super().__init__(
            params,
            dict(
                lr=lr,
                momentum=momentum,
                dampening=dampening,
                weight_decay=weight_decay,
                nesterov=nesterov,
                maximize=maximize,
                foreach=foreach,
                differentiable=differentiable,
                fused=fused,
            ),
            **extras,
        )

    def _agree(self, options: Mapping[str, Any]) -> None:
        if options["nesterov"] and (not options["momentum"] or options["dampening"]):
            raise ValueError("nesterov: got True, want it only with momentum > 0 and dampening = 0")

    def _needed(self, group: ParamGroup) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] else ()
