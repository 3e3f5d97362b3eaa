"""The C API as ctypes sees it: the capsule's tables, with the signatures that the header's list of functions has."""

import ctypes
import re
from pathlib import Path
from typing import Any

import numpy as np
from support import Array

import fastnn
from fastnn import _core

LIST = Path(fastnn.get_include(), "fastnn_functions.inc")
ACTIVATIONS = ["identity", "relu", "leaky_relu", "elu", "gelu", "gelu_tanh", "silu", "sigmoid", "tanh", "softplus"]


class Random(ctypes.Structure):
    """Where a draw begins."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("seed", "stream", "block")]


NUMBERS = "lr weight_decay momentum dampening beta1 beta2 eps momentum_decay lr_decay rho alpha gradient_scale"
FLAGS = "maximize nesterov amsgrad decoupled_weight_decay centered zero_grad"


class Options(ctypes.Structure):
    """Of optimizers."""

    _fields_ = [
        *((name, ctypes.c_double) for name in NUMBERS.split()),
        *((name, ctypes.c_int) for name in FLAGS.split()),
    ]


def signatures() -> dict[str, list[str]]:
    """The parameters' types of every function, in the list's order."""
    text = re.sub(r"\\\n", " ", re.sub(r"/\*.*?\*/", "", LIST.read_text(), flags=re.S))
    shared = dict(re.findall(r"#define (\w+) +\((.*)\)", text))
    rows = re.findall(r"^FASTNN_FUNCTION\((\w+),\s*(\w+|\(.*?\))\)$", text, flags=re.M | re.S)
    return {name: [p.strip() for p in shared.get(given, given.strip("()")).split(",")] for name, given in rows}


_SCALARS = {
    "int64_t": ctypes.c_int64, "double": ctypes.c_double, "int": ctypes.c_int, "fastnn_activation": ctypes.c_int,
    "fastnn_random": Random,
}  # fmt: skip


def _ctype(parameter: str) -> Any:
    return ctypes.c_void_p if "*" in parameter else _SCALARS[parameter.split()[0]]


def _pointers() -> list[int]:
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    address = get(_core.api, b"fastnn._core.api")
    version = ctypes.cast(address, ctypes.POINTER(ctypes.c_uint32))[:2]
    assert version == [1, 0]
    return list(ctypes.cast(address + 8, ctypes.POINTER(ctypes.c_void_p))[:5])


class Functions:
    """The functions for one dtype. Arrays go in as their pointers, lists of arrays as arrays of these, None as NULL."""

    def __init__(self, dtype: Any) -> None:
        known = signatures()
        table = ctypes.cast(_pointers()[0 if dtype == np.float32 else 1], ctypes.POINTER(ctypes.c_void_p))
        for address, (name, parameters) in zip(table[: len(known)], known.items(), strict=True):
            setattr(self, name, _checked(ctypes.CFUNCTYPE(ctypes.c_int, *map(_ctype, parameters))(address)))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the C API has no {name}")


def integer_functions() -> list[Any]:
    """integers, permutation and philox."""
    kinds = ([ctypes.c_int64, ctypes.c_uint64], [], [])
    return [
        _checked(ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int64, *more, Random)(address))
        for address, more in zip(_pointers()[2:], kinds, strict=True)
    ]


def _checked(function: Any) -> Any:
    def call(*args: Any) -> None:
        assert function(*map(_argument, args)) == 0

    return call


def _argument(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        assert value.flags.c_contiguous
        return value.ctypes.data
    if isinstance(value, list):
        return ctypes.cast((ctypes.c_void_p * len(value))(*map(_argument, value)), ctypes.c_void_p)
    return ctypes.addressof(value) if isinstance(value, Options) else value


def like(*arrays: Array) -> list[Array]:
    """Arrays of these shapes and dtypes, for results."""
    return [np.full_like(a, 7) for a in arrays]
