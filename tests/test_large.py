"""Arrays of more than 2**31 elements, beyond the range of 32-bit indices.

Every test compares elements at the beginning, around 2**31 and at the end with a small computation on copies of them;
bits do not depend on the position in an array. One array takes 8.6 GB, and some tests use two.
"""

import math
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support import Array, same_bits

from fastnn import Generator, optim, random
from fastnn import functional as F
from fastnn.functional import DropoutMask

COLUMNS = 1024
SIZE = 2**31 + 77
# each starts at the beginning of a random block
PLACES = [slice(begin, begin + 205) for begin in (0, 2**29, 2**31 - 128)]
ROWS = [slice(begin, begin + 4) for begin in (0, 2**19, 2**21 - 2)]
ARGUMENTS = {"layer_norm": (COLUMNS,), "softmax": ()}
assert PLACES[-1].stop == SIZE

pytestmark = pytest.mark.skipif(
    not os.environ.get("FASTNN_TEST_LARGE"), reason="up to 18 GB of memory and some minutes: make test-large"
)


def _room() -> int:
    """Return the bytes of memory that the machine, or a control group's limit, leaves."""
    left = [1024 * int(re.findall(r"MemAvailable: +(\d+)", Path("/proc/meminfo").read_text())[0])]
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        limit, used = ("memory.limit_in_bytes", "total_rss") if controllers else ("memory.max", "anon")
        root = Path("/sys/fs/cgroup", controllers)
        for folder in {root, *(root / path[1:] / "x").parents} if controllers in ("", "memory") else ():
            if (folder / limit).exists() and (text := (folder / limit).read_text().strip()) != "max":
                stat = (folder / "memory.stat").read_text()
                left.append(int(text) - int(re.findall(rf"^{used} (\d+)", stat, re.M)[0]))
    return min(left)


def _array() -> Array:
    """Return a float32 array in whole rows of COLUMNS; skip the test if there is too little memory."""
    array = np.empty((2**21 + 2) * COLUMNS, np.float32)
    if (room := _room()) < array.nbytes + 2**30:
        pytest.skip(f"{room / 1e9:.1f} GB of memory are left, {(array.nbytes + 2**30) / 1e9:.1f} are needed")
    array.fill(1)
    return array


@pytest.fixture(scope="module")
def memory() -> Array:
    """The array that all tests use in turn."""
    return _array()


@pytest.fixture
def x(memory: Array) -> Array:
    """(SIZE,) normal values."""
    return random.normal_(memory[:SIZE], generator=Generator(1))


@pytest.fixture
def second() -> Array:
    """(SIZE,) ones, allocated for one test."""
    return _array()[:SIZE]


def _parts(x: Array, places: list[slice] = PLACES) -> list[Array]:
    return [x[place].copy() for place in places]


def _check(run: Callable[[Array], object], x: Array, places: list[slice] = PLACES) -> None:
    """run(x), which works in place, has the same result on parts of x."""
    want = _parts(x, places)
    run(x)
    for part in want:
        run(part)
    assert all(map(same_bits, _parts(x, places), want))


def test_activation(x: Array) -> None:
    _check(lambda x: F.silu(x, out=x), x)


@pytest.mark.parametrize("name", ["layer_norm", "softmax"])
def test_rows(name: str, memory: Array) -> None:
    random.normal_(memory, generator=Generator(1))
    _check(lambda x: getattr(F, name)(x, *ARGUMENTS[name], out=x), memory.reshape(-1, COLUMNS), ROWS)


def test_batch_norm(memory: Array) -> None:
    """In the last channels, the elements of the second image lie around 2**31 and after it."""
    x = random.normal_(memory, generator=Generator(1)).reshape(2, -1, COLUMNS)
    places = [slice(begin, begin + 4) for begin in (0, 2**19, x.shape[1] - 4)]
    parts = [np.ascontiguousarray(x[:, place]) for place in places]
    _, mean, rstd = F.batch_norm(x, training=True, out=x, return_stats=True)
    for place, part in zip(places, parts, strict=True):
        want = F.batch_norm(part, training=True, return_stats=True)
        assert all(map(same_bits, (np.ascontiguousarray(x[:, place]), mean[place], rstd[place]), want))


def test_cross_entropy(memory: Array) -> None:
    """The gradient overwrites the logits."""
    x = random.normal_(memory, generator=Generator(1)).reshape(-1, COLUMNS)
    labels = np.arange(len(x)) % COLUMNS
    logits = _parts(x, ROWS)
    loss, _ = F.softmax_cross_entropy(x, labels, reduction="none", out=x)
    for place, part in zip(ROWS, logits, strict=True):
        want = F.softmax_cross_entropy(part, labels[place], reduction="none")
        assert all(map(same_bits, (loss[place], x[place]), want))


def test_products(memory: Array) -> None:
    """Rows beyond 2**31 elements, as they are and transposed; and a vector of so many terms."""
    x = random.normal_(memory, generator=Generator(1)).reshape(-1, COLUMNS)
    b = random.normal_(np.empty((COLUMNS, 3), np.float32), generator=Generator(2))
    for y, vector in ((F.matmul(x, b), F.matmul(x, b[:, 0])), (F.matmul(b.T, x.T).T, F.matmul(b[:, 0], x.T))):
        for place, part in zip(ROWS, _parts(x, ROWS), strict=True):
            assert same_bits(np.ascontiguousarray(y[place]), F.matmul(part, b))
            assert same_bits(vector[place], F.matmul(part, b[:, 0]))
    memory[:] = 0.5
    memory[-1] = 3
    ones = np.broadcast_to(np.ones((), np.float32), SIZE)
    assert F.matmul(memory[-SIZE:], ones) == pytest.approx(SIZE / 2, rel=1e-3)
    assert F.matmul(memory[-SIZE:], np.broadcast_to(np.zeros((), np.float32), SIZE)) == 0


def test_max_pool(memory: Array) -> None:
    """Planes have two rows; backward overwrites x."""
    x = random.normal_(memory, generator=Generator(1)).reshape(-1, 2, COLUMNS)
    places = [slice(place.start // 2, place.stop // 2) for place in ROWS]
    parts = _parts(x, places)
    y, indices = F.max_pool2d(x, 2, return_indices=True)
    dx = F.max_pool2d_backward(y, indices, x.shape, 2, out=x)
    for place, part in zip(places, parts, strict=True):
        want = F.max_pool2d(part, 2, return_indices=True)
        assert all(map(same_bits, (y[place], indices[place]), want))
        assert same_bits(dx[place], F.max_pool2d_backward(*want, part.shape, 2))


@pytest.mark.parametrize("fill", [random.uniform_, random.normal_])
def test_fill(fill: Callable[..., Array], memory: Array) -> None:
    """Each part equals a fill by a generator that was advanced to its beginning."""
    fill(memory[:SIZE], generator=Generator(5))
    for place in PLACES:
        want = fill(np.empty(205, np.float32), generator=Generator(5).advance(place.start))
        assert same_bits(memory[place], want)


def test_dropout(memory: Array) -> None:
    """Each part has the mask that begins at its position; backward drops the same elements."""
    x = memory[:SIZE]
    x.fill(1)
    _, mask = F.dropout(x, 0.3, generator=Generator(5), out=x, return_mask=True)
    forward, kept = _parts(x), np.count_nonzero(x)
    for place, part in zip(PLACES, forward, strict=True):
        there = DropoutMask(mask.p, mask.seed, mask.stream, mask.block + place.start // 128)
        assert same_bits(part, F.dropout_backward(np.ones(205, np.float32), there))
    assert abs(kept - 0.7 * SIZE) < 5 * math.sqrt(0.21 * SIZE)
    x.fill(1)
    F.dropout_backward(x, mask, out=x)
    assert all(map(same_bits, _parts(x), forward)) and np.count_nonzero(x) == kept


def test_sgd(x: Array, second: Array) -> None:
    params, grads = _parts(x), _parts(random.normal_(second, generator=Generator(2)))
    optim.SGD([x], lr=0.1, weight_decay=0.01).step([second])
    optim.SGD(params, lr=0.1, weight_decay=0.01).step(grads)
    assert all(map(same_bits, _parts(x), params))


def test_clip_grad_norm(memory: Array) -> None:
    x = memory[:SIZE]
    x.fill(1)
    assert optim.clip_grad_norm_([x], 1.0) == math.sqrt(SIZE)
    assert all((part == np.float32(1 / (math.sqrt(SIZE) + 1e-6))).all() for part in _parts(x))
