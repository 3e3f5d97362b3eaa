"""Max pooling equals its reference and PyTorch exactly: values, positions, gradients, NaN anywhere; refusals."""

import itertools
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import reference
from c_api import Functions
from kernels.max_pool2d import MODES, Sizes
from support import DTYPES, Array, guarded, refused, same_bits

from fastnn import functional as F
from fastnn import nn

SHAPE = (2, 3, 7, 21)
VALUES = {"nan": (np.nan,), "inf": (np.inf,), "-inf": (-np.inf,), "both": (np.nan, np.inf, -np.inf)}


def _in_plane(places: Array, shape: tuple[int, ...], sizes: Sizes) -> Array:
    """Return the indices as PyTorch counts them: in the plane."""
    kernel, stride, padding = sizes
    corner = [s * np.arange(n) - p for s, n, p in zip(stride, places.shape[-2:], padding, strict=True)]
    rows = corner[0][:, None] + places.astype(np.int64) // kernel[1]
    return np.asarray(rows * shape[-1] + corner[1] + places % kernel[1])


def _check_torch(x: Array, sizes: Sizes) -> None:
    """Assert that values, positions and the gradient equal torch's; the gradient's sums have the same order."""
    torch = pytest.importorskip("torch")
    t = torch.from_numpy(x.copy()).requires_grad_()
    want, indices = torch.nn.functional.max_pool2d(t, *sizes, return_indices=True)
    y, places = F.max_pool2d(x, *sizes, return_indices=True)
    np.testing.assert_array_equal(y, want.detach().numpy())
    np.testing.assert_array_equal(_in_plane(places, x.shape, sizes), indices.numpy())
    assert same_bits(F.max_pool2d(x, *sizes), y)
    dy = np.random.default_rng(1).standard_normal(y.shape).astype(x.dtype)
    want.backward(torch.from_numpy(dy))
    dx = F.max_pool2d_backward(dy, places, x.shape, *sizes, out=np.full_like(x, np.nan))
    np.testing.assert_array_equal(dx, t.grad.numpy())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", MODES)
def test_torch(mode: str, dtype: Any, isa: str, threads: int) -> None:
    """Normal values, and integers with many equal values, give torch's results."""
    rng = np.random.default_rng(2)
    for x in (
        rng.standard_normal((3, 5, 30, 41)),
        rng.standard_normal((1, 90, 91)),
        rng.integers(-2, 3, SHAPE),
        -np.zeros(SHAPE),
    ):
        _check_torch(x.astype(dtype), MODES[mode])


def _check_reference(x: Array, sizes: Sizes) -> None:
    """Assert that values, positions and the gradient equal the reference's; sums of integers are exact in any order."""
    y, places = F.max_pool2d(x, *sizes, return_indices=True)
    want, at = reference.max_pool2d(x, *sizes)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(places, at)
    assert same_bits(F.max_pool2d(x, *sizes), y)
    dy = np.arange(1, y.size + 1, dtype=x.dtype).reshape(y.shape)
    dx = F.max_pool2d_backward(dy, places, x.shape, *sizes, out=np.full_like(x, np.nan))
    np.testing.assert_array_equal(dx, reference.max_pool2d_backward(dy, at, x.shape, *sizes))


SPECIAL = ("2", "2-padded", "3", "3-dense", "gaps", "wide")


@pytest.mark.parametrize("check", [_check_reference, _check_torch])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("mode", SPECIAL)
def test_special_values(mode: str, value: str, dtype: Any, check: Callable[..., None], isa: str) -> None:
    """Special values all over a plane, alone, next to each other, and filling the plane, give the right results."""
    rng = np.random.default_rng(3)
    for i in range(0, 5 * 19, 5):
        x = rng.standard_normal((1, 1, 5, 19)).astype(dtype)
        x.flat[i :: 1 + i % 4] = rng.choice(VALUES[value], x.flat[i :: 1 + i % 4].size)
        check(x, MODES[mode])
    check(np.full((2, 3, 17), VALUES[value][0], dtype), MODES[mode])


PADDINGS = [((3, 4), (1, 2), p) for p in ((1, 0), (0, 1), (0, 2), (1, 1), (1, 2))]


@pytest.mark.parametrize("sizes", PADDINGS, ids=lambda sizes: str(sizes[2]))
def test_padding_of_one_axis(sizes: Sizes, isa: str) -> None:
    """With padding along one axis or both, windows that reach beyond the plane are cut at the right places."""
    rng = np.random.default_rng(6)
    for shape in ((4, 9), (3, 4), (2, 5, 11), (1, 3, 30)):
        for x in (rng.standard_normal(shape), np.full(shape, -np.inf), -np.arange(np.prod(shape)).reshape(shape) - 1.0):
            _check_reference(np.asarray(x, np.float64), sizes)


def test_two_sizes_in_a_list() -> None:
    """Sizes may be integers, tuples or lists."""
    x = np.random.default_rng(7).standard_normal((2, 9, 14))
    want = F.max_pool2d(x, (2, 3), (2, 1), (1, 0))
    assert same_bits(F.max_pool2d(x, [2, 3], [2, 1], [1, 0]), want)
    assert same_bits(nn.MaxPool2d([2, 3], [2, 1], [1, 0])(x)[0], want)
    assert same_bits(F.max_pool2d(x, [2, 2]), F.max_pool2d(x, 2))


WINDOWS = [sizes for sizes in itertools.product((1, 2, 3), repeat=4) if sizes[:2] != (1, 1)]


@pytest.mark.parametrize("sizes", WINDOWS, ids=str)
def test_small_windows(sizes: tuple[int, int, int, int], isa: str) -> None:
    """Every pair of small windows and strides gives the reference's values, without padding and with all of it."""
    kernel, stride = sizes[:2], sizes[2:]
    x = np.random.default_rng(7).standard_normal((2, 9, 37)).astype(np.float32)
    for padding in {(0, 0), (kernel[0] // 2, kernel[1] // 2)}:
        _check_reference(x, (kernel, stride, padding))


def test_any_number_of_leading_axes() -> None:
    """Any number of leading axes is allowed; each plane is pooled by itself."""
    x = np.random.default_rng(4).standard_normal((2, 3, 4, 6, 8))
    y = F.max_pool2d(x, (3, 2), padding=(1, 0))
    assert y.shape == (2, 3, 4, 2, 4)
    assert same_bits(F.max_pool2d(x[1, 2, 3], (3, 2), padding=(1, 0)), y[1, 2, 3])


@pytest.mark.parametrize("shape", [(0, 3, 4, 6), (2, 0, 4, 6), (0, 4, 6)])
def test_no_planes(shape: tuple[int, ...]) -> None:
    """An empty batch has an empty result, without and with indices, and an empty gradient."""
    x = np.ones(shape, np.float32)
    y, places = F.max_pool2d(x, 2, return_indices=True)
    assert y.shape == places.shape == F.max_pool2d(x, 2).shape == (*shape[:-2], 2, 3)
    assert F.max_pool2d_backward(y, places, shape, 2).shape == shape


def test_without_indices_windows_are_larger() -> None:
    """Without indices, windows may have more than 255 elements."""
    x = np.random.default_rng(5).standard_normal((2, 100, 300))
    np.testing.assert_array_equal(F.max_pool2d(x, (100, 300)), x.max((1, 2), keepdims=True))
    wide = np.random.default_rng(6).standard_normal((2, 15, 34))
    _check_reference(wide, ((15, 17), (1, 1), (0, 0)))  # 255 positions, the largest number allowed


def test_any_byte_stays_within_the_plane(isa: str) -> None:
    """A wrong index, from C or written by another thread after the check, causes no write outside the plane."""
    dy = np.ones((3, 3))
    for byte in range(256):
        dx = guarded((4, 5), np.float64)
        Functions("f64").max_pool2d_backward(dx.array, dy, np.full((3, 3), byte, np.uint8), 1, 4, 5, 2, 2, 2, 2, 1, 1)
        dx.check()
        assert dx.array.sum() == 9


X, DY, PLACES = np.ones((2, 6, 8)), np.ones((2, 3, 4)), np.zeros((2, 3, 4), np.uint8)
SHAPE_X = (2, 6, 8)
TOO_LARGE = "kernel_size: got (16, 16), want a product of 255 at most if indices are returned; use return_indices=False"
NO_PLACE = "indices: got an index outside its window, want "
back = F.max_pool2d_backward
REFUSALS: list[tuple[Callable[[], Any], str]] = [
    *(
        (partial(F.max_pool2d, X, s), f"kernel_size: got {s!r}, want an integer >= 1, or two, for height and width")
        for s in (0, -1, 2.0, True, "2", (2,), (2, 2, 2), (2, 0), None, 2**31, 2**70, [2, np.nan])
    ),
    (lambda: F.max_pool2d(X, 2, 0), "stride: got 0, want an integer >= 1, or two"),
    (lambda: F.max_pool2d(X, 2, padding=-1), "padding: got -1, want an integer >= 0, or two"),
    (lambda: F.max_pool2d(X, (2, 3), padding=(1, 2)), "padding: got (1, 2), want at most half of kernel_size (2, 3)"),
    (lambda: F.max_pool2d(X, (2, 3), padding=(0, 2)), "padding: got (0, 2), want at most half of kernel_size (2, 3)"),
    (lambda: F.max_pool2d(X, (3, 2), padding=(2, 0)), "padding: got (2, 0), want at most half of kernel_size (3, 2)"),
    (lambda: F.max_pool2d(X, 2, padding=(0, -1)), "padding: got (0, -1), want an integer >= 0, or two"),
    (lambda: F.max_pool2d(X, 2, (1, 0)), "stride: got (1, 0), want an integer >= 1, or two"),
    (lambda: F.max_pool2d(X, (7, 2)), "x: got shape (2, 6, 8), want (..., H, W) with room for a window of (7, 2) with"),
    (lambda: F.max_pool2d(X, (2, 9)), "x: got shape (2, 6, 8), want (..., H, W) with room for a window of (2, 9) with"),
    (lambda: F.max_pool2d(np.ones((0, 2)), 2, padding=1), "x: got shape (0, 2), want (..., H, W) with room for"),
    (lambda: F.max_pool2d(X[0, 0], 1), "x: got shape (8,), want (..., H, W) with room for a window of (1, 1) with"),
    (lambda: F.max_pool2d(np.ones((2, 0)), 2, padding=1), "x: got shape (2, 0), want (..., H, W) with room for"),
    (lambda: F.max_pool2d(X, 2, out=np.ones(SHAPE_X)), "out: got shape (2, 6, 8), want (2, 3, 4); "),
    (lambda: F.max_pool2d(np.ones((20, 20)), 16, return_indices=True), TOO_LARGE),
    (lambda: back(np.ones((1, 1)), PLACES[0, :1, :1], (16, 16), 16), TOO_LARGE),
    (lambda: back(DY, PLACES, (2, 6, 10), 2), "dy: got shape (2, 3, 4), want (2, 3, 5); "),
    (lambda: back(DY, PLACES[1:], SHAPE_X, 2), "indices: got shape (1, 3, 4), want (2, 3, 4); "),
    (lambda: back(DY, PLACES, (8,), 2), "input_size: got shape (8,), want (..., H, W) with room for a window"),
    (lambda: back(DY, PLACES + np.uint8(4), SHAPE_X, 2), NO_PLACE),
    (lambda: F.max_pool2d(np.ones((16, 16)), (16, 16), return_indices=True), TOO_LARGE),
    (lambda: back(PLACES, PLACES, SHAPE_X, 2), "dy: got dtype uint8, want native float"),
]


@pytest.mark.parametrize(("run", "sentence"), REFUSALS)
def test_refuses(run: Callable[[], Any], sentence: str) -> None:
    error = TypeError if "dtype" in sentence else ValueError
    refused(run, {"x": X, "dy": DY, "places": PLACES}, error, "^" + re.escape(sentence))


@pytest.mark.parametrize(
    "given", [PLACES.astype(np.int64), PLACES.tolist(), None, PLACES.astype(bool), PLACES[:, ::-1]]
)
def test_indices_of_another_kind(given: Any) -> None:
    error = ValueError if isinstance(given, np.ndarray) and given.dtype == np.uint8 else TypeError
    refused(
        lambda: F.max_pool2d_backward(DY, given, (2, 6, 8), 2),
        {"dy": DY},
        error,
        "^indices: got .*, want C-contig.*; .+",
    )


@pytest.mark.parametrize("padding", [(1, 0), (0, 1), (1, 1)])
def test_an_index_in_the_padding(padding: tuple[int, int]) -> None:
    """The corner of the first window lies in the padding, whether only rows, only columns or both are padded."""
    x = np.random.default_rng(8).standard_normal((3, 4, 4))
    y, places = F.max_pool2d(x, 2, 2, padding, return_indices=True)
    dy = np.ones_like(y)
    F.max_pool2d_backward(dy, places, x.shape, 2, 2, padding)
    places[1, 0, 0] = 0
    run = partial(F.max_pool2d_backward, dy, places, x.shape, 2, 2, padding)
    refused(run, {"dy": dy, "places": places}, ValueError, "^indices: got an index outside its window")


@pytest.mark.parametrize("at", range(27))
def test_a_wrong_index_is_found(at: int) -> None:
    """A wrong index is found in any window: of 3 x 3, only the middle ones lie entirely within the plane."""
    x = np.random.default_rng(at).standard_normal((3, 4, 4))
    _, places = F.max_pool2d(x, 2, padding=1, return_indices=True)
    dy = np.ones((3, 3, 3))
    F.max_pool2d_backward(dy, places, x.shape, 2, padding=1)
    row, column = divmod(at % 9, 3)
    places.flat[at] = 0 if 0 in (row, column) else 2 if row == 2 else 1 if column == 2 else 4
    run = partial(F.max_pool2d_backward, dy, places, x.shape, 2, padding=1)
    refused(run, {"dy": dy, "places": places}, ValueError, "^indices: got an index outside its window")
