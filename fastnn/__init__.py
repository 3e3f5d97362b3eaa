"""Training kernels for neural nets on a CPU: fused, threaded, with the same bits on every ISA and thread count."""

from typing import TYPE_CHECKING, Any

try:
    from fastnn import _core
except ImportError as error:
    if error.name != "fastnn":  # the compiled kernels exist, but cannot be loaded
        raise
    raise ImportError(
        f"fastnn: {__path__[0]} holds the package's sources without kernels compiled for this Python and hides an "
        "installed fastnn; run Python in another folder or with -P (PYTHONSAFEPATH=1), or compile the kernels with "
        "pip install -e .",
        name="fastnn",  # so that python -m fastnn prints this message alone
    ) from None

from fastnn import functional, init, nn, optim, random
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
from fastnn._dtype import get_default_dtype, set_default_dtype
from fastnn._memory import empty_cache, memory_stats, set_cache_limit
from fastnn.random import Generator, manual_seed

if TYPE_CHECKING:
    from fastnn.checkpoint.model import load, save
    from fastnn.training import Trainer

__version__ = _core.build_info()["version"]

__all__ = [
    "Generator",
    "Trainer",
    "empty_cache",
    "functional",
    "get_cmake_dir",
    "get_default_dtype",
    "get_include",
    "get_num_threads",
    "init",
    "isa",
    "load",
    "manual_seed",
    "memory_stats",
    "nn",
    "optim",
    "random",
    "register_threadpoolctl",
    "save",
    "set_cache_limit",
    "set_default_dtype",
    "set_num_threads",
    "show_config",
    "supported_isas",
    "use_isa",
]


def __getattr__(name: str) -> Any:
    """Import `Trainer`, `load`, `save`, or a module that the kernels do not need, when it is first accessed."""
    from importlib import import_module

    if name == "Trainer":
        return import_module("fastnn.training").Trainer
    if name in ("load", "save"):
        return getattr(import_module("fastnn.checkpoint.model"), name)
    if name in _modules():
        try:
            return import_module(f"fastnn.{name}")
        except ImportError as error:  # a package that it needs is missing; hasattr and help then still work
            raise AttributeError(str(error)) from error
    raise AttributeError(f"module 'fastnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_modules()})


def _modules() -> set[str]:
    from pkgutil import iter_modules

    return {module.name for module in iter_modules(__path__) if not module.name.startswith("_")}
