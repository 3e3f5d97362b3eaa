"""The pool of memory for large results: a freed result's memory is kept and reused for the next one of its size."""

from fastnn import _core
from fastnn._checks import integer


def memory_stats() -> dict[str, int]:
    """Return the counters of the pool of blocks for results of 128 KiB and more; smaller ones use the C library's
    memory.

    Returns:
        used_blocks, used_bytes: memory of arrays that are alive.
        cached_blocks, cached_bytes: memory kept for later results.
        system_allocations: number of blocks taken from the system so far; their pages are fresh, which costs ten times
            as much as writing them. In a loop of fixed shapes this number is constant from the second step on.
        reuses: number of blocks taken from the kept memory.
        limit_bytes: the largest number of bytes that is kept; see `set_cache_limit`.
    """
    return _core.memory_stats()


def empty_cache() -> int:
    """Return all memory that is kept for later results to the system, and return the number of bytes."""
    return _core.empty_cache()


def set_cache_limit(bytes: int) -> None:
    """Keep at most this many bytes for later results from now on; 0 keeps none.

    The default is an eighth of the memory of the machine or of the process's control group. The limit does not apply to
    the memory of results that are alive.

    Raises:
        ValueError: bytes is negative or not an integer.
    """
    _core.set_cache_limit(integer("bytes", bytes, end=2**64, want="a number of bytes >= 0"))
