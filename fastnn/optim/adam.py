"""Adam and AdamW."""

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from fastnn import _core
from fastnn.optim.optimizer import Optimizer
from fastnn.optim.options import Extras
from fastnn.optim.state import Layout


class Adam(Optimizer):
    """Adam, with L2 regularisation.

    Let g be the gradient (its negative if `maximize`) plus weight_decay * theta, and t the parameter's own number of
    steps. A step computes

        m = beta1 m + (1 - beta1) g
        v = beta2 v + (1 - beta2) g^2
        theta -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)

    Args:
        params: see `Optimizer`.
        lr: finite, >= 0.
        betas: decay rates of m and v, in [0, 1).
        eps: finite, >= 0; added outside the root and after the bias correction, as in PyTorch.
        weight_decay: finite, >= 0.
        amsgrad: divide by the square root of the largest v so far.
        maximize: maximise the objective.
        foreach, capturable, fused: accepted for compatibility with PyTorch, without effect.
        differentiable: must be False.
        extras: see `fastnn.optim.options.Extras`.
        decoupled_weight_decay: True for the rule of `AdamW`.

    State: "exp_avg" (m), "exp_avg_sq" (v) and, with amsgrad, "max_exp_avg_sq", of the parameter's shape.

    Sources: D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1; S. Reddi et al.,
    "On the convergence of Adam and beyond", ICLR 2018, algorithm 2.
    """

    layout = Layout({"exp_avg": True, "exp_avg_sq": False, "max_exp_avg_sq": False})
    rule = _core.Adam

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
        **extras: Unpack[Extras],
    ) -> None:
        super().__init__(
            params,
            dict(
                lr=lr,
                betas=betas,
                eps=eps,
                weight_decay=weight_decay,
                amsgrad=amsgrad,
                foreach=foreach,
                maximize=maximize,
                capturable=capturable,
                differentiable=differentiable,
                fused=fused,
                decoupled_weight_decay=decoupled_weight_decay,
            ),
            **extras,
        )

    @classmethod
    def _needed(cls, group: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(cls.layout.kinds)[: 3 if group["amsgrad"] else 2]


class AdamW(Adam):
    """Adam with decoupled weight decay: theta is multiplied by 1 - lr * weight_decay, and g is the gradient alone.

    Arguments and state are those of `Adam`.

    Source: I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        **extras: Unpack[Extras],
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            maximize=maximize,
            foreach=foreach,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
            **extras,
        )
