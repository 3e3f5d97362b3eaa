"""Training kernels for neural nets on a CPU: fused, threaded, with the same bits on every ISA and thread count."""

from typing import TYPE_CHECKING, Any

from fastnn import _core, functional, init, nn, optim, random
from fastnn._config import (
    get_cmake_dir,
    get_include,
    get_num_threads,
    isa,
    register_threadpoolctl,
    set_num_threads,
    show_config,
    supported_isas,
    use_isa,
)
from fastnn._memory import empty_cache, memory_stats, set_cache_limit
from fastnn.random import Generator, manual_seed

if TYPE_CHECKING:
    from fastnn.training import Trainer

__version__ = _core.build_info()["version"]

__all__ = [
    "Generator",
    "Trainer",
    "empty_cache",
    "functional",
    "get_cmake_dir",
    "get_include",
    "get_num_threads",
    "init",
    "isa",
    "manual_seed",
    "memory_stats",
    "nn",
    "optim",
    "random",
    "register_threadpoolctl",
    "set_cache_limit",
    "set_num_threads",
    "show_config",
    "supported_isas",
    "use_isa",
]


def __getattr__(name: str) -> Any:
    """The Trainer, which who wants the kernels alone need not import."""
    if name == "Trainer":
        from fastnn.training import Trainer

        return Trainer
    raise AttributeError(f"module 'fastnn' has no attribute {name!r}")
