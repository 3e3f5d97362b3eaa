"""Every kernel agrees with its reference; every ISA and thread count gives the bits of the base ISA on one thread."""

import inspect
import itertools
import math
import zlib
from typing import Any, NamedTuple

import numpy as np
import pytest
from kernels import FAMILIES, KERNELS
from support import DTYPES, Array, Guarded, error_in_ulps, guarded, running, same_bits
from table import Arrays, Kernel, Shape

from fastnn import functional

ODD = 67


class Case(NamedTuple):
    """One call: inputs in guarded memory, a copy of them, and a guarded output."""

    arrays: dict[str, Guarded]
    before: Arrays
    out: Guarded


def _inputs(kernel: Kernel, name: str, shape: Shape, dtype: Any) -> Arrays:
    return kernel.inputs(shape, dtype, np.random.default_rng((zlib.crc32(name.encode()), *shape)))


def _case(kernel: Kernel, shape: Shape, dtype: Any, before: Arrays, offset: int = 1) -> Case:
    arrays = {k: guarded(v.shape, v.dtype, offset, v) for k, v in before.items()}
    return Case(arrays, before, guarded(kernel.result(shape), dtype, offset))


def _call(kernel: Kernel, case: Case, out: Array | None = None) -> Arrays:
    """Run the kernel, and assert that it wrote only the output and the arrays updated in place."""
    for name in kernel.updated:
        case.arrays[name].array[...] = case.before[name]
    outputs = kernel.run({k: g.array for k, g in case.arrays.items()}, case.out.array if out is None else out)
    case.out.check()
    for name, given in case.arrays.items():
        given.check()
        if name not in kernel.updated and given.array is not out:
            assert same_bits(given.array, case.before[name]), f"{name} was written"
    return {name: np.copy(value) for name, value in outputs.items()}


class Row(NamedTuple):
    """A kernel and dtype with the results of the base ISA on one thread for every shape."""

    kernel: Kernel
    dtype: Any
    base: list[tuple[Case, Arrays]]


@pytest.fixture(scope="module", params=itertools.product(KERNELS, DTYPES), ids=lambda p: f"{p[0]}-{p[1].__name__}")
def row(request: pytest.FixtureRequest) -> Row:
    """Return every kernel and dtype in turn; the base results are computed once for all tests."""
    name, dtype = request.param
    kernel = KERNELS[name]
    with running("base", 1):
        cases = [_case(kernel, shape, dtype, _inputs(kernel, name, shape, dtype)) for shape in kernel.shapes]
        return Row(kernel, dtype, [(case, _call(kernel, case)) for case in cases])


SUMS = ("dweight", "dbias", "dg", "norm", "loss")


def _largest(a: Any) -> float:
    """Return the largest finite |value|, at least 1."""
    a = np.abs(np.asarray(a, dtype=np.float64))
    return max(1.0, float(a[np.isfinite(a)].max(initial=0)))


def _check(kernel: Kernel, case: Case, outputs: Arrays, dtype: Any) -> None:
    """Assert that every output is within its bound.

    A norm amplifies the rounding of its input by |x| / deviation, so the bound grows by that factor. A float64 sum of n
    terms, here and in the reference, may lose sqrt(n) / 2 more.
    """
    want = kernel.reference(case.before)
    rstd = case.before.get("rstd", want.get("rstd"))
    magnified = 1.0 if rstd is None else _largest(_largest(case.before["x"]) * np.asarray(rstd))
    for name, got in outputs.items():
        got = np.asarray(got, dtype=dtype if name == "loss" else None)
        terms = case.out.array.size // np.size(want[name])
        slack = math.sqrt(terms) / 2 if name in SUMS and got.dtype == np.float64 else 0.0
        error = error_in_ulps(got, want[name], _largest(want[name]) * magnified)
        assert error <= kernel.bound + slack, (name, case.out.array.shape)


def test_reference(row: Row) -> None:
    """Results are within the kernel's bound of the float64 reference, for every shape that is not empty."""
    for case, outputs in row.base:
        if case.out.array.size:
            _check(row.kernel, case, outputs, row.dtype)


def test_same_bits(row: Row, isa: str, threads: int) -> None:
    """Bits are the same on every ISA and thread count for every shape, also an empty one."""
    for case, want in row.base:
        outputs = _call(row.kernel, case)
        for key, value in outputs.items():
            assert same_bits(value, want[key]), (case.out.array.shape, key)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", KERNELS)
def test_offsets(name: str, dtype: Any, isa: str) -> None:
    """The address of an array changes no bit."""
    kernel = KERNELS[name]
    for shape in kernel.shapes[::61]:
        inputs = _inputs(kernel, name, shape, dtype)
        first = _call(kernel, _case(kernel, shape, dtype, inputs, 0))
        for offset in (1, 3, 5, 7, 15):
            outputs = _call(kernel, _case(kernel, shape, dtype, inputs, offset))
            assert all(same_bits(outputs[k], first[k]) for k in first), (shape, offset)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [n for n, k in KERNELS.items() if k.in_place])
def test_in_place(name: str, dtype: Any, isa: str) -> None:
    """out=x (or dy) gives the same result as a new output, in that array itself."""
    kernel = KERNELS[name]
    for shape in (*kernel.shapes[1:300:13], *kernel.shapes[-3:]):
        inputs = _inputs(kernel, name, shape, dtype)
        want = _call(kernel, _case(kernel, shape, dtype, inputs))
        case = _case(kernel, shape, dtype, inputs)
        target = case.arrays[kernel.in_place].array
        outputs = _call(kernel, case, out=target)
        assert all(same_bits(outputs[k], want[k]) for k in want), shape
        assert same_bits(target, next(iter(want.values())))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", [n for n, k in KERNELS.items() if k.elementwise])
def test_special_elementwise(name: str, value: float, dtype: Any, isa: str) -> None:
    """NaN and infinities at every position of every input give the reference's values at the same positions."""
    kernel = KERNELS[name]
    case = _case(kernel, (ODD,), dtype, _inputs(kernel, name, (ODD,), dtype))
    for key, given in case.before.items():
        for i in range(ODD):
            kept = given[i]
            given[i] = case.arrays[key].array[i] = value
            _check(kernel, case, _call(kernel, case), dtype)
            given[i] = case.arrays[key].array[i] = kept


# The axis along which a special value spreads, and the input that gets it.
REDUCTIONS = {
    "layer_norm": (1, "x"),
    "layer_norm_backward": (1, "dy"),
    "softmax": (1, "x"),
    "softmax_backward": (1, "dy"),
    "log_softmax": (1, "x"),
    "log_softmax_backward": (1, "dy"),
    "softmax_cross_entropy": (1, "logits"),
    "group_norm": (1, "x"),
    "group_norm_backward": (1, "dy"),
    "weight_norm-first": (1, "v"),
    "weight_norm-last": (0, "v"),
    "weight_norm_backward-first": (1, "dw"),
    "softmax_cross_entropy-weight": (1, "logits"),
    "softmax_cross_entropy-smooth": (1, "logits"),
    "softmax_cross_entropy-soft": (1, "logits"),
    "batch_norm-train": (0, "x"),
    "batch_norm_backward-train": (0, "dy"),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.filterwarnings("ignore:.*invalid value:RuntimeWarning")
def test_special_reductions(name: str, value: float, dtype: Any, isa: str) -> None:
    """One NaN or infinity spoils the same elements (its row or channel) as in the reference, and no others."""
    kernel, (axis, poisoned) = KERNELS[name], REDUCTIONS[name]
    for i in range(ODD):
        shape = (3, ODD) if axis else (ODD, 3)
        case = _case(kernel, shape, dtype, _inputs(kernel, name, shape, dtype))
        at = (1, i) if axis else (i, 1)
        case.before[poisoned][at] = case.arrays[poisoned].array[at] = value
        _check(kernel, case, _call(kernel, case), dtype)


DRAWN = {"dropout_backward", "dropout2d_backward"}
PRODUCTS = {"matmul", "linear", "linear_backward"}  # test_matmul.py, test_linear.py
ELSEWHERE = [name.split("-")[0] for family in ("fill", "gradients", "stream") for name in FAMILIES[family].KERNELS]


def test_table_covers_the_functions() -> None:
    """Every operation of `fastnn.functional` has a row in the table."""
    members = inspect.getmembers(functional, inspect.isfunction)
    public = {name for name, f in members if f.__module__.startswith(functional.__name__) and not name.startswith("_")}
    assert public == {name.split("-")[0] for name in KERNELS} - set(ELSEWHERE) | DRAWN | PRODUCTS
