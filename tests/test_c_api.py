"""Every function of the C API returns the same as its Python counterpart (==), in both dtypes and on every ISA.

Functions are called through the installed tables, and through a C client for each version of the header in tests/abi.
"""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from c_api import HEADER, HERE, RELEASED, TABLES, Face, Functions, Header, generator, table_of
from c_client import client, exported, forwarders
from kernels import C_CASES
from support import Array, running
from variants import IDS, VARIANTS, make

import fastnn

STEPS = ("sgd", "adam", "adamax", "nadam", "radam", "lion", "adagrad", "adadelta", "rmsprop")


def test_integers_permutation_philox(face: Face) -> None:
    c = Functions("common", face)
    y, words = np.empty(100_000, np.int64), np.empty(128, np.uint32)
    c.integers(y, y.size, -5, 1000, HERE)
    np.testing.assert_array_equal(y, fastnn.random.integers_(np.empty_like(y), -5, 995, generator()))
    c.permutation(y, y.size, HERE)
    np.testing.assert_array_equal(y, fastnn.random.permutation(y.size, generator()))
    c.philox(words, 2, HERE)
    np.testing.assert_array_equal(words, generator().random_raw(128))


def _options(face: Face, options: dict[str, Any]) -> Any:
    known = {name for _, name in face.header.structs["fastnn_options"]}
    first, second = options.get("betas", (0.0, 0.0))
    chosen = {k: v for k, v in options.items() if k in known} | {"beta1": first, "beta2": second, "gradient_scale": 1.0}
    return face.options(struct_size=ctypes.sizeof(face.options), **chosen)


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=IDS)
def test_optimizer(name: str, options: dict[str, Any], dtype: Any, face: Face) -> None:
    rng = np.random.default_rng(2)
    ours = [rng.standard_normal(s).astype(dtype) for s in (300, 5)]
    theirs = [p.copy() for p in ours]
    optimizer = make(name, theirs, **options)
    group = optimizer.param_groups[0]
    kinds = list(optimizer.layout.kinds)
    state = [np.copy(optimizer.state_of(p).get(k, np.zeros_like(p))) for k in kinds for p in theirs]
    memory, c = np.ones(1), Functions(table_of(dtype), face)
    sizes = np.array([300, 5])
    function = {"adamw": "adam"}.get(name.lower(), name.lower())
    for t in range(1, 4):
        grads = [rng.standard_normal(p.shape).astype(dtype) for p in ours]
        optimizer.step(grads)
        getattr(c, function)(ours, grads, state, sizes, 2, t, memory, _options(face, dict(group)))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)
    for i, kind in enumerate(kinds):
        for j, p in enumerate(theirs):
            np.testing.assert_array_equal(state[2 * i + j], optimizer.state_of(p).get(kind, 0))


@pytest.mark.parametrize("name", STEPS)
def test_gradients_scaled_zeroed_or_missing(name: str, dtype: Any, face: Face) -> None:
    """A step scales and zeroes gradients; the second parameter has no gradient, the third has no elements."""
    step, options = getattr(Functions(table_of(dtype), face), name), {"lr": 0.1, "eps": 1e-3, "rho": 0.5, "alpha": 0.5}
    sizes, results = np.array([300, 5, 0, 5]), []
    for scale in (1.0, 0.5):
        arrays = [[np.full(n, 0.25, dtype) for n in sizes] for _ in range(5)]
        params, grads, *state = arrays
        for grad in grads:
            grad /= dtype(scale)
        given = face.options(ctypes.sizeof(face.options), gradient_scale=scale, zero_grad=scale != 1, **options)
        step(params, [grads[0], None, *grads[2:]], [a for kind in state for a in kind], sizes, 4, 1, np.ones(1), given)
        assert (grads[0] == (0.25 if scale == 1 else 0)).all() and (grads[1] == 0.25 / scale).all()
        assert all((kind[1] == 0.25).all() for kind in (params, *state))
        assert (params[0] != 0.25).all() and (params[3] != 0.25).all()
        results.append([params, *state])
    np.testing.assert_equal(*results)


def _drawn(dtype: Any) -> Callable[..., Array]:
    rng = np.random.default_rng(7)
    return lambda *shape: rng.standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("isa", fastnn.supported_isas())
@pytest.mark.parametrize("name", C_CASES)
def test_function(name: str, isa: str, dtype: Any, face: Face) -> None:
    if name not in face.header.tables[table_of(dtype)]:
        pytest.skip("this version does not have it yet")
    with running(isa, 2):
        got, want = C_CASES[name](Functions(table_of(dtype), face), _drawn(dtype))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)


def test_threads(face: Face) -> None:
    c = Functions("common", face)
    with running(fastnn.isa(), 2):
        for n in (3, 1):
            c.set_num_threads(n)
            assert c.code("get_num_threads") == fastnn.get_num_threads() == n


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module", params=[None, *RELEASED], ids=["tables", *(folder.name for folder in RELEASED)])
def face(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Face:
    if request.param is None:
        return TABLES
    header = Header(request.param)
    return Face(header, exported(client(request.param, tmp_path_factory.mktemp("c") / "client", forwarders(header))))


def test_every_function_is_tested() -> None:
    assert set(HEADER.tables["f32"]) == set(C_CASES) | set(STEPS)
    threads = {"get_num_threads", "set_num_threads"}
    assert set(HEADER.tables["common"]) == {"integers", "permutation", "philox"} | threads
