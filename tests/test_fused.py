"""One rounding for a * b + c, on every instruction set: that of the hardware, or its emulation.

A product of two terms is such a step: (c, a) @ (1, b) = fused(a, b, fused(c, 1, 0)).
"""

import os
from typing import Any

import numpy as np
import pytest
from support import DTYPES, Array, running, same_bits

import fastnn
from fastnn import functional as F

# 10**8 triples on each instruction set take 10 seconds; a hundredth of them otherwise.
COUNT = 10_000 if os.environ.get("FASTNN_TEST_LARGE") else 1_000
each_isa = pytest.mark.parametrize("isa", fastnn.supported_isas())


def _fused(a: Array, b: Array, c: Array) -> Array:
    """Return a[i] * b[j] + c[i] for all i and j."""
    return F.matmul(np.stack([c, a], 1), np.stack([np.ones_like(b), b]))


def _bits(number: int) -> np.float32:
    return np.array(number, np.uint32).view(np.float32)[()]


# Published triples that other software gets wrong, with the correct result: dotnet/runtime#133349 (musl; a subnormal
# result), openlibm#357 (|c| > |a b|), MicrosoftDocs/cpp-docs#3526, dotnet/runtime#98704.
PUBLISHED: list[tuple[Any, Any, Any, Any]] = [
    (_bits(0x97000800), _bits(0x1CFFF001), _bits(0x00010002), _bits(0x00010001)),
    *(
        tuple(map(np.float32, numbers))
        for numbers in (
            (0.9474001, 4.639901e-7, -0.24325085, float.fromhex("-0x1.f22d46p-3")),
            (-1.9369631e13, 2.1513551e-7, -1.7354427e-24, -4.16709575e6),
        )
    ),
    (np.float64(1.0000000000000002), np.float64(1.5), np.float64(-2.220446049250313e-16), np.float64(1.5)),
]


@each_isa
@pytest.mark.parametrize(("a", "b", "c", "want"), PUBLISHED)
def test_published_triples(isa: str, a: Any, b: Any, c: Any, want: Any) -> None:
    with running(isa, 1):
        assert same_bits(_fused(*(np.array([x]) for x in (a, b, c))), np.array([[want]]))


def _triples(kind: str, dtype: Any, count: int) -> tuple[Array, Array, Array]:
    """Return a (count,), b (count,) and c (count,): any bits; sums that nearly cancel; or subnormal results."""
    rng = np.random.default_rng(0)
    words = {np.float32: np.uint32, np.float64: np.uint64}[dtype]
    if kind == "bits":
        a, b, c = (rng.integers(0, np.iinfo(words).max, count, words).view(dtype) for _ in range(3))
        return a, b, c
    a, b = (rng.uniform(1, 2, count).astype(dtype) for _ in range(2))
    c = -a * b[rng.integers(0, count, count)]
    if kind == "subnormal":
        scale = np.finfo(dtype).smallest_normal
        a, c = a * scale, (c * rng.uniform(0, 1, count)).astype(dtype) * scale
        b = b * (0.5 ** rng.integers(0, 30, count)).astype(dtype)
    return a, b, c


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["bits", "cancelling", "subnormal"])
def test_every_instruction_set_rounds_once(dtype: Any, kind: str) -> None:
    """The results of the widest instruction set, which has the instruction, are those of all others."""
    a, b, c = _triples(kind, dtype, COUNT)
    for begin in range(0, COUNT, 500):
        part = slice(begin, begin + 500)
        results = []
        for isa in fastnn.supported_isas():
            with running(isa, 2), np.errstate(all="ignore"):
                results.append(_fused(a[part], b, c[part]))
        numbers = ~np.isnan(results[0])
        for other in results[1:]:
            assert same_bits(other[numbers], results[0][numbers])
            assert np.isnan(other[~numbers]).all()
