"""Adam and AdamW."""

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from fastnn import _core
from fastnn.optim.optimizer import Optimizer, Stepper
from fastnn.optim.options import ParamGroup, betas, flag, not_negative


class Adam(Optimizer):
    """Adam, with L2 regularisation.

    With g the gradient plus weight_decay * theta (its negative first, if `maximize`) and t the parameter's own count
    of steps: m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2,
    theta -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps).

    Args:
        params: see `Optimizer`.
        lr: finite, >= 0.
        betas: decay rates of m and v, in [0, 1).
        eps: finite, >= 0; outside the root and after the bias correction, as in PyTorch.
        weight_decay: finite, >= 0.
        maximize: climb instead of descend.

    State: "exp_avg" (m) and "exp_avg_sq" (v), the shape of their parameter.

    Source: D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.
    """

    checks = {  # noqa: RUF012
        "lr": not_negative,
        "betas": betas,
        "eps": not_negative,
        "weight_decay": not_negative,
        "maximize": flag,
    }
    _decoupled: ClassVar[bool] = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, defaults)

    def _new_stepper(self) -> Stepper:
        exp_avgs, exp_avg_sqs = ([np.zeros_like(a) for a in self._arrays] for _ in range(2))
        self._state = {"exp_avg": [*exp_avgs], "exp_avg_sq": [*exp_avg_sqs]}
        return _core.Adam(self._arrays, exp_avgs, exp_avg_sqs, self._steps, self._names)

    def _values(self, group: ParamGroup) -> tuple[Any, ...]:
        decay = group["weight_decay"]
        return (group["lr"], *group["betas"], group["eps"], decay, self._decoupled, group["maximize"])


class AdamW(Adam):
    """Adam with decoupled weight decay: theta shrinks by lr * weight_decay of itself, and g stays the gradient.

    Arguments and state are those of `Adam`.

    Source: I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2.
    """

    _decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, maximize=maximize)
