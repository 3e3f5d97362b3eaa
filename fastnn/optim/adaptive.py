"""Optimizers with a learning rate per element: Adagrad, Adadelta, RMSprop."""

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from fastnn import _core
from fastnn.optim.optimizer import Optimizer
from fastnn.optim.options import Extras
from fastnn.optim.state import Layout, StateDtype


class Adagrad(Optimizer):
    """Adagrad: divides each element's step by the root of the sum of its squared gradients.

    Let g be the gradient (its negative if `maximize`) plus weight_decay * theta, and t the parameter's own number of
    steps. A step computes

        sum += g^2
        theta -= lr / (1 + (t - 1) lr_decay) * g / (sqrt(sum) + eps)

    Args:
        params: see `Optimizer`.
        lr, lr_decay, weight_decay: finite, >= 0.
        initial_accumulator_value: the initial value of sum; finite, >= 0.
        eps: finite, >= 0.
        maximize: maximise the objective.
        foreach, fused: accepted for compatibility with PyTorch, without effect.
        differentiable: must be False.
        extras: see `fastnn.optim.options.Extras`.

    State: "sum", of the parameter's shape.

    Source: J. Duchi, E. Hazan, Y. Singer, "Adaptive subgradient methods for online learning and stochastic
    optimization", JMLR 12 (2011), figure 1, diagonal.
    """

    layout = Layout({"sum": False})
    rule = _core.Adagrad

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        **extras: Unpack[Extras],
    ) -> None:
        super().__init__(
            params,
            dict(
                lr=lr,
                lr_decay=lr_decay,
                weight_decay=weight_decay,
                initial_accumulator_value=initial_accumulator_value,
                eps=eps,
                foreach=foreach,
                maximize=maximize,
                differentiable=differentiable,
                fused=fused,
            ),
            **extras,
        )

    @classmethod
    def _initial(cls, group: Mapping[str, Any]) -> float:
        value: float = group["initial_accumulator_value"]
        return value


AdaGrad = Adagrad
"""`Adagrad` in the paper's spelling."""


class Adadelta(Optimizer):
    """Adadelta: scales steps by the ratio of the root mean squares of past steps and of gradients.

    Let g be the gradient (its negative if `maximize`) plus weight_decay * theta. A step computes

        s = rho s + (1 - rho) g^2
        d = sqrt(a + eps) / sqrt(s + eps) g
        a = rho a + (1 - rho) d^2
        theta -= lr d

    Args:
        params: see `Optimizer`.
        lr: finite, >= 0.
        rho: decay rate of both means, in [0, 1].
        eps: finite, >= 0; added inside the roots.
        weight_decay: finite, >= 0.
        maximize: maximise the objective.
        foreach, capturable: accepted for compatibility with PyTorch, without effect.
        differentiable: must be False.
        extras: see `fastnn.optim.options.Extras`.

    State: "square_avg" (s) and "acc_delta" (a), of the parameter's shape.

    Source: M. D. Zeiler, "ADADELTA: an adaptive learning rate method", 2012, algorithm 1.
    """

    layout = Layout({"square_avg": False, "acc_delta": False})
    rule = _core.Adadelta

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
        **extras: Unpack[Extras],
    ) -> None:
        super().__init__(
            params,
            dict(
                lr=lr,
                rho=rho,
                eps=eps,
                weight_decay=weight_decay,
                foreach=foreach,
                capturable=capturable,
                maximize=maximize,
                differentiable=differentiable,
            ),
            **extras,
        )


class RMSprop(Optimizer):
    """RMSprop: divides steps by the root of a decaying mean of squared gradients.

    Let g be the gradient (its negative if `maximize`) plus weight_decay * theta. A step computes

        s = alpha s + (1 - alpha) g^2
        h = g / (sqrt(s) + eps)
        theta -= lr h

    With momentum, b = momentum b + h and theta -= lr b. With `centered`, a mean gradient a = alpha a + (1 - alpha) g is
    kept too, and max(s - a^2, 0) replaces s in h.

    Args:
        params: see `Optimizer`.
        lr: finite, >= 0.
        alpha: decay rate of the means, in [0, 1].
        eps: finite, >= 0; added outside the root.
        weight_decay, momentum: finite, >= 0.
        centered: divide by an estimate of the standard deviation; not available with `state_dtype`.
        maximize: maximise the objective.
        foreach, capturable: accepted for compatibility with PyTorch, without effect.
        differentiable: must be False.
        extras: see `fastnn.optim.options.Extras`.

    State: "square_avg" (s), "momentum_buffer" (b) with momentum, "grad_avg" (a) if centered, of the parameter's shape.

    Sources: T. Tieleman, G. Hinton, "Lecture 6.5, RMSProp", Coursera, 2012; A. Graves, "Generating sequences with
    recurrent neural networks", 2013, equations 38 to 45.
    """

    layout = Layout({"square_avg": False, "momentum_buffer": True, "grad_avg": True})
    rule = _core.RMSprop

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        **extras: Unpack[Extras],
    ) -> None:
        super().__init__(
            params,
            dict(
                lr=lr,
                alpha=alpha,
                eps=eps,
                weight_decay=weight_decay,
                momentum=momentum,
                centered=centered,
                capturable=capturable,
                foreach=foreach,
                maximize=maximize,
                differentiable=differentiable,
            ),
            **extras,
        )

    @classmethod
    def _agree(cls, options: Mapping[str, Any], state_dtype: StateDtype | None) -> None:
        if options["centered"] and state_dtype is not None:
            raise ValueError(f"centered: got True, want False with state_dtype={state_dtype!r}; use state_dtype=None")

    @classmethod
    def _needed(cls, group: Mapping[str, Any]) -> tuple[str, ...]:
        wanted = {"momentum_buffer": group["momentum"], "grad_avg": group["centered"]}
        return tuple(kind for kind in cls.layout.kinds if wanted.get(kind, True))
