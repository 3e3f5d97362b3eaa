"""Objects of an ISA have only symbols of their own namespace, no start-up code, and no instruction of another ISA.

The linker would merge a weak symbol, perhaps into the copy for a larger instruction set; start-up code would run before
the CPU has been checked. Either ends in SIGILL on an older CPU.
"""

import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import fastnn

ROOT = Path(__file__).resolve().parent.parent
OBJECTS = sorted(ROOT.glob("build/**/isa_*.dir/**/*.cpp.o"))
TABLES = sorted(ROOT.glob("build/**/table_*.dir/**/table.cpp.o"))
ISAS = ("base", "avx2", "avx512") if platform.machine() == "x86_64" else ("base",)
FAMILIES = set(re.findall(r"#if FASTNN_FAMILY\((\w+)\)", (ROOT / "csrc/kernels/kernels.inc").read_text()))

pytestmark = [
    pytest.mark.skipif(not OBJECTS, reason="no build tree beside the tests: the package was installed as a wheel"),
    pytest.mark.skipif(not shutil.which("objdump"), reason="no binutils on this machine"),
]


def _target(path: Path) -> Path:
    """Return an object's folder, such as isa_avx2.dir or table_avx2.dir."""
    return next(parent for parent in path.parents if parent.suffix == ".dir")


def _isa(path: Path) -> str:
    return _target(path).stem.split("_")[1]


def _build(path: Path) -> Path:
    return _target(path).parent.parent


def _name(path: Path) -> str:
    return f"{_build(path).name}-{_isa(path)}-{path.name.removesuffix('.cpp.o')}"


each_object = pytest.mark.parametrize("path", OBJECTS, ids=_name)
each_table = pytest.mark.parametrize("path", TABLES, ids=_name)
each_isa = pytest.mark.parametrize("build, isa", sorted({(_build(path), _isa(path)) for path in OBJECTS}))


def _run(*command: object) -> str:
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True).stdout


def _symbols(path: Path) -> list[tuple[str, str]]:
    """Return (type letter, name) of every symbol."""
    return [(line[17], line[19:]) for line in _run("nm", "--demangle", path).splitlines()]


def _exported(path: Path) -> list[str]:
    """Return the names of all global symbols, which have upper-case letters."""
    return [re.sub(r"\(.*", "", name) for letter, name in _symbols(path) if letter.isupper() and letter != "U"]


def _disassembled(*paths: Path) -> str:
    return _run("objdump", "--disassemble", "--no-show-raw-insn", *paths)


@each_isa
def test_every_family_has_an_object(build: Path, isa: str) -> None:
    """Every family has an object for each ISA; a build that left one out would pass the other tests."""
    found = [path for path in OBJECTS if (_build(path), _isa(path)) == (build, isa)]
    assert {path.name.removesuffix(".cpp.o") for path in found} == FAMILIES
    assert {_isa(path) for path in TABLES if _build(path) == build} == set(ISAS)


@pytest.mark.parametrize("path", OBJECTS + TABLES, ids=_name)
def test_symbols_of_their_own_and_none_weak(path: Path) -> None:
    """No symbol is weak: W, w, V, v, u, i and C are merged by name."""
    assert [s for s in _symbols(path) if s[0] in "WwVvuiC"] == []
    exported = _exported(path)
    assert exported
    assert [name for name in exported if not name.startswith(f"fastnn::{_isa(path)}::")] == []


@each_table
def test_table_is_constant_data(path: Path) -> None:
    """The table is one symbol without code, so it is ready before anything runs."""
    assert _exported(path) == [f"fastnn::{_isa(path)}::table"]
    assert not re.search(r"^\s*[0-9a-f]+:\t", _disassembled(path), flags=re.M)


@each_object
def test_undefined_symbols(path: Path) -> None:
    """Objects need only the thread pool and basic C functions: no allocation, no exceptions, of libm only fma."""
    undefined = {re.sub(r"\(.*", "", name) for letter, name in _symbols(path) if letter == "U"}
    library = {"memset", "memcpy", "memmove", "_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}
    library |= {"fma"} if _isa(path) == "base" else set()  # float64 without the instruction
    assert undefined <= library | {"fastnn::run_blocks"}


@pytest.mark.parametrize("path", OBJECTS + TABLES, ids=_name)
def test_no_start_up_code(path: Path) -> None:
    """There are no constructors and no guarded statics."""
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


def _used(code: str) -> dict[str, bool]:
    return {name: bool(re.search(pattern, code)) for name, pattern in PATTERNS.items()}


@each_object
@pytest.mark.skipif(platform.machine() != "x86_64", reason="registers of x86-64")
def test_no_wider_registers(path: Path) -> None:
    """base has no ymm register and no VEX instruction, avx2 no zmm and no mask register."""
    allowed = EXPECTED[_isa(path)]
    assert [name for name, used in _used(_disassembled(path)).items() if used and not allowed[name]] == []


@each_isa
@pytest.mark.skipif(platform.machine() != "x86_64", reason="registers of x86-64")
def test_registers_are_used(build: Path, isa: str) -> None:
    """Each instruction set is used; a lost compiler flag would pass the other tests."""
    code = _disassembled(*[path for path in OBJECTS if (_build(path), _isa(path)) == (build, isa)])
    assert _used(code) == EXPECTED[isa]


def test_nothing_is_fused_but_what_is_written() -> None:
    """Contraction is off: where products are rounded must not depend on the compiler or the instruction set."""
    flags = (ROOT / "CMakeLists.txt").read_text()
    assert flags.count("-ffp-contract=off") == 2 and not re.search("contract=fast|fast-math", flags)


def test_exported_functions() -> None:
    """The module exports only functions for Python and threadpoolctl; weak ones are the C++ library's templates."""
    lines = _run("nm", "--dynamic", "--defined-only", fastnn._core.__file__).splitlines()
    exported = {line[19:] for line in lines if line[17] in "TDB"}
    assert exported == {"PyInit__core", "fastnn_get_num_threads", "fastnn_set_num_threads"}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="registers of x86-64")
def test_no_wide_registers_elsewhere() -> None:
    """Objects that run on every machine use no wide register either."""
    others = [p for p in ROOT.glob("build/**/_core.dir/**/*.o") if p.is_file()]
    assert others
    for path in others:
        assert not re.search(r"%[yz]mm\d", _run("objdump", "--disassemble", "--no-show-raw-insn", path)), path.name
