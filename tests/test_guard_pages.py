"""No kernel accesses memory outside its arrays, not even to read it and discard the value.

Every array argument lies flush against a page without access: first its last byte is just before such a page, then its
first byte is just after one. A stray access kills the process, so the calls run in a child that prints what it is about
to call. The results equal those of ordinary arrays, bit for bit, on every ISA.

Kernels on arrays of one axis get every size from 0 to 257. Arrays with more axes, clips and steps get a sample, because
all 258 sizes would take minutes: all up to four vectors of 16 and two more, and those around higher multiples of these.
"""

import ctypes
import importlib
import inspect
import itertools
import math
import mmap
import os
import resource
import signal
import subprocess
import sys
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from calls import Call
from in_place import clips, fills, in_dtype, leaves, more_steps, steps
from kernels import CALLS, FAMILIES
from support import DTYPES, Array, same_bits
from table import Arrays, Kernel

import fastnn
from fastnn import functional as F

PAGE = mmap.PAGESIZE
SIZES = (*range(67), 95, 127, 128, 129, 191, 255, 256, 257)
FEW = (1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 129, 257)
PAIRS = (*range(0, 67, 2), 127, 191, 255)  # size of the first of two parameters; the second is one longer
LARGEST = 140_000  # elements: some calls are cut into blocks for several threads
SECONDS = 120


class Fence:
    """Memory between two pages without access, with room for `LARGEST` elements."""

    def __init__(self) -> None:
        pages = -(-LARGEST * 8 // PAGE)
        self._memory = mmap.mmap(-1, (pages + 2) * PAGE)
        self._end = (pages + 1) * PAGE
        begin = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        for page in (begin, begin + self._end):
            if protect(page, PAGE, 0):
                raise OSError(ctypes.get_errno(), "mprotect")

    def place(self, values: Array, at_end: bool) -> Array:
        """Return a copy of `values` that ends where the memory ends, or begins where it begins."""
        offset = self._end - values.nbytes if at_end else PAGE
        array: Array = np.ndarray(values.shape, values.dtype, self._memory, offset)
        array[...] = values
        return array


class Case(NamedTuple):
    """A call: its name, all its array arguments, and a function from these to its results."""

    name: str
    arrays: Arrays
    run: Callable[[Arrays], list[Array]]


def _run_kernel(kernel: Kernel, arrays: Arrays) -> list[Array]:
    inputs = {k: a for k, a in arrays.items() if k != "out"}
    return [np.copy(value) for value in kernel.run(inputs, arrays["out"]).values()]


def _of_kernels(table: dict[str, Kernel]) -> Iterator[Case]:
    """Yield the rows of a table of kernels for all small or odd shapes."""
    for name, kernel in table.items():
        for shape in kernel.shapes:
            sampled = len(shape) > 1 and math.prod(shape) < 4000 and not {*shape} <= {*SIZES}
            if sampled or math.prod(shape) > LARGEST:
                continue
            for dtype in DTYPES:
                rng = np.random.default_rng((zlib.crc32(name.encode()), *shape))
                arrays = {k: np.asarray(a) for k, a in kernel.inputs(shape, dtype, rng).items()}
                arrays["out"] = np.zeros(kernel.result(shape), dtype)
                yield Case(f"{name} {shape} {dtype.__name__}", arrays, partial(_run_kernel, kernel))


def _run_call(call: Call, arrays: Arrays) -> list[Array]:
    return leaves(call(**arrays)) + [np.copy(arrays[name]) for name in call.written]


def _of_calls(make: Callable[[tuple[int, ...]], dict[str, Call]], sizes: tuple[int, ...]) -> Iterator[Case]:
    """Yield functions that write in place; those with state in fewer bits accept only float32."""
    for n in sizes:
        for name, call in make((n,)).items():
            for dtype in DTYPES[:1] if name.endswith(("-bfloat16", "-int8", "integers_")) else DTYPES:
                arrays = in_dtype(call.arrays(), dtype)
                yield Case(f"{name} {n} {dtype.__name__}", arrays, partial(_run_call, call))


def _of_functions() -> Iterator[Case]:
    """Yield the public functions with all arguments, and with only the required ones, on small arrays."""
    for name, call in CALLS.items():
        shapes = {k: shape for k, shape in call.shapes.items() if k not in call.optional}
        nothing = {k: None for k in ("weight", "bias") if k in call.optional and "dy" in call.shapes}
        seed = {"generator": 1} if "generator" in inspect.signature(call.run).parameters else {}
        written = tuple(k for k in call.written if k in shapes)
        bare = replace(call, shapes=shapes, written=written, options=call.options | seed | nothing)
        for either in (replace(call, options=call.options | seed), bare):
            for dtype in DTYPES:
                arrays = in_dtype(either.arrays(), dtype)
                yield Case(f"{name} of {', '.join(arrays)} {dtype.__name__}", arrays, partial(_run_call, either))


def _run_products(arrays: Arrays) -> list[Array]:
    a, a_turned, b, b_turned, bias = (arrays[name] for name in ("a", "a_turned", "b", "b_turned", "bias"))
    products = [F.matmul(x, y) for x in (a, a_turned.T) for y in (b, b_turned.T)]
    return [*products, F.linear(a, b_turned, bias, "gelu"), F.linear_backward(products[0], a, b_turned, bias)[1]]


def _of_products() -> Iterator[Case]:
    """Yield products around every tile, from operands as they are and transposed, which are packed by other code."""
    for m, n, k in itertools.product((1, 2, 5, 15, 70), (1, 7, 16, 33, 300), (0, 1, 9, 17, 400)):
        for dtype in DTYPES if m * n * k < 10**5 else ():
            shapes = {"a": (m, k), "a_turned": (k, m), "b": (k, n), "b_turned": (n, k), "bias": (n,)}
            rng = np.random.default_rng(0)
            arrays = {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}
            yield Case(f"products {m} {n} {k} {dtype.__name__}", arrays, _run_products)


def _run_tensors(call: Call, arrays: Arrays) -> list[Array]:
    torch = sys.modules["torch"]
    tensors = {name: torch.from_numpy(bits).view(torch.bfloat16) for name, bits in arrays.items()}
    if "parameters[0]" in tensors:  # clipping reads the gradient of every argument that is not an array
        tensors = {name: SimpleNamespace(grad=tensor) for name, tensor in tensors.items()}
    return leaves(call(**tensors)) + [np.copy(arrays[name]) for name in call.written]


def _of_tensors() -> Iterator[Case]:
    """Yield calls with parameters and gradients in PyTorch's bfloat16, held as arrays of bits."""
    importlib.import_module("torch")
    for n in FEW[1::2]:
        calls = clips((n,)) | steps((n,)) | more_steps((n,))
        for name, call in calls.items():
            if not name.endswith(("-bfloat16", "-int8")):
                bits = {
                    k: (a.astype(np.float32).view(np.int32) >> 16).astype(np.int16) for k, a in call.arrays().items()
                }
                yield Case(f"{name} {n} bfloat16", bits, partial(_run_tensors, call))


def _stray(offset: int) -> Iterator[Case]:
    """Yield a read next to an array, to test the test."""

    def read(arrays: Arrays) -> list[Array]:
        x = arrays["x"]
        at = x.ctypes.data + (x.nbytes if offset > 0 else -1)
        return [np.array(ctypes.c_byte.from_address(at).value)]

    yield Case("harmless", {"x": np.ones(3)}, lambda arrays: [arrays["x"].copy()])
    yield Case(f"stray {offset:+}", {"x": np.ones(3)}, read)


WALKS: dict[str, Callable[[], Iterator[Case]]] = {
    **{name: partial(_of_kernels, family.KERNELS) for name, family in FAMILIES.items() if name != "products"},
    "products": _of_products,
    "functions": _of_functions,
    "fills": partial(_of_calls, fills, FEW),  # no empty ones, which are refused
    "clips": partial(_of_calls, clips, SIZES),
    "steps": partial(_of_calls, steps, PAIRS),
    "more_steps": partial(_of_calls, more_steps, FEW),
    "tensors": _of_tensors,
}
STRAYS = {"behind": partial(_stray, 1), "before": partial(_stray, -1)}


def _walk(cases: Iterator[Case]) -> None:
    """Run every case on every ISA at both ends; print the name of each before it runs."""
    fences: dict[str, Fence] = defaultdict(Fence)
    for case in cases:
        fastnn.use_isa("base")
        want = case.run({k: a.copy() for k, a in case.arrays.items()})
        for isa in fastnn.supported_isas():
            fastnn.use_isa(isa)
            for at_end in (True, False):
                print(case.name, isa, "before a guard page" if at_end else "behind a guard page", flush=True)
                got = case.run({k: fences[k].place(a, at_end) for k, a in case.arrays.items()})
                assert len(got) == len(want) and all(map(same_bits, got, want)), "another result"


def _child(family: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, __file__, family]
    return subprocess.run(
        command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=SECONDS
    )


def _verdict(done: subprocess.CompletedProcess[str]) -> str:
    """Say how the child ended, and in which case."""
    how = signal.Signals(-done.returncode).name if done.returncode < 0 else f"exit status {done.returncode}"
    last = done.stdout.splitlines()[-1:] or ["no case"]
    return f"{how} in: {last[0]}\n{done.stderr[-2000:]}"


@pytest.mark.parametrize("family", WALKS)
def test_no_access_outside(family: str) -> None:
    """Every kernel of the family gives the same results as on ordinary arrays."""
    if family == "tensors":
        pytest.importorskip("torch")
    done = _child(family)
    assert done.returncode == 0, _verdict(done)
    assert done.stdout.splitlines()[-1:], "no case was run"


@pytest.mark.parametrize(("side", "place"), [("behind", "+1 base before"), ("before", "-1 base behind")])
def test_a_stray_read_is_caught(side: str, place: str) -> None:
    """A read one byte too far kills the child, and the verdict names the signal and the case."""
    assert _verdict(_child(side)).startswith(f"SIGSEGV in: stray {place} a guard page")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _walk((WALKS | STRAYS)[sys.argv[1]]())
