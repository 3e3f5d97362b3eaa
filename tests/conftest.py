"""Fixtures: every ISA of this machine, several thread counts."""

from collections.abc import Iterator

import pytest
from support import THREADS, running

import fastnn


@pytest.fixture(params=fastnn.supported_isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every ISA that this machine can run, in turn."""
    with running(request.param, fastnn.get_num_threads()):
        assert fastnn.isa() == request.param
        yield request.param


@pytest.fixture(params=THREADS)
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """1, 2, 3 and 7 threads, in turn."""
    with running(fastnn.isa(), request.param):
        assert fastnn.get_num_threads() == request.param
        yield request.param
