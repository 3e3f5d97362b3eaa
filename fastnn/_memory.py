"""The memory behind large results: kept when a result is let go, and used again for the next one of its size."""

from fastnn import _core
from fastnn._checks import integer


def memory_stats() -> dict[str, int]:
    """What the pool of blocks behind results of 128 KiB and more does; smaller ones come from the C library.

    Returns:
        used_blocks, used_bytes: behind arrays that are alive.
        cached_blocks, cached_bytes: kept for later results.
        system_allocations: how many blocks came from the system so far, whose pages are fresh and cost ten times what
            writing them does. In a loop of fixed shapes it stands still from the second step on.
        reuses: how many came from what was kept.
        limit_bytes: the most that is kept; see `set_cache_limit`.
    """
    return _core.memory_stats()


def empty_cache() -> int:
    """Give all memory that is kept for later results back to the system, and return how many bytes that were."""
    return _core.empty_cache()


def set_cache_limit(bytes: int) -> None:
    """Keep at most so many bytes for later results from now on; 0 keeps none.

    The default is an eighth of the memory that the machine, or the process's control group, has. It has no say in how
    much memory results take while they are alive.

    Raises:
        ValueError: bytes < 0, or no integer.
    """
    _core.set_cache_limit(integer("bytes", bytes, end=2**64, want="a number of bytes >= 0"))
