"""Reports writes into tensors to PyTorch's autograd."""

import sys
from collections.abc import Sequence
from typing import Any


def count_writes(tensors: Sequence[Any]) -> None:
    """Tell autograd that torch tensors were written to, so that a backward pass that needs their old values raises."""
    sys.modules["torch"].autograd.graph.increment_version(tensors)
