"""Results that a function allocates are plain arrays whose memory is not reused while anything refers to it."""

import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastnn
from fastnn import functional as F
from fastnn import nn, optim

SIZES = [0, 1, 7, 1000, 16_384, 300_000, 1_100_000]


@pytest.mark.parametrize("size", SIZES)
def test_a_result_is_a_plain_array(size: int) -> None:
    """A result is contiguous, aligned, writable and its own owner; no other call changes it."""
    x = np.random.default_rng(0).standard_normal(size)
    y = F.relu(x)
    assert type(y) is np.ndarray and y.flags.c_contiguous and y.flags.aligned and y.flags.writeable
    assert not np.shares_memory(x, y) and sys.getrefcount(y) == sys.getrefcount(x)
    kept = y.copy()
    for _ in range(20):
        F.relu(-x)[...] = 7
    np.testing.assert_array_equal(y, kept)


@pytest.mark.parametrize("size", SIZES)
def test_results_alive_together_are_apart(size: int) -> None:
    """Twenty results held at once stay separate while every second one is released."""
    held = []
    for i in range(20):
        held.append((i, F.relu(np.full(size, i, np.float32))))
        if i % 2:
            del held[-2]
    for i, y in held:
        np.testing.assert_array_equal(y, np.float32(i))


@pytest.mark.parametrize("size", SIZES[3:])
def test_a_view_keeps_the_memory(size: int) -> None:
    """Views, views of views and buffers stay valid after their array is gone."""
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
    """Eight threads that create and drop results of many sizes never see each other's memory."""

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
    """Three hundred results of 8 MB, dropped one by one, need the memory of a few."""
    resource = pytest.importorskip("resource")
    x = np.ones(1_000_000)
    for _ in range(5):
        F.relu(x)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(300):
        F.relu(x)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def test_kept_blocks_make_room() -> None:
    """Cached blocks are released if an allocation needs their memory: many sizes in a small address space."""
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


def test_stats_tell_what_happens() -> None:
    """The statistics show that a block is allocated once, cached when released, reused, and freed on demand."""
    fastnn.empty_cache()
    before = fastnn.memory_stats()
    assert before["cached_blocks"] == before["cached_bytes"] == 0
    x = np.ones(1_000_000, np.float32)
    y = F.relu(x)
    first = fastnn.memory_stats()
    assert first["system_allocations"] == before["system_allocations"] + 1 and first["reuses"] == before["reuses"]
    assert first["used_blocks"] == before["used_blocks"] + 1
    size = first["used_bytes"] - before["used_bytes"]
    assert x.nbytes <= size <= x.nbytes + (2 << 20)
    view = y[5:9]
    del y
    assert fastnn.memory_stats() == first, "a view keeps the block"
    del view
    kept = fastnn.memory_stats()
    assert (kept["cached_blocks"], kept["cached_bytes"], kept["used_bytes"]) == (1, size, before["used_bytes"])
    y = F.relu(x)
    again = fastnn.memory_stats()
    assert again["reuses"] == first["reuses"] + 1 and again["system_allocations"] == first["system_allocations"]
    del y
    assert fastnn.empty_cache() == size
    assert fastnn.memory_stats()["cached_bytes"] == 0


def test_cache_limit() -> None:
    """The cache never exceeds its limit, frees the excess at once, and keeps nothing with a limit of 0."""
    limit = fastnn.memory_stats()["limit_bytes"]
    x = np.ones(1_000_000, np.float32)
    try:
        fastnn.empty_cache()
        fastnn.set_cache_limit(9_000_000)
        held = [F.relu(x) for _ in range(4)]
        held.clear()
        assert fastnn.memory_stats()["cached_blocks"] == 2
        fastnn.set_cache_limit(5_000_000)
        assert fastnn.memory_stats()["cached_blocks"] == 1
        fastnn.set_cache_limit(0)
        assert fastnn.memory_stats()["cached_bytes"] == 0
        F.relu(x)
        assert fastnn.memory_stats()["cached_bytes"] == 0
    finally:
        fastnn.set_cache_limit(limit)


@pytest.mark.parametrize("value", [-1, 2**70, True])
def test_cache_limit_refuses(value: int) -> None:
    """A value that is not a size is refused, and the limit stays."""
    limit = fastnn.memory_stats()["limit_bytes"]
    with pytest.raises(ValueError, match=r"bytes: got .*, want a number of bytes >= 0"):
        fastnn.set_cache_limit(value)
    assert fastnn.memory_stats()["limit_bytes"] == limit


def test_old_blocks_go_first() -> None:
    """The cache drops large blocks of shapes no longer used, and keeps smaller ones that are in use."""
    limit = fastnn.memory_stats()["limit_bytes"]
    fastnn.empty_cache()
    fastnn.set_cache_limit(9 << 20)
    try:
        old = [F.relu(np.ones(1 << 20, np.float32)) for _ in range(2)]
        del old
        inputs = [np.ones(n, np.float32) for n in (150_000, 200_000)]
        for x in inputs:
            F.relu(x)
        allocations = fastnn.memory_stats()["system_allocations"]
        for _ in range(3):
            for x in inputs:
                F.relu(x)
        assert fastnn.memory_stats()["system_allocations"] == allocations
    finally:
        fastnn.set_cache_limit(limit)


def test_a_training_loop_allocates_nothing() -> None:
    """From the second training step on, no block comes from the system, and NumPy allocates no large array."""
    model = nn.Sequential(
        nn.Linear(300, 500), nn.BatchNorm1d(500), nn.ReLU(), nn.Dropout(0.2), nn.LayerNorm(500), nn.Linear(500, 200)
    )
    criterion, optimizer = nn.CrossEntropyLoss(), optim.AdamW(model.parameters())
    x = np.random.default_rng(0).standard_normal((2000, 300), dtype=np.float32)
    labels = np.arange(2000) % 200

    def step() -> None:
        logits, backward = model(x)
        _, dlogits = criterion(logits, labels)
        optimizer.zero_grad()
        backward(dlogits)
        optimizer.step()

    step()
    allocations = fastnn.memory_stats()["system_allocations"]
    tracemalloc.start()
    try:
        for _ in range(3):
            step()
        assert tracemalloc.get_traced_memory()[1] < 128 << 10
    finally:
        tracemalloc.stop()
    assert fastnn.memory_stats()["system_allocations"] == allocations


def test_fused_functions_allocate_nothing() -> None:
    """Fused functions also take their scratch from the cache: the second call takes no block from the system."""
    rng = np.random.default_rng(1)
    x, image = (rng.standard_normal(shape, dtype=np.float32) for shape in ((4096, 300), (64, 32, 20, 20)))
    bias, scale, labels = np.ones(300, np.float32), np.ones(32, np.float32), np.arange(4096) % 300

    def once() -> None:
        F.bias_activation_backward(F.bias_activation(x, bias), x, bias)
        y, mean, rstd = F.batch_norm(image, weight=scale, bias=scale, training=True, return_stats=True)
        F.batch_norm_backward(y, image, scale, mean, rstd)
        y, mean, rstd = F.group_norm(image, 8, scale, scale, return_stats=True)
        F.group_norm_backward(y, image, 8, scale, mean, rstd)
        F.softmax_cross_entropy(x, labels, label_smoothing=0.1)
        F.binary_cross_entropy_with_logits(x, x, bias)

    once()
    allocations = fastnn.memory_stats()["system_allocations"]
    for _ in range(3):
        once()
    assert fastnn.memory_stats()["system_allocations"] == allocations


def test_allocation_beyond_memory() -> None:
    """An allocation that no machine has memory for raises MemoryError and leaves nothing allocated."""
    before = fastnn.memory_stats()["used_bytes"]
    for shape in ((2**46,), (2**23, 2**23)):
        with pytest.raises(MemoryError):
            fastnn._core.empty(shape, np.dtype(np.float32))
    assert fastnn.memory_stats()["used_bytes"] == before
