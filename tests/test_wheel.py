"""The installed package is a small file without bundled libraries, needs only NumPy, and imports quickly.

FASTNN_WHEEL is the wheel that was installed; `make wheel-test` sets it. Without it, tests of the file are skipped.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from importlib import metadata
from pathlib import Path

import pytest

import fastnn

WHEEL = Path(os.environ.get("FASTNN_WHEEL", ""))
SDISTS = list(WHEEL.parent.glob("fastnn-*.tar.gz")) if WHEEL.name else []
LARGEST = 2_000_000
# Shortest of seven imports, beyond `import numpy`, as other processes may run. Measured: 26 to 44 ms, by machine.
SECONDS = 0.050
LIBRARIES = {"libc", "libm", "libstdc++", "libgcc_s", "libpthread", "ld-linux-x86-64", "ld-linux-aarch64"}
USERS = {"demo", "plot", "torch", "all"}

of_the_file = pytest.mark.skipif(not WHEEL.name, reason="FASTNN_WHEEL is not set: `make wheel-test` tests the wheel")


@of_the_file
def test_the_package_is_imported_from_the_wheel() -> None:
    """The package is imported from site-packages, and the wheel has a platform tag with which others can install it."""
    assert Path(fastnn.__file__).is_relative_to(sysconfig.get_path("platlib"))
    assert re.search(r"-(manylinux|macosx)_\d+_\d+_\w+\.whl$", WHEEL.name)


@of_the_file
def test_size() -> None:
    """The wheel has at most two megabytes."""
    assert WHEEL.stat().st_size <= LARGEST


@pytest.mark.skipif(not SDISTS, reason="no sdist beside the wheel")
def test_sdist_holds_what_builds_and_tests_it() -> None:
    """The sdist has everything to build and test, and nothing of a checkout's tools or results."""
    with tarfile.open(SDISTS[0]) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    files = {"CMakeLists.txt", "LICENSE", "Makefile", "PKG-INFO", "README.md", "pyproject.toml", "mkdocs.yml"}
    pages = {"CHANGELOG.md", "CONTRIBUTING.md"}
    assert {name.split("/")[0] for name in names} == files | pages | {
        "bench",
        "csrc",
        "docs",
        "examples",
        "fastnn",
        "tests",
    }
    assert [name for name in names if re.search(r"bench/results|__pycache__|\.(so|o|pyc|npz)$", name)] == []


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("readelf"), reason="no readelf on this machine")
def test_libraries() -> None:
    """Only libraries of the compiler and the C library are needed, and no OpenMP."""
    dynamic = subprocess.check_output(["readelf", "-d", fastnn._core.__file__], text=True)
    needed = re.findall(r"\(NEEDED\).*\[(.+?)\.so", dynamic)
    assert "libc" in needed and set(needed) <= LIBRARIES


def test_requirements() -> None:
    """NumPy is the only requirement; everything else is an extra."""
    about = metadata.metadata("fastnn")
    assert [r for r in about.get_all("Requires-Dist") if "extra ==" not in r] == ["numpy>=1.26"]
    assert set(about.get_all("Provides-Extra")) >= USERS


def test_import_time() -> None:
    """The time excludes NumPy, which users import anyway, and is measured with bytecode, as installers leave it."""
    code = "import numpy, time; begin = time.process_time(); import fastnn; print(time.process_time() - begin)"
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    times = [float(subprocess.check_output([sys.executable, "-c", code], env=variables)) for _ in range(7)]
    assert min(times) <= SECONDS, times
