"""Writes fastnn/cython_api.pxd and .pyx from the list of functions that the C header is made of.

python cython_api.py fastnn_functions.inc OUTPUT_FOLDER
"""

import re
import sys
from pathlib import Path

HEAD = '''"""The kernels of fastnn for Cython, without the GIL: what fastnn.h says of each of them holds here too.

Build with fastnn.get_include() among the include directories. All return 0, or -1 where there is no scratch memory."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef extern from "fastnn.h" nogil:
    ctypedef enum fastnn_activation:
        FASTNN_IDENTITY, FASTNN_RELU, FASTNN_LEAKY_RELU, FASTNN_ELU, FASTNN_GELU, FASTNN_GELU_TANH, FASTNN_SILU
        FASTNN_SIGMOID, FASTNN_TANH, FASTNN_SOFTPLUS
    ctypedef struct fastnn_random:
        uint64_t seed, stream, block
    ctypedef struct fastnn_options:
        double lr, weight_decay, momentum, dampening, beta1, beta2, eps, momentum_decay, lr_decay, rho, alpha
        double gradient_scale
        bint maximize, nesterov, amsgrad, decoupled_weight_decay, centered, zero_grad

ctypedef fused real:
    float
    double
'''

PLAIN = {
    "integers": "int64_t* y, int64_t size, int64_t low, uint64_t range, fastnn_random random",
    "permutation": "int64_t* y, int64_t size, fastnn_random random",
    "philox": "uint32_t* words, int64_t blocks, fastnn_random random",
}


def functions(text: str) -> dict[str, str]:
    """Parameters by name, in C, with REAL for their type."""
    text = re.sub(r"\\\n", " ", re.sub(r"/\*.*?\*/", "", text, flags=re.S))
    shared = dict(re.findall(r"#define (\w+) +\((.*)\)", text))
    rows = re.findall(r"FASTNN_FUNCTION\((\w+),\s*(\w+|\(.*?\))\)$", text, flags=re.M | re.S)
    found = {name: shared.get(parameters, parameters.strip("()")) for name, parameters in rows}
    return {name: re.sub(r" *\* *(\*?) *", r"*\1 ", " ".join(p.split())) for name, p in found.items()}


def main(source: str, folder: str) -> None:
    """Write both files."""
    known = functions(Path(source).read_text())
    names = {n: ", ".join(re.findall(r"(\w+)(?:,|$)", p)) for n, p in (known | PLAIN).items()}
    declared = [f"cdef int {n}({p.replace('REAL', 'real')}) noexcept nogil" for n, p in known.items()]
    plain = [f"cdef int {n}({p}) noexcept nogil" for n, p in PLAIN.items()]
    Path(folder, "cython_api.pxd").write_text(HEAD + "\n" + "\n".join(declared + plain) + "\n")
    lines = [
        "# cython: language_level=3",
        'cdef extern from "fastnn.h" nogil:',
        "    int fastnn_import() except -1 with gil",
    ]
    for suffix, real in (("f32", "float"), ("f64", "double")):
        for name, parameters in known.items():
            target = f'{name}_{suffix} "fastnn_kernels->{suffix}->{name}"'
            lines.append(f"    int {target}({parameters.replace('REAL', real)}) noexcept")
    lines += [f'    int {n}_c "fastnn_kernels->{n}"({p}) noexcept' for n, p in PLAIN.items()]
    for header, name in zip(declared, known, strict=True):
        lines += ["", f"{header}:", "    if real is float:", f"        return {name}_f32({names[name]})"]
        lines += ["    else:", f"        return {name}_f64({names[name]})"]
    for header, name in zip(plain, PLAIN, strict=True):
        lines += ["", f"{header}:", f"    return {name}_c({names[name]})"]
    Path(folder, "cython_api.pyx").write_text("\n".join([*lines, "", "fastnn_import()", ""]))


if __name__ == "__main__":
    main(*sys.argv[1:])
