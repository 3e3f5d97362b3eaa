"""Fixtures: every ISA of this machine, several thread counts, a directory in memory."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

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


@pytest.fixture
def room() -> Iterator[Path]:
    """A directory, in memory if there is one: for tests that ask what a file is, not what a disk does."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as directory:
        yield Path(directory)
