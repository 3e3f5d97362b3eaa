"""Stochastic gradient descent."""

from collections.abc import Iterable, Sequence
from typing import Any

from fastnn import _core
from fastnn.optim.optimizer import Array, Optimizer, Stepper, _Group
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

    State: "momentum_buffer", the shape of its parameter.

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

    def _state_keys(self, options: ParamGroup) -> Sequence[str]:
        _check_nesterov(options)
        return ("momentum_buffer",) if options["momentum"] else ()

    def _new_stepper(self, group: _Group) -> Stepper:
        return _core.SGD(group.arrays, group.state.get("momentum_buffer"), group.steps, group.names)

    def _load(self, stepper: Any, grads: Sequence[Array | None], options: ParamGroup) -> None:
        _check_nesterov(options)
        stepper.load(
            grads,
            options["lr"],
            options["momentum"],
            options["dampening"],
            options["weight_decay"],
            options["nesterov"],
            options["maximize"],
        )


def _check_nesterov(options: ParamGroup) -> None:
    if options["nesterov"] and (not options["momentum"] or options["dampening"]):
        raise ValueError("nesterov: got True, want it only with momentum > 0 and dampening = 0")
