"""Read the C API for tests: the declarations of a header, its functions through ctypes, and their test cases."""

import ctypes
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from support import Array

import fastnn
from fastnn import Generator, _core
from fastnn.functional import DropoutMask

INCLUDE = Path(fastnn.get_include())
RELEASED = sorted(Path(__file__).with_name("abi").glob("[0-9]*"), key=lambda p: tuple(map(int, p.name.split("."))))
ACTIVATIONS = ["identity", "relu", "leaky_relu", "elu", "gelu", "gelu_tanh", "silu", "sigmoid", "tanh", "softplus"]
OPTIMIZERS = ["SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "Lion", "Adagrad", "Adadelta", "RMSprop"]


@dataclass
class Function:
    """A function in the list of the C API: its number and its parameters as declared, such as "const REAL* x"."""

    number: int
    parameters: list[str]


class Header:
    """The declarations in fastnn.h and fastnn_functions.inc of one folder.

    Attributes:
        version: major and minor.
        tables: the functions of "f32", "f64" and "common" by name, in the order of the list.
        constants: the value of each enumerator.
        structs: the (type, name) of the fields of each struct that is not a table of functions.
    """

    def __init__(self, folder: Path) -> None:
        text, functions = (_bare((folder / name).read_text()) for name in ("fastnn.h", "fastnn_functions.inc"))
        major, minor = re.findall(r"#define FASTNN_API_M\w+OR (\d+)", text + functions)
        self.version = int(major), int(minor)
        real, common = _list(functions, "FASTNN_FUNCTION"), _list(functions, "FASTNN_COMMON")
        self.tables = {"f32": real, "f64": real, "common": common}
        self.constants = {name: int(value) for name, value in re.findall(r"^ +(FASTNN_\w+) = (-?\d+)", text, re.M)}
        structs = re.findall(r"^typedef struct (\w+) \{\n([^#{}]*)\} \1;", text, re.M)
        self.structs = {name: _fields(body) for name, body in structs}


def _bare(text: str) -> str:
    return re.sub(r"\\\n", " ", re.sub(r"/\*.*?\*/", "", text, flags=re.S))


def _list(text: str, macro: str) -> dict[str, Function]:
    shared = dict(re.findall(r"#define (\w+) +\((.*)\)", text))
    rows = re.findall(rf"^{macro}\((\d+), (\w+), (\w+|\([^()]*\))\)", text, flags=re.M)
    parameters = {name: " ".join(shared.get(given, given.strip("()")).split()) for _, name, given in rows}
    return {name: Function(int(n), [p for p in parameters[name].split(", ") if p != "void"]) for n, name, _ in rows}


def _fields(body: str) -> list[tuple[str, str]]:
    """Turn "uint64_t seed, stream;" into [("uint64_t", "seed"), ("uint64_t", "stream")]."""
    found = []
    for line in filter(None, (" ".join(part.split()) for part in body.split(";"))):
        first, *others = line.split(", ")
        kind, _, name = first.rpartition(" ")
        found += [(kind, n) for n in (name, *others)]
    return found


_SCALARS = {
    "double": ctypes.c_double, "int": ctypes.c_int, "int32_t": ctypes.c_int32, "int64_t": ctypes.c_int64,
    "uint32_t": ctypes.c_uint32, "uint64_t": ctypes.c_uint64, "fastnn_activation": ctypes.c_int32,
}  # fmt: skip


def structure(fields: list[tuple[str, str]]) -> type[ctypes.Structure]:
    """Return a ctypes struct with these fields of a header."""
    members = [(name, ctypes.c_void_p if "*" in kind else _SCALARS[kind]) for kind, name in fields]
    return type("Struct", (ctypes.Structure,), {"_fields_": members})


HEADER = Header(INCLUDE)
Random: Any = structure(HEADER.structs["fastnn_random"])
Api: Any = structure(HEADER.structs["fastnn_api"])


def api() -> Any:
    """Return the struct that the capsule holds."""
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    return Api.from_address(get(_core.api, b"fastnn._core.api"))


def _in_capsule(table: str, name: str) -> int:
    place = HEADER.tables[table][name].number * ctypes.sizeof(ctypes.c_void_p)
    address = ctypes.c_void_p.from_address(getattr(api(), table) + place).value
    assert address is not None
    return address


@dataclass
class Face:
    """A way to call the C API: the header that declares the functions, and how to find a function's address."""

    header: Header
    find: Callable[[str, str], int]

    @property
    def options(self) -> Any:
        """The type of fastnn_options in this header."""
        return structure(self.header.structs["fastnn_options"])


TABLES = Face(HEADER, _in_capsule)


class Functions:
    """The functions of a table. Each call asserts that the function returns FASTNN_OK.

    Arrays are passed as pointers, lists of arrays as arrays of pointers, options as a pointer, None as NULL.
    """

    def __init__(self, table: str, face: Face = TABLES) -> None:
        self._table, self._face = table, face

    def code(self, name: str, *arguments: Any) -> int:
        """Call a function and return its status."""
        types = [_type(p) for p in self._face.header.tables[self._table][name].parameters]
        function = ctypes.CFUNCTYPE(ctypes.c_int, *types)(self._face.find(self._table, name))
        return int(function(*map(_argument, arguments)))

    def __getattr__(self, name: str) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            assert self.code(name, *arguments) == HEADER.constants["FASTNN_OK"]

        return call


def table_of(dtype: Any) -> str:
    """Return the name of the table for a dtype."""
    return "f32" if dtype == np.float32 else "f64"


def _type(parameter: str) -> Any:
    kind = parameter.rpartition(" ")[0]
    return ctypes.c_void_p if "*" in kind else Random if kind == "fastnn_random" else _SCALARS[kind]


def _argument(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        assert value.flags.c_contiguous
        return value.ctypes.data
    if isinstance(value, list):
        return ctypes.cast((ctypes.c_void_p * len(value))(*map(_argument, value)), ctypes.c_void_p)
    by_reference = isinstance(value, ctypes.Structure) and not isinstance(value, Random)
    return ctypes.addressof(value) if by_reference else value


def like(*arrays: Array) -> list[Array]:
    """Return arrays of the same shapes and dtypes, to write results to."""
    return [np.full_like(a, 7) for a in arrays]


# case(functions, drawn): the results of the C API, and of Python for the same arrays. drawn(*shape) draws an array.
Case = Callable[["Functions", Callable[..., Array]], tuple[list[Any], list[Any]]]
HERE, C_P = Random(3, 2, 5), 0.3
C_MASK = DropoutMask(C_P, 3, 2, 5)


def generator() -> Generator:
    """Return a generator whose next numbers are those at HERE."""
    return Generator(3, 2).advance(5 * 64)
