"""Which code runs: instruction set, threads, versions."""

import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np

from fastnn import _core
from fastnn._checks import integer


def isa() -> str:
    """The instruction set that the kernels use now: base, avx2 or avx512."""
    return _core.isa()


def supported_isas() -> tuple[str, ...]:
    """The instruction sets that this machine can run, from the plainest to the best."""
    return _core.supported_isas()


def use_isa(name: str) -> None:
    """Use another instruction set from now on; results keep their bits. FASTNN_ISA does the same at import.

    Raises:
        ValueError: one that this machine cannot run; the sentence names those it can.
    """
    _core.use_isa(name)


def get_num_threads() -> int:
    """How many threads a large kernel uses, the caller's included."""
    return _core.get_num_threads()


def set_num_threads(n: int) -> None:
    """Use `n` threads from now on; results keep their bits.

    The default is the least of the CPUs that the process may use, its cgroup's quota, and FASTNN_NUM_THREADS or else
    OMP_NUM_THREADS.

    `threadpoolctl.threadpool_limits` limits this number too, for user_api "fastnn" or for all, once
    `register_threadpoolctl` has been called.

    Raises:
        ValueError: n < 1.
    """
    _core.set_num_threads(integer("n", n, 1))


def get_include() -> str:
    """The folder of `fastnn.h`, for those who build against the C or the Cython API."""
    return str(Path(__file__).parent / "include")


def get_cmake_dir() -> str:
    """The folder of `fastnnConfig.cmake`: -Dfastnn_DIR of a CMake build that asks for find_package(fastnn CONFIG)."""
    return str(Path(__file__).parent / "cmake")


def register_threadpoolctl() -> None:
    """Have threadpoolctl's `threadpool_info` list fastnn, and `threadpool_limits` limit it, as user_api "fastnn".

    Importing fastnn does this where threadpoolctl has been imported before, by you or by scikit-learn. It neither
    imports threadpoolctl nor waits for it, so where that may come later, call this: then the order does not matter. A
    second call changes nothing.

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
    """What a bug report needs: versions, instruction sets, threads, the BLAS of numpy.matmul, how this was built."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    build = _core.build_info()
    return {
        "fastnn": build.pop("version"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": f"{blas.get('name')} {blas.get('version')}",
        "isa": isa(),
        "supported_isas": supported_isas(),
        "threads": get_num_threads(),
        **build,
    }
