"""Every kernel against its reference, and every ISA and thread count against the base ISA on one thread."""

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
    """One call: inputs in guarded memory, a copy of them, a guarded output."""

    arrays: dict[str, Guarded]
    before: Arrays
    out: Guarded


def _case(kernel: Kernel, name: str, shape: Shape, dtype: Any, offset: int = 1) -> Case:
    rng = np.random.default_rng((zlib.crc32(name.encode()), *shape))
    before = kernel.inputs(shape, dtype, rng)
    arrays = {k: guarded(v.shape, v.dtype, offset, v) for k, v in before.items()}
    return Case(arrays, before, guarded(kernel.result(shape), dtype, offset))


def _call(kernel: Kernel, case: Case, out: Array | None = None) -> Arrays:
    """Run, and see that nothing but the output and the arrays updated in place was written."""
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
    """A kernel of the table for one dtype, with what the base ISA gives on one thread for every shape."""

    kernel: Kernel
    dtype: Any
    base: list[tuple[Case, Arrays]]


@pytest.fixture(scope="module", params=itertools.product(KERNELS, DTYPES), ids=lambda p: f"{p[0]}-{p[1].__name__}")
def row(request: pytest.FixtureRequest) -> Row:
    """Every kernel and dtype, in turn; the base results are computed once for all tests."""
    name, dtype = request.param
    kernel = KERNELS[name]
    with running("base", 1):
        cases = [_case(kernel, name, shape, dtype) for shape in kernel.shapes]
        return Row(kernel, dtype, [(case, _call(kernel, case)) for case in cases])


SUMS = ("dweight", "dbias", "dg", "norm", "loss")


def _largest(a: Any) -> float:
    """The largest finite |value|, at least 1."""
    a = np.abs(np.asarray(a, dtype=np.float64))
    return max(1.0, float(a[np.isfinite(a)].max(initial=0)))


def _check(kernel: Kernel, case: Case, outputs: Arrays, dtype: Any) -> None:
    """Every output within its bound.

    A norm magnifies the rounding of its input by |x| / deviation, so the bound grows with that. A float64 sum of n
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
    """Within the kernel's bound of the float64 reference, for every shape that holds an element."""
    for case, outputs in row.base:
        if case.out.array.size:
            _check(row.kernel, case, outputs, row.dtype)


def test_same_bits(row: Row, isa: str, threads: int) -> None:
    """Same bits on every ISA and thread count, for every shape, also an empty one."""
    for case, want in row.base:
        outputs = _call(row.kernel, case)
        for key, value in outputs.items():
            assert same_bits(value, want[key]), (case.out.array.shape, key)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", KERNELS)
def test_offsets(name: str, dtype: Any, isa: str) -> None:
    """Where in memory an array begins changes no bit."""
    kernel = KERNELS[name]
    for shape in kernel.shapes[::61]:
        first = _call(kernel, _case(kernel, name, shape, dtype, 0))
        for offset in (1, 3, 5, 7, 15):
            outputs = _call(kernel, _case(kernel, name, shape, dtype, offset))
            assert all(same_bits(outputs[k], first[k]) for k in first), (shape, offset)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [n for n, k in KERNELS.items() if k.in_place])
def test_in_place(name: str, dtype: Any, isa: str) -> None:
    """out=x (or dy) gives what a fresh output gives, and the result is that very array."""
    kernel = KERNELS[name]
    for shape in (*kernel.shapes[1:300:13], *kernel.shapes[-3:]):
        want = _call(kernel, _case(kernel, name, shape, dtype))
        case = _case(kernel, name, shape, dtype)
        target = case.arrays[kernel.in_place].array
        outputs = _call(kernel, case, out=target)
        assert all(same_bits(outputs[k], want[k]) for k in want), shape
        assert same_bits(target, next(iter(want.values())))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", [n for n, k in KERNELS.items() if k.elementwise])
def test_special_elementwise(name: str, value: float, dtype: Any, isa: str) -> None:
    """NaN and infinities at every place of every input: the same values as the reference, in the same places."""
    kernel = KERNELS[name]
    case = _case(kernel, name, (ODD,), dtype)
    for key, given in case.before.items():
        for i in range(ODD):
            kept = given[i]
            given[i] = case.arrays[key].array[i] = value
            _check(kernel, case, _call(kernel, case), dtype)
            given[i] = case.arrays[key].array[i] = kept


# The axis along which a value spoils its neighbours, and the input that is poisoned.
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
    """One NaN or infinity spoils what the reference says it spoils (its row or channel), and nothing else."""
    kernel, (axis, poisoned) = KERNELS[name], REDUCTIONS[name]
    for i in range(ODD):
        case = _case(kernel, name, (3, ODD) if axis else (ODD, 3), dtype)
        at = (1, i) if axis else (i, 1)
        case.before[poisoned][at] = case.arrays[poisoned].array[at] = value
        _check(kernel, case, _call(kernel, case), dtype)


DRAWN = {"dropout_backward", "dropout2d_backward"}
ELSEWHERE = FAMILIES["fill"].KERNELS | FAMILIES["gradients"].KERNELS  # of fastnn.random and fastnn.optim


def test_table_covers_the_functions() -> None:
    """No operation of `fastnn.functional` is without a row in the table."""
    members = inspect.getmembers(functional, inspect.isfunction)
    public = {name for name, f in members if f.__module__.startswith(functional.__name__) and not name.startswith("_")}
    assert public == {name.split("-")[0] for name in KERNELS} - {name.split("-")[0] for name in ELSEWHERE} | DRAWN
