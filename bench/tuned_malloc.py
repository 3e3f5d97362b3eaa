"""Times NumPy and PyTorch operations that allocate their results, with a malloc that keeps large blocks for reuse.

    python bench/tuned_malloc.py THREADS ELEMENTS

prints {operation: {"numpy": seconds, "torch": seconds}} as JSON. glibc reads its malloc settings only when a process
starts, so the program restarts itself with them.
"""

import json
import os
import sys

import machine

from fastnn.benchmark import find_torch, interleave
from fastnn.benchmark.cases import CASES

SETTINGS = {"MALLOC_MMAP_THRESHOLD_": "2000000000", "MALLOC_TRIM_THRESHOLD_": "4000000000"}


def main(threads: int, elements: int) -> None:
    """Time every case that writes a new array."""
    torch = find_torch()
    times: dict[str, dict[str, float]] = {}
    with machine.threads(threads):
        for name, make in CASES.items():
            case = make(elements, torch)
            updated, written, read = case.pattern
            if not updated and written and read:
                peers = {side: call for side, call in case.sides.items() if side != "fastnn"}
                times[name] = {side: sample.median for side, sample in interleave(peers, 0.2, rounds=3).items()}
    print(json.dumps(times))


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in SETTINGS.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | SETTINGS)
    main(int(sys.argv[1]), int(sys.argv[2]))
