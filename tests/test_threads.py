"""Threads: right answers under fork, from many Python threads and without the GIL; and what the environment decides."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from subprocess import PIPE

import numpy as np
import pytest
from support import running, same_bits

import fastnn
from fastnn import functional as F
from fastnn import init

SECONDS = 60


def _python(script: str, cpus: str | None = None, **environment: str) -> str:
    """Run `script` in a fresh interpreter, on the CPUs given, and return what it printed."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("FASTNN_", "OMP_"))}
    command = [*(["taskset", "-c", cpus] if cpus else []), sys.executable, "-c", script]
    with subprocess.Popen(
        command, env=inherited | environment, stdout=PIPE, stderr=PIPE, text=True, start_new_session=True
    ) as process:
        try:
            printed, complaint = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # forked children too, which are what hangs
            raise
    assert process.returncode == 0, complaint
    return printed.strip()


WORK = """
import os, sys, threading
import numpy as np
import fastnn
from fastnn import functional as F

fastnn.set_num_threads(4)
x = np.random.default_rng(0).standard_normal((2000, 300))

def work():
    return F.layer_norm(x, 300).tobytes()

want = work()

def child():
    return 0 if all(work() == want for _ in range(20)) else 1

def fork(run=child):
    pid = os.fork()
    if pid == 0:
        os._exit(run())
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""


def test_workers_start() -> None:
    """A large kernel on four threads has started three workers; a small one none."""
    script = WORK.replace("want = work()", "") + "F.relu(x[0]); before = len(os.listdir('/proc/self/task'));"
    assert _python(script + "work(); print(len(os.listdir('/proc/self/task')) - before)") == "3"


def test_fork_after_use() -> None:
    """The child of a process that has used its threads gets the same bits; so do its child and its parent."""
    _python(WORK + "fork(); fork(lambda: fork() or child()); assert work() == want")


def test_fork_during_use() -> None:
    """Forking while other Python threads are inside kernels leaves no lock behind in the child."""
    script = """
stop = threading.Event()
def busy():
    while not stop.is_set():
        work()
threads = [threading.Thread(target=busy) for _ in range(3)]
for t in threads: t.start()
for _ in range(10): fork()
stop.set()
for t in threads: t.join()
"""
    _python(WORK + script)


def test_process_pool_after_use() -> None:
    """A forked multiprocessing pool whose workers call kernels from several threads of their own."""
    script = """
import multiprocessing
from concurrent.futures import ThreadPoolExecutor

def job(_):
    with ThreadPoolExecutor(3) as pool:
        return all(bits == want for bits in pool.map(lambda _: work(), range(6)))

with multiprocessing.get_context("fork").Pool(3) as pool:
    assert all(pool.map(job, range(6)))
assert work() == want
"""
    _python(WORK + script)


def test_exit_with_live_workers() -> None:
    """The interpreter ends while a daemon thread is still inside kernels."""
    script = """
def busy():
    while True: work()
threading.Thread(target=busy, daemon=True).start()
for _ in range(50): work()
"""
    _python(WORK + script)


@pytest.mark.parametrize("threads", [2, 7])
def test_eight_python_threads(threads: int) -> None:
    """A parallel kernel called from eight Python threads at once gives each its own right bits."""
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
    """More, fewer, one: always the same bits."""
    x = np.random.default_rng(0).standard_normal((999, 257))
    want = F.layer_norm(x, 257)
    for threads in (1, 7, 2, 16, 1, 3, 5):
        with running(fastnn.isa(), threads):
            assert same_bits(F.layer_norm(x, 257), want)


def test_gil_is_released() -> None:
    """Another Python thread runs on while a long kernel does."""
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
    """FASTNN_NUM_THREADS, else OMP_NUM_THREADS, whose first number counts."""
    if int(_python(THREADS)) < 2:
        pytest.skip("needs two CPUs, and a quota of two, to tell one thread from all")
    assert _python(THREADS, **environment) == str(want)


@pytest.mark.parametrize("value", ["", "0", "-3", "many", "99999999999999999999"])
def test_environment_without_meaning(value: str) -> None:
    """What is no positive number counts as not set, and never more than the CPUs that the process may use."""
    want = _python(THREADS)
    assert _python(THREADS, FASTNN_NUM_THREADS=value) == want
    assert 1 <= int(want) <= CPUS


def test_affinity() -> None:
    """A process that may use one CPU uses one thread, whatever the variables ask for."""
    cpu = str(min(os.sched_getaffinity(0)))
    assert _python(THREADS, cpus=cpu) == "1"
    assert _python(THREADS, cpus=cpu, FASTNN_NUM_THREADS="7") == "1"


@pytest.mark.parametrize("name", fastnn.supported_isas())
def test_forced_isa(name: str) -> None:
    """FASTNN_ISA decides which code runs."""
    script = "import fastnn; print(fastnn.isa(), fastnn.show_config()['isa'])"
    assert _python(script, FASTNN_ISA=name) == f"{name} {name}"


def test_best_isa_is_the_default() -> None:
    """Not set, or set to nothing: the last of those supported."""
    best = fastnn.supported_isas()[-1]
    assert _python("import fastnn; print(fastnn.isa())") == best
    assert _python("import fastnn; print(fastnn.isa())", FASTNN_ISA="") == best


def test_impossible_isa_fails_the_import() -> None:
    """The sentence names those possible."""
    script = """
try:
    import fastnn
except Exception as error:
    print(error)
"""
    message = _python(script, FASTNN_ISA="sse9")
    assert "got 'sse9', want" in message and message.endswith(", ".join(fastnn.supported_isas()))
