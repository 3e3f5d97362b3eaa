"""Facts about the installation: versions, folders."""

import platform
from pathlib import Path

import numpy as np

import fastnn


def test_facts_for_a_report() -> None:
    """`show_config` has the versions, and what the functions for single facts return."""
    facts = fastnn.show_config()
    assert facts["fastnn"] == fastnn.__version__ and facts["numpy"] == np.__version__
    assert facts["python"] == platform.python_version()
    assert facts["isa"] == fastnn.isa() and facts["supported_isas"] == fastnn.supported_isas()
    assert facts["threads"] == fastnn.get_num_threads()
    assert {"compiler", "build", "threads_engine", "pybind11"} <= facts.keys() and "version" not in facts


def test_folders_for_builds() -> None:
    """The header lies in `get_include()`, CMake's file in `get_cmake_dir()`; both are text."""
    assert Path(fastnn.get_include(), "fastnn.h").is_file()
    assert Path(fastnn.get_cmake_dir(), "fastnnConfig.cmake").is_file()
    assert isinstance(fastnn.get_include(), str) and isinstance(fastnn.get_cmake_dir(), str)
