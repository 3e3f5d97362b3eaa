"""Tensors of a library that is not installed: CPU memory passed through DLPack, also in bfloat16, which NumPy lacks."""

import ctypes
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support import Array

CPU, CUDA = 1, 2
INT, FLOAT, BFLOAT = 0, 2, 4
_CAPSULE, _TABLE = b"dltensor", b"dlpack_exchange_api"
_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype, _new_capsule.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)


class DLTensor(ctypes.Structure):
    """The struct of DLPack 1."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class Tensor:
    """An object that an optimizer takes for a tensor of torch.

    Args:
        memory: its elements; uint16 for bfloat16.
        changes: values that replace fields of the struct.
    Attributes:
        grad: another tensor, or None.
    """

    def __init__(self, memory: Array, **changes: Any) -> None:
        self.memory, self.changes, self.grad = memory, changes, None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the memory."""
        return self.memory.shape

    @property
    def dtype(self) -> str:
        """The dtype as torch prints it."""
        return "torch.bfloat16" if self.memory.dtype == np.uint16 else f"torch.{self.memory.dtype}"

    def numpy(self) -> Array:
        """Return the memory; NumPy has no bfloat16."""
        if self.memory.dtype == np.uint16:
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.memory

    def float(self) -> "Tensor":
        """Return the values as float32."""
        return Tensor(widened(self.memory) if self.memory.dtype == np.uint16 else self.memory.astype(np.float32))

    def detach(self) -> "Tensor":
        """Return the tensor itself, which is also on the CPU."""
        return self

    cpu = detach

    def zero_(self) -> None:
        """Write zeros."""
        self.memory[...] = 0

    def struct(self) -> DLTensor:
        """Return the struct that describes the memory's current address."""
        a = self.memory
        kind = (BFLOAT if a.dtype == np.uint16 else INT if a.dtype.kind in "iu" else FLOAT, 8 * a.itemsize)
        axes = ctypes.c_int64 * a.ndim
        strides = axes(*(stride // a.itemsize for stride in a.strides))
        made = DLTensor(a.ctypes.data, CPU, 0, a.ndim, *kind, 1, axes(*a.shape), strides, 0)
        for name, value in self.changes.items():
            setattr(made, name, value)
        self._kept = made  # the capsule points to this struct
        return made

    def __dlpack__(self, **_: Any) -> Any:
        return _new_capsule(ctypes.addressof(self.struct()), _CAPSULE, None)


@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.POINTER(DLTensor))
def _view(tensor: Any, out: Any) -> int:
    out[0] = tensor.struct()
    return -1 if tensor.fails else 0


class _Table(ctypes.Structure):
    """The C functions of DLPack 1.3 for a type; only the last one is called here."""

    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("unused", ctypes.c_void_p * 4),
        ("view", ctypes.c_void_p),
    )


_functions = _Table(1, 3, (ctypes.c_void_p * 4)(), ctypes.cast(_view, ctypes.c_void_p))


class QuickTensor(Tensor):
    """A tensor whose type has a table of C functions, as torch's has, so that no Python object is made for each query.

    Attributes:
        fails: whether the function reports an error, so that the slower way is used.
    """

    __dlpack_c_exchange_api__ = _new_capsule(ctypes.addressof(_functions), _TABLE, None)
    fails = False


KINDS = {"capsule": Tensor, "table": QuickTensor}


def rounded(values: Array) -> Array:
    """Round float32 to the bits of bfloat16: to nearest, ties to even, by exact arithmetic."""
    values = np.asarray(values, np.float32)
    upper = values.view(np.uint32) >> np.uint32(16)
    with np.errstate(invalid="ignore", over="ignore"):
        below = widened(upper.astype(np.uint16)).astype(np.float64)
        above = np.where(upper == 0x7F7F, 2.0**128, np.where(upper == 0xFF7F, -(2.0**128), np.nan))
        above = np.where(np.isnan(above), widened((upper + 1).astype(np.uint16)), above)
        middle = (below + above) / 2
        up = np.abs(values) > np.abs(middle)
        up |= (values == middle) & (upper % 2 == 1)
    up &= np.isfinite(values)
    return np.where(np.isnan(values), 0x7FC0, upper + up).astype(np.uint16)


def widened(bits: Array) -> Array:
    """Return bfloat16's bits as float32."""
    values: Array = (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return values


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Record the tensors that autograd is told were written; torch need not be installed."""
    told: list[Any] = []
    graph = SimpleNamespace(increment_version=lambda tensors: told.append([*tensors]))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(autograd=SimpleNamespace(graph=graph)))
    return told
