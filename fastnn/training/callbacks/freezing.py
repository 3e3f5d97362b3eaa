"""Keeps parameters frozen for some epochs."""

from fastnn._checks import flag, positive_integer
from fastnn._parameter import Parameter
from fastnn.nn.module import Module
from fastnn.training.callbacks.base import Callback
from fastnn.training.protocols import Training


class Freeze(Callback):
    """Freezes parameters until an epoch: `requires_grad` is False, so they have no gradient and are not changed.

    The optimizer's state for them, and weight decay, begin when they are unfrozen. After the fit everything is as it
    was before.

    Args:
        names: names of modules or parameters, as in the model's state dict: "0" stands for "0.weight" and "0.bias".
        until: the first epoch in which they are trained; None for never.
        eval_mode: also put modules of which all parameters are frozen, and all modules within them, into evaluation
            mode, so that running statistics stay as they are and nothing is dropped; with False they stay in training
            mode, as in PyTorch.

    Raises:
        ValueError: `until` is not a positive integer, or there are no names; at the start of a fit, the model does not
            have a name.
    """

    def __init__(
        self, names: str | list[str] | tuple[str, ...], until: int | None = None, eval_mode: bool = True
    ) -> None:
        self.names = (names,) if isinstance(names, str) else tuple(names)
        if not self.names:
            raise ValueError("names: got none, want at least one name; a generator can be read only once")
        self.until = None if until is None else positive_integer("until", until)
        self.eval_mode = flag("eval_mode", eval_mode)
        self._frozen: list[Parameter] = []
        self._modules: list[Module] = []

    def begin(self, trainer: Training, epoch: int) -> None:
        """Freeze, if it is to be frozen in this epoch; `end` undoes it."""
        self.end()
        known = {key: p for key, p in trainer.model._walk("") if isinstance(p, Parameter)}  # also shared ones
        for name in self.names:
            if not any(_is_in(key, name) for key in known):
                raise ValueError(f"names: got {name!r}, want modules or parameters among {list(known)}")
        if self.until is not None and epoch >= self.until:
            return
        chosen = [p for key, p in known.items() if any(_is_in(key, name) for name in self.names)]
        self._frozen = [p for p in chosen if p.requires_grad]
        for parameter in self._frozen:
            parameter.requires_grad = False
        if self.eval_mode:
            frozen = [part for module in trainer.model.modules() if _is_frozen(module) for part in module.modules()]
            self._modules = [module for module in frozen if module.training]
            for module in self._modules:
                module.training = False

    def end(self) -> None:
        """Unfreeze what `begin` has frozen."""
        for parameter in self._frozen:
            parameter.requires_grad = True
        for module in self._modules:
            module.training = True
        self._frozen, self._modules = [], []

    def on_fit_start(self, trainer: Training) -> None:
        """Check the names."""
        self.begin(trainer, trainer.epoch + (trainer.batch == 0))

    def on_epoch_start(self, trainer: Training) -> None:
        """Freeze or unfreeze."""
        self.begin(trainer, trainer.epoch)

    def on_fit_end(self, trainer: Training) -> None:
        """Unfreeze."""
        self.end()

    def on_exception(self, trainer: Training) -> None:
        """Unfreeze."""
        self.end()


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


def _is_frozen(module: Module) -> bool:
    parameters = list(module.parameters())
    return bool(parameters) and not any(p.requires_grad for p in parameters)
