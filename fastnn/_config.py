"""Reports and sets the code that runs: instruction set, threads, versions."""

import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np

from fastnn import _core
from fastnn._checks import integer


def isa() -> str:
    """Return the instruction set that the kernels use now: base, avx2 or avx512."""
    return _core.isa()


def supported_isas() -> tuple[str, ...]:
    """Return the instruction sets that this machine can run, from the most basic to the fastest."""
    return _core.supported_isas()


def use_isa(name: str) -> None:
    """Use another instruction set from now on; results keep their bits. FASTNN_ISA does the same at import.

    Raises:
        ValueError: this machine cannot run that instruction set; the message lists those it can run.
    """
    _core.use_isa(name)


def get_num_threads() -> int:
    """Return the number of threads that a large kernel uses, including the caller's."""
    return _core.get_num_threads()


def set_num_threads(n: int) -> None:
    """Use `n` threads from now on; results keep their bits.

    The default is the smallest of three numbers: the CPUs that the process may use, its cgroup's quota, and
    FASTNN_NUM_THREADS or, if that is not set, OMP_NUM_THREADS.

    `threadpoolctl.threadpool_limits` limits this number too, for user_api "fastnn" or for all, once
    `register_threadpoolctl` has been called.

    Raises:
        ValueError: n < 1.
    """
    _core.set_num_threads(integer("n", n, 1))


def get_include() -> str:
    """Return the folder of `fastnn.h`, for builds against the C or the Cython API."""
    return str(Path(__file__).parent / "include")


def get_cmake_dir() -> str:
    """Return the folder of `fastnnConfig.cmake`: -Dfastnn_DIR in a CMake build with find_package(fastnn CONFIG)."""
    return str(Path(__file__).parent / "cmake")


def register_threadpoolctl() -> None:
    """Register fastnn with threadpoolctl, whose `threadpool_info` and `threadpool_limits` then know user_api "fastnn".

    Importing fastnn does this if threadpoolctl has already been imported, by you or by scikit-learn. If threadpoolctl
    may be imported later, call this function. A second call changes nothing.

    Raises:
        ImportError: threadpoolctl is missing, or older than 3.2.
    """
    try:
        from fastnn import _threadpoolctl  # noqa: F401
    except ImportError as error:
        raise ImportError(f"threadpoolctl: got {error}, want 3.2 or newer; pip install -U threadpoolctl") from error


if hasattr(sys.modules.get("threadpoolctl"), "register"):
    register_threadpoolctl()


def show_config() -> dict[str, Any]:
    """Return the facts for a bug report: versions, instruction sets, threads, build."""
    build = _core.build_info()
    return {
        "fastnn": build.pop("version"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "isa": isa(),
        "supported_isas": supported_isas(),
        "threads": get_num_threads(),
        **build,
    }
