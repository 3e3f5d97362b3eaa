"""Which code runs: instruction set, threads, versions."""

import platform
from pathlib import Path
from typing import Any

import numpy as np

from fastnn import _core


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

    Raises:
        ValueError: n < 1.
    """
    _core.set_num_threads(n)


def get_include() -> str:
    """The folder of `fastnn.h`, for those who build against the C or the Cython API."""
    return str(Path(__file__).parent / "include")


def get_cmake_dir() -> str:
    """The folder of `fastnnConfig.cmake`: -Dfastnn_DIR of a CMake build that asks for find_package(fastnn CONFIG)."""
    return str(Path(__file__).parent / "cmake")


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
