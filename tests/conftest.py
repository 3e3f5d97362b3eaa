"""Fixtures: every ISA of this machine, several thread counts, a temporary directory in memory."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import THREADS, running

import fastnn


@pytest.fixture(params=fastnn.supported_isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test on every ISA that this machine supports."""
    with running(request.param, fastnn.get_num_threads()):
        assert fastnn.isa() == request.param
        yield request.param


@pytest.fixture(params=THREADS)
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Run the test with 1, 2, 3 and 7 threads."""
    with running(fastnn.isa(), request.param):
        assert fastnn.get_num_threads() == request.param
        yield request.param


@pytest.fixture
def room() -> Iterator[Path]:
    """A temporary directory, in memory if possible: for tests of what files hold, not of the disk."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as directory:
        yield Path(directory)
