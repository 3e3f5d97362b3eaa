"""Every optimizer with every option that its formula has: the tables that the optimizer tests share."""

import sys
from typing import Any

import numpy as np
import reference_optim
from support import Array

from fastnn import nn, optim

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "dampening": 0.5}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("SGD", {"weight_decay": 0.1, "maximize": True}),
    ("SGD", {"momentum": 0.8, "dampening": 0.1, "weight_decay": 0.1, "maximize": True}),
    ("SGD", {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"betas": (0.5, 0.9), "eps": 1e-3}),
    ("Adam", {"betas": (0.0, 0.99), "weight_decay": 0.1, "maximize": True}),
    ("Adam", {"decoupled_weight_decay": True, "weight_decay": 0.1}),
    ("Adam", {"betas": (0.9, 0.8), "amsgrad": True, "weight_decay": 0.1}),
    ("AdamW", {}),
    ("AdamW", {"weight_decay": 0}),
    ("AdamW", {"betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.3, "maximize": True}),
    ("AdamW", {"betas": (0.9, 0.5), "amsgrad": True, "maximize": True}),
    ("Adamax", {}),
    ("Adamax", {"betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    ("NAdam", {}),
    ("NAdam", {"betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1, "momentum_decay": 0.5, "maximize": True}),
    ("NAdam", {"betas": (0.9, 0.99), "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {}),
    ("RAdam", {"betas": (0.8, 0.5), "weight_decay": 0.1, "maximize": True}),  # never rectified
    ("RAdam", {"betas": (0.9, 0.99), "eps": 1e-3, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("Adagrad", {}),
    (
        "Adagrad",
        {"lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5, "eps": 1e-3, "maximize": True},
    ),
    ("Adadelta", {}),
    ("Adadelta", {"rho": 0.5, "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.9}),
    ("RMSprop", {"alpha": 0.9, "centered": True}),
    ("RMSprop", {"alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1, "momentum": 0.5, "centered": True, "maximize": True}),
    ("Lion", {}),
    ("Lion", {"betas": (0.5, 0.8), "weight_decay": 0.1, "maximize": True}),
]
IDS = [f"{name}-{'-'.join(options)}" for name, options in VARIANTS]
NAMES = list(dict.fromkeys(name for name, _ in VARIANTS))
TORCH = [name for name in NAMES if name != "Lion"]
TORCH_VARIANTS = [row for row in VARIANTS if row[0] != "Lion"]
TORCH_IDS = [i for i, row in zip(IDS, VARIANTS, strict=True) if row[0] != "Lion"]

# All state that a parameter may have, in the order of the references' arguments; True if it may be negative.
STATE = {
    "SGD": {"momentum_buffer": True},
    "Adam": {"exp_avg": True, "exp_avg_sq": False, "max_exp_avg_sq": False},
    "AdamW": {"exp_avg": True, "exp_avg_sq": False, "max_exp_avg_sq": False},
    "Adamax": {"exp_avg": True, "exp_inf": False},
    "NAdam": {"exp_avg": True, "exp_avg_sq": False},
    "RAdam": {"exp_avg": True, "exp_avg_sq": False},
    "Adagrad": {"sum": False},
    "Adadelta": {"square_avg": False, "acc_delta": False},
    "RMSprop": {"square_avg": False, "momentum_buffer": True, "grad_avg": True},
    "Lion": {"exp_avg": True},
}
_ASKED = {"momentum_buffer": "momentum", "grad_avg": "centered", "max_exp_avg_sq": "amsgrad"}


def kept(name: str, options: dict[str, Any]) -> list[str]:
    """Return the kinds of state that these options need."""
    return [kind for kind in STATE[name] if kind not in _ASKED or options.get(_ASKED[kind])]


def full_state(name: str) -> dict[str, Any]:
    """Return options with which `name` keeps some state."""
    return {"momentum": 0.9} if name == "SGD" else {}


def make(name: str, params: Any, **options: Any) -> Any:
    """Return the optimizer, with a learning rate of 0.01 by default."""
    return getattr(optim, name)(params, **{"lr": 0.01, **options})


def fresh(name: str, shape: Any, **options: Any) -> list[Any]:
    """Return a reference's state before the first step; `reference_step` changes it in place."""
    if name == "SGD":
        return [None]
    begin = options.get("initial_accumulator_value", 0.0)
    return [np.full(shape, begin) for _ in STATE[name]] + [1.0] * (name == "NAdam")


def reference_step(name: str, param: Array, grad: Array, state: list[Any], step: int, **options: Any) -> Array:
    """Return the new param; `step` counts from 1."""
    rule = getattr(reference_optim, name.lower())
    param, *state[:] = rule(param, grad, *state, step=step, **{"lr": 0.01, **options})
    return param


def sure(name: str, grad: Array, state: list[Any], options: dict[str, Any]) -> Any:
    """Return where rounding cannot change the sign that Lion steps by."""
    if name != "Lion":
        return np.True_
    beta = options.get("betas", (0.9,))[0]
    sign = -1 if options.get("maximize") else 1
    return np.abs(beta * state[0] + (1 - beta) * sign * grad.astype(np.float64)) > 1e-5


def everything(optimizer: Any, params: Any) -> list[Any]:
    """Return bytes of parameters and state, step counts, options, and the generator of the random rounding."""
    states = [value for p in params for value in optimizer.state_of(p).values()]
    found = [as_bytes(v) for v in (*(p.data if isinstance(p, nn.Parameter) else p for p in params), *states)]
    for group in optimizer.param_groups:
        found.append([id(p) for p in group["params"]])
        found.append({k: repr(v) for k, v in group.items() if k != "params"})
    coded = optimizer.state_dtype is not None
    return [*found, optimizer.state_dict()["generator"] if coded else None, optimizer.skipped_steps]


def as_bytes(value: Any) -> Any:
    """Return the bytes of an array or tensor, and any other value unchanged."""
    if hasattr(value, "detach"):
        value = value.detach().contiguous().flatten().view(sys.modules["torch"].uint8).numpy()
    return value.tobytes() if isinstance(value, np.ndarray) else value
