"""Replaces torch's modules by fused ones."""

import itertools
from collections import Counter
from typing import NamedTuple

from torch import nn as theirs

from fastnn.torch import nn as ours


class Replacement(NamedTuple):
    """One module that `replace` has changed: its name in the model ("" for the model itself), and its class."""

    name: str
    before: type[theirs.Module]
    after: type[theirs.Module]


_SWAPS: dict[type[theirs.Module], type[theirs.Module]] = {
    theirs.BatchNorm1d: ours.BatchNorm1d,
    theirs.BatchNorm2d: ours.BatchNorm2d,
    theirs.CrossEntropyLoss: ours.CrossEntropyLoss,
    theirs.Dropout: ours.Dropout,
    theirs.GELU: ours.GELU,
    theirs.GroupNorm: ours.GroupNorm,
    theirs.LayerNorm: ours.LayerNorm,
    theirs.MaxPool2d: ours.MaxPool2d,
    theirs.MultiheadAttention: ours.MultiheadAttention,
    theirs.RMSNorm: ours.RMSNorm,
    theirs.SiLU: ours.SiLU,
}


_FUSED: dict[tuple[type[theirs.Module], type[theirs.Module]], type[theirs.Module]] = {
    (theirs.BatchNorm1d, theirs.ReLU): ours.BatchNormReLU1d,
    (theirs.BatchNorm2d, theirs.ReLU): ours.BatchNormReLU2d,
    (theirs.Linear, theirs.GELU): ours.LinearGELU,
}


def replace(model: theirs.Module, fuse: bool = False) -> list[Replacement]:
    """Replace the modules of `model`, and `model` itself, that have a fused version in `fastnn.torch.nn`.

    They stay the same objects, with their parameters, buffers, hooks and names; only their class changes, to a subclass
    of the former one. So state dicts can be loaded both ways, and optimizers keep their parameters. Modules of other
    classes, including subclasses of torch's, are not changed; nor are modules that work in place, and modules whose
    forward was set on the object, as adapters do.

    Args:
        model: a torch.nn.Module; this includes losses.
        fuse: also fuse two neighbours in a torch.nn.Sequential, batch norm with ReLU and Linear with GELU: the first
            one then returns the result of both, and the second one becomes a torch.nn.Identity. Modules that have
            hooks, a forward set on the object, or occur twice in the model are not fused. Only the Sequential may call
            the fused modules.

    Returns:
        The replacements, in the order of `model.named_modules()`.

    Raises:
        TypeError: `model` is not a module.
    """
    if not isinstance(model, theirs.Module):
        raise TypeError(f"model: got {type(model).__name__}, want a torch.nn.Module")
    kinds = {module: type(module) for module in model.modules()}
    if fuse:
        _fuse(model)
    for module in kinds:
        if type(module) in _SWAPS and not getattr(module, "inplace", False) and not _is_patched(module):
            module.__class__ = _SWAPS[type(module)]
    names = model.named_modules()
    return [Replacement(name, kinds[m], type(m)) for name, m in names if type(m) is not kinds[m]]


def _fuse(model: theirs.Module) -> None:
    places = Counter(id(m) for _, m in model.named_modules(remove_duplicate=False))
    for parent in model.modules():
        if type(parent) is not theirs.Sequential or _is_patched(parent):
            continue
        for first, second in itertools.pairwise(parent):
            both = (type(first), type(second))
            if both in _FUSED and all(places[id(m)] == 1 and _is_bare(m) for m in (first, second)):
                first.__class__ = _FUSED[both]
                if isinstance(second, theirs.GELU):
                    first.approximate = second.approximate
                second.__class__ = theirs.Identity


def _is_bare(module: theirs.Module) -> bool:
    hooks = (given for name, given in vars(module).items() if name.endswith("_hooks") and "state_dict" not in name)
    return not (_is_patched(module) or any(hooks))


def _is_patched(module: theirs.Module) -> bool:
    return "forward" in vars(module)
