"""Run fifty jobs in two processes after parallel work in the parent; print how many gave the parent's bits.

    python process_jobs.py Pool|Executor fork|forkserver|spawn
    python process_jobs.py joblib loky

This is a file and not a string in tests/test_processes.py, because spawned processes import it.
"""

import hashlib
import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from importlib import import_module

import numpy as np

import fastnn
from fastnn import functional as F

SEEDS = range(50)
PROCESSES = 2


def digest(seed: int) -> str:
    """Return the hash of a normalised array that is large enough to use threads."""
    x = np.random.default_rng(seed).standard_normal((1000, 300))
    return hashlib.sha256(F.layer_norm(x, 300)).hexdigest()


def job(seed: int) -> list[str]:
    """Compute the digest in three Python threads at once, each of which uses four threads of fastnn."""
    fastnn.set_num_threads(4)
    with ThreadPoolExecutor(3) as threads:
        return list(threads.map(digest, [seed] * 3))


def _pool(method: str) -> list[list[str]]:
    context = multiprocessing.get_context(method)
    context.set_forkserver_preload(["fastnn"])
    with context.Pool(PROCESSES) as pool:
        return pool.map(job, SEEDS, chunksize=1)


def _executor(method: str) -> list[list[str]]:
    with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context(method)) as pool:
        return list(pool.map(job, SEEDS))


def _joblib(backend: str) -> list[list[str]]:
    joblib = import_module("joblib")
    return list(joblib.Parallel(PROCESSES, backend=backend)(joblib.delayed(job)(seed) for seed in SEEDS))


POOLS: dict[str, Callable[[str], list[list[str]]]] = {"Pool": _pool, "Executor": _executor, "joblib": _joblib}

if __name__ == "__main__":
    fastnn.set_num_threads(4)
    want = [[digest(seed)] * 3 for seed in SEEDS]
    got = POOLS[sys.argv[1]](sys.argv[2])
    print(sum(a == b for a, b in zip(got, want, strict=True)))
    assert [[digest(seed)] * 3 for seed in SEEDS] == want
