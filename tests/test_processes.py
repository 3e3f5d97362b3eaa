"""Processes that have used their threads can fork, start others, be interrupted, and exit."""

from pathlib import Path

import pytest
from support import python

import fastnn

WORK = """
import os, signal, sys, threading, time
import numpy as np
import fastnn
from fastnn import functional as F
from fastnn import init

fastnn.set_num_threads(4)
x = np.random.default_rng(0).standard_normal((2000, 300))

def work():
    return F.layer_norm(x, 300).tobytes()

want = work()
"""

FORK = (
    WORK
    + """
def child():
    return 0 if all(work() == want for _ in range(20)) else 1

def fork(run=child):
    pid = os.fork()
    if pid == 0:
        os._exit(run())
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""
)


def test_fork_after_use() -> None:
    """A forked child of a process that has used its threads gets the same bits; so do its own child and its parent."""
    python("-c", FORK + "fork(); fork(lambda: fork() or child()); assert work() == want")


@pytest.mark.skipif(fastnn.show_config()["threads_engine"] == "openmp", reason="stays on one thread in a forked child")
def test_fork_starts_workers_anew() -> None:
    """The child has the thread that called fork, and three new workers, as many as its parent."""
    count = "len(os.listdir('/proc/self/task'))"
    python("-c", FORK + f"fork(lambda: {count} - 1 or child() or {count} - 4)")


def test_fork_during_use() -> None:
    """Forking while other Python threads run kernels leaves no lock behind in the child."""
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
    python("-c", FORK + script)


@pytest.mark.parametrize(
    ("pool", "method"),
    [(pool, method) for pool in ("Pool", "Executor") for method in ("fork", "forkserver", "spawn")]
    + [("joblib", "loky")],
)
def test_fifty_jobs(pool: str, method: str) -> None:
    """In every kind of process pool, after use in the parent, every job ends and has the parent's bits."""
    if pool == "joblib":
        pytest.importorskip("joblib")
    assert python(str(Path(__file__).with_name("process_jobs.py")), pool, method) == "50"


def test_share_of_a_loky_worker() -> None:
    """With as many loky workers as CPUs, each uses one thread, so that together they do not use more than there are."""
    pytest.importorskip("joblib")
    script = """
import os
import joblib, fastnn
jobs = 2 * [joblib.delayed(fastnn.get_num_threads)()]
print(max(joblib.Parallel(max(2, len(os.sched_getaffinity(0))), backend="loky")(jobs)))
"""
    assert python("-c", script) == "1"


INTERRUPTED = """
fastnn.set_num_threads(int(sys.argv[1]))
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background of a shell has it ignored
target = np.empty(8_000_000)
long_call = lambda: init.trunc_normal_(target, generator=1)
long_call()
filled = target.tobytes()
begin = time.perf_counter()
long_call()
duration = time.perf_counter() - begin
target.fill(0)
sent = []

def interrupt():
    sent.append(time.perf_counter())
    signal.raise_signal(signal.SIGINT)

timer = threading.Timer(duration / 4, interrupt)
timer.start()
begin = time.perf_counter()
try:
    {body}
    print("went on")
except KeyboardInterrupt:
    waited = time.perf_counter() - sent[0]
timer.join()
{check}
assert work() == want
print("interrupted")
"""
BODIES = {
    "calls": ("while time.perf_counter() < begin + 30: work()", "assert waited < 1, waited"),
    "one call": ("long_call()", "assert waited > duration / 4 and target.tobytes() == filled, waited / duration"),
}


@pytest.mark.parametrize("threads", ["1", "4"])
@pytest.mark.parametrize("name", BODIES)
def test_interrupt(name: str, threads: str) -> None:
    """Ctrl-C raises after the running kernel, whose result is complete, and everything still works."""
    body, check = BODIES[name]
    script = WORK + INTERRUPTED.replace("{body}", body).replace("{check}", check)
    assert python("-c", script, threads, FASTNN_ISA="base") == "interrupted"


@pytest.mark.parametrize("busy", ["work()", "init.trunc_normal_(x.repeat(3))"])
def test_exit_with_live_workers(busy: str) -> None:
    """The interpreter exits, taking its time, while a daemon thread runs kernels, many short ones or a long one."""
    script = """
class Late:
    def __del__(self): time.sleep(0.2)
late = Late()
def forever():
    while True: {busy}
threading.Thread(target=forever, daemon=True).start()
for _ in range(50): work()
"""
    python("-c", WORK + script.replace("{busy}", busy))
