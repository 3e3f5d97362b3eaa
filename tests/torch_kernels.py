"""Makes the functions and modules of fastnn.torch run the kernels for inputs of any size, for tests."""

import pytest


def use_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set every size below which torch's own code runs to 0."""
    from fastnn.torch.limits import LEAST

    for name in LEAST:
        monkeypatch.setitem(LEAST, name, (0, 0))
