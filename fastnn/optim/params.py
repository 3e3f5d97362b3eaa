"""Reads and checks the parameters and gradients passed to an optimizer."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from fastnn._parameter import Parameter


def as_groups(params: Iterable[Any]) -> list[Mapping[str, Any]]:
    """Return an optimizer's `params` argument as a list of groups."""
    if (
        not isinstance(params, Iterable)
        or isinstance(params, str | bytes | np.ndarray)
        or hasattr(params, "__dlpack__")
    ):
        raise TypeError(f"params: got {type(params).__name__}, want a list of parameters or of groups; [parameter]")
    entries = [params] if isinstance(params, dict) else list(params)
    if not entries:
        raise ValueError("params: got an empty list, want at least one parameter")
    if not isinstance(entries[0], dict):
        return [{"params": entries}]
    for entry in entries:
        if not isinstance(entry, dict) or "params" not in entry:
            raise ValueError(f"params: got {entry!r} among groups, want dicts with a list under 'params'")
    return entries


def as_named(group: Mapping[str, Any], offset: int) -> tuple[list[str], list[Any], bool]:
    """Return a group's names, parameters and whether names were given; if not, they are numbered from `offset`."""
    params = group["params"]
    single = isinstance(params, np.ndarray | Parameter) or is_torch(params)
    if not single and not isinstance(params, Iterable):
        raise TypeError(f"params: got {type(params).__name__}, want a list of parameters; [parameter]")
    entries = [params] if single else list(params)
    if group.get("param_names") is not None:
        given = list(group["param_names"])
        if len(given) != len(entries):
            raise ValueError(f"param_names: got {len(given)} names for {len(entries)} parameters, want one for each")
        entries = list(zip(given, entries, strict=True))
    names, tensors, named = [], [], []
    for i, entry in enumerate(entries):
        pair = isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], str)
        name, tensor = entry if pair else (f"params[{offset + i}]", entry)
        if not isinstance(tensor, np.ndarray | Parameter) and not is_torch(tensor):
            raise TypeError(
                f"{name}: got {type(tensor).__name__}, want a fastnn.nn.Parameter, a numpy.ndarray of float32 or "
                "float64 or a torch tensor; convert it with np.asarray"
            )
        names.append(name)
        tensors.append(tensor)
        named.append(pair)
    if any(named) and not all(named):
        raise ValueError("params: got some parameters with names and some without, want all or none of a group named")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"params: got the names {twice} twice, want a different name for each parameter of a group")
    return names, tensors, any(named)


def is_torch(value: Any) -> bool:
    """Return whether a value behaves like a torch tensor."""
    return hasattr(value, "__dlpack__") and hasattr(value, "detach")


def tensor_of(param: Any) -> Any:
    """Return the array or tensor that the kernels update."""
    return param.data if isinstance(param, Parameter) else param


def checked_grad(param: Any) -> Any:
    """Return a parameter's own gradient; raise TypeError for an array, which has none."""
    if isinstance(param, np.ndarray):
        raise TypeError("grads: got none, want one per parameter, since NumPy arrays have no gradient; step(grads)")
    return param.grad


def check_norm(norm: float) -> None:
    """Raise FloatingPointError if the norm of the gradients is NaN or infinite."""
    if not math.isfinite(norm):
        raise FloatingPointError(f"grads: got a norm of {norm}, want a finite one; look for NaN in the model")


def zero(grad: Any) -> None:
    """Write zeros into a gradient, if there is one."""
    if isinstance(grad, np.ndarray):
        grad[...] = 0
    elif grad is not None:
        grad.detach().zero_()
