"""Randomly drawn views of every layout: results are written to the caller's memory, or the call is refused.

An argument is a view into a larger buffer: any order of axes, any step along each (also zero and negative), any offset,
aligned or not, of either byte order, read-only, or of a dtype that no kernel supports. Either the call has the result
of plain arrays with the same values, and in the buffer only the view's elements change; or it raises TypeError or
ValueError, which names an argument and what is wanted, and no byte changes.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from calls import Call
from in_place import clips, fills, in_dtype, leaves, more_steps, steps
from kernels import CALLS
from support import Array, same_bits

import fastnn

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies

X = (6, 4)
ALL = CALLS | fills(X) | clips(X) | steps(X) | more_steps(X)
SLOW = [hypothesis.HealthCheck.too_slow]  # the time of an example says nothing on a busy machine
SETTINGS = hypothesis.settings(
    derandomize=True, deadline=None, max_examples=25, database=None, suppress_health_check=SLOW
)


@dataclass(frozen=True)
class Layout:
    """The position of a view in its buffer.

    Attributes:
        order: the axes from the slowest to the fastest; axes that the array does not have are skipped.
        steps: along each axis, in elements of a buffer with room for them; 0 repeats, < 0 goes backwards.
        skipped: elements in front.
        shift: bytes in front.
        dtype: replaces the call's dtype.
        swapped: whether the byte order is swapped.
        writeable: whether the view may be written.
    """

    order: tuple[int, ...] = (0, 1, 2)
    steps: tuple[int, ...] = (1, 1, 1)
    skipped: int = 0
    shift: int = 0
    dtype: str = ""
    swapped: bool = False
    writeable: bool = True


ATTRIBUTES: dict[str, Any] = {
    "order": st.permutations((0, 1, 2)).map(tuple),
    "steps": st.tuples(*[st.sampled_from((1, 1, 2, 3, 0, -1, -2))] * 3),
    "skipped": st.integers(1, 9),
    "shift": st.integers(1, 15),
    "dtype": st.sampled_from(("float16", "int32", "int64", "bool", "longdouble", "complex128")),
    "swapped": st.just(True),
    "writeable": st.just(False),
}


@st.composite
def layouts(draw: Any) -> Layout:
    """Draw a layout that differs from C-contiguous in at most two attributes, so that few views have all faults."""
    names = draw(st.lists(st.sampled_from([*ATTRIBUTES]), max_size=2, unique=True))
    return Layout(**{name: draw(ATTRIBUTES[name]) for name in names})


class View:
    """Some values in a buffer.

    Attributes:
        buffer: all bytes.
        array: the view.
        shown: which bytes belong to the view.
    """

    def __init__(self, values: Array, layout: Layout) -> None:
        dtype = np.dtype(layout.dtype or values.dtype)
        dtype = dtype.newbyteorder("S") if layout.swapped else dtype
        strides, span = [0] * values.ndim, dtype.itemsize
        for axis in reversed([axis for axis in layout.order if axis < values.ndim]):
            strides[axis] = layout.steps[axis] * span
            span *= max(1, abs(layout.steps[axis])) * values.shape[axis]
        backwards = sum((1 - n) * s for n, s in zip(values.shape, strides, strict=True) if s < 0)
        begin = backwards + layout.skipped * dtype.itemsize + layout.shift
        self.buffer = np.full(begin + span + 64, 0xA5, np.uint8)
        self.buffer = self.buffer[-self.buffer.ctypes.data % 16 :]
        self.array: Array = np.ndarray(values.shape, dtype, self.buffer, begin, strides)
        self.array[...] = values
        self.array.flags.writeable = layout.writeable
        self.shown = np.zeros(len(self.buffer), bool)
        np.ndarray((*values.shape, dtype.itemsize), bool, self.shown, begin, (*strides, 1))[...] = True


def _plain(a: Array) -> Array:
    """Return a plain copy of the values."""
    return np.array(a, a.dtype.newbyteorder("="), order="C")


def _run(call: Call, arrays: dict[str, Array]) -> list[Array]:
    fastnn.manual_seed(1)
    return leaves(call(**arrays))


def _check(call: Call, arrays: dict[str, Array], buffers: list[tuple[Array, Array]], suspects: list[str]) -> None:
    """The call works as with plain arrays or is refused; `buffers` are pairs of bytes and which of them may change."""
    plain = {k: _plain(a) for k, a in arrays.items()}
    before = {k: a.tobytes() for k, a in arrays.items()}
    kept = [buffer.copy() for buffer, _ in buffers]
    try:
        got = _run(call, arrays)
    except (TypeError, ValueError) as error:
        named = "|".join(map(re.escape, suspects))
        assert re.match(rf"({named}): got .+, want .+", str(error)), error
        assert all((buffer == old).all() for (buffer, _), old in zip(buffers, kept, strict=True)), error
        assert {k: a.tobytes() for k, a in arrays.items()} == before, error
        return
    want = _run(call, plain)
    assert len(got) == len(want) and all(map(same_bits, got, want))
    for name, a in arrays.items():
        if name in call.written:
            assert same_bits(_plain(a), plain[name]), name
        elif not any(np.may_share_memory(a, buffer) for buffer, _ in buffers):
            assert a.tobytes() == before[name], name
    for (buffer, may_change), old in zip(buffers, kept, strict=True):
        assert (buffer == old)[~may_change].all(), "written beside the view"


@pytest.mark.parametrize("name", ALL)
@SETTINGS
@hypothesis.given(data=st.data())
def test_views(name: str, data: Any) -> None:
    """One argument may have any layout."""
    call = ALL[name]
    arrays = in_dtype(call.arrays(), data.draw(st.sampled_from((np.float64, np.float32))))
    argument = data.draw(st.sampled_from([*arrays]))
    view = View(arrays[argument], data.draw(layouts()))
    arrays[argument] = view.array
    suspects = [argument] if not name.endswith(("-bfloat16", "-int8")) else [*arrays]
    _check(call, arrays, [(view.buffer, view.shown & (argument in call.written))], suspects)


@pytest.mark.parametrize("name", [name for name, call in ALL.items() if len(call.shapes) > 1])
@SETTINGS
@hypothesis.given(data=st.data())
def test_overlaps(name: str, data: Any) -> None:
    """Two arguments may lie anywhere in one buffer: apart, at the same address, or sharing some elements."""
    call = ALL[name]
    arrays = in_dtype(call.arrays(), data.draw(st.sampled_from((np.float64, np.float32))))
    pair = data.draw(st.lists(st.sampled_from([*arrays]), min_size=2, max_size=2, unique=True))
    pair.sort(key=lambda argument: argument in call.labels)  # written last, so that labels are valid classes
    sizes = [arrays[argument].nbytes for argument in pair]
    step = max(arrays[argument].itemsize for argument in pair)
    gap = step * data.draw(st.integers(-(sizes[1] // step) - 1, sizes[0] // step + 1))
    hypothesis.assume(gap or not name.startswith("clip_grad_norm_"))  # clip_grad_norm_ counts the same memory once
    buffer, may_change = np.zeros(sum(sizes) + 3 * step, np.uint8), np.zeros(sum(sizes) + 3 * step, bool)
    for argument, begin in zip(pair, (max(0, -gap), max(0, gap)), strict=True):
        a = arrays[argument]
        arrays[argument] = np.ndarray(a.shape, a.dtype, buffer, begin)
        arrays[argument][...] = a
        may_change[begin : begin + a.nbytes] |= argument in call.written
    _check(call, arrays, [(buffer, may_change)], [*arrays])
