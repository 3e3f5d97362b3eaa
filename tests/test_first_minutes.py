"""The first minutes with the package: imports in a checkout, and the names that the documentation uses."""

import importlib
import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastnn

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
FILES = {"h"}  # fastnn.h
FACES = ["functional", "random", "init", "optim", "optim.lr_scheduler", "nn", "data", "training", "training.callbacks"]
MODULES = ["fastnn", *(f"fastnn.{face}" for face in FACES)]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package's sources, without compiled modules."""
    folder = tmp_path_factory.mktemp("checkout")
    unwanted = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(Path(fastnn.__file__).parent, folder / "fastnn", ignore=unwanted)
    return folder


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this Python in a folder."""
    return subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [("-c", "import fastnn"), ("-m", "fastnn", "info"), ("-m", "fastnn")])
def test_sources_that_hide_the_package(sources: Path, arguments: tuple[str, ...]) -> None:
    """The error is one sentence with the remedy. -S keeps an editable installation from finding its own kernels."""
    done = python(sources, "-ES", *arguments)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and "circular" not in done.stderr
    assert f"fastnn: {sources / 'fastnn'} holds the package's sources without kernels compiled for this Python" in last
    assert (
        "run Python in another folder or with -P (PYTHONSAFEPATH=1), or compile the kernels with pip install -e ."
        in last
    )
    assert arguments[0] == "-c" or len(done.stderr.splitlines()) == 1


def test_the_remedy(sources: Path) -> None:
    """With -P, Python finds the installed package in the same folder."""
    done = python(sources, "-P", "-m", "fastnn", "info")
    assert (done.returncode, done.stderr) == (0, "") and f"threads:{'':9}" in done.stdout


def test_kernels_that_cannot_be_loaded(sources: Path) -> None:
    """The loader's error message is passed on."""
    suffix = subprocess.check_output(
        [sys.executable, "-c", "import sysconfig; print(sysconfig.get_config_var('EXT_SUFFIX'))"], text=True
    )
    broken = sources / f"fastnn/_core{suffix.strip()}"
    broken.write_bytes(b"no library")
    done = python(sources, "-ES", "-c", "import fastnn")
    broken.unlink()
    assert broken.name in done.stderr.splitlines()[-1] and "got the sources" not in done.stderr


@pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="no documentation beside the tests")
def test_names_in_the_documentation() -> None:
    """Every `fastnn.name` on a page exists after `import fastnn`."""
    names = {name for page in PAGES for name in re.findall(r"(?<![\w/.-])fastnn\.([A-Za-z]\w*)", page.read_text())}
    assert {"Trainer", "data", "plot", "report", "torch", "training"} <= names
    assert names - FILES - set(dir(fastnn)) == set()


def test_modules_come_when_they_are_asked_for() -> None:
    """`import fastnn` imports neither training, matplotlib nor torch; `dir` and attributes have all modules."""
    code = (
        "import sys, fastnn; before = set(sys.modules); names = dir(fastnn); assert 'torch' in names; "
        "assert not {'fastnn.training', 'fastnn.plot', 'fastnn.torch', 'matplotlib', 'torch'} & set(sys.modules); "
        "assert fastnn.plot is sys.modules['fastnn.plot'] and fastnn.Trainer is fastnn.training.Trainer; "
        "assert 'matplotlib' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_module_whose_package_is_missing() -> None:
    """A module whose package is missing is no attribute for `hasattr` and `help`; its import says what to install."""
    code = (
        "import inspect, sys; sys.modules['torch'] = None; import fastnn; "
        "assert not hasattr(fastnn, 'torch'); assert dict(inspect.getmembers(fastnn))['nn'] is fastnn.nn\n"
        "try: fastnn.torch\n"
        "except AttributeError as error: assert \"pip install 'fastnn[torch]'\" in str(error)\n"
        "try: from fastnn import torch\n"
        "except ImportError as error: assert \"pip install 'fastnn[torch]'\" in str(error)\n"
        "else: sys.exit(1)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("module", MODULES)
def test_a_star_import_has_every_public_name(module: str) -> None:
    """`from module import *` has every class and function of fastnn that the module has without an underscore."""
    package = importlib.import_module(module)
    exported: dict[str, object] = {}
    exec(f"from {module} import *", exported)
    for name in dir(package):
        value = getattr(package, name, None)  # None is a module whose package is not installed
        own = getattr(value, "__module__", "") or ""
        if name[0] != "_" and callable(value) and own.startswith("fastnn"):
            assert exported.get(name) is value, name


def test_unknown_names() -> None:
    """An unknown name raises an ordinary AttributeError."""
    with pytest.raises(AttributeError, match="module 'fastnn' has no attribute 'Trainr'"):
        fastnn.Trainr  # noqa: B018
    assert all(name in dir(fastnn) for name in fastnn.__all__) and inspect.ismodule(fastnn.data)
