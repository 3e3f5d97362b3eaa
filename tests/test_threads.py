"""Threads: right results from many Python threads and without the GIL; effects of the environment."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support import SECONDS, python, running, same_bits

import fastnn
from fastnn import functional as F
from fastnn import init

THREE_WORKERS = """
import os
import numpy as np
import fastnn
from fastnn import functional as F

fastnn.set_num_threads(4)
x = np.random.default_rng(0).standard_normal((2000, 300))
F.relu(x[0])
before = len(os.listdir("/proc/self/task"))
F.layer_norm(x, 300)
print(len(os.listdir("/proc/self/task")) - before)
"""


def test_workers_start() -> None:
    """A large kernel on four threads starts three workers, a small one none."""
    assert python("-c", THREE_WORKERS) == "3"


@pytest.mark.parametrize("threads", [2, 7])
def test_eight_python_threads(threads: int) -> None:
    """A parallel kernel called from eight Python threads at once gives each the right bits."""
    inputs = [np.random.default_rng(i).standard_normal((400 + i, 257)) for i in range(8)]
    with running("base", 1):
        want = [F.layer_norm(x, 257) for x in inputs]
    barrier = threading.Barrier(8)

    def work(i: int) -> bool:
        barrier.wait(SECONDS)
        return all(same_bits(F.layer_norm(inputs[i], 257), want[i]) for _ in range(30))

    with running(fastnn.isa(), threads), ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def test_thread_count_changes_between_calls() -> None:
    """Bits stay the same with more threads, fewer, and one."""
    x = np.random.default_rng(0).standard_normal((999, 257))
    want = F.layer_norm(x, 257)
    for threads in (1, 7, 2, 16, 1, 3, 5):
        with running(fastnn.isa(), threads):
            assert same_bits(F.layer_norm(x, 257), want)


def test_gil_is_released() -> None:
    """Another Python thread keeps running during a long kernel."""
    target, ticks, stop = np.empty(8_000_000), [], threading.Event()

    def tick() -> None:
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    with running("base", 1):
        init.normal_(target)
        counter = threading.Thread(target=tick)
        counter.start()
        begin = time.perf_counter()
        init.normal_(target)
        end = time.perf_counter()
        stop.set()
        counter.join()
    quarter = (end - begin) / 4
    assert quarter > 0.005, "the kernel is too short to tell"
    assert sum(begin + quarter < t < end - quarter for t in ticks) >= 3


THREADS = "import fastnn; print(fastnn.get_num_threads())"
CPUS = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("environment", "want"),
    [
        ({"FASTNN_NUM_THREADS": "1"}, 1),
        ({"OMP_NUM_THREADS": "1"}, 1),
        ({"FASTNN_NUM_THREADS": "2", "OMP_NUM_THREADS": "1"}, 2),
        ({"FASTNN_NUM_THREADS": "1", "OMP_NUM_THREADS": "2"}, 1),
        ({"OMP_NUM_THREADS": "1,2"}, 1),
    ],
)
def test_environment(environment: dict[str, str], want: int) -> None:
    """FASTNN_NUM_THREADS is used, or else the first number of OMP_NUM_THREADS."""
    if int(python("-c", THREADS)) < 2:
        pytest.skip("needs two CPUs, and a quota of two, to tell one thread from all")
    assert python("-c", THREADS, **environment) == str(want)


@pytest.mark.parametrize("value", ["", "0", "-3", "many", "99999999999999999999"])
def test_environment_without_meaning(value: str) -> None:
    """A value that is not a positive number counts as not set; there are never more threads than usable CPUs."""
    want = python("-c", THREADS)
    assert python("-c", THREADS, FASTNN_NUM_THREADS=value) == want
    assert 1 <= int(want) <= CPUS


def test_affinity() -> None:
    """A process limited to one CPU uses one thread, whatever the variables say."""
    cpu = str(min(os.sched_getaffinity(0)))
    assert python("-c", THREADS, through=("taskset", "-c", cpu)) == "1"
    assert python("-c", THREADS, through=("taskset", "-c", cpu), FASTNN_NUM_THREADS="7") == "1"


@pytest.mark.parametrize("name", fastnn.supported_isas())
def test_forced_isa(name: str) -> None:
    """FASTNN_ISA determines which code runs."""
    script = "import fastnn; print(fastnn.isa(), fastnn.show_config()['isa'])"
    assert python("-c", script, FASTNN_ISA=name) == f"{name} {name}"


def test_best_isa_is_the_default() -> None:
    """Without FASTNN_ISA, or with an empty one, the last supported ISA is used."""
    best = fastnn.supported_isas()[-1]
    assert python("-c", "import fastnn; print(fastnn.isa())") == best
    assert python("-c", "import fastnn; print(fastnn.isa())", FASTNN_ISA="") == best


def test_impossible_isa_fails_the_import() -> None:
    """The message names the possible ISAs."""
    script = """
try:
    import fastnn
except Exception as error:
    print(error)
"""
    message = python("-c", script, FASTNN_ISA="sse9")
    assert "got 'sse9', want" in message and message.endswith(", ".join(fastnn.supported_isas()))
