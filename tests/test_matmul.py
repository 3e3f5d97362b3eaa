"""Matrix products: exact bits on every instruction set and thread count, any shape and strides, and their arguments."""

import itertools
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from support import DTYPES, THREADS, Array, Guarded, running, same_bits

import fastnn
from fastnn import functional as F

SIZES = (1, 2, 5, 13, 14, 15, 33, 66)
TERMS = (0, 1, 7, 8, 17, 384, 385, 800)
each_dtype = pytest.mark.parametrize("dtype", DTYPES)
each_isa = pytest.mark.parametrize("isa", fastnn.supported_isas())


def _random(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def _rounded(x: Fraction, digits: int) -> Fraction:
    """Return x rounded to a binary significand of so many digits, ties to even; x is not subnormal."""
    if x == 0:
        return x
    exponent = abs(x.numerator).bit_length() - x.denominator.bit_length() - digits
    while abs(x) >= Fraction(2) ** (exponent + digits):
        exponent += 1
    return round(x / Fraction(2) ** exponent) * Fraction(2) ** exponent


def _reference(a: Array, b: Array) -> float:
    """Return the product of two vectors by the rule of docs/kernels.md, in rational arithmetic."""
    digits, blocks, total = np.finfo(a.dtype).nmant + 1, -(-len(a) // 384), Fraction(0)
    for i, (x, y) in enumerate(zip(np.array_split(a, blocks), np.array_split(b, blocks), strict=True)):
        chain = Fraction(0)
        for p, q in zip(x.tolist(), y.tolist(), strict=True):
            chain = _rounded(Fraction(p) * Fraction(q) + chain, digits)
        total = _rounded(total + chain, digits) if i else chain
    return float(total)


@each_dtype
@pytest.mark.parametrize("terms", [1, 3, 384, 385, 1000])
def test_the_rule_of_sums(dtype: Any, terms: int) -> None:
    """An element is a chain of fused multiply-adds in each block of K; K = 385 makes blocks of 193 and 192."""
    a, b = _random((3, terms), dtype), _random((terms, 2), dtype, 1)
    want = [[_reference(row, column) for column in b.T] for row in a]
    assert same_bits(F.matmul(a, b), np.array(want, dtype))
    assert same_bits(F.matmul(a[0], b[:, 0]), np.asarray(want[0][0], dtype))


@each_dtype
@pytest.mark.parametrize("transposed", [*itertools.product((False, True), repeat=2)], ids=str)
def test_same_bits_everywhere(dtype: Any, transposed: tuple[bool, bool]) -> None:
    """Shapes around every tile, on every instruction set; with one thread and with several."""
    for m, n, k in itertools.product(SIZES, SIZES, TERMS):
        if m * n * k > 10**6:
            continue
        a = _random((k, m), dtype).T if transposed[0] else _random((m, k), dtype)
        b = _random((n, k), dtype, 1).T if transposed[1] else _random((k, n), dtype, 1)
        want = F.matmul(a, b)
        bound = np.finfo(dtype).eps * (k + 1) * (np.abs(a).astype(float) @ np.abs(b).astype(float))
        assert np.all(np.abs(want - a.astype(float) @ b.astype(float)) <= bound), (m, n, k)
        for isa in fastnn.supported_isas():
            with running(isa, 1):
                assert same_bits(F.matmul(a, b), want), (isa, m, n, k)


@each_dtype
@pytest.mark.parametrize("threads", THREADS)
def test_same_bits_for_any_number_of_threads(dtype: Any, threads: int) -> None:
    a, b = _random((150, 400), dtype), _random((400, 300), dtype, 1)
    with running(fastnn.isa(), 1):
        want, row = F.matmul(a, b), F.matmul(a[0], b)
    with running(fastnn.isa(), threads):
        assert same_bits(F.matmul(a, b), want)
        assert same_bits(F.matmul(a[0], b), row)
        assert same_bits(F.matmul(b.T, a.T), want.T)


@each_dtype
@each_isa
def test_a_row_does_not_depend_on_its_batch(dtype: Any, isa: str) -> None:
    """Rows and columns alone, in every part of a batch, also through a transposed weight."""
    x, weight = _random((70, 500), dtype), _random((90, 500), dtype, 1)
    columns = np.ascontiguousarray(weight.T)
    with running(isa, 1):
        want = F.matmul(x, weight.T)
        assert same_bits(F.matmul(x, columns), want)
        for i in range(len(x)):
            assert same_bits(F.matmul(x[i], weight.T), want[i])
            assert same_bits(F.matmul(x[i : i + 1], columns)[0], want[i])
        for n in (1, 2, 15, 31, 64, 89):
            assert same_bits(F.matmul(x[:n], weight.T), want[:n])
            assert same_bits(F.matmul(x, weight[:n].T), want[:, :n])
            assert same_bits(F.matmul(x, weight[n].T), want[:, n])


STRIDED: dict[str, Callable[[Array], Array]] = {
    "transposed": lambda a: np.ascontiguousarray(a.swapaxes(-1, -2)).swapaxes(-1, -2),
    "every second": lambda a: np.repeat(np.repeat(a, 2, -1), 3, -2)[..., ::3, ::2],
    "reversed": lambda a: np.ascontiguousarray(a[..., ::-1, ::-1])[..., ::-1, ::-1],
    "reversed rows": lambda a: np.ascontiguousarray(a[..., ::-1, :])[..., ::-1, :],
    "part of rows": lambda a: np.concatenate([a, a], -1)[..., : a.shape[-1]],
}


@each_dtype
@each_isa
@pytest.mark.parametrize("change", STRIDED.values(), ids=STRIDED)
def test_strides(dtype: Any, isa: str, change: Callable[[Array], Array]) -> None:
    with running(isa, 1):
        for m, n, k in ((1, 40, 50), (40, 1, 50), (2, 3, 5), (40, 70, 50), (1, 40, 400)):
            a, b = _random((m, k), dtype), _random((k, n), dtype, 1)
            want = F.matmul(a, b)
            for left, right in ((change(a), b), (a, change(b)), (change(a), change(b))):
                assert same_bits(F.matmul(left, right), want)


@each_dtype
def test_broadcast_operands(dtype: Any) -> None:
    """An axis of stride 0 is read as often as needed."""
    row = np.broadcast_to(_random((20,), dtype), (15, 20))
    b = _random((20, 40), dtype, 1)
    assert same_bits(F.matmul(row, b), F.matmul(row.copy(), b))
    assert same_bits(F.matmul(b.T, row.T), F.matmul(b.T, row.T.copy()))
    ones = np.broadcast_to(np.ones((), dtype), (1, 20))
    assert same_bits(F.matmul(ones, b), F.matmul(ones.copy(), b))


@each_dtype
@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((3, 4, 5), (5, 6)), ((3, 4, 5), (3, 5, 6)), ((4, 5), (3, 5, 6)), ((2, 1, 4, 5), (3, 5, 6)),
        ((2, 3, 4, 5), (1, 3, 5, 6)), ((5,), (3, 5, 6)), ((3, 4, 5), (5,)), ((5,), (5,)), ((5,), (5, 6)),
        ((4, 5), (5,)),
        ((0, 4, 5), (5, 6)), ((3, 0, 5), (5, 6)), ((3, 4, 0), (0, 6)), ((3, 4, 5), (5, 0)), ((0,), (0,)),
    ],
)  # fmt: skip
def test_batches(dtype: Any, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    """Shapes are those of numpy.matmul, and each product of a batch has the bits that it has alone."""
    left, right = _random(a, dtype), _random(b, dtype, 1)
    got, want = F.matmul(left, right), np.matmul(left, right)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    if got.ndim > 2 and len(a) > 1 and len(b) > 1:
        lefts, rights = (np.broadcast_to(x, got.shape[:-2] + x.shape[-2:]) for x in (left, right))
        for i in np.ndindex(got.shape[:-2]):
            assert same_bits(got[i], F.matmul(lefts[i], rights[i]))


@each_dtype
@each_isa
def test_special_values(dtype: Any, isa: str) -> None:
    """NaN and infinity at every position of both operands reach exactly the elements whose formula has them."""
    for m, n, k in ((3, 4, 5), (1, 20, 9), (17, 1, 3)):
        for value, side in itertools.product((np.nan, np.inf, -np.inf), (0, 1)):
            operands = _random((m, k), dtype), _random((k, n), dtype, 1)
            for i in np.ndindex(operands[side].shape):
                spoilt = [x.copy() for x in operands]
                spoilt[side][i] = value
                spoilt[1 - side][..., 0] = 0  # infinity times zero
                with running(isa, 1):
                    got = F.matmul(*spoilt)
                with np.errstate(invalid="ignore"):
                    want = (spoilt[0][:, :, None] * spoilt[1][None]).sum(1)
                assert np.array_equal(np.isnan(got), np.isnan(want))
                assert np.array_equal(np.isinf(got), np.isinf(want))
                assert np.array_equal(np.sign(got[np.isinf(got)]), np.sign(want[np.isinf(want)]))


@each_dtype
@each_isa
def test_zeros_and_subnormal_results(dtype: Any, isa: str) -> None:
    """A sum begins at +0, and neither operands nor results are flushed to zero."""
    with running(isa, 1):
        for shape in ((1, 20), (20, 1), (20, 20)):
            negative = np.full((shape[0], 3), -0.0, dtype)
            assert not np.signbit(F.matmul(negative, np.ones((3, shape[1]), dtype))).any()
            tiny = np.full((shape[0], 1), np.finfo(dtype).smallest_subnormal, dtype)
            assert (F.matmul(tiny, np.ones((1, shape[1]), dtype)) == np.finfo(dtype).smallest_subnormal).all()
            assert (F.matmul(np.ones((shape[0], 0), dtype), np.ones((0, shape[1]), dtype)) == 0).all()


@each_dtype
@each_isa
def test_memory(dtype: Any, isa: str) -> None:
    """`out` is written and not read, and nothing beside the arrays is touched; packing buffers are given back."""
    used = fastnn.memory_stats()["used_blocks"]
    with running(isa, 2):
        for m, n, k in itertools.product((1, 3, 15, 70), (1, 7, 33, 300), (1, 9, 390)):
            a, b, out = Guarded((m, k), dtype), Guarded((k, n), dtype), Guarded((m, n), dtype)
            a.array[:], b.array[:], out.array[:] = _random((m, k), dtype), _random((k, n), dtype, 1), np.nan
            assert F.matmul(a.array, b.array, out=out.array) is out.array
            assert same_bits(out.array, F.matmul(a.array.copy(), b.array.copy()))
            for guarded in (a, b, out):
                guarded.check()
    assert fastnn.memory_stats()["used_blocks"] == used


A = np.ones((3, 4), np.float32)
WRONG: list[tuple[Any, Any, Any, type[Exception], str]] = [
    (A, A, None, ValueError, "b: got shape (3, 4), want one that fits a of (3, 4): (..., M, K) @ (..., K, N)"),
    (np.ones((2, 3, 4), "f"), np.ones((3, 4, 2), "f"), None, ValueError, "the axes before the last two must broadcast"),
    (np.float32(1), A, None, TypeError, "a: got float32, want a numpy.ndarray"),
    (np.ones((), "f"), A, None, ValueError, "a: got shape (), want at least one axis"),
    (A, [[1.0]], None, TypeError, "b: got list, want a numpy.ndarray"),
    (A, np.ones((4, 2)), None, TypeError, "b: got float64, want float32 like the rest"),
    (np.ones((3, 4), int), A, None, TypeError, "a: got dtype int64, want native float32 or float64"),
    (A.astype(">f4"), A, None, TypeError, "a: got dtype >f4, want native float32 or float64"),
    (np.ma.masked_array(A), A.T, None, TypeError, "a: got a masked array, want an array without a mask"),
    (A, A.T, np.ones((3, 4), "f"), ValueError, "out: got shape (3, 4), want (3, 3)"),
    (A, A.T, np.ones((3, 3)), TypeError, "out: got float64, want float32"),
    (A, A.T, np.ones((3, 6), "f")[:, ::2], ValueError, "out: got strided memory, want C-contiguous memory"),
]


@pytest.mark.parametrize(("a", "b", "out", "error", "sentence"), WRONG)
def test_wrong_arguments(a: Any, b: Any, out: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=re.escape(sentence)):
        F.matmul(a, b, out=out)


def test_out_must_not_share_memory() -> None:
    """Also where an operand is strided: its memory reaches from its first element to its last."""
    square = np.ones((6, 6), np.float32)
    other = np.ones((6, 6), np.float32)
    for a, b, name in ((square, other, "a"), (other, square, "b"), (square[::-1], other, "a"), (other, square.T, "b")):
        with pytest.raises(ValueError, match=f"out: got memory that overlaps {name}, want memory of its own"):
            F.matmul(a, b, out=square)
    with pytest.raises(ValueError, match="out: got memory that overlaps a"):
        F.matmul(square[::2, ::2], other[:3, :3], out=square[4:].reshape(-1)[:9].reshape(3, 3))
    locked = np.ones((6, 6), np.float32)
    locked.flags.writeable = False
    with pytest.raises(ValueError, match="out: got a read-only array"):
        F.matmul(square, other, out=locked)
    assert (F.matmul(locked, square) == 6).all()


def test_misaligned_operands_are_refused() -> None:
    bytes_ = np.zeros(4 * 16 + 1, np.uint8)
    with pytest.raises(ValueError, match="a: got misaligned memory"):
        F.matmul(bytes_[1:].view(np.float32).reshape(4, 4), np.ones((4, 4), np.float32))
