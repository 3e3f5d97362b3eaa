"""Clipping of gradients, in place, with PyTorch's names and arguments."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from fastnn import _core
from fastnn._checks import not_array, not_negative, ordered, own_conversion
from fastnn.optim.params import check_norm, warn_of_generator
from fastnn.optim.state_dict import as_array


def clip_grad_norm_(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> float:
    """Scale all gradients so that their total norm is at most `max_norm`.

    The factor is max_norm / (norm + 1e-6), as in PyTorch. If the norm is NaN or infinite, no gradient is changed:
    scaling would spread the NaN to all of them.

    Args:
        parameters: one or several `fastnn.nn.Parameter` or torch tensors, whose `grad` is scaled unless it is None; or
            NumPy arrays, which are the gradients themselves. A gradient that is listed twice counts once.
        max_norm: >= 0; infinity only computes the norm.
        norm_type: p of the p-norm, > 0; math.inf for the largest magnitude. 2 takes one pass for the norm and at most
            one for scaling; other values are computed by NumPy.
        error_if_nonfinite: raise if the norm is NaN or infinite.
        foreach: accepted for compatibility with PyTorch, without effect.

    Returns:
        The norm before clipping; 0 if there are no gradients.

    Raises:
        ValueError: an argument is out of range.
        FloatingPointError: the norm is not finite, with `error_if_nonfinite`.

    Source: R. Pascanu, T. Mikolov, Y. Bengio, "On the difficulty of training recurrent neural networks", ICML 2013,
    algorithm 1.
    """
    limit = _at_least_zero("max_norm", max_norm)
    p = _at_least_zero("norm_type", norm_type)
    if p == 0:
        raise ValueError(f"norm_type: got {norm_type!r}, want a number > 0 or infinity")
    grads, names = _gradients(listed(parameters))
    if p == 2:
        norm = _core.clip_norm(grads, names, limit)
    else:
        norm = _norm(grads, names, p)
        factor = _core.clip_factor(norm, limit)
        if math.isfinite(norm) and factor != 1:
            _core.scale(grads, names, factor)
    if error_if_nonfinite:
        check_norm(norm)
    return norm


def clip_grad_value_(parameters: Any, clip_value: float, foreach: bool | None = None) -> None:
    """Clamp every gradient element to [-clip_value, clip_value]; NaN stays NaN.

    Args:
        parameters: as in `clip_grad_norm_`.
        clip_value: >= 0.
        foreach: accepted for compatibility with PyTorch, without effect.
    """
    limit = _at_least_zero("clip_value", clip_value)
    _core.clamp(*_gradients(listed(parameters)), -limit, limit)


def _at_least_zero(name: str, value: Any) -> float:
    return math.inf if value == math.inf else not_negative(name, value)


def listed(parameters: Any) -> list[Any]:
    """Return one or several parameters as a list; raise TypeError for a set, and warn of an exhausted generator."""
    ordered("parameters", parameters)
    if hasattr(parameters, "__dlpack__") or own_conversion(parameters) or not isinstance(parameters, Iterable):
        return [parameters]
    result = list(parameters)
    if not result:
        warn_of_generator("parameters", parameters, "no gradient clipping will occur")
    return result


def _gradients(parameters: list[Any]) -> tuple[list[Any], list[str]]:
    found: dict[int, tuple[Any, str]] = {}
    for i, p in enumerate(parameters):
        if not isinstance(p, np.ndarray) and not hasattr(p, "grad"):
            raise not_array(f"parameters[{i}]", p, "", "or a parameter with a grad")
        grad = p if isinstance(p, np.ndarray) else p.grad
        if grad is not None:
            found.setdefault(id(grad), (grad, f"parameters[{i}]{'' if grad is p else '.grad'}"))
    return [grad for grad, _ in found.values()], [name for _, name in found.values()]


def _norm(grads: list[Any], names: list[str], p: float) -> float:
    parts = [_values(grads[i], names[i]) for i in _core.distinct(grads, names)]
    largest = float(np.max([part.max() for part in parts if part.size], initial=0.0))
    if largest == 0 or math.isinf(p) or not math.isfinite(largest):
        return largest
    total = sum(float(np.sum((part / largest) ** p)) for part in parts)  # of ratios <= 1, whose powers do not overflow
    try:
        return float(largest * total ** (1 / p))
    except OverflowError:
        return math.inf


def _values(grad: Any, name: str) -> Any:
    shape, element = _core.describe(grad, name)
    values = as_array(name, grad, shape, np.dtype("float64" if element == "float64" else "float32"))
    return np.abs(values.astype(np.float64))
