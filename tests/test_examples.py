"""The examples for authors of other libraries build against the installed package and run."""

import importlib.util
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from threading import Thread
from types import ModuleType

import numpy as np
import pytest

import fastnn
from fastnn import functional as F

EXAMPLES = Path(__file__).parents[1] / "examples"
PAGE = EXAMPLES.parent / "docs" / "cython.md"
pytestmark = pytest.mark.skipif(not EXAMPLES.exists(), reason="the examples are not beside the tests")


def _run(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def _imported(name: str, folder: Path) -> ModuleType:
    (found,) = folder.glob(f"{name}*.so")
    spec = importlib.util.spec_from_file_location(name, found)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _built_with_cython(folder: Path, name: str) -> ModuleType:
    pytest.importorskip("Cython")
    pytest.importorskip("setuptools")
    _run(sys.executable, "setup.py", "--quiet", "build_ext", "--inplace", cwd=folder)
    return _imported(name, folder)


def _code(language: str) -> str:
    """Return all code blocks of a language on the page."""
    return "\n".join(re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL))


@pytest.fixture(scope="module")
def logistic(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    folder = tmp_path_factory.mktemp("built") / "cython"
    shutil.copytree(EXAMPLES / "cython", folder)
    return _built_with_cython(folder, "logistic")


def _problem(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((400, 5)).astype(np.float32)
    return x, (x @ [1, -2, 0, 0.5, 3] > 0).astype(np.float32)


def test_cython(logistic: ModuleType) -> None:
    x, y = _problem(0)
    weights, loss = logistic.train(x, y, 200, 0.05)
    assert ((x @ weights > 0) == (y > 0)).mean() > 0.97
    want = F.binary_cross_entropy_with_logits(x @ weights, y)[0]
    assert abs(loss - want) < 0.05 * want


def test_cython_in_threads(logistic: ModuleType) -> None:
    """Several calls at once give the same results as each alone."""
    found = {}
    threads = [Thread(target=lambda s=s: found.update({s: logistic.train(*_problem(s), 50, 0.05)})) for s in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(4):
        weights, loss = logistic.train(*_problem(seed), 50, 0.05)
        np.testing.assert_array_equal(found[seed][0], weights)
        assert found[seed][1] == loss


def test_a_call_costs_little(logistic: ModuleType) -> None:
    """A call costs little: the benchmark's bar is 60 ns over the kernel, this bound also holds on a busy machine."""
    assert min(logistic.nanoseconds_per_call(1, 100_000) for _ in range(5)) < 1000


@pytest.mark.skipif(not PAGE.exists(), reason="the documentation is not beside the tests")
def test_cython_of_the_page(tmp_path: Path) -> None:
    (tmp_path / "page.pyx").write_text(_code("cython"))
    (tmp_path / "setup.py").write_text((EXAMPLES / "cython" / "setup.py").read_text().replace("logistic", "page"))
    module = _built_with_cython(tmp_path, "page")
    x = np.random.default_rng(0).standard_normal((6, 9)).astype(np.float32)
    y, mean, rstd = np.empty_like(x), np.empty(6), np.empty(6)
    module.normalise(x, y, mean, rstd)
    np.testing.assert_array_equal(y, F.layer_norm(x, 9))


@pytest.mark.skipif(not PAGE.exists(), reason="the documentation is not beside the tests")
def test_c_of_the_page(tmp_path: Path) -> None:
    norm = "float* y, double* mean, double* rstd, const float* x, int64_t rows, int64_t columns"
    adam = (
        "float** params, float** grads, float** state, const int64_t* sizes, int64_t count, int64_t step, double memory"
    )
    code = f"int page({norm}, {adam}) {{ {_code('c')} return code; }}\n"
    (tmp_path / "page.c").write_text("#include <fastnn.h>\n" + code)
    cc = shutil.which("cc") or pytest.skip("no C compiler here")
    includes = [f"-I{folder}" for folder in (fastnn.get_include(), sysconfig.get_path("include"))]
    _run(cc, "-Wall", "-Wextra", "-Werror", "-fsyntax-only", *includes, "page.c", cwd=tmp_path)


def test_c(tmp_path: Path) -> None:
    cmake = shutil.which("cmake", path=str(Path(sys.executable).parent)) or shutil.which("cmake")
    if cmake is None:
        pytest.skip("no cmake here")
    shutil.copytree(EXAMPLES / "c", tmp_path / "c")
    ready = [f"-Dfastnn_DIR={fastnn.get_cmake_dir()}", f"-DPython_EXECUTABLE={sys.executable}"]
    _run(cmake, "-S", ".", "-B", "build", "-DCMAKE_C_FLAGS=-Wall -Wextra -Werror", *ready, cwd=tmp_path / "c")
    _run(cmake, "--build", "build", cwd=tmp_path / "c")
    module = _imported("gelu", tmp_path / "c" / "build")
    x = np.linspace(-3, 3, 50, dtype=np.float32)
    want = F.gelu(x)
    module.gelu(x)
    np.testing.assert_array_equal(x, want)
    with pytest.raises(TypeError, match="buffer: got another format"):
        module.gelu(np.zeros(3))
