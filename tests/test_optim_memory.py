"""State kept in bfloat16 or in bytes: same bits everywhere, unbiased random rounding, within its bounds."""

import copy
import gc
import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from support import Array, running, same_bits
from variants import IDS, NAMES, STATE, VARIANTS, everything, full_state, kept, make

import fastnn
from fastnn import optim
from fastnn.random import Generator

STATE_DTYPES = ("bfloat16", "int8")
SIZES = (1, 0, 63, 64, 65, 255, 256, 257, 1000, 20_003)
CODED_VARIANTS = [row for row in VARIANTS if not row[1].get("centered")]
CODED_IDS = [i for i, row in zip(IDS, VARIANTS, strict=True) if row in CODED_VARIANTS]
ROWS = pytest.mark.parametrize(("name", "options"), CODED_VARIANTS, ids=CODED_IDS)
CODED = pytest.mark.parametrize("state_dtype", STATE_DTYPES)


def _arrays(seed: int, sizes: Any = SIZES) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(n).astype(np.float32) for n in sizes]


def _state(optimizer: Any, params: list[Array], key: str) -> Array:
    """Return one kind of state of all parameters, as a flat array."""
    return np.concatenate([optimizer.state_of(p)[key].ravel() for p in params])


def _steps(name: str, options: dict[str, Any], state_dtype: str, **extras: Any) -> list[Array]:
    """Return parameters and decoded state after seven steps."""
    params = _arrays(1)
    optimizer = make(name, params, **options, **extras, state_dtype=state_dtype)
    for step in range(7):
        grads: list[Any] = _arrays(10 + step)
        grads[step % 3 + 5] = None
        optimizer.step(grads)
    return [*params, *(_state(optimizer, params, key) for key in kept(name, options))]


@CODED
@ROWS
def test_same_bits(name: str, options: dict[str, Any], state_dtype: str, isa: str) -> None:
    """Parameters and state have the same bits on every ISA and for every thread count."""
    results = []
    for run_isa, threads in (("base", 1), (isa, 1), (isa, 2), (isa, 3), (isa, 7)):
        with running(run_isa, threads):
            results.append(_steps(name, options, state_dtype, generator=Generator(5, 6)))
    for other in results[1:]:
        assert len(other) == len(results[0]) and all(map(same_bits, results[0], other))


@CODED
@pytest.mark.parametrize("name", NAMES)
def test_seed(name: str, state_dtype: str) -> None:
    """manual_seed determines the rounding; two optimizers with one seed round differently, and so do two seeds."""
    results = []
    for seed in (3, 3, 4):
        fastnn.manual_seed(seed)
        results.append(_steps(name, full_state(name), state_dtype))
    results.append(_steps(name, full_state(name), state_dtype))
    first, again, other_seed, second = (r[-1] for r in results)
    assert all(map(same_bits, results[0], results[1])) and same_bits(first, again)
    assert not same_bits(first, other_seed) and not same_bits(other_seed, second) and not same_bits(first, second)


@CODED
@ROWS
def test_one_step(name: str, options: dict[str, Any], state_dtype: str) -> None:
    """The parameter moves as in float32 from the decoded state; the new state is a neighbour of that step's state."""
    params, exact = _arrays(1), _arrays(1)
    coded, plain = make(name, params, **options, state_dtype=state_dtype), make(name, exact, **options)
    signs = STATE[name]
    for step in range(7):
        grads = [g * np.float32(10.0 ** (step - 3)) for g in _arrays(20 + step)]
        plain.load_state_dict(copy.deepcopy(coded.state_dict()))
        coded.step(grads)
        plain.step(grads)
        assert all(map(same_bits, params, exact))
        for key in kept(name, options):
            for param, other in zip(params, exact, strict=True):
                got, want = coded.state_of(param)[key], plain.state_of(other)[key]
                assert got.dtype == np.float32 and got.shape == param.shape
                _check_neighbours(got, want, state_dtype, signs[key])


def _check_neighbours(got: Array, want: Array, state_dtype: str, is_signed: bool) -> None:
    if state_dtype == "bfloat16":
        above = (got.view(np.uint32) >> 16).astype(int) - (want.view(np.uint32) >> 16)
        assert np.isin(above, [0, 1]).all() and not (got.view(np.uint32) & 0xFFFF).any()
        return
    for begin in range(0, got.size, 64):
        a, b = got[begin : begin + 64].astype(np.float64), want[begin : begin + 64].astype(np.float64)
        size = np.abs(b)
        scale = 2.0 ** np.ceil(np.log2(max(size.max(), 2.0**-94)))
        near = size >= 1.375 * 2.0**-16 * scale  # the smallest signed number other than 0
        assert (np.abs(a - b)[near] <= 2.0**-3 * size[near]).all()
        assert (np.abs(a[~near]) <= 1.375 * 2.0**-16 * scale).all()
        assert (a * b >= 0).all() and (is_signed or (a > 0).all())


def _spacing(value: float, state_dtype: str) -> float:
    """Return the distance of neighbours; from one power of two to the next there are 128 or 8 of them."""
    return float(2.0 ** (math.floor(math.log2(abs(value))) - (7 if state_dtype == "bfloat16" else 3)))


@CODED
@ROWS
def test_rounding_is_unbiased(name: str, options: dict[str, Any], state_dtype: str) -> None:
    """Over 2^16 equal elements, the mean of the rounded state is within five standard errors of the exact one."""
    n = 2**16
    exact = [np.full(1, 0.7, np.float32)]
    plain = make(name, exact, **options)
    plain.step([np.full(1, 0.3, np.float32)])
    params = [np.full(n, 0.7, np.float32)]
    coded = make(name, params, **options, state_dtype=state_dtype, generator=Generator(1))
    coded.step([np.full(n, 0.3, np.float32)])
    for key in kept(name, options):
        want = float(plain.state_of(exact[0])[key][0])
        got = coded.state_of(params[0])[key].astype(np.float64)
        spacing = _spacing(want, state_dtype)
        below = math.floor(want / spacing) * spacing
        share = (want - below) / spacing
        assert np.isin(got, [below, below + spacing]).all()
        assert abs(got.mean() - want) <= 5 * spacing * (math.sqrt(share * (1 - share) / n) + 1 / n)


@CODED
def test_small_changes_add_up(state_dtype: str) -> None:
    """A mean square that grows by less than half the distance of neighbours per step still grows as in float32."""
    params = [np.zeros(2**13, np.float32)]
    optimizer = optim.Adam(params, lr=0.0, state_dtype=state_dtype, generator=Generator(2))
    grads = [np.ones(2**13, np.float32)]
    for _ in range(400):
        optimizer.step(grads)
    got = optimizer.state_of(params[0])["exp_avg_sq"].astype(np.float64)
    assert got.mean() == pytest.approx(1 - 0.999**400, rel=0.01)


@CODED
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@ROWS
def test_special_gradients(name: str, options: dict[str, Any], value: float, state_dtype: str, isa: str) -> None:
    """NaN and infinity do not affect other elements of their block or other tensors, now or in the next steps."""
    places = [0, 63, 64, 200, 299]
    results = []
    for special in (0.25, value):
        params = _arrays(1, (300, 70))
        optimizer = make(name, params, **options, state_dtype=state_dtype, generator=Generator(3))
        for step in range(3):
            grads = _arrays(30 + step, (300, 70))
            grads[0][places] = special if step == 0 else 0.25
            optimizer.step(grads)
        found = [*params[:1], *(optimizer.state_of(params[0])[key] for key in kept(name, options))]
        others = [params[1], *(optimizer.state_of(params[1])[key] for key in kept(name, options))]
        results.append([*(np.delete(a, places) for a in found), *others])
    for clean, spoiled in zip(*results, strict=True):
        assert np.isfinite(clean).all() and same_bits(clean, spoiled)


@CODED
@ROWS
def test_never_negative(name: str, options: dict[str, Any], state_dtype: str) -> None:
    """State that is divided by never becomes 0 or negative in bytes, nor negative in bfloat16, for any gradients."""
    rng = np.random.default_rng(4)
    params = [rng.standard_normal(4096).astype(np.float32)]
    optimizer = make(name, params, **options, state_dtype=state_dtype)
    keys = [k for k in kept(name, options) if not STATE[name][k]]
    for step in range(12):
        size = np.float32(10.0) ** rng.uniform(-15, 15, 4096).astype(np.float32)
        grad = rng.standard_normal(4096).astype(np.float32) * size * np.float32(step % 4 != 0)
        optimizer.step([grad])
        for key in keys:
            kept_values = optimizer.state_of(params[0])[key]
            assert not np.signbit(kept_values).any() and np.isfinite(kept_values).all()
            assert state_dtype == "bfloat16" or (kept_values > 0).all()


@CODED
@ROWS
def test_decoded_state_comes_back_exactly(name: str, options: dict[str, Any], state_dtype: str) -> None:
    """Decoded state is encoded again without a change, over thirty orders of magnitude and in blocks of zeros."""
    rng = np.random.default_rng(6)
    params = _arrays(1, (5000, 64, 1))
    optimizer = make(name, params, **options, state_dtype=state_dtype)
    for _ in range(5):
        grads = [(g * 10.0 ** rng.uniform(-15, 15, g.size)).astype(np.float32) for g in _arrays(2, (5000, 64, 1))]
        grads[1][:] = 0
        optimizer.step(grads)
        before = [_state(optimizer, params, key) for key in kept(name, options)]
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        assert all(same_bits(_state(optimizer, params, k), b) for k, b in zip(kept(name, options), before, strict=True))


@CODED
def test_only_float32(state_dtype: str) -> None:
    """float64 and bfloat16 parameters are refused, in a later group, too, which leaves the optimizer unchanged."""
    bad: list[Any] = [np.ones(3)]
    try:
        import torch

        bad += [torch.ones(3, dtype=torch.float64), torch.ones(3, dtype=torch.bfloat16)]
    except ImportError:
        pass
    good = np.ones(3, np.float32)
    for param in bad:
        sentence = rf"^params\[1\]: got (float64|bfloat16), want float32, since state_dtype is {state_dtype}"
        with pytest.raises(TypeError, match=sentence):
            optim.Adam([good, param], state_dtype=state_dtype)
        optimizer = optim.Adam([good], state_dtype=state_dtype)
        before = everything(optimizer, [good])
        with pytest.raises(TypeError, match=sentence):
            optimizer.add_param_group({"params": [param]})
        assert everything(optimizer, [good]) == before and len(optimizer.param_groups) == 1


@pytest.mark.parametrize("value", ["float16", "INT8", 8, np.int8, True, np.float32])
def test_bad_state_dtype(value: Any) -> None:
    """Only None and two strings are accepted."""
    with pytest.raises((TypeError, ValueError), match=r"^state_dtype: got .*, want None, 'bfloat16' or 'int8'"):
        optim.Adam([np.ones(3, np.float32)], state_dtype=value)


@pytest.mark.parametrize("value", ["x", 3.0, np.random])
def test_bad_generator(value: Any) -> None:
    """An object that is not a generator, a seed or None is refused."""
    for state_dtype in (None, "int8"):
        with pytest.raises(TypeError, match=r"^generator: got .*, want "):
            optim.Adam([np.ones(3, np.float32)], generator=value, state_dtype=state_dtype)


@CODED
@pytest.mark.parametrize("extras", [{}, {"clip_grad_norm": 1.0}])
def test_a_step_that_is_not_taken_draws_nothing(extras: dict[str, Any], state_dtype: str) -> None:
    """A refused gradient, or a non-finite norm, leaves the generator of the random rounding unchanged."""
    params = [np.ones(300, np.float32)]
    optimizer = optim.Adam(params, state_dtype=state_dtype, **extras)
    optimizer.step([np.ones(300, np.float32)])
    before = everything(optimizer, params)[:-1]
    if extras:
        optimizer.step([np.full(300, np.nan, np.float32)])
    else:
        with pytest.raises(ValueError, match="want"):
            optimizer.step([np.ones(3, np.float32)])
    assert everything(optimizer, params)[:-1] == before


@pytest.mark.parametrize(("state_dtype", "width"), [("bfloat16", 2), ("int8", 1 + 4 / 64), (None, 4)])
def test_memory(state_dtype: str | None, width: float) -> None:
    """Two moments take two bytes or one byte per element, and no float32 copy of them remains."""
    param, grad = np.ones(2**18, np.float32), np.ones(2**18, np.float32)
    gc.collect()  # frees what earlier tests left in cycles, so that it is not counted here
    before = fastnn.memory_stats()["used_bytes"]
    tracemalloc.start()
    optimizer = optim.Adam([param], state_dtype=state_dtype)
    for _ in range(2):
        optimizer.step([grad])
    used = tracemalloc.get_traced_memory()[0] + fastnn.memory_stats()["used_bytes"] - before
    tracemalloc.stop()
    assert 2 * width * 2**18 <= used <= 2 * width * 2**18 + 25_000


@CODED
@ROWS
def test_convergence(name: str, options: dict[str, Any], state_dtype: str) -> None:
    """On a noisy quadratic, the final error is within 5 % of that with float32 state."""
    rng = np.random.default_rng(7)
    slope = rng.uniform(0.5, 2, 4000).astype(np.float32)
    sign = -1 if options.get("maximize") else 1
    start = rng.standard_normal(4000).astype(np.float32)
    noise = rng.standard_normal((400, 4000)).astype(np.float32)
    errors = []
    for kind in (None, state_dtype):
        params, total = [start.copy()], 0.0
        optimizer = make(name, params, **options, state_dtype=kind, generator=Generator(8))
        for step, part in enumerate(noise):
            optimizer.step([sign * (slope * params[0] + part)])
            total += float((slope * params[0] ** 2).mean()) * (step >= 300)
        errors.append(total)
    assert errors[1] == pytest.approx(errors[0], rel=0.05)


@CODED
def test_not_centered(state_dtype: str) -> None:
    """centered is refused everywhere, because a variance s - a^2 far below s does not survive rounding."""
    params, sentence = [np.ones(3, np.float32)], r"^centered: got True, want False with state_dtype=.*; .+"
    with pytest.raises(ValueError, match=sentence):
        optim.RMSprop(params, centered=True, state_dtype=state_dtype)
    optimizer = optim.RMSprop(params, state_dtype=state_dtype)
    optimizer.step([np.ones(3, np.float32)])
    before, saved = everything(optimizer, params), optim.RMSprop([np.ones(3, np.float32)], centered=True).state_dict()
    for refused in (
        lambda: optimizer.param_groups[0].update(centered=True),
        lambda: optimizer.add_param_group({"params": [np.ones(3, np.float32)], "centered": True}),
        lambda: optimizer.load_state_dict(saved),
    ):
        with pytest.raises(ValueError, match=sentence):
            refused()
        assert everything(optimizer, params) == before


@pytest.mark.parametrize("state_dtype", ["int8", "bfloat16"])
def test_a_shared_generator_stays_shared(state_dtype: Any) -> None:
    """Loading puts the given generator back to the saved place, and later steps draw from it."""
    param, generator = np.ones(300, np.float32), Generator(7)
    optimizer = optim.Adam([param], state_dtype=state_dtype, generator=generator)
    optimizer.step([param.copy()])
    saved, place = copy.deepcopy(optimizer.state_dict()), generator.offset
    optimizer.step([param.copy()])
    assert generator.offset > place
    optimizer.load_state_dict(saved)
    assert generator.offset == place
    optimizer.step([param.copy()])
    assert generator.offset > place
