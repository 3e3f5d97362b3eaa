"""Relatives of Adam: Adamax, NAdam, RAdam."""

from collections.abc import Iterable
from typing import Any, Unpack

from fastnn import _core
from fastnn.optim.optimizer import Optimizer
from fastnn.optim.options import Extras
from fastnn.optim.state import Layout


class Adamax(Optimizer):
    """Adam scaled by the largest gradient instead of the root of a mean square.

    Let g be the gradient (its negative if `maximize`) plus weight_decay * theta, and t the parameter's own number of
    steps. A step computes

        m = beta1 m + (1 - beta1) g
        u = max(beta2 u, |g| + eps)
        theta -= lr / (1 - beta1^t) * m / u

    Args:
        params: see `Optimizer`.
        lr: finite, >= 0.
        betas: decay rates of m and u, in [0, 1).
        eps: finite, >= 0; added inside the maximum, as in PyTorch.
        weight_decay: finite, >= 0.
        maximize: maximise the objective.
        foreach, capturable: accepted for compatibility with PyTorch, without effect.
        differentiable: must be False.
        extras: see `fastnn.optim.options.Extras`.

    State: "exp_avg" (m) and "exp_inf" (u), of the parameter's shape.

    Source: D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 2.
    """

    layout = Layout({"exp_avg": True, "exp_inf": False})
    rule = _core.Adamax

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
        **extras: Unpack[Extras],
    ) -> None:
        super().__init__(
            params,
            dict(
                lr=lr,
                betas=betas,
                eps=eps,
                weight_decay=weight_decay,
                foreach=foreach,
                maximize=maximize,
                differentiable=differentiable,
                capturable=capturable,
            ),
            **extras,
        )


class NAdam(Optimizer):
    """Adam with Nesterov momentum.

    Let g be the gradient (its negative if `maximize`) plus weight_decay * theta, and t the parameter's own number of
    steps. A step updates m and v as in `Adam`, then computes

        mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2)
        m' = (1 - mu_t) / (1 - mu_1 ... mu_t) g + mu_(t+1) / (1 - mu_1 ... mu_(t+1)) m
        theta -= lr m' / (sqrt(v) / sqrt(1 - beta2^t) + eps)

    Args:
        params: see `Optimizer`.
        lr: finite, >= 0.
        betas: decay rates of m and v, in [0, 1).
        eps: finite, >= 0.
        weight_decay: finite, >= 0.
        momentum_decay: speed at which mu_t grows to beta1; finite, >= 0.
        decoupled_weight_decay: multiply theta by 1 - lr * weight_decay; g is then the gradient alone.
        maximize: maximise the objective.
        foreach, capturable: accepted for compatibility with PyTorch, without effect.
        differentiable: must be False.
        extras: see `fastnn.optim.options.Extras`.

    State: "exp_avg" (m) and "exp_avg_sq" (v), of the parameter's shape; a state dict has "mu_product" too.

    Source: T. Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop 2016.
    """

    layout = Layout({"exp_avg": True, "exp_avg_sq": False}, memory_name="mu_product")
    rule = _core.NAdam

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        **extras: Unpack[Extras],
    ) -> None:
        super().__init__(
            params,
            dict(
                lr=lr,
                betas=betas,
                eps=eps,
                weight_decay=weight_decay,
                momentum_decay=momentum_decay,
                decoupled_weight_decay=decoupled_weight_decay,
                foreach=foreach,
                maximize=maximize,
                capturable=capturable,
                differentiable=differentiable,
            ),
            **extras,
        )


class RAdam(Optimizer):
    """Rectified Adam: uses momentum alone until the variance of the adaptive rate can be computed.

    Let g be the gradient (its negative if `maximize`) plus weight_decay * theta, and t the parameter's own number of
    steps. A step updates m and v as in `Adam`, then computes

        rho = 2 / (1 - beta2) - 1
        rho_t = rho - 2 t beta2^t / (1 - beta2^t)
        r = sqrt((rho_t - 4) (rho_t - 2) rho / ((rho - 4) (rho - 2) rho_t))
        theta -= lr r / (1 - beta1^t) * m sqrt(1 - beta2^t) / (sqrt(v) + eps), if rho_t > 5
        theta -= lr / (1 - beta1^t) * m, otherwise

    Args:
        params: see `Optimizer`.
        lr: finite, >= 0.
        betas: decay rates of m and v, in [0, 1).
        eps: finite, >= 0; added before the bias correction, as in PyTorch.
        weight_decay: finite, >= 0.
        decoupled_weight_decay: multiply theta by 1 - lr * weight_decay; g is then the gradient alone.
        maximize: maximise the objective.
        foreach, capturable: accepted for compatibility with PyTorch, without effect.
        differentiable: must be False.
        extras: see `fastnn.optim.options.Extras`.

    State: "exp_avg" (m) and "exp_avg_sq" (v), of the parameter's shape.

    Source: L. Liu et al., "On the variance of the adaptive learning rate and beyond", ICLR 2020, algorithm 2.
    """

    layout = Layout({"exp_avg": True, "exp_avg_sq": False})
    rule = _core.RAdam

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        **extras: Unpack[Extras],
    ) -> None:
        super().__init__(
            params,
            dict(
                lr=lr,
                betas=betas,
                eps=eps,
                weight_decay=weight_decay,
                decoupled_weight_decay=decoupled_weight_decay,
                foreach=foreach,
                maximize=maximize,
                capturable=capturable,
                differentiable=differentiable,
            ),
            **extras,
        )
