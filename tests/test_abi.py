"""Modules compiled against an older header of the C API must run; modules that cannot run must be refused.

tests/abi holds the headers of released versions.
"""

import ctypes
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from c_api import (
    ACTIVATIONS,
    HEADER,
    HERE,
    INCLUDE,
    OPTIMIZERS,
    RELEASED,
    TABLES,
    Face,
    Functions,
    Header,
    api,
    structure,
)
from c_client import client, compiled, exported, forwarders
from kernels import C_CASES

import fastnn
from fastnn import _core, cython_api, optim

OPTIONS_H = Path(__file__).parents[1] / "csrc" / "capi" / "options.h"
MAJOR, MINOR = HEADER.version
INVALID = HEADER.constants["FASTNN_INVALID"]
each_release = pytest.mark.parametrize("folder", RELEASED, ids=[folder.name for folder in RELEASED])

# A table of the newer version: the functions of the installed one, and the new ones.
NEWER = """
static int later(void) { return 42; }
static fastnn_f32 f32;
static fastnn_common common;
static fastnn_api newer;
void* table(void) {
  memcpy(&f32, fastnn_kernels->f32, fastnn_kernels->f32_size);
  memcpy(&common, fastnn_kernels->common, fastnn_kernels->common_size);
  memcpy(&newer, fastnn_kernels, fastnn_kernels->api_size);
  newer.minor = FASTNN_API_MINOR;
  newer.api_size = sizeof newer, newer.f32_size = sizeof f32, newer.common_size = sizeof common;
  newer.f32 = &f32, newer.common = &common;
  f32.later = common.later_too = later;
  return &newer;
}
int old(void) { return FASTNN_HAS(f32, rmsprop) && FASTNN_HAS(common, set_num_threads) && FASTNN_HAS(api, common); }
int new(void) { return FASTNN_HAS(f32, later) || FASTNN_HAS(common, later_too) || FASTNN_HAS(api, later_size); }
"""
READ = """
#include "capi/options.h"
extern "C" int read_given(const fastnn_options* given, fastnn_options* all) {
  fastnn_options room;
  const fastnn_options* found = fastnn::read_options(*given, room);
  if (found) *all = *found;
  return found != nullptr;
}
"""


def _changed(folder: Path, changes: dict[str, str]) -> Path:
    """Copy the installed header to `folder`, with every match of a pattern replaced."""
    shutil.copytree(INCLUDE, folder)
    for path in folder.iterdir():
        text = path.read_text()
        for pattern, replacement in changes.items():
            text = re.sub(pattern, replacement, text)
        path.write_text(text)
    return folder


def _version(major: int, minor: int) -> dict[str, str]:
    return {r"(?<=_API_MAJOR )\d+": str(major), r"(?<=_API_MINOR )\d+": str(minor)}


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """The header of the next minor version, with one more function per table and one more field in options and api."""
    more = [f"FASTNN_FUNCTION({len(HEADER.tables['f32'])}, later, (void))"]
    more += [f"FASTNN_COMMON({len(HEADER.tables['common'])}, later_too, (void))"]
    changes = {
        r"(?=#undef FASTNN_FUNCTION)": "\n".join([*more, ""]),
        r"(?=\} fastnn_options;)": "  double later;\n",
        r"(?=  return options;\n\}\nstatic inline fastnn_options fastnn_options_sgd)": "  options.later = 7;\n",
        r"(?=\} fastnn_api;)": "  uint64_t later_size;\n",
    }
    return _changed(tmp_path / "newer", changes | _version(MAJOR, MINOR + 1))


@each_release
def test_released_functions_stay(folder: Path) -> None:
    """Released functions keep their numbers and their parameters."""
    for table, functions in Header(folder).tables.items():
        assert {name: HEADER.tables[table].get(name) for name in functions} == functions


def test_numbers_have_no_hole() -> None:
    """The numbers have no gaps; the compiler asserts that a number is the function's place in its table."""
    for functions in HEADER.tables.values():
        assert [f.number for f in functions.values()] == list(range(len(functions)))


@each_release
def test_released_constants_and_fields_stay(folder: Path) -> None:
    """Released constants and fields stay; fastnn_random is passed by value, so it cannot grow."""
    released = Header(folder)
    assert released.constants.items() <= HEADER.constants.items()
    for name, fields in released.structs.items():
        assert HEADER.structs[name][: len(fields)] == fields
    assert HEADER.structs["fastnn_random"] == released.structs["fastnn_random"]


def test_what_is_new_has_a_new_version() -> None:
    """The installed header equals the newest one in tests/abi, unless its version is higher."""
    newest = Header(RELEASED[-1])
    assert HEADER.version >= newest.version
    if HEADER.version == newest.version:
        assert (HEADER.tables, HEADER.constants, HEADER.structs) == (newest.tables, newest.constants, newest.structs)


def test_structs_have_no_padding() -> None:
    """Structs have no padding, because a field added into padding would not change the struct's size."""
    for fields in HEADER.structs.values():
        struct = structure(fields)
        assert ctypes.sizeof(struct) == sum(ctypes.sizeof(kind) for _, kind in struct._fields_)


def test_the_capsule_has_the_sizes_of_its_tables() -> None:
    found = api()
    assert (found.major, found.minor, found.api_size) == (MAJOR, MINOR, ctypes.sizeof(found))
    for table, functions in HEADER.tables.items():
        assert getattr(found, f"{table}_size") == ctypes.sizeof(ctypes.c_void_p) * len(functions)


def _cython_functions() -> dict[str, str]:
    """Return the signatures by name, without the second, typed names that Cython gives fused functions from 3.3 on."""
    text = ctypes.pythonapi.PyCapsule_GetName
    text.restype, text.argtypes = ctypes.c_char_p, (ctypes.py_object,)
    return {name: text(found).decode() for name, found in cython_api.__pyx_capi__.items() if "[" not in name}


@each_release
def test_released_cython_functions_stay(folder: Path) -> None:
    """Released signatures must not change: a module that cimports functions checks them when it is imported."""
    lines = (folder / "cython.txt").read_text().splitlines()
    assert dict(line.split(" ", 1) for line in lines).items() <= _cython_functions().items()


def test_cython_has_what_the_header_has() -> None:
    """The Cython API has everything that the header has, and no class, whose methods Cython would not check."""
    declared = Path(cython_api.__file__).with_name("cython_api.pxd").read_text()
    assert not re.search(r"\bclass\b", declared)
    names = [*HEADER.constants, *(f"fastnn_options_{name.lower()}" for name in OPTIMIZERS)]
    for struct in ("fastnn_random", "fastnn_options"):
        names += [struct, *(name for _, name in HEADER.structs[struct])]
    assert [name for name in names if not re.search(rf"^    .*\b{name}\b", declared, re.M)] == []
    real, common = HEADER.tables["f32"], HEADER.tables["common"]
    assert set(_cython_functions()) == {f"__pyx_fuse_{i}{name}" for name in real for i in (0, 1)} | set(common)


@pytest.mark.parametrize("version", [(MAJOR + 1, 0), (MAJOR - 1, 0), (MAJOR, MINOR + 1)])
def test_another_version_is_refused(version: tuple[int, int], tmp_path: Path) -> None:
    """A client that needs another major version, or a newer minor version, is refused."""
    want = (
        rf"got version {MAJOR}\.{MINOR} of its C API, want {version[0]}\.{version[1]} or a later {version[0]}\.x; inst"
    )
    with pytest.raises(ImportError, match=want):
        client(_changed(tmp_path / "include", _version(*version)), tmp_path / "client")


def test_a_newer_client_asks_what_is_there(newer: Path, tmp_path: Path) -> None:
    module = client(newer, tmp_path / "client", NEWER, "-DFASTNN_API_MINOR_NEEDED=0")
    library = ctypes.CDLL(str(module.__file__))
    assert (library.old(), library.new()) == (1, 0)
    library.table.restype = ctypes.c_void_p
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_core, "api", _capsule(library.table()))
        module = client(newer, tmp_path / "another", NEWER)
    library = ctypes.CDLL(str(module.__file__))
    assert (library.old(), library.new()) == (1, 1)


def _capsule(pointer: int) -> Any:
    make = ctypes.pythonapi.PyCapsule_New
    make.restype, make.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    return make(pointer, b"fastnn._core.api", None)


@each_release
def test_an_older_client_runs_with_a_newer_table(
    folder: Path, newer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = ctypes.CDLL(str(client(newer, tmp_path / "table", NEWER, "-DFASTNN_API_MINOR_NEEDED=0").__file__))
    library.table.restype = ctypes.c_void_p
    monkeypatch.setattr(_core, "api", _capsule(library.table()))
    assert api().minor == MINOR + 1
    header = Header(folder)
    face = Face(header, exported(client(folder, tmp_path / "client", forwarders(header))))
    rng = np.random.default_rng(0)
    got, want = C_CASES["layer_norm"](Functions("f32", face), lambda *shape: rng.standard_normal(shape, np.float32))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)
    assert Functions("common", face).code("get_num_threads") == fastnn.get_num_threads()


@pytest.mark.skipif(not OPTIONS_H.exists(), reason="the sources are not beside the tests")
@each_release
def test_options_of_an_older_client(folder: Path, newer: Path, tmp_path: Path) -> None:
    """A newer library reads only the fields that the client has, and otherwise uses defaults, whatever follows them."""
    (tmp_path / "read.cpp").write_text(READ)
    includes = f"-I{newer}", f"-I{OPTIONS_H.parents[1]}"
    read = ctypes.CDLL(str(compiled("c++", tmp_path / "read.cpp", "-std=c++20", *includes))).read_given
    known, now = Header(folder).structs["fastnn_options"], Header(newer).structs["fastnn_options"]
    Older, Newer = structure(known), structure(now)
    given, found = Newer(*range(100, 100 + len(now))), Newer()
    given.struct_size = ctypes.sizeof(Older)
    assert read(ctypes.byref(given), ctypes.byref(found))
    assert [getattr(found, name) for _, name in known] == [getattr(given, name) for _, name in known]
    assert found.later == 7
    given.struct_size = ctypes.sizeof(Newer)
    assert read(ctypes.byref(given), ctypes.byref(found)) and found.later == given.later
    given.struct_size += 8
    assert not read(ctypes.byref(given), ctypes.byref(found))


@pytest.mark.parametrize("table", ["f32", "f64"])
@pytest.mark.parametrize("size", [0, 8, 120, 136, 2**64 - 1])
def test_options_of_unknown_size_are_refused(size: int, table: str) -> None:
    """Options from a newer client, or never initialised ones, are refused, and nothing is written."""
    arrays = [np.full(3, 0.5, np.float32 if table == "f32" else np.float64) for _ in range(5)]
    memory, options = np.ones(1), TABLES.options(struct_size=size, lr=1, momentum=0.5, gradient_scale=1, zero_grad=1)
    for name in {name.lower() for name in OPTIMIZERS} - {"adamw"}:
        arguments = arrays[:1], arrays[1:2], arrays[2:], np.array([3]), 1, 1, memory, options
        assert Functions(table).code(name, *arguments) == INVALID
    assert all((array == 0.5).all() for array in arrays) and memory == 1


@pytest.mark.parametrize("table", ["f32", "f64"])
@pytest.mark.parametrize("kind", [-1, len(ACTIVATIONS), 256, 2**31 - 1, -(2**31)])
def test_unknown_activations_are_refused(kind: int, table: str) -> None:
    """Unknown activations are refused and nothing is written; 256 is FASTNN_IDENTITY in its lowest byte."""
    c, x = Functions(table), np.full(6, 0.5, np.float32 if table == "f32" else np.float64)
    y, b = np.full_like(x, 7), np.full_like(x, 7)
    assert c.code("activation", y, x, 6, kind, 0.0, 0.0) == INVALID
    assert c.code("activation_backward", y, x, x, 6, kind, 0.0, 0.0) == INVALID
    assert c.code("bias_activation", y, x, x, 1, 6, kind, 0.0, 0.0, 0.5, HERE) == INVALID
    assert c.code("bias_activation_backward", y, b, x, x, x, 1, 6, kind, 0.0, 0.0, 0.5, HERE) == INVALID
    assert (y == 7).all() and (b == 7).all()


@pytest.mark.parametrize("table", ["f32", "f64"])
def test_probabilities_at_the_ends(table: str) -> None:
    """p = 0 drops nothing, and p = 1 everything, forward and backward."""
    c, x = Functions(table), np.arange(1, 7, dtype=np.float32 if table == "f32" else np.float64)
    identity, zeros = HEADER.constants["FASTNN_IDENTITY"], np.zeros_like(x)
    for p, want in ((0.0, x), (1.0, zeros)):
        y, dx, db = np.full_like(x, 7), np.full_like(x, 7), np.full_like(x, 7)
        c.bias_activation(y, x, zeros, 1, 6, identity, 0.0, 0.0, p, HERE)
        c.bias_activation_backward(dx, db, x, x, zeros, 1, 6, identity, 0.0, 0.0, p, HERE)
        assert (y == want).all() and (dx == want).all() and (db == want).all()


def test_activations_are_those_of_the_header() -> None:
    numbers = [HEADER.constants[f"FASTNN_{name.upper()}"] for name in ACTIVATIONS]
    assert numbers == list(range(len(ACTIVATIONS)))


# Sizes for which a call's scratch memory would not fit into an address space; x and y have 2 elements.
HUGE = 2**57
WITHOUT_MEMORY: dict[str, Callable[[Any, Any, Any], tuple[Any, ...]]] = {
    "bias_activation_backward": lambda y, d, x: (y, y, x, x, x, 1, HUGE, 1, 0.0, 0.0, 0.0, HERE),
    "layer_norm_backward": lambda y, d, x: (y, y, y, x, x, x, d, d, 1, HUGE),
    "rms_norm_backward": lambda y, d, x: (y, y, x, x, x, d, 1, HUGE),
    "dropout_add_layer_norm_backward": lambda y, d, x: (y, y, y, y, x, x, x, x, d, d, 1, HUGE, 0.5, HERE),
    "batch_norm": lambda y, d, x: (y, d, d, y, y, x, x, x, x, 1, HUGE, 2, 0.1, 1e-5, 1, 1, 0),
    "batch_norm_backward": lambda y, d, x: (y, y, y, y, x, x, x, x, d, d, 1, HUGE, 2, 1),
    "group_norm_backward": lambda y, d, x: (y, y, y, x, x, x, d, d, 1, HUGE, 1, 2),
    "softmax_cross_entropy": lambda y, d, x: (y, d, x, x, x, HUGE, 2, 0.1, 1.0),
    "softmax_cross_entropy_soft": lambda y, d, x: (y, d, x, x, x, HUGE, 2, 0.1, 1.0),
    "mse_loss": lambda y, d, x: (y, d, x, x, HUGE, 1.0),
    "sum_squares": lambda y, d, x: (d, [x], np.array([HUGE]), 1),
}


@pytest.mark.parametrize("table", ["f32", "f64"])
@pytest.mark.parametrize("name", WITHOUT_MEMORY)
def test_without_memory_nothing_is_written(name: str, table: str) -> None:
    dtype = np.float32 if table == "f32" else np.float64
    x, y, d = np.ones(2, dtype), np.full(2, 7, dtype), np.full(2, 7.0)
    assert Functions(table).code(name, *WITHOUT_MEMORY[name](y, d, x)) == HEADER.constants["FASTNN_NO_MEMORY"]
    assert (y == 7).all() and (d == 7).all()


@pytest.mark.parametrize("n", [0, -1, 2**20 + 1])
def test_numbers_of_threads_out_of_range_are_refused(n: int) -> None:
    before = fastnn.get_num_threads()
    assert Functions("common").code("set_num_threads", n) == INVALID
    assert fastnn.get_num_threads() == before


def test_default_options(tmp_path: Path) -> None:
    """Default options are those of fastnn.optim, and no other option changes a step."""
    module = client(INCLUDE, tmp_path / "client", forwarders(HEADER))
    library = ctypes.CDLL(str(module.__file__))
    for name in OPTIMIZERS:
        function = getattr(library, name.lower())
        function.restype = TABLES.options
        options, group = function(), getattr(optim, name)([np.zeros(1)]).param_groups[0]
        want = {n: group[n] for _, n in HEADER.structs["fastnn_options"] if n in group}
        want |= dict(zip(("beta1", "beta2"), group.get("betas", ()), strict=False))
        want |= {"struct_size": ctypes.sizeof(options), "gradient_scale": 1, "zero_grad": 0}
        assert {n: getattr(options, n) for n in want} == want
