"""Write fastnn/cython_api.pxd and .pyx from fastnn.h and its list of functions.

python cython_api.py INCLUDE_FOLDER OUTPUT_FOLDER
"""

import re
import sys
from pathlib import Path

HEAD = '''"""The kernels of fastnn for Cython, without the GIL; fastnn_functions.inc says what each of them does.

Build with fastnn.get_include() among the include directories."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef extern from "fastnn.h" nogil:
'''

REAL = """
ctypedef fused real:
    float
    double

"""


def read(path: Path) -> str:
    """Return the text of a C file, without comments and with continued lines joined."""
    return re.sub(r"\\\n", " ", re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL))


def types(text: str) -> list[str]:
    """Return Cython declarations of the constants, types and functions for default options in fastnn.h."""
    lines = []
    for body in re.findall(r"^enum \{(.*?)\};", text, flags=re.MULTILINE | re.DOTALL):
        lines += ["enum:", *(f"    {name}" for name in re.findall(r"\w+(?= =)", body))]
    lines += [f"ctypedef {what}" for what in re.findall(r"^typedef (\w+ \w+);", text, flags=re.MULTILINE)]
    for name, body in re.findall(r"^typedef struct (\w+) \{\n([\w ,;\n]*)\} \1;", text, flags=re.MULTILINE):
        fields = (field.strip() for field in body.split(";"))
        lines += [f"ctypedef struct {name}:", *(f"    {field}" for field in fields if field)]
    found = re.findall(r"^static inline (\w+ \w+)\(void\)", text, flags=re.MULTILINE)
    return lines + [f"{declared}() noexcept" for declared in found if "fastnn_import" not in declared]


def functions(text: str, macro: str) -> dict[str, str]:
    """Return the C parameters of each function of one list, by name; their type is REAL."""
    shared = dict(re.findall(r"#define (\w+) +\((.*)\)", text))
    rows = re.findall(rf"^{macro}\(\d+, (\w+), (\w+|\([^()]*\))\)", text, flags=re.MULTILINE)
    found = {name: shared.get(parameters, parameters.strip("()")) for name, parameters in rows}
    return {name: " ".join(p.split()) if p != "void" else "" for name, p in found.items()}


def main(include: str, folder: str) -> None:
    """Write both files."""
    text = read(Path(include, "fastnn_functions.inc"))
    known, common = functions(text, "FASTNN_FUNCTION"), functions(text, "FASTNN_COMMON")
    names = {n: ", ".join(re.findall(r"(\w+)(?:,|$)", p)) for n, p in (known | common).items()}
    declared = {n: f"cdef int {n}({p.replace('REAL', 'real')}) noexcept nogil" for n, p in (known | common).items()}
    head = HEAD + "".join(f"    {line}\n" for line in types(read(Path(include, "fastnn.h"))))
    Path(folder, "cython_api.pxd").write_text(head + REAL + "\n".join(declared.values()) + "\n")
    lines = [
        "# cython: language_level=3",
        'cdef extern from "fastnn.h" nogil:',
        "    int fastnn_import() except -1 with gil",
    ]
    for suffix, real in (("f32", "float"), ("f64", "double")):
        for name, parameters in known.items():
            target = f'{name}_{suffix} "fastnn_kernels->{suffix}->{name}"'
            lines.append(f"    int {target}({parameters.replace('REAL', real)}) noexcept")
    lines += [f'    int {n}_c "fastnn_kernels->common->{n}"({p}) noexcept' for n, p in common.items()]
    for name in known:
        lines += ["", f"{declared[name]}:", "    if real is float:", f"        return {name}_f32({names[name]})"]
        lines += ["    else:", f"        return {name}_f64({names[name]})"]
    for name in common:
        lines += ["", f"{declared[name]}:", f"    return {name}_c({names[name]})"]
    Path(folder, "cython_api.pyx").write_text("\n".join([*lines, "", "fastnn_import()", ""]))


if __name__ == "__main__":
    main(*sys.argv[1:])
