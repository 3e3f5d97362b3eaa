"""Inputs, targets and weights as arrays of numbers; whatever is none is refused with the way to make one of it."""

from array import array
from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn._checks import not_array, unmasked
from fastnn._trees import Tree, map_leaves, named_leaves


def as_inputs(name: str, tree: Tree) -> Tree:
    """Return a tree of inputs as arrays; raise TypeError for a leaf that is no array of numbers, as do the others."""
    return _as_arrays(name, tree, "fiu", "convert it with .astype(np.float32)")


def as_targets(name: str, tree: Tree) -> Tree:
    """Return a tree of targets or labels as arrays."""
    return _as_arrays(
        name,
        tree,
        "fiub",
        "number classes with np.unique(y, return_inverse=True)[1], convert numbers with .astype(np.float32)",
    )


def checked_weights(name: str, weights: Any, n: int) -> npt.NDArray[np.float64]:
    """Return weights of samples as (n,) float64; raise ValueError unless they are finite and not negative."""
    result = np.array(as_array(name, np.asarray(weights) if isinstance(weights, list | tuple) else weights), np.float64)
    if result.shape != (n,):
        raise ValueError(f"{name}: got shape {result.shape}, want ({n},), one for each sample")
    if not np.isfinite(result).all() or (n and result.min() < 0):
        raise ValueError(f"{name}: got NaN, infinity or a negative number, want finite numbers >= 0")
    return result


def as_array(name: str, value: Any) -> npt.NDArray[Any]:
    """Return an array, or a torch tensor's array without a copy; raise TypeError with a remedy for anything else."""
    unmasked(name, value)
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "detach") and hasattr(value, "numpy"):
        try:
            return np.asarray(value.detach().numpy())
        except (TypeError, RuntimeError):
            raise TypeError(f"{name}: got a tensor of {value.dtype}, {value.layout}, on {value.device}, want one that "
                            f"NumPy can read; {_remedy_of_tensor(value)}") from None  # fmt: skip
    raise not_array(name, value, "", _remedy(value))


def _remedy_of_tensor(value: Any) -> str:
    if value.device.type == "meta":
        return "make it with values"
    dense = ".to_dense()" if "strided" not in str(value.layout) else ""
    return f"pass its {dense}{'' if value.device.type == 'cpu' else '.cpu()'}{'.float()' if not dense else ''}"


def _remedy(value: Any) -> str:
    """Return how to make an array of a value; np.array would make one object of a data set."""
    if value is None:
        return "pass the array"
    if isinstance(value, str | bytes | PathLike):
        return "read the file first, such as with np.load or np.loadtxt"
    if isinstance(value, Sequence | memoryview | array) or hasattr(value, "__array__"):
        return "convert it with np.array"
    if hasattr(value, "__iter__") and not hasattr(value, "__getitem__"):
        return "pass the arrays of its batches, np.concatenate([batch[0] for batch in it])"
    if hasattr(value, "__getitem__"):
        return "pass the arrays of its samples, np.stack([sample[0] for sample in it])"
    return "convert it with np.array"


def _as_arrays(name: str, tree: Tree, kinds: str, remedy: str) -> Tree:
    checked = {}
    for place, leaf in named_leaves(name, tree):
        array = as_array(place, leaf)
        if array.dtype.kind not in kinds:
            own = "pass np.concatenate([x.real, x.imag], axis=-1)" if array.dtype.kind == "c" else remedy
            raise TypeError(f"{place}: got {array.dtype}, want numbers; {own}")
        if array.ndim == 0 or (place == name and not len(array)):
            raise ValueError(f"{place}: got shape {array.shape}, want at least one sample; axis 0 counts samples")
        checked[id(leaf)] = array
    if not checked:
        raise ValueError(f"{name}: got no array, want at least one")
    return map_leaves(lambda leaf: checked[id(leaf)], tree)
