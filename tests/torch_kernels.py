"""Makes the modules of fastnn.torch run the kernels for inputs of any size, for tests."""

import pytest


def use_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set `least`, below which a module leaves its input to torch, to 0 for every class."""
    from fastnn.torch import nn

    for name in nn.__all__:
        if hasattr(getattr(nn, name), "least"):
            monkeypatch.setattr(getattr(nn, name), "least", 0)
