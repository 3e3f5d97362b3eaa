"""The default dtype: what layers get without a dtype of their own."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import data, nn


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Restore the default dtype after the test."""
    yield
    fastnn.set_default_dtype(np.float32)


MAKERS = {
    "Linear": lambda **d: nn.Linear(3, 2, **d),
    "BatchNorm1d": lambda **d: nn.BatchNorm1d(3, **d),
    "BatchNorm2d": lambda **d: nn.BatchNorm2d(3, **d),
    "LayerNorm": lambda **d: nn.LayerNorm(3, **d),
    "Normalize": lambda **d: data.Normalize(3, **d),
}


def dtypes(module: nn.Module) -> set[Any]:
    """Return the dtypes of all floating-point entries of a state."""
    return {array.dtype for array in module.state_dict().values() if array.dtype.kind == "f"}


@pytest.mark.parametrize("name", MAKERS)
def test_layers_follow_the_default(name: str) -> None:
    """float32 at first; an explicit dtype wins; existing layers keep theirs."""
    make = MAKERS[name]
    assert fastnn.get_default_dtype() == np.float32
    early = make()
    fastnn.set_default_dtype("float64")
    assert fastnn.get_default_dtype() == np.dtype(np.float64)
    assert dtypes(early) == {np.dtype(np.float32)} and dtypes(make()) == dtypes(make(dtype=None)) == {np.dtype("f8")}
    assert dtypes(make(dtype=np.float32)) == {np.dtype(np.float32)}
    fastnn.set_default_dtype(np.dtype(np.float32))
    assert dtypes(make()) == {np.dtype(np.float32)} and dtypes(make(dtype=np.float64)) == {np.dtype(np.float64)}


@pytest.mark.parametrize("wrong", [np.float16, None, ">f4", "f2", "nonsense", np.int64, object(), 4, np.longdouble])
def test_other_dtypes_are_refused(wrong: Any) -> None:
    """The default stays as it is; layers refuse the same dtypes, except None, which stands for the default."""
    fastnn.set_default_dtype(np.float64)
    with pytest.raises(TypeError, match=r"^dtype: got .*, want float32 or float64; .* pass np.float32"):
        fastnn.set_default_dtype(wrong)
    assert fastnn.get_default_dtype() == np.float64
    for make in MAKERS.values() if wrong is not None else ():
        with pytest.raises(TypeError, match=r"^dtype: got .*, want float32 or float64"):
            make(dtype=wrong)
