"""Results that a function allocates itself: plain arrays that nobody else holds, for as long as anything sees them."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastnn import functional as F

SIZES = [0, 1, 7, 1000, 16_384, 300_000, 1_100_000]


@pytest.mark.parametrize("size", SIZES)
def test_a_result_is_a_plain_array(size: int) -> None:
    """Contiguous, aligned, writable, of its own; its content survives every other call."""
    x = np.random.default_rng(0).standard_normal(size)
    y = F.relu(x)
    assert type(y) is np.ndarray and y.flags.c_contiguous and y.flags.aligned and y.flags.writeable
    assert not np.shares_memory(x, y) and sys.getrefcount(y) == 2
    kept = y.copy()
    for _ in range(20):
        F.relu(-x)[...] = 7
    np.testing.assert_array_equal(y, kept)


@pytest.mark.parametrize("size", SIZES)
def test_results_alive_together_are_apart(size: int) -> None:
    """Twenty results held at once, with every second one given back in between."""
    held = []
    for i in range(20):
        held.append((i, F.relu(np.full(size, i, np.float32))))
        if i % 2:
            del held[-2]
    for i, y in held:
        np.testing.assert_array_equal(y, np.float32(i))


@pytest.mark.parametrize("size", SIZES[3:])
def test_a_view_keeps_the_memory(size: int) -> None:
    """Views, views of views and buffers outlive the array that they were taken of."""
    views = []
    for i in range(8):
        y = F.relu(np.full(size, i + 1.0))
        views.append((i + 1.0, y[::3], y.reshape(-1, 4)[1:, 2], y.data[5:9]))
        del y
        F.relu(np.full(size, -1.0))[...] = -1
    for value, *seen in views:
        for view in seen:
            np.testing.assert_array_equal(np.asarray(view), value)


def test_results_in_many_threads() -> None:
    """Eight threads that take and drop results of many sizes never see each other's."""

    def work(i: int) -> bool:
        rng = np.random.default_rng(i)
        held: list[tuple[float, np.ndarray]] = []
        for step in range(60):
            value = float(100 * i + step + 1)
            held.append((value, F.relu(np.full(int(rng.integers(1, 40_000)), value))))
            held = held[-4:]
            if not all((y == v).all() for v, y in held):
                return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def test_memory_is_given_back() -> None:
    """Three hundred results of 8 MB, dropped one by one, need no more memory than a few of them."""
    resource = pytest.importorskip("resource")
    x = np.ones(1_000_000)
    for _ in range(5):
        F.relu(x)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(300):
        F.relu(x)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def test_kept_blocks_make_room() -> None:
    """Results of ever other sizes, in an address space for a few of them: what is kept must not be what is missing."""
    script = """
import resource
import numpy as np
from fastnn import functional as F
x = np.ones(40 << 20, np.float32)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (500 << 20), resource.RLIM_INFINITY))
for n in range(10 << 20, 40 << 20, 1 << 20):
    F.relu(x[:n])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
