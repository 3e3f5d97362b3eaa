"""Optimizer steps over lists of tensors of any sizes, against the papers' formulas."""

import inspect
from typing import Any, NamedTuple

import numpy as np
import pytest
import reference
from support import DTYPES, Array, Guarded, error_in_ulps, guarded, running, same_bits

from fastnn import nn, optim

SIZES = (*range(258), 100_003)
STEPS = 50
# In eps of the dtype times the largest |value|; the worst measured after 50 steps is 11.
BOUND = 16

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "dampening": 0.5}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("SGD", {"weight_decay": 0.1, "maximize": True}),
    ("SGD", {"momentum": 0.8, "dampening": 0.1, "weight_decay": 0.1, "maximize": True}),
    ("SGD", {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"betas": (0.5, 0.9), "eps": 1e-3}),
    ("Adam", {"betas": (0.0, 0.99), "weight_decay": 0.1, "maximize": True}),
    ("AdamW", {}),
    ("AdamW", {"weight_decay": 0}),
    ("AdamW", {"betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.3, "maximize": True}),
]
IDS = [f"{name}-{'-'.join(options)}" for name, options in VARIANTS]
TORCH = ("SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "Adagrad", "Adadelta", "RMSprop")
STATE = {"SGD": ("momentum_buffer",), "Adam": ("exp_avg", "exp_avg_sq"), "AdamW": ("exp_avg", "exp_avg_sq")}


class Tensors:
    """Tensors of SIZES, each at an odd place with a canary around it, and gradients of the same kind."""

    def __init__(self, dtype: Any, sizes: tuple[int, ...] = SIZES) -> None:
        self.rng = np.random.default_rng(11)
        self.ends = np.cumsum(sizes)[:-1]
        self.total, self.dtype = sum(sizes), dtype
        flat = self.rng.standard_normal(self.total)
        parts = zip(sizes, np.split(flat, self.ends), strict=True)
        self.guards = [guarded(n, dtype, 1 + 2 * (n % 4), part) for n, part in parts]
        self.grad_guards = [guarded(n, dtype, 1 + 2 * (n % 3)) for n in sizes]
        self.params, self.grads = ([g.array for g in guards] for guards in (self.guards, self.grad_guards))

    def draw(self) -> Array:
        """New gradients; returns them end to end."""
        flat = self.rng.standard_normal(self.total).astype(self.dtype)
        for grad, part in zip(self.grads, np.split(flat, self.ends), strict=True):
            grad[...] = part
        return flat

    def check(self) -> None:
        """No byte beside a tensor changed."""
        for guard in (*self.guards, *self.grad_guards):
            Guarded.check(guard)


def _optimizer(name: str, params: Any, **options: Any) -> Any:
    return getattr(optim, name)(params, lr=0.01, **options)


def _state(optimizer: Any, param: Any, key: str) -> Array:
    value: Array = optimizer.state_of(param)[key]
    return value


def _reference_step(name: str, param: Array, grad: Array, state: list[Any], step: int, **options: Any) -> Array:
    """The next param; `state` is a list of what the reference keeps, changed in place. `step` counts from 1."""
    if name == "SGD":
        param, state[0] = reference.sgd(param, grad, state[0], lr=0.01, **options)
    else:
        param, *state[:] = getattr(reference, name.lower())(param, grad, *state, step, lr=0.01, **options)
    return param


def _fresh(name: str, size: int) -> list[Any]:
    return [None] if name == "SGD" else [np.zeros(size), np.zeros(size)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=IDS)
def test_reference(name: str, options: dict[str, Any], dtype: Any) -> None:
    """50 steps over 259 tensors of 0 to 100,003 elements in one call stay within the bound, state too."""
    tensors = Tensors(dtype)
    optimizer = _optimizer(name, tensors.params, **options)
    want, state = np.concatenate(tensors.params).astype(np.float64), _fresh(name, tensors.total)
    for step in range(1, STEPS + 1):
        grad = tensors.draw()
        optimizer.step(tensors.grads)
        assert same_bits(np.concatenate(tensors.grads), grad), "a gradient was written"
        want = _reference_step(name, want, grad, state, step, **options)
    tensors.check()
    assert error_in_ulps(np.concatenate(tensors.params), want) <= BOUND
    for key, exact in zip(STATE[name], state, strict=True):
        if exact is not None:
            kept = np.concatenate([_state(optimizer, p, key) for p in tensors.params])
            assert error_in_ulps(kept, exact) <= BOUND


class Row(NamedTuple):
    """A variant for one dtype, with what the base ISA gives on one thread."""

    name: str
    options: dict[str, Any]
    dtype: Any
    base: list[Array]


def _three_steps(name: str, options: dict[str, Any], dtype: Any) -> list[Array]:
    """Parameters and state after three steps."""
    tensors = Tensors(dtype)
    optimizer = _optimizer(name, tensors.params, **options)
    for _ in range(3):
        tensors.draw()
        optimizer.step(tensors.grads)
    tensors.check()
    keys = [] if name == "SGD" and "momentum" not in options else STATE[name]
    return [*tensors.params, *(_state(optimizer, p, key) for key in keys for p in tensors.params)]


@pytest.fixture(scope="module", params=range(2 * len(VARIANTS)), ids=lambda i: f"{IDS[i // 2]}-float{32 << i % 2}")
def row(request: pytest.FixtureRequest) -> Row:
    """Every variant and dtype, in turn; the base result is computed once for all tests."""
    (name, options), dtype = VARIANTS[request.param // 2], DTYPES[request.param % 2]
    with running("base", 1):
        return Row(name, options, dtype, _three_steps(name, options, dtype))


def test_same_bits(row: Row, isa: str, threads: int) -> None:
    """Same bits on every ISA and thread count, parameters and state."""
    got = _three_steps(row.name, row.options, row.dtype)
    assert len(got) == len(row.base) and all(map(same_bits, got, row.base))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_none_gradients(name: str, dtype: Any) -> None:
    """A tensor without a gradient is left alone, its state and step count too; the next step goes on from there."""
    options = {"momentum": 0.9, "dampening": 0.3} if name == "SGD" else {}
    sizes = tuple(range(0, 258, 5))
    tensors = Tensors(dtype, sizes)
    optimizer = _optimizer(name, tensors.params, **options)
    want = [p.astype(np.float64) for p in tensors.params]
    states, steps = [_fresh(name, n) for n in sizes], [0] * len(sizes)
    for round_ in range(STEPS):
        tensors.draw()
        given = [None if (round_ + i) % 3 == 0 or i == 40 else g for i, g in enumerate(tensors.grads)]
        before = [p.copy() for p in tensors.params]
        optimizer.step(given)
        for i, grad in enumerate(given):
            if grad is None:
                assert same_bits(tensors.params[i], before[i])
            else:
                steps[i] += 1
                want[i] = _reference_step(name, want[i], grad, states[i], steps[i], **options)
    tensors.check()
    for i, param in enumerate(tensors.params):
        assert error_in_ulps(param, want[i]) <= BOUND
        if name != "SGD" and steps[i]:
            assert optimizer.state_of(param)["step"] == steps[i]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=IDS)
@pytest.mark.filterwarnings("ignore:.*invalid value:RuntimeWarning")
def test_special_gradients(name: str, options: dict[str, Any], value: float, dtype: Any, isa: str) -> None:
    """NaN and infinity in a gradient reach the parameter at their own place and no other."""
    tensors = Tensors(dtype, (67,) * 67)
    optimizer = _optimizer(name, tensors.params, **options)
    want = [p.astype(np.float64) for p in tensors.params]
    tensors.draw()
    for i, grad in enumerate(tensors.grads):
        grad[i] = value
        want[i] = _reference_step(name, want[i], grad, _fresh(name, 67), 1, **options)
    optimizer.step(tensors.grads)
    assert error_in_ulps(np.concatenate(tensors.params), np.concatenate(want)) <= BOUND


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_infinite_parameter_without_decay(name: str) -> None:
    """No decay means that the parameter is not read for it: 0 * inf would be NaN."""
    param = np.array([np.inf, -np.inf, 1.0])
    _optimizer(name, [param], weight_decay=0).step([np.ones(3)])
    np.testing.assert_array_equal(np.isposinf(param), [True, False, False])
    np.testing.assert_array_equal(np.isneginf(param), [False, True, False])


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_groups_and_kinds_of_params(name: str) -> None:
    """Arrays, Parameters, pairs and groups all take the same step; each group has its own options."""
    rng = np.random.default_rng(3)
    start, grads = rng.standard_normal((2, 5)), rng.standard_normal((2, 5))
    want = [_reference_step(name, start[i], grads[i], _fresh(name, 5), 1) for i in range(2)]

    arrays = list(start.copy())
    _optimizer(name, arrays).step(list(grads))
    named = list(start.copy())
    _optimizer(name, [("a", named[0]), ("b", named[1])]).step(list(grads))
    parameters = [nn.Parameter(a) for a in start.copy()]
    for parameter, grad in zip(parameters, grads, strict=True):
        parameter.grad = grad
    _optimizer(name, parameters).step()
    for got in (arrays, named, [p.data for p in parameters]):
        np.testing.assert_allclose(got, want, rtol=1e-13)

    grouped = list(start.copy())
    optimizer = _optimizer(name, [{"params": [grouped[0]]}, {"params": [grouped[1]], "lr": 0.0}])
    optimizer.step(list(grads))
    np.testing.assert_allclose(grouped[0], want[0], rtol=1e-13)
    np.testing.assert_array_equal(grouped[1], start[1])


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_options_change_between_steps(name: str) -> None:
    """What a schedule or a hand sets in `param_groups` counts from the next step on, momentum too."""
    rng = np.random.default_rng(4)
    (param,) = params = [rng.standard_normal(20)]
    optimizer = getattr(optim, name)(params)
    option = {"SGD": ("momentum", 0.9), "Adam": ("betas", (0.5, 0.8)), "AdamW": ("betas", (0.5, 0.8))}[name]
    want, state = param.copy(), _fresh(name, 20)
    for step in range(1, 13):
        options = dict([option]) if step > 4 else {}
        optimizer.param_groups[0].update(options | {"lr": 0.01, "weight_decay": 0.1 * step})
        grad = rng.standard_normal(20)
        optimizer.step([grad])
        want = _reference_step(name, want, grad, state, step, **options, weight_decay=0.1 * step)
    np.testing.assert_allclose(param, want, rtol=1e-12)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_zero_learning_rate_moves_nothing(name: str) -> None:
    """lr = 0 is allowed and leaves every bit of the parameter."""
    param = np.random.default_rng(0).standard_normal(100)
    before = param.copy()
    getattr(optim, name)([param], lr=0.0).step([np.ones(100)])
    assert same_bits(param, before)


def test_nothing_to_step() -> None:
    """Empty tensors and an all-None list of gradients are no error."""
    empty, one = np.empty((0, 3), dtype=np.float32), np.ones(1, dtype=np.float32)
    for name in ("SGD", "Adam", "AdamW"):
        optimizer = _optimizer(name, [empty, one])
        optimizer.step([None, None])
        optimizer.step([np.empty((0, 3), dtype=np.float32), None])
        np.testing.assert_array_equal(one, 1)


def test_defaults_are_torchs() -> None:
    """Names, order and defaults of the arguments."""
    torch_optim = pytest.importorskip("torch").optim
    for name in TORCH:
        theirs = inspect.signature(getattr(torch_optim, name)).parameters
        ours = dict(inspect.signature(getattr(optim, name)).parameters)
        assert ours.pop("extras").kind is inspect.Parameter.VAR_KEYWORD
        assert [(k, p.kind, p.default) for k, p in ours.items()] == [(k, p.kind, p.default) for k, p in theirs.items()]
