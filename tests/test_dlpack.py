"""Tensors through DLPack alone, without torch: steps in bfloat16, clipping, zeroed gradients, refused tensors."""

import ctypes
import math
from typing import Any

import numpy as np
import pytest
from support import Array, same_bits
from tensors import BFLOAT, CUDA, INT, KINDS, QuickTensor, Tensor, rounded, versions, widened
from variants import NAMES, full_state, make

from fastnn import Generator, init, nn, optim, random
from fastnn.optim import clip_grad_norm_, clip_grad_value_

__all__ = ["versions"]
pytestmark = pytest.mark.usefixtures("versions")
SIZES = (0, 1, 63, 64, 65, 129, 255, 256, 257, 300, 16_385)
OF_KIND = pytest.mark.parametrize("kind", KINDS)


def _bits(seed: int, sizes: Any = SIZES) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rounded(rng.standard_normal(n).astype(np.float32)) for n in sizes]


@OF_KIND
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_steps_in_bfloat16(name: str, zero: bool, kind: str, isa: str) -> None:
    """A step is that of the widened float32 parameter, rounded to nearest; gradients stay, or are all zeroed."""
    options = full_state(name) | {"weight_decay": 0.1}
    params, arrays = [KINDS[kind](b) for b in _bits(1)], [widened(b) for b in _bits(1)]
    ours = make(name, params, **options, zero_grad_after_step=zero)
    want = make(name, arrays, **options)
    for step in range(3):
        grads = _bits(10 + step)
        before = [g.copy() for g in grads]
        ours.step([KINDS[kind](g) for g in grads])
        want.step([widened(g) for g in before])
        for array, param, grad, old in zip(arrays, params, grads, before, strict=True):
            assert same_bits(param.memory, rounded(array))
            assert not grad.any() if zero else same_bits(grad, old)
            array[...] = widened(param.memory)
            for key, value in ours.state_of(param).items():
                assert key == "step" or same_bits(value, want.state_of(array)[key])


@OF_KIND
def test_rounding_of_a_parameter(kind: str, isa: str) -> None:
    """Ties are rounded to even, too large values become infinite, and NaN stays NaN, whatever its bits."""
    step = np.array([3 * 2.0**-8, 2.0**-8, 2.0**-8 + 2.0**-16, 3.3e38, np.nan, np.inf, 0, -(2.0**-9)], np.float32)
    bits, grad = rounded(np.array([1, 1, 1, 3.3e38, 1, 1, 1, 1], np.float32)), rounded(step)
    bits[6] = 0x7F81  # a signalling NaN, all of whose bits would be lost by a shift
    with np.errstate(over="ignore", invalid="ignore"):
        want = widened(rounded(widened(bits) + widened(grad)))
    param = KINDS[kind](bits)
    optim.SGD([param], lr=1.0, maximize=True).step([KINDS[kind](grad)])
    assert same_bits(param.float().numpy(), want)
    assert np.isnan(param.float().numpy()).tolist() == [False] * 4 + [True, False, True, False]


@OF_KIND
@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, math.inf])
def test_clipped_norm_of_bfloat16(kind: str, norm_type: float, isa: str) -> None:
    """The norm is that of the widened values, which are scaled by max_norm / (norm + 1e-6) and rounded to nearest."""
    holders = [KINDS[kind](np.zeros(0, np.uint16)) for _ in SIZES]
    for holder, bits in zip(holders, _bits(3), strict=True):
        holder.grad = KINDS[kind](bits)
    values = np.concatenate([widened(b) for b in _bits(3)]).astype(np.float64)
    want = np.linalg.norm(values, norm_type)
    for limit in (1e9, 0.75 * want, 0.01):
        norm = clip_grad_norm_(holders, limit, norm_type)
        assert norm == pytest.approx(want, rel=1e-12)
        factor = np.float32(min(1.0, limit / (norm + 1e-6)))
        values = widened(rounded(values.astype(np.float32) * factor)).astype(np.float64)
        assert same_bits(np.concatenate([h.grad.float().numpy() for h in holders]), values.astype(np.float32))
        want = np.linalg.norm(values, norm_type)


@OF_KIND
def test_clipped_values_of_bfloat16(kind: str, isa: str) -> None:
    """Values are clipped to the limit, which is rounded to nearest; NaN stays."""
    holder = KINDS[kind](np.zeros(0, np.uint16))
    bits = np.concatenate([*_bits(4), rounded(np.array([np.nan, np.inf, -np.inf]))])
    holder.grad, limit = KINDS[kind](bits), widened(rounded(np.float32(0.7)))
    want = np.clip(widened(bits), -limit, limit)
    clip_grad_value_([holder], 0.7)
    assert same_bits(holder.grad.float().numpy(), want)


@OF_KIND
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_offsets_and_strides(kind: str, dtype: Any) -> None:
    """The byte offset is used, strides may be missing, and the stride of an axis with one element does not matter."""
    memory = np.ones((4, 1, 3), dtype)
    view, grad = memory[1:3], np.full((2, 1, 3), 0.5, dtype)
    for changes in (
        {"data": memory.ctypes.data, "byte_offset": memory.strides[0]},
        {"strides": None},
        {"strides": (ctypes.c_int64 * 3)(3, 77, 1)},
    ):
        memory[...] = 1
        param = KINDS[kind](view, **changes)
        optimizer = optim.SGD([param], lr=1.0)
        for times in (1, 2):  # the second gradient has the address of the first
            optimizer.step([KINDS[kind](grad, **{k: v for k, v in changes.items() if k == "strides"})])
            assert (view == 1 - 0.5 * times).all() and (memory[[0, 3]] == 1).all()


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "device": ({"device_type": CUDA}, "got a tensor on another device, want one in the CPU's memory"),
    "lanes": ({"lanes": 2}, "got a tensor of another dtype, want float32, float64 or bfloat16"),
    "integers": ({"code": INT}, "got a tensor of another dtype, want float32"),
    "half": ({"bits": 16}, "got a tensor of another dtype, want float32"),
    "wide bfloat": ({"code": BFLOAT}, "got a tensor of another dtype, want float32"),
    "no memory": ({"data": None}, "got a tensor without memory of its own, want a plain one"),
    "strides": ({"strides": (ctypes.c_int64 * 2)(1, 3)}, "got strided memory, want C-contiguous memory"),
    "outer stride": ({"strides": (ctypes.c_int64 * 2)(5, 1)}, "got strided memory, want C-contiguous"),
}


@OF_KIND
@pytest.mark.parametrize("what", BAD)
def test_refused(what: str, kind: str) -> None:
    """The tensor is refused as a parameter and as a gradient, also after a good gradient at the same address."""
    changes, sentence = BAD[what]
    good, memory = KINDS[kind](np.ones((3, 4), np.float32)), np.ones((3, 4), np.float32)
    with pytest.raises((TypeError, ValueError), match=rf"^params\[1\]: {sentence}.*; .+"):
        optim.Adam([good, KINDS[kind](memory, **changes)])
    optimizer = optim.Adam([good])
    for _ in range(2):
        before = good.memory.copy()
        with pytest.raises((TypeError, ValueError), match=rf"^params\[0\]\.grad: {sentence}.*; .+"):
            optimizer.step([KINDS[kind](memory, **changes)])
        assert same_bits(good.memory, before)
        optimizer.step([KINDS[kind](memory)])
    assert optimizer.state_of(good)["step"] == 2


@OF_KIND
def test_fills(kind: str) -> None:
    """What has the dtype of an array is filled where it lies; bfloat16 is not drawn."""
    tensor, array = KINDS[kind](np.zeros((3, 4), np.float32)), np.zeros((3, 4), np.float32)
    random.uniform_(tensor, generator=Generator(1))
    assert same_bits(tensor.memory, random.uniform_(array, generator=Generator(1)))
    narrow = KINDS[kind](np.zeros((3, 4), np.uint16))
    with pytest.raises(TypeError, match=r"^tensor: got bfloat16, want float32 or float64; "):
        random.uniform_(narrow, generator=Generator(1))
    assert not narrow.memory.any()


def test_exporters_that_raise() -> None:
    """An exporter's exception is quoted in the message; a tensor whose sign is still to be flipped is refused."""

    class Failing(Tensor):
        def __dlpack__(self, **_: Any) -> Any:
            raise BufferError("sparse layout\nand more")

    class Other(Tensor):
        def __dlpack__(self, **_: Any) -> Any:
            return 3

    class Negated(Tensor):
        def is_neg(self) -> bool:
            return True

    sentence = r"^params\[0\]: got a tensor that is not plain memory \(BufferError: sparse layout\), want a dense"
    with pytest.raises(TypeError, match=sentence):
        optim.Adam([Failing(np.ones(3, np.float32))])
    with pytest.raises(TypeError, match=r"^params\[0\]: got a tensor that is not plain memory \(ValueError: PyCapsule"):
        optim.Adam([Other(np.ones(3, np.float32))])
    with pytest.raises(TypeError, match=r"^params\[0\]: got a tensor with its negative bit set, want plain"):
        optim.Adam([Negated(np.ones(3, np.float32))])
    quick = QuickTensor(np.ones(3, np.float32))
    quick.fails = True
    optim.SGD([quick], lr=1.0).step([np.ones(3, np.float32)])  # through the slower way
    assert not quick.memory.any()


@OF_KIND
@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (np.ones((4, 3), np.float32), r"another shape or dtype"),
        (np.ones(12, np.float32), r"another shape or dtype"),
        (np.ones((3, 4, 1), np.float32), r"another shape or dtype"),
        (np.ones((3, 4)), r"another shape or dtype"),
        (np.ones((3, 8), np.float32)[:, ::2], r"strided memory"),
    ],
)
def test_parameter_that_has_moved(other: Array, sentence: str, kind: str) -> None:
    """Steps follow a parameter whose data were replaced; another shape or dtype is refused and changes nothing."""
    params = [KINDS[kind](np.ones((3, 4), np.float32)) for _ in range(2)]
    grads = [np.ones((3, 4), np.float32) for _ in params]
    optimizer = optim.SGD(params, lr=1.0)
    optimizer.step(grads)
    first, params[1].memory = params[1].memory, np.full((3, 4), 5, np.float32)
    optimizer.step(grads)
    assert (params[0].memory == -1).all() and (params[1].memory == 4).all() and not first.any()
    moved, params[1].memory = params[1].memory, other
    with pytest.raises((TypeError, ValueError), match=rf"^params\[1\]: got {sentence}"):
        optimizer.step(grads)
    params[1].memory = params[0].memory
    with pytest.raises(ValueError, match=r"^params\[[01]\]: got memory that overlaps params\[[01]\]"):
        optimizer.step(grads)
    params[1].memory = moved
    assert (params[0].memory == -1).all() and (moved == 4).all() and (other == 1).all()
    with pytest.raises(ValueError, match=r"overlaps"):
        optimizer.step([grads[0], moved])
    optimizer.step(grads)
    assert (params[0].memory == -2).all() and (moved == 3).all()


@OF_KIND
def test_autograd_is_told_of_changes(kind: str, versions: list[Any]) -> None:
    """autograd is told of stepped parameters and zeroed gradients that are tensors, never of NumPy arrays."""
    params = [KINDS[kind](np.ones(3, np.float32)) for _ in range(3)]
    grads = [KINDS[kind](np.ones(3, np.float32)), None, np.ones(3, np.float32)]
    optimizer = optim.SGD(params)
    optimizer.step(grads)
    optimizer.zero_grad_after_step = True
    optimizer.step(grads)
    optim.SGD([np.ones(3)]).step([np.ones(3)])
    assert [[*map(id, told)] for told in versions] == [
        [id(params[0]), id(params[2])],
        [id(params[0]), id(grads[0]), id(params[2])],
    ]
    versions.clear()
    params[0].memory[...] = 1
    optim.SGD(params, clip_grad_norm=1.0).step([np.full(3, np.nan, np.float32), None, None])
    assert versions == [] and (params[0].memory == 1).all()


@OF_KIND
def test_autograd_is_told_of_fills(kind: str, versions: list[Any]) -> None:
    """autograd is told of every tensor that is filled, never of a NumPy array or a Parameter."""
    tensor = KINDS[kind](np.zeros((3, 4), np.float32))
    for fill in (init.uniform_, init.ones_, init.eye_):
        versions.clear()
        assert fill(tensor) is tensor and tensor.memory[0, 0] != 0
        assert [[*map(id, told)] for told in versions] == [[id(tensor)]]
    versions.clear()
    for array in (np.zeros((3, 4)), nn.Parameter(np.zeros((3, 4)))):
        init.uniform_(array)
    assert versions == []
