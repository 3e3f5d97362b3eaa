"""Reads and checks the parameters and gradients passed to an optimizer."""

import math
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from fastnn._checks import ordered, own_conversion
from fastnn._parameter import Parameter


def as_groups(params: Iterable[Any]) -> list[Mapping[str, Any]]:
    """Return an optimizer's `params` argument as a list of groups."""
    ordered("params", params)
    if callable(getattr(params, "parameters", None)):
        raise TypeError(f"params: got the model, {type(params).__name__}, want its parameters; pass model.parameters()")
    if callable(params):
        raise TypeError("params: got a function, want what it returns; call it, as in model.parameters()")
    if (
        not isinstance(params, Iterable)
        or isinstance(params, str | bytes | np.ndarray)
        or hasattr(params, "__dlpack__")
    ):
        raise TypeError(f"params: got {type(params).__name__}, want a list of parameters or of groups; [parameter]")
    entries = [params] if isinstance(params, dict) else list(params)
    if not entries:
        raise ValueError("params: got an empty list, want at least one parameter; a generator can be read only once, "
                         "and an array in a layer is trained only as a fastnn.nn.Parameter")  # fmt: skip
    if not isinstance(entries[0], dict):
        return [{"params": entries}]
    for entry in entries:
        if not isinstance(entry, dict) or "params" not in entry:
            got = f"a dict of {list(entry)[:4]}" if isinstance(entry, dict) else f"{entry!r:.80}"
            raise ValueError(f"params: got {got} among groups, want dicts with a list under 'params'; of a whole model "
                             "pass model.parameters()")  # fmt: skip
    return entries


def as_named(group: Mapping[str, Any], offset: int) -> tuple[list[str], list[Any], bool]:
    """Return a group's names, parameters and whether names were given; if not, they are numbered from `offset`."""
    params = group["params"]
    ordered("params", params)
    single = isinstance(params, np.ndarray | Parameter) or is_torch(params)
    if not single and not isinstance(params, Iterable):
        raise TypeError(f"params: got {type(params).__name__}, want a list of parameters; [parameter]")
    entries = [params] if single else list(params)
    if not entries:
        warn_of_generator("params", params, "the group has no parameters")
    if group.get("param_names") is not None:
        ordered("param_names", group["param_names"])
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
                f"float64 or a torch tensor; {own_conversion(tensor) or 'convert it with np.asarray'}"
            )
        check_leaf(name, tensor)
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


def warn_of_generator(name: str, params: Any, effect: str) -> None:
    """Warn of an iterator, already read, without parameters: it has probably been read before."""
    if isinstance(params, Iterator):
        warnings.warn(f"`{name}` is an empty generator, {effect}; a generator can be read only once, pass a list",
                      stacklevel=4)  # fmt: skip


def check_leaf(name: str, param: Any) -> None:
    """Raise for a torch tensor that backward gives no gradient, or that has no values yet."""
    if isinstance(param, np.ndarray | Parameter):
        return
    if hasattr(param, "materialize"):
        raise ValueError(f"{name}: got an uninitialized parameter, want one with values; run the model on a batch "
                         "first, from which lazy layers take their sizes")  # fmt: skip
    if getattr(param, "is_meta", False):
        raise TypeError(f"{name}: got a tensor on the device 'meta', want one with values; make the model on the CPU, "
                        "or call its .to_empty(device='cpu') and load or initialise its values")  # fmt: skip
    if "complex" in str(getattr(param, "dtype", "")):
        raise TypeError(f"{name}: got a complex tensor, want float32, float64 or bfloat16; keep its real and imaginary "
                        "parts as two parameters")  # fmt: skip
    if not getattr(param, "is_leaf", True) and not getattr(param, "retains_grad", False):
        raise ValueError(f"{name}: got a non-leaf tensor, the result of an operation, to which backward gives no "
                         "gradient, want a leaf; pass the parameters it was computed from, or a new one, "
                         ".detach().clone().requires_grad_()")  # fmt: skip


def tensor_of(param: Any) -> Any:
    """Return the array or tensor that the kernels update."""
    return param.data if isinstance(param, Parameter) else param


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
