"""Lion."""

from collections.abc import Iterable
from typing import Any, Unpack

from fastnn import _core
from fastnn.optim.optimizer import Optimizer
from fastnn.optim.options import Extras
from fastnn.optim.state import Layout


class Lion(Optimizer):
    """Lion: steps of the same size for every element, in the direction of the sign of a momentum.

    Let g be the gradient (its negative if `maximize`). A step computes

        theta -= lr (sign(beta1 m + (1 - beta1) g) + weight_decay theta)
        m = beta2 m + (1 - beta2) g

    Usual values are a learning rate three to ten times smaller than AdamW's and a weight decay larger by that factor.

    Args:
        params: see `Optimizer`.
        lr: finite, >= 0.
        betas: decay rates in the step and of m, in [0, 1).
        weight_decay: finite, >= 0; decoupled.
        maximize: maximise the objective.
        extras: see `fastnn.optim.options.Extras`.

    State: "exp_avg" (m), of the parameter's shape.

    Source: X. Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023, algorithm 2.
    """

    layout = Layout({"exp_avg": True})
    rule = _core.Lion

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        **extras: Unpack[Extras],
    ) -> None:
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay, maximize=maximize), **extras)
