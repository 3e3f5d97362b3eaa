"""Keeps parameters frozen for some epochs."""

from fastnn._checks import positive_integer
from fastnn._parameter import Parameter
from fastnn.nn.module import Module
from fastnn.training.callbacks.base import Callback
from fastnn.training.protocols import Training


class Freeze(Callback):
    """Freezes parameters until an epoch: their gradients are discarded, so the optimizer skips them.

    The optimizer's state for them, and weight decay, begin when they are unfrozen. Norms' running statistics still
    change.

    Args:
        names: names of modules or parameters, as in the model's state dict: "0" stands for "0.weight" and "0.bias".
        until: the first epoch in which they are trained; None for never.

    Raises:
        ValueError: `until` is not a positive integer; at the start of a fit, the model does not have a name.
    """

    def __init__(self, names: str | list[str] | tuple[str, ...], until: int | None = None) -> None:
        self.names = (names,) if isinstance(names, str) else tuple(names)
        self.until = None if until is None else positive_integer("until", until)
        self._frozen: list[Parameter] = []

    def on_fit_start(self, trainer: Training) -> None:
        """Find the parameters."""
        known = {key: p for key, p in trainer.model._walk("") if isinstance(p, Parameter)}  # also shared ones
        for name in self.names:
            if not any(_is_in(key, name) for key in known):
                raise ValueError(f"names: got {name!r}, want modules or parameters among {list(known)}")
        self._frozen = [p for key, p in known.items() if any(_is_in(key, name) for name in self.names)]

    def on_backward_end(self, trainer: Training) -> None:
        """Discard the gradients."""
        if self.until is None or trainer.epoch < self.until:
            for parameter in self._frozen:
                parameter.zero_grad()


def progressive_unfreezing(model: Module, every: int = 1) -> list[Freeze]:
    """Return callbacks that train the last child with parameters from the first epoch, and one more every few epochs.

    Args:
        model: its children, as in a `Sequential`, are unfrozen from the last to the first.
        every: number of epochs after which the next child is unfrozen.

    Source: J. Howard, S. Ruder, "Universal language model fine-tuning for text classification", ACL 2018, section 3.3.
    """
    every = positive_integer("every", every)
    names = [name for name, child in model.named_children() if any(True for _ in child.parameters())]
    return [Freeze(name, 1 + every * i) for i, name in enumerate(reversed(names)) if i]


def _is_in(key: str, name: str) -> bool:
    return key == name or key.startswith(f"{name}.")
