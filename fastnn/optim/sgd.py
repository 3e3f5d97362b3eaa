"""Stochastic gradient descent."""

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from fastnn import _core
from fastnn.optim.optimizer import Optimizer
from fastnn.optim.options import Extras
from fastnn.optim.state import Layout, StateDtype


class SGD(Optimizer):
    """Stochastic gradient descent with optional momentum.

    Let g be the gradient (its negative if `maximize`) plus weight_decay * theta. A step computes

        b = momentum b + (1 - dampening) g, or b = g in the first step
        theta -= lr b, or theta -= lr (g + momentum b) with nesterov

    Without momentum, theta -= lr g, and no state is kept.

    Args:
        params: see `Optimizer`.
        lr, momentum, dampening, weight_decay: finite, >= 0.
        nesterov: Nesterov momentum; requires momentum > 0 and dampening = 0.
        maximize: maximise the objective.
        foreach, fused: accepted for compatibility with PyTorch, without effect.
        differentiable: must be False.
        extras: see `fastnn.optim.options.Extras`.

    State: with momentum "momentum_buffer" (b), of the parameter's shape; None in a state dict before the first step.

    Source: I. Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013, with
    the learning rate outside of the velocity, as in PyTorch.
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

    @classmethod
    def _agree(cls, options: Mapping[str, Any], state_dtype: StateDtype | None) -> None:
        if options["nesterov"] and (not options["momentum"] or options["dampening"]):
            raise ValueError("nesterov: got True, want it only with momentum > 0 and dampening = 0")

    @classmethod
    def _needed(cls, group: Mapping[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] else ()
