"""Replaces torch's modules by fused ones."""

import itertools
from typing import NamedTuple

from torch import nn as theirs

from fastnn.torch import nn as ours
from fastnn.torch.pairs import is_pair


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


def replace(model: theirs.Module, fuse: bool = False, products: bool = False) -> list[Replacement]:
    """Replace the modules of `model`, and `model` itself, that have a fused version in `fastnn.torch.nn`.

    They stay the same objects, with their parameters, buffers, hooks and names; only their class changes, to a subclass
    of the former one. So state dicts can be loaded both ways, and optimizers keep their parameters. Modules of other
    classes, including subclasses of torch's, are not changed; nor are modules that work in place, and modules whose
    forward was set on the object, as adapters do.

    Args:
        model: a torch.nn.Module; this includes losses.
        fuse: also replace each torch.nn.Sequential in which a batch norm is followed by a ReLU, or a Linear by a GELU,
            by `fastnn.torch.nn.Sequential`, which runs the two in one pass. They stay the modules they are; while one
            of them has hooks or a forward set on the object, or is no longer of its class, they run one by one.
        products: also replace torch.nn.Linear, for whose products torch's BLAS is used otherwise: then they have the
            same bits on every machine and for any number of threads, and a row does not depend on its batch. Modules
            that hand the weights of their layers to an operation of torch run that: MultiheadAttention, and
            TransformerEncoderLayer in evaluation without gradients. Tools that look for torch.nn.Linear itself, such as
            quantize_dynamic, find none.

    Returns:
        The replacements, in the order of `model.named_modules()`.

    Raises:
        TypeError: `model` is not a module.
    """
    if not isinstance(model, theirs.Module):
        raise TypeError(f"model: got {type(model).__name__}, want a torch.nn.Module")
    kinds = {module: type(module) for module in model.modules()}
    swaps = _SWAPS | {theirs.Linear: ours.Linear} if products else _SWAPS
    for module in kinds:
        if type(module) in swaps and not getattr(module, "inplace", False) and not _is_patched(module):
            module.__class__ = swaps[type(module)]
    for module in kinds if fuse else ():
        plain = type(module) is theirs.Sequential and not _is_patched(module)
        if plain and any(itertools.starmap(is_pair, itertools.pairwise(module))):
            module.__class__ = ours.Sequential
    names = model.named_modules()
    return [Replacement(name, kinds[m], type(m)) for name, m in names if type(m) is not kinds[m]]


def _is_patched(module: theirs.Module) -> bool:
    return "forward" in vars(module)
