"""What the object files of the instruction sets hold: one symbol, no start-up code, no instruction beyond their own.

A weak symbol would be merged by the linker, which may keep the copy made for a larger instruction set; start-up code
would run before anybody has asked what the machine can do. Either ends in SIGILL on an older CPU.
"""

import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import fastnn

ROOT = Path(__file__).resolve().parent.parent
OBJECTS = sorted(ROOT.glob("build/**/isa_*.dir/**/isa.cpp.o"))
ISAS = ("base", "avx2", "avx512") if platform.machine() == "x86_64" else ("base",)

pytestmark = [
    pytest.mark.skipif(not OBJECTS, reason="no build tree beside the tests: the package was installed as a wheel"),
    pytest.mark.skipif(not shutil.which("objdump"), reason="no binutils on this machine"),
]
each_object = pytest.mark.parametrize("path", OBJECTS, ids=lambda p: f"{p.parents[4].name}-{_isa(p)}")


def _isa(path: Path) -> str:
    """base of .../isa_base.dir/csrc/kernels/isa.cpp.o"""
    return path.parents[2].name.removeprefix("isa_").removesuffix(".dir")


def _run(*command: object) -> str:
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True).stdout


def _symbols(path: Path) -> list[tuple[str, str]]:
    """(type letter, name) of every symbol."""
    return [(line[17], line[19:]) for line in _run("nm", "--demangle", path).splitlines()]


def test_every_isa_has_an_object() -> None:
    """A build that left one out would pass the other tests."""
    for build in {path.parents[4] for path in OBJECTS}:
        assert {_isa(path) for path in OBJECTS if build in path.parents} == set(ISAS)


@each_object
def test_one_global_symbol_and_none_weak(path: Path) -> None:
    """Upper-case letters are global; W, w, V, v and u are merged by name."""
    symbols = _symbols(path)
    assert [s for s in symbols if s[0] in "WwVvuiC"] == []
    assert [name for letter, name in symbols if letter.isupper() and letter != "U"] == [f"fastnn::{_isa(path)}::table"]


@each_object
def test_undefined_symbols(path: Path) -> None:
    """Only the door to threads and what the C library gives: no allocation, no exceptions, no libm."""
    undefined = {re.sub(r"\(.*", "", name) for letter, name in _symbols(path) if letter == "U"}
    library = {"memset", "memcpy", "memmove", "_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}
    assert undefined <= library | {"fastnn::run_blocks"}


@each_object
def test_no_start_up_code(path: Path) -> None:
    """No constructors, and no guarded statics."""
    sections = _run("objdump", "--section-headers", path)
    assert not re.findall(r"\.(?:init_array|fini_array|ctors|dtors|preinit_array|init|fini)\b\S*", sections)
    assert not re.search(r"_GLOBAL__sub_I|guard variable|__cxa_", _run("nm", "--demangle", path))


PATTERNS = {
    "xmm": r"%xmm\d",
    "vex": r"\tv[a-z0-9]+ ",
    "ymm": r"%ymm\d",
    "zmm": r"%zmm\d",
    "mask": r"%k[0-7]|%[xy]mm(1[6-9]|2\d|3[01])",
}
EXPECTED = {
    "base": {"xmm": True, "vex": False, "ymm": False, "zmm": False, "mask": False},
    "avx2": {"xmm": True, "vex": True, "ymm": True, "zmm": False, "mask": False},
    "avx512": {"xmm": True, "vex": True, "ymm": True, "zmm": True, "mask": True},
}


@each_object
@pytest.mark.skipif(platform.machine() != "x86_64", reason="registers of x86-64")
def test_no_wider_registers(path: Path) -> None:
    """base has no ymm, no VEX instruction; avx2 no zmm, no mask register; each uses what it may."""
    code = _run("objdump", "--disassemble", "--no-show-raw-insn", path)
    used = {name: bool(re.search(pattern, code)) for name, pattern in PATTERNS.items()}
    assert used == EXPECTED[_isa(path)]


@each_object
def test_no_fused_multiply_add(path: Path) -> None:
    """Contraction is off, so that a product is rounded alike on every instruction set."""
    assert not re.search(r"\tvfn?m(add|sub)", _run("objdump", "--disassemble", "--no-show-raw-insn", path))


def test_exported_functions() -> None:
    """Its own, for Python and for threadpoolctl. Weak ones are the C++ library's templates."""
    lines = _run("nm", "--dynamic", "--defined-only", fastnn._core.__file__).splitlines()
    exported = {line[19:] for line in lines if line[17] in "TDB"}
    assert exported == {"PyInit__core", "fastnn_get_num_threads", "fastnn_set_num_threads"}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="registers of x86-64")
def test_the_rest_of_the_module() -> None:
    """The objects that every machine runs hold no wide register either."""
    others = [p for p in ROOT.glob("build/**/_core.dir/**/*.o") if p.is_file()]
    assert others
    for path in others:
        assert not re.search(r"%[yz]mm\d", _run("objdump", "--disassemble", "--no-show-raw-insn", path)), path.name
