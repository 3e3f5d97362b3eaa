"""What PyTorch's autograd must be told."""

import sys
from collections.abc import Sequence
from typing import Any


def count_writes(tensors: Sequence[Any]) -> None:
    """Tell autograd that tensors of torch were written, so that a backward which needs their old values raises."""
    sys.modules["torch"].autograd.graph.increment_version(tensors)
