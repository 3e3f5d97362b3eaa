"""Parameters that are left alone for a while."""

from typing import TYPE_CHECKING

from fastnn._checks import positive_integer
from fastnn._parameter import Parameter
from fastnn.nn.module import Module
from fastnn.training.callbacks.base import Callback

if TYPE_CHECKING:
    from fastnn.training.trainer import Trainer


class Freeze(Callback):
    """Leaves parameters as they are up to an epoch: they get no gradient, so the optimizer passes over them.

    Its state for them, weight decay included, begins when they thaw. Running statistics of norms go on.

    Args:
        names: of modules or parameters, as in the model's state dict: "0" stands for "0.weight" and "0.bias".
        until: the first epoch in which they are trained; None for never.

    Raises:
        ValueError: an `until` that is no positive integer; at the start of a fit, a name that the model does not have.
    """

    def __init__(self, names: str | list[str] | tuple[str, ...], until: int | None = None) -> None:
        self.names = (names,) if isinstance(names, str) else tuple(names)
        self.until = None if until is None else positive_integer("until", until)
        self._frozen: list[Parameter] = []

    def on_fit_start(self, trainer: "Trainer") -> None:
        """Find the parameters."""
        known = {key: p for key, p in trainer.model._walk("") if isinstance(p, Parameter)}  # shared ones by any name
        for name in self.names:
            if not any(_is_in(key, name) for key in known):
                raise ValueError(f"names: got {name!r}, want modules or parameters among {list(known)}")
        self._frozen = [p for key, p in known.items() if any(_is_in(key, name) for name in self.names)]

    def on_backward_end(self, trainer: "Trainer") -> None:
        """Drop the gradients."""
        if self.until is None or trainer.epoch < self.until:
            for parameter in self._frozen:
                parameter.zero_grad()


def progressive_unfreezing(model: Module, every: int = 1) -> list[Freeze]:
    """Callbacks that train the last child with parameters from the first epoch on, and one more every `every` epochs.

    Source: J. Howard, S. Ruder, "Universal language model fine-tuning for text classification", ACL 2018, section 3.3.
    """
    every = positive_integer("every", every)
    names = [name for name, child in model.named_children() if any(True for _ in child.parameters())]
    return [Freeze(name, 1 + every * i) for i, name in enumerate(reversed(names)) if i]


def _is_in(key: str, name: str) -> bool:
    return key == name or key.startswith(f"{name}.")
