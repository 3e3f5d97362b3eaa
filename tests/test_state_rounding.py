"""State in bfloat16 and in bytes, bit by bit: the random bits that round each element, the result, and loaded state."""

import copy
from functools import partial
from typing import Any

import numpy as np
import pytest
from reference import storage
from support import Array, same_bits
from variants import NAMES, STATE, full_state, kept, make

from fastnn import Generator, optim

SIZES = (1, 0, 63, 64, 65, 255, 256, 257, 1000, 16_385)
CODED = pytest.mark.parametrize("state_dtype", ["bfloat16", "int8"])


def _rounded(state_dtype: str, is_signed: bool, values: Array, bits: Array) -> Array:
    return storage.bfloat16(values, bits) if state_dtype == "bfloat16" else storage.int8(values, bits, is_signed)


def _arrays(seed: int, scale: float = 1.0) -> list[Array]:
    """Return arrays whose values span eight orders of magnitude."""
    rng = np.random.default_rng(seed)
    sizes = [scale * 10.0 ** rng.uniform(-8, 0, n) for n in SIZES]
    return [(s * rng.standard_normal(len(s))).astype(np.float32) for s in sizes]


@CODED
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_every_bit(name: str, groups: int, state_dtype: str) -> None:
    """The state equals that of a float32 step, rounded by the documented bits; a gradient of None uses no bits."""
    options = full_state(name) | ({"momentum": 0.9} if name == "RMSprop" else {})
    params, exact = _arrays(1), _arrays(1)
    make_both = [partial(make, name, **options, generator=Generator(2**63 + 5, 7), state_dtype=state_dtype)]
    make_both.append(partial(make, name, **options))
    split = [[{"params": p[:4]}, {"params": p[4:]}] if groups == 2 else p for p in (params, exact)]
    coded, plain = (build(p) for build, p in zip(make_both, split, strict=True))
    for step in range(3):
        plain.load_state_dict(copy.deepcopy(coded.state_dict()))
        before = coded.state_dict()["generator"]["offset"]
        grads: list[Any] = _arrays(10 + step, 10.0 ** (2 * step - 2))
        grads[step * 2] = None
        for optimizer in (coded, plain):
            optimizer.step(grads)
        assert all(map(same_bits, params, exact))
        assert coded.state_dict()["generator"]["offset"] == before + 64 * sum(-(-n // 256) for n in SIZES)
        sizes = [0 if g is None else n for n, g in zip(SIZES, grads, strict=True)]
        bits = storage.rounding_bits(sizes, 2**63 + 5, 7, before // 64)
        for param, other, drawn in zip(params, exact, bits, strict=True):
            for key in kept(name, options) if len(drawn) else ():
                want = _rounded(state_dtype, STATE[name][key], plain.state_of(other)[key], drawn)
                assert same_bits(coded.state_of(param)[key], want), (key, len(param))


# Values for one block of 64: around the largest and the smallest magnitude with a code, and values without one.
EDGES: dict[str, list[float]] = {
    "largest": [2.0**125, 2.0**125 * (1 - 2.0**-24), 2.0**124, 2.0**109, 2.0**108, -(2.0**125), 0.0, -0.0],
    "too large": [2.0**125 * (1 + 2.0**-3), 3e38, -3e38, 2.0**125, -1.0, 2.0**120, 2.0**100, 0.0],
    "infinite": [np.inf, -np.inf, np.nan, 1.0, -2.0, 2.0**-16, 2.0**-17, 0.0],
    "least": [2.0**-94, 2.0**-95, -(2.0**-109), 2.0**-110, -(2.0**-111), 2.0**-120, 2.0**-126, 0.0],
    "nothing": [0.0, -0.0],
    "powers": [2.0, 1.0, 1.0625, 1.125, 1.9375, 1.96875, 2.0**-15, 2.0**-16],
}


@CODED
@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("size", [64, 70])
def test_edges(size: int, edge: str, state_dtype: str, isa: str) -> None:
    """A first velocity is the gradient added to 0, so each number is rounded as in the reference."""
    grad = np.resize(np.array(EDGES[edge], np.float32), size)
    param = np.zeros(size, np.float32)
    optimizer = optim.SGD([param], lr=0.0, momentum=0.5, state_dtype=state_dtype, generator=Generator(3))
    optimizer.step([grad])
    (bits,) = storage.rounding_bits([size], 3, 0, 0)
    assert same_bits(
        optimizer.state_of(param)["momentum_buffer"], _rounded(state_dtype, True, grad + np.float32(0), bits)
    )


@pytest.mark.parametrize("edge", ["largest", "powers", "nothing"])
def test_edges_without_a_sign(edge: str, isa: str) -> None:
    """State that is never negative can be 2^32 below its scale, and is never rounded to 0."""
    start = np.abs(np.resize(np.array(EDGES[edge], np.float32), 64)) * np.float32(2.0**-40)
    start[1::2] = start[0::2].max() * np.float32(2.0) ** -np.arange(32, dtype=np.float32)
    param, grad = np.zeros(64, np.float32), np.sqrt(start)
    optimizer = optim.Adagrad([param], lr=0.0, state_dtype="int8", generator=Generator(3))
    before = optimizer.state_of(param)["sum"].copy()
    optimizer.step([grad])
    (bits,) = storage.rounding_bits([64], 3, 0, 0)
    found = optimizer.state_of(param)["sum"]
    assert same_bits(found, storage.int8(before + grad * grad, bits, False)) and (found > 0).all()


@CODED
@pytest.mark.parametrize("edge", EDGES)
def test_loaded(edge: str, state_dtype: str) -> None:
    """Loaded float32 state is rounded to nearest: bfloat16 with ties to even, bytes with ties away from 0."""
    values = np.resize(np.array(EDGES[edge], np.float32), 70)
    values[64:] = [1.0 + 2.0**-8, 1.0 + 3 * 2.0**-8, 1.0625, 1.0625 - 2.0**-20, -1.1875, 1.1874]
    param = np.zeros(70, np.float32)
    optimizer = optim.SGD([param], momentum=0.5, state_dtype=state_dtype)
    optimizer.load_state_dict(optimizer.state_dict() | {"state": {0: {"momentum_buffer": values}}})
    found = optimizer.state_of(param)["momentum_buffer"]
    if state_dtype == "int8":
        assert same_bits(found, storage.int8(values, np.full(70, 2**19, np.uint32), True))
        assert found[64:].tolist() == [1.0, 1.0, 1.125, 1.0, -1.25, 1.125]
        return
    assert found[64:].tolist() == [1.0, 1.015625, 1.0625, 1.0625, -1.1875, 1.1875]
    assert np.isnan(found[:64]).tolist() == np.isnan(values[:64]).tolist()
    kept_as_is = (values.view(np.uint32) & 0xFFFF) == 0
    assert same_bits(found[kept_as_is], values[kept_as_is])


@CODED
@pytest.mark.parametrize("limit", [None, 1e9, 0.5])
def test_every_step_draws_its_own_bits(limit: float | None, state_dtype: str) -> None:
    """A step moves the generator by 64 words per 256 elements begun, in an added group, too; a skipped one does not."""
    params, generator = _arrays(1), Generator(3)
    optimizer = optim.Lion(params[:5], state_dtype=state_dtype, generator=generator, clip_grad_norm=limit)
    before, steps = generator.offset, (5, 5, 10, 10)
    for count in steps:
        if count > len(optimizer.param_groups[0]["params"]) and len(optimizer.param_groups) == 1:
            optimizer.add_param_group({"params": params[5:]})
        optimizer.step(_arrays(2)[:count])
        before += 64 * sum(-(-n // 256) for n in SIZES[:count])
        assert generator.offset == before
    assert optimizer.skipped_steps == 0
    spoiled = [np.full(n, np.nan, np.float32) for n in SIZES]
    for skipped in (1, 2) if limit else ():
        optimizer.step(spoiled)
        assert generator.offset == before and optimizer.skipped_steps == skipped
