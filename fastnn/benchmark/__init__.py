"""Reliable timing, and the short benchmark of `python -m fastnn bench`."""

from fastnn.benchmark.timing import REST, Sample, ceiling, check, find_torch, interleave, main, stream_side

__all__ = ["REST", "Sample", "ceiling", "check", "find_torch", "interleave", "main", "stream_side"]
