"""One class per optimizer: the arguments and the state of torch's class, and the step of `Optimizer`."""

from typing import Any

import torch

from fastnn import optim
from fastnn.torch.optim.optimizer import Optimizer


class SGD(Optimizer, torch.optim.SGD, rule=optim.SGD): ...


class Adam(Optimizer, torch.optim.Adam, rule=optim.Adam): ...


class AdamW(Adam, torch.optim.AdamW, rule=optim.AdamW): ...


class Adamax(Optimizer, torch.optim.Adamax, rule=optim.Adamax): ...


class NAdam(Optimizer, torch.optim.NAdam, rule=optim.NAdam): ...


class RAdam(Optimizer, torch.optim.RAdam, rule=optim.RAdam): ...


class Adagrad(Optimizer, torch.optim.Adagrad, rule=optim.Adagrad): ...


class Adadelta(Optimizer, torch.optim.Adadelta, rule=optim.Adadelta): ...


class RMSprop(Optimizer, torch.optim.RMSprop, rule=optim.RMSprop): ...


class _Lion(torch.optim.Optimizer):
    """Lion's arguments, checked as torch's optimizers check theirs. It is in fastnn only, so it has no step here."""

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-4,
        betas: Any = (0.9, 0.99),
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        if not lr >= 0:
            raise ValueError(f"Invalid learning rate: {lr}")
        for i, beta in enumerate(betas):
            if not 0 <= beta < 1:
                raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
        if not weight_decay >= 0:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay, maximize=maximize))


class Lion(Optimizer, _Lion, rule=optim.Lion): ...
