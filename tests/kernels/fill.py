"""Random fills."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import reference
from c_api import HERE, Case, generator
from calls import Call, X
from table import BLOCK, FLAT, SEED, STREAM, Array, Arrays, Kernel, normals

from fastnn import _core, init, random

_WORDS = 64 * BLOCK


def _fill(kernel: Callable[..., None], options: tuple[float, ...], a: Arrays, out: Array) -> Arrays:
    kernel(out, *options, SEED, STREAM, _WORDS)
    return {"out": out}


def _fill_reference(draw: Callable[..., Array], a: Arrays) -> Arrays:
    return {"out": draw(a["like"].size, a["like"].dtype, SEED, STREAM, BLOCK)}


def _truncated(size: int, dtype: type, *place: int) -> Array:
    return reference.truncated_quantile(*reference.ranks01(size, dtype, *place), -1.0, 2.5)


def _in_tail(size: int, dtype: type, *place: int) -> Array:
    return reference.truncated_quantile(*reference.ranks01(size, dtype, *place), 3.0, np.inf)


def _bernoulli(size: int, dtype: type, *place: int) -> Array:
    return (reference.uniform01(size, dtype, *place) < 0.375).astype(np.float64)


def _exponential(size: int, dtype: type, *place: int) -> Array:
    return -np.log(reference.uniform01(size, dtype, *place) + (2.0**-24 if dtype == np.float32 else 2.0**-53))


def _kernel(
    kernel: Callable[..., None], options: tuple[float, ...], draw: Callable[..., Array], bound: float
) -> Kernel:
    return Kernel(
        FLAT, partial(normals, "like"), partial(_fill, kernel, options), partial(_fill_reference, draw), bound
    )


KERNELS = {
    "uniform": _kernel(_core.uniform, (0.0, 1.0), reference.uniform01, 0),
    "normal": _kernel(_core.normal, (0.0, 1.0), reference.normal01, 4),
    "trunc_normal": _kernel(_core.trunc_normal, (0.0, 1.0, -1.0, 2.5), _truncated, 4),
    "trunc_normal-tail": _kernel(_core.trunc_normal, (0.0, 1.0, 3.0, np.inf), _in_tail, 4),
    "bernoulli": _kernel(_core.bernoulli, (0.375,), _bernoulli, 0),
    "exponential": _kernel(_core.exponential, (1.0,), _exponential, 2),
}

CALLS = {f.__name__: Call(f, {"tensor": X}, ("tensor",)) for f in (init.uniform_, init.normal_, init.kaiming_normal_)}


def _c_case(name: str, *choices: tuple[float, ...]) -> Case:
    def case(c: Any, a: Any) -> Any:
        got, want = [a(1000) for _ in choices], [a(1000) for _ in choices]
        for y, chosen in zip(got, choices, strict=True):
            getattr(c, name)(y, y.size, *chosen, HERE)
        pairs = zip(want, choices, strict=True)
        return got, [getattr(random, f"{name}_")(y, *chosen, generator=generator()) for y, chosen in pairs]

    return case


C_CASES = {
    "uniform": _c_case("uniform", (-1.0, 2.0)),
    "normal": _c_case("normal", (1.0, 2.0)),
    "trunc_normal": _c_case("trunc_normal", (0.0, 1.0, -2.0, 2.0), (0.0, 1.0, 3.0, np.inf), (0.0, 1.0, -5.0, -3.5)),
    "bernoulli": _c_case("bernoulli", (0.3,)),
    "exponential": _c_case("exponential", (2.0,)),
}
