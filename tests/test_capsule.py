"""A module in C that was built against another version of the table is refused when it is imported."""

import importlib.util
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from support import running

import fastnn

MODULE = """
#include <fastnn.h>
static PyObject* threads(PyObject* module, PyObject* n) {
  (void)module;
  fastnn_kernels->set_num_threads((int)PyLong_AsLong(n));
  return PyLong_FromLong(fastnn_kernels->get_num_threads());
}
static PyMethodDef methods[] = {{"threads", threads, METH_O, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "module", NULL, -1, methods, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit_module(void) { return fastnn_import() ? NULL : PyModule_Create(&definition); }
"""


@pytest.fixture
def built(tmp_path: Path) -> Callable[[int, int], ModuleType]:
    """built(major, minor): the module, imported, made with the headers of that version."""
    cc = shutil.which("cc") or pytest.skip("no C compiler here")
    shutil.copytree(fastnn.get_include(), tmp_path / "include")
    header, code, library = tmp_path / "include/fastnn.h", tmp_path / "module.c", tmp_path / "module.so"
    includes = [f"-I{folder}" for folder in (header.parent, sysconfig.get_path("include"))]
    code.write_text(MODULE)

    def build(major: int, minor: int) -> ModuleType:
        text = re.sub(r"(?<=_API_MAJOR )\d+", str(major), header.read_text())
        header.write_text(re.sub(r"(?<=_API_MINOR )\d+", str(minor), text))
        subprocess.run([cc, "-shared", "-fPIC", "-Wall", "-Werror", *includes, code, "-o", library], check=True)
        spec = importlib.util.spec_from_file_location("module", library)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return build


@pytest.mark.parametrize("version", [(2, 0), (0, 0), (1, 1)])
def test_another_version_is_refused(version: tuple[int, int], built: Callable[[int, int], ModuleType]) -> None:
    """Another major one, or a higher minor one."""
    with pytest.raises(ImportError, match=rf"got version 1\.0 of its C API, want {version[0]}\.{version[1]}; build"):
        built(*version)


def test_threads(built: Callable[[int, int], ModuleType]) -> None:
    """The package's own version is taken, and its threads are set and asked for through the table."""
    module = built(1, 0)
    with running(fastnn.isa(), fastnn.get_num_threads()):
        assert module.threads(3) == fastnn.get_num_threads() == 3
        assert module.threads(1) == fastnn.get_num_threads() == 1
