"""Clipping of gradients, by function and within a step; gradients that the step sets to zero."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support import DTYPES, Array, guarded, running, same_bits
from variants import IDS, NAMES, VARIANTS, everything, make

from fastnn import nn, optim
from fastnn.optim import clip_grad_norm_, clip_grad_value_

NAN, INF = math.nan, math.inf
SHAPES = ((3, 5), (), (0,), (300,), (1, 2, 3))
KINDS = ("array-float32", "array-float64", "Parameter-float32", "Parameter-float64", "tensor-float32", "tensor-float64")


def _gradients(dtype: Any, seed: int = 1, shapes: Any = SHAPES) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(s), dtype) for s in shapes]


def _holders(kind: str, seed: int = 1) -> list[Any]:
    """Return the argument of a clipping function: gradients, or parameters that have them."""
    what, dtype = kind.split("-")
    grads = _gradients("float32" if dtype == "bfloat16" else dtype, seed)
    if what == "array":
        return list(grads)
    if what == "Parameter":
        made: list[Any] = [nn.Parameter(np.zeros_like(g)) for g in grads]
        for parameter, grad in zip(made, grads, strict=True):
            parameter.grad = grad
        return made
    torch = pytest.importorskip("torch")
    made = [torch.nn.Parameter(torch.zeros(g.shape, dtype=getattr(torch, dtype))) for g in grads]
    for parameter, grad in zip(made, grads, strict=True):
        parameter.grad = torch.from_numpy(grad.copy()).to(parameter.dtype)
    return made


def _found(holders: list[Any]) -> Array:
    """Return all gradients as one flat array."""
    grads = [h if isinstance(h, np.ndarray) else h.grad for h in holders]
    grads = [g.float() if str(g.dtype) == "torch.bfloat16" else g for g in grads]
    arrays = [g if isinstance(g, np.ndarray) else g.numpy() for g in grads]
    return np.concatenate([a.ravel() for a in arrays])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm_type", [1, 2.0, 3, INF])
@pytest.mark.parametrize("max_norm", [0, 0.3, 1e6, INF])
def test_norm_against_torch(max_norm: float, norm_type: float, kind: str) -> None:
    """Clipped gradients and the returned norm equal torch's."""
    torch = pytest.importorskip("torch")
    holders = _holders(kind)
    # torch cannot take the maximum of no elements
    theirs = [p for p in _holders(f"tensor-{kind.split('-')[1]}") if p.numel()]
    before, rtol = _found(holders), 1e-12 if kind.endswith("64") else 1e-6
    norm = clip_grad_norm_(holders, max_norm, norm_type)
    want = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    assert type(norm) is float and norm == pytest.approx(want.item(), rel=rtol)
    np.testing.assert_allclose(_found(holders), _found(theirs), rtol=rtol, atol=0)
    assert max_norm < 1 or same_bits(_found(holders), before)


@pytest.mark.parametrize("max_norm", [0.3, 1e6])
def test_norm_of_bfloat16(max_norm: float) -> None:
    """bfloat16 is widened for the norm, and rounded to nearest only when it is scaled."""
    torch = pytest.importorskip("torch")
    holders = _holders("tensor-bfloat16")
    before = _found(holders)
    want = float(np.sqrt((before.astype(np.float64) ** 2).sum()))
    norm = clip_grad_norm_(holders, max_norm)
    assert norm == pytest.approx(want, rel=1e-12)
    scaled = torch.from_numpy(before) * np.float32(min(1.0, max_norm / (norm + 1e-6)))
    assert same_bits(_found(holders), scaled.to(torch.bfloat16).float().numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_value_against_torch(kind: str) -> None:
    """Every element is clipped to the limit; NaN stays, infinity does not."""
    torch = pytest.importorskip("torch")
    for limit in (0, 0.7, 100, INF):
        holders, theirs = _holders(kind), _holders(f"tensor-{kind.split('-')[1]}")
        for one in (holders[0], theirs[0]):
            grad = one if isinstance(one, np.ndarray) else one.grad
            grad[0, 0], grad[0, 1], grad[0, 2] = NAN, INF, -INF
        assert clip_grad_value_(holders, limit) is None
        torch.nn.utils.clip_grad_value_(theirs, limit)
        np.testing.assert_array_equal(_found(holders), _found(theirs))
        assert limit == INF or (np.abs(_found(holders)[1:]) <= limit + 1e-7).all()


def test_value_of_bfloat16() -> None:
    """The limit is rounded to nearest; everything else is exact."""
    torch = pytest.importorskip("torch")
    holders = _holders("tensor-bfloat16")
    before, limit = _found(holders), float(torch.tensor(0.7).to(torch.bfloat16))
    clip_grad_value_(holders, 0.7)
    assert same_bits(_found(holders), np.clip(before, np.float32(-limit), np.float32(limit)))


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_same_bits(dtype: str, isa: str, threads: int) -> None:
    """The norm, the clipped gradients and the step have the same bits on every ISA and for every thread count."""
    sizes, results = (1, 255, 256, 257, 70_001, 4096, 3), []
    for run_isa, run_threads in (("base", 1), (isa, threads)):
        with running(run_isa, run_threads):
            grads: list[Any] = _gradients("float32" if dtype == "bfloat16" else dtype, 3, sizes)
            if dtype == "bfloat16":
                torch = pytest.importorskip("torch")
                tensors = [torch.from_numpy(g).to(torch.bfloat16) for g in grads]
                params = [torch.zeros_like(t) for t in tensors]
                optimizer, given = optim.SGD(params, clip_grad_norm=1.0), tensors
            else:
                params = [np.zeros_like(g) for g in grads]
                optimizer, given = optim.SGD(params, clip_grad_norm=1.0), grads
            optimizer.step(given)
            stepped = [p.copy() if isinstance(p, np.ndarray) else p.float().numpy() for p in params]
            if dtype == "bfloat16":
                for param, tensor in zip(params, tensors, strict=True):
                    param.grad = tensor
                norm = clip_grad_norm_(params, 1.0)
                clipped = [t.float().numpy() for t in tensors]
            else:
                norm = clip_grad_norm_(grads, 1.0)
                clipped = grads
            results.append([np.float64(norm), np.float64(optimizer.last_grad_norm), *stepped, *clipped])
    assert len(results[0]) == len(results[1]) and all(map(same_bits, *results))
    exact = math.sqrt(sum(float((g.astype(np.float64) ** 2).sum()) for g in _gradients("float64", 3, sizes)))
    assert results[0][0] == results[0][1] == pytest.approx(exact, rel=1e-3 if dtype == "bfloat16" else 1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_beside_the_gradients(dtype: Any, isa: str) -> None:
    """Clipping writes no byte beside the gradients, for any size and alignment."""
    guards = [guarded(n, dtype, 1 + n % 3, 1.0) for n in (*range(130), 255, 256, 257, 1000)]
    clip_grad_norm_([g.array for g in guards], 0.5)
    clip_grad_value_([g.array for g in guards], 1e-3)
    for guard in guards:
        guard.check()
        assert (guard.array <= 1e-3).all()


def test_what_is_clipped() -> None:
    """One parameter, a list and a generator are accepted; None is skipped, and a gradient given twice counts once."""
    grad = np.full(4, 2.0)
    assert clip_grad_norm_(grad, 1.0) == 4 and clip_grad_norm_([], 1.0) == 0
    np.testing.assert_allclose(grad, 0.5, rtol=1e-6)
    parameters = [nn.Parameter(np.zeros(4)) for _ in range(3)]
    parameters[1].grad = np.full(4, 2.0)
    assert clip_grad_norm_((p for p in parameters), INF) == 4
    assert clip_grad_norm_(parameters[1], INF) == 4 and clip_grad_norm_(parameters[0], INF) == 0
    assert clip_grad_norm_([parameters[1], parameters[1]], 2.0) == 4
    np.testing.assert_allclose(parameters[1].grad, 1, rtol=1e-6)
    clip_grad_value_(parameters, 0.25)
    np.testing.assert_array_equal(parameters[1].grad, 0.25)


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, np.inf])
def test_memory_that_comes_twice(norm_type: float) -> None:
    """The same memory counts once, also in another view; partial overlaps are refused before the norm is computed."""
    memory = np.ones(6)
    whole = clip_grad_norm_([memory], np.inf, norm_type)
    assert clip_grad_norm_([memory, memory[:]], np.inf, norm_type) == whole
    assert clip_grad_norm_([memory] * 3, np.inf, norm_type) == whole
    assert clip_grad_norm_([memory[:], memory[:], memory[:], memory], np.inf, norm_type) == whole
    other = np.ones(3)
    both = clip_grad_norm_([memory, other], np.inf, norm_type)
    assert clip_grad_norm_([memory, other, memory, other, memory[:]], np.inf, norm_type) == both
    clip_grad_norm_([memory, other, memory, memory], both / 2, norm_type)
    np.testing.assert_allclose([*memory, *other], 0.5, rtol=1e-5)
    with pytest.raises(ValueError, match=r"parameters\[1\]: got memory that overlaps parameters\[0\]"):
        clip_grad_norm_([memory[:4], memory[2:]], np.inf, norm_type)
    for overlapping in ([memory[:2], memory], [memory, memory[:2]], [memory, memory[3:]], [memory[3:], memory]):
        with pytest.raises(ValueError, match=r"parameters\[[01]\]: got memory that overlaps parameters\[[01]\]"):
            clip_grad_norm_(overlapping, np.inf, norm_type)


@pytest.mark.parametrize("kind", [*KINDS, "tensor-bfloat16"])
@pytest.mark.parametrize("norm_type", [1, 2, 3, INF])
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_norm_that_is_not_finite(value: float, norm_type: float, kind: str) -> None:
    """A non-finite norm is returned, or raised with error_if_nonfinite; no gradient changes."""
    holders = _holders(kind)
    grad = holders[3] if isinstance(holders[3], np.ndarray) else holders[3].grad
    grad[7] = value
    before = _found(holders)
    norm = clip_grad_norm_(holders, 0.1, norm_type)
    assert math.isnan(norm) if math.isnan(value) else norm == INF
    with pytest.raises(FloatingPointError, match=r"^grads: got a norm of (nan|inf), want a finite one; .+"):
        clip_grad_norm_(holders, 0.1, norm_type, error_if_nonfinite=True)
    assert same_bits(_found(holders), before)


@pytest.mark.parametrize("value", [NAN, -INF, -1, -1e-9, "x", None, True, 10**400])
def test_bad_limits(value: Any) -> None:
    """A limit must be a number >= 0 and norm_type a number > 0; otherwise nothing is clipped."""
    grads = _gradients(np.float64)
    before = _found(grads)
    for name, call in (
        ("max_norm", lambda: clip_grad_norm_(grads, value)),
        ("norm_type", lambda: clip_grad_norm_(grads, 0.1, value)),
        ("clip_value", lambda: clip_grad_value_(grads, value)),
    ):
        with pytest.raises((TypeError, ValueError), match=rf"^{name}: got .*, want "):
            call()
    with pytest.raises(ValueError, match=r"^norm_type: got 0, want a number > 0 or infinity"):
        clip_grad_norm_(grads, 0.1, 0)
    assert same_bits(_found(grads), before)


@pytest.mark.parametrize("parameters", [None, 1, "x", [1], ["x"], [None], [[1.0]]])
@pytest.mark.parametrize("clip", [clip_grad_norm_, clip_grad_value_])
def test_no_gradients(clip: Callable[..., Any], parameters: Any) -> None:
    """Objects without a gradient are refused."""
    with pytest.raises((TypeError, ValueError), match=r"^parameters.*: got .*, want "):
        clip(parameters, 1.0)


def test_gradients_that_cannot_be_written() -> None:
    """Read-only and strided gradients, and those of another dtype, are refused before any gradient changes."""
    good, read_only = np.full(3, 5.0), np.full(3, 5.0)
    read_only.flags.writeable = False
    for bad in (read_only, np.full((3, 2), 5.0)[:, 0], np.full(3, 5), np.full(3, 5, np.float16)):
        for clip in (clip_grad_norm_, clip_grad_value_, lambda g, x: clip_grad_norm_(g, x, 3)):
            with pytest.raises((TypeError, ValueError), match=r"^parameters\[1\]: got .*, want "):
                clip([good, bad], 1.0)
            assert (good == 5).all()


# Clipping within a step.


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=IDS)
def test_clip_then_step(name: str, options: dict[str, Any], dtype: Any) -> None:
    """A step that clips equals clip_grad_norm_ and a step, but leaves the gradients unchanged."""
    limit, tolerance = 3.0, {"rtol": 1e-12, "atol": 1e-14} if dtype == np.float64 else {"rtol": 1e-4, "atol": 1e-5}
    fused, apart = _gradients(dtype, 5), _gradients(dtype, 5)
    one, two = make(name, fused, **options, clip_grad_norm=limit), make(name, apart, **options)
    for step in range(5):
        grads: list[Any] = _gradients(dtype, 10 + step)
        grads[step % 4 - 1] = None
        copies = [g if g is None else g.copy() for g in grads]
        one.step(grads)
        assert all(a is b is None or same_bits(a, b) for a, b in zip(grads, copies, strict=True))
        norm = clip_grad_norm_([g for g in copies if g is not None], limit)
        assert one.last_grad_norm == norm > limit
        two.step(copies)
    for a, b in zip(fused, apart, strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_limit_that_is_not_reached(name: str) -> None:
    """A limit above the norm changes no bit; the limit may be set, changed and removed between steps."""
    limited, free = _gradients(np.float32, 5), _gradients(np.float32, 5)
    one, two = make(name, limited, clip_grad_norm=1e9), make(name, free)
    assert one.last_grad_norm is None
    for step in range(3):
        one.step(_gradients(np.float32, step))
        two.step(_gradients(np.float32, step))
        assert two.last_grad_norm is None and one.last_grad_norm == clip_grad_norm_(_gradients(np.float32, step), INF)
    one.clip_grad_norm = None
    one.step(_gradients(np.float32, 9))
    two.step(_gradients(np.float32, 9))
    assert one.last_grad_norm is None and all(map(same_bits, limited, free))
    two.clip_grad_norm = 0
    one.step([None] * len(SHAPES))
    assert two.clip_grad_norm == 0


def _given(kind: str, seed: int) -> tuple[list[Any], list[Any]]:
    """Return parameters of this kind with gradients, and those gradients."""
    holders = _holders(kind, seed)
    if kind.startswith("array"):
        return [np.ones_like(h) for h in holders], holders
    return holders, [h.grad for h in holders]


@pytest.mark.parametrize("kind", [*KINDS, "tensor-bfloat16"])
@pytest.mark.parametrize("name", NAMES)
def test_zero_grad_after_step(name: str, kind: str) -> None:
    """The step is unchanged; then the gradients of arrays and tensors are zeroed in place, and Parameters have none."""
    zeroed, plain = _given(kind, 4), _given(kind, 4)
    optimizers = [make(name, p, zero_grad_after_step=z) for (p, _), z in ((zeroed, True), (plain, False))]
    for optimizer, (params, grads) in zip(optimizers, (zeroed, plain), strict=True):
        optimizer.step(grads if kind.startswith("array") else None)
        optimizer.step([g if i else None for i, g in enumerate(_given(kind, 6)[1])])
        assert optimizer.state_of(params[0])["step"] == 1
    for one, two in zip(zeroed[0], plain[0], strict=True):
        a, b = (p.data if isinstance(p, nn.Parameter) else p for p in (one, two))
        assert bool((a == b).all())
    if kind.startswith("Parameter"):
        assert all(p.grad is None for p in zeroed[0]) and all(p.grad is not None for p in plain[0])
    else:
        assert not any(bool(g.any()) for g in zeroed[1]) and any(bool(g.any()) for g in plain[1])
        assert kind.startswith("array") or all(p.grad is g for p, g in zip(*zeroed, strict=True))


def test_zeroing_needs_gradients_to_write() -> None:
    """Read-only or overlapping gradients are refused if they are to be zeroed, even if earlier steps accepted them."""
    first, second, shared = np.ones(3), np.ones(3), np.ones(5)
    overlap = r"^params\[[01]\]\.grad: got memory that overlaps params\[[01]\]\.grad, want .*; .+"
    read_only = np.ones(3)
    read_only.flags.writeable = False
    params = [first, second]
    zeroing = optim.Adam(params, zero_grad_after_step=True)
    for grads, sentence in (
        ([np.ones(3), read_only], r"^params\[1\]\.grad: got a read-only array, want a writable one"),
        ([shared[:3], shared[2:]], overlap),
        ([shared[:3], shared[:3]], overlap),
    ):
        for optimizer in (zeroing, optim.Adam(params)):
            before = everything(optimizer, params)
            if optimizer is not zeroing:
                optimizer.step([*grads])  # gradients are only read here, so overlaps and read-only memory are accepted
                before = everything(optimizer, params)
                optimizer.zero_grad_after_step = True
            with pytest.raises(ValueError, match=sentence):
                optimizer.step(grads)
            assert everything(optimizer, params) == before and all((g == 1).all() for g in grads)


def test_overlap_in_turns() -> None:
    """Gradients that were accepted one at a time are checked again when they come together."""
    params, grad = [np.ones(3), np.ones(3)], np.ones(3)
    optimizer = optim.Adam(params, zero_grad_after_step=True)
    for grads in ([grad, None], [None, grad]):
        grad[...] = 1
        optimizer.step(grads)
    with pytest.raises(ValueError, match=r"^params.[01].\.grad: got memory that overlaps .*, want "):
        optimizer.step([grad, grad])


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("kind", [*KINDS, "tensor-bfloat16"])
@pytest.mark.parametrize("zero", [False, True])
def test_step_with_a_norm_that_is_not_finite(zero: bool, kind: str, value: float) -> None:
    """A step with a non-finite norm is skipped and counted, or raises if error_if_nonfinite is set.

    Parameters, state and step counts stay as they were; gradients are zeroed only if zero_grad_after_step is set.
    """
    params, grads = _given(kind, 4)
    optimizer = optim.Adam(params, clip_grad_norm=1.0, zero_grad_after_step=zero)
    optimizer.step(_given(kind, 5)[1])
    before = everything(optimizer, params)[:-1]
    for count in (1, 2):
        params_grads = [None if g is None else g for g in grads]
        for param, grad in zip(params, params_grads, strict=True):
            if isinstance(param, nn.Parameter):
                param.grad = grad
            grad[...] = 1
        grads[3][7] = value
        optimizer.step(grads if kind.startswith("array") else None)
        assert everything(optimizer, params)[:-1] == before and optimizer.skipped_steps == count
        assert not math.isfinite(optimizer.last_grad_norm)
        if kind.startswith("Parameter"):
            assert all((p.grad is None) == zero for p in params)
        else:
            assert all(bool((g == 0).all()) for g in grads) if zero else bool(grads[3][7] != 0)
    optimizer.error_if_nonfinite = True
    grads[3][7] = value
    with pytest.raises(FloatingPointError, match=r"^grads: got a norm of (nan|inf), want a finite one; .+"):
        optimizer.step(grads)
    assert everything(optimizer, params)[:-1] == before and optimizer.skipped_steps == 2
    optimizer.step(_given(kind, 6)[1])
    assert optimizer.state_of(params[0])["step"] == 2 and math.isfinite(optimizer.last_grad_norm)


BAD = {
    "clip_grad_norm": [NAN, INF, -INF, -1, "x", True, 10**400],
    "zero_grad_after_step": [NAN, 1, "x", None],
    "error_if_nonfinite": [NAN, 1, "x", None],
}


@pytest.mark.parametrize(
    ("key", "value"), [(k, v) for k, values in BAD.items() for v in values], ids=lambda v: str(v)[:20]
)
@pytest.mark.parametrize("is_late", [False, True])
def test_bad_extras(is_late: bool, key: str, value: Any) -> None:
    """A bad value is refused by the constructor and when it is set later, where the old value stays."""
    optimizer = optim.Adam([np.ones(3)])
    kept = getattr(optimizer, key)
    with pytest.raises((TypeError, ValueError), match=rf"^{key}: got .*, want "):
        if is_late:
            setattr(optimizer, key, value)
        else:
            optim.Adam([np.ones(3)], **{key: value})
    assert getattr(optimizer, key) is kept
