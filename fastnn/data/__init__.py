"""Data sets that need no download."""

from fastnn.data.digits import load_digits

__all__ = ["load_digits"]
