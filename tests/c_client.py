"""Build clients of the C API: extension modules in C, compiled against the headers of a folder and imported."""

import ctypes
import importlib.util
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from c_api import OPTIMIZERS, Header

MODULE = """
#include <fastnn.h>
%s
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "client", NULL, -1, NULL, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit_client(void) { return fastnn_import() ? NULL : PyModule_Create(&definition); }
"""
REALS = {"f32": "float", "f64": "double", "common": ""}


def compiled(compiler: str, source: Path, *options: object) -> Path:
    """Compile a source file to a shared library beside it. Every warning is an error."""
    found = shutil.which(compiler) or pytest.skip(f"no {compiler} here")
    command = [found, "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", f"-I{sysconfig.get_path('include')}", *options]
    library = source.with_suffix(".so")
    subprocess.run([*map(str, command), source, "-o", library], check=True)
    return library


def client(include: Path, folder: Path, code: str = "", *options: str) -> ModuleType:
    """Compile `code` in the new `folder` to a C module that imports fastnn's tables, and import it."""
    folder.mkdir()
    source = folder / "client.c"
    source.write_text(MODULE % code)
    library = compiled("cc", source, f"-I{include}", *options)
    spec = importlib.util.spec_from_file_location("client", library)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def forwarders(header: Header) -> str:
    """Return C functions that call the tables' functions, and functions that return the default options."""
    lines = [f"fastnn_options {n.lower()}(void) {{ return fastnn_options_{n.lower()}(); }}" for n in OPTIMIZERS]
    for table, functions in header.tables.items():
        for name, function in functions.items():
            parameters = ", ".join(function.parameters).replace("REAL", REALS[table]) or "void"
            arguments = ", ".join(re.findall(r"\w+(?=,|$)", ", ".join(function.parameters)))
            call = f"fastnn_kernels->{table}->{name}({arguments})"
            lines.append(f"int {table}_{name}({parameters}) {{ return {call}; }}")
    return "\n".join(lines)


def exported(module: ModuleType) -> Callable[[str, str], int]:
    """Return find(table, name), the address of a client's forwarder."""
    library = ctypes.CDLL(str(module.__file__))

    def find(table: str, name: str) -> int:
        address = ctypes.cast(getattr(library, f"{table}_{name}"), ctypes.c_void_p).value
        assert address is not None
        return address

    return find
