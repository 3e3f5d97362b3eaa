"""Optimizer steps over lists of tensors of any size follow the papers' formulas."""

import inspect
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from support import DTYPES, Array, Guarded, error_in_ulps, guarded, running, same_bits
from variants import IDS, NAMES, STATE, TORCH, VARIANTS, everything, fresh, full_state, kept, make, reference_step, sure

from fastnn import nn, optim

SIZES = (*range(258), 100_003)
SAME_SIZES = (*range(0, 70, 3), 127, 128, 129, 255, 256, 257, 20_003)
STEPS = 50
# In eps of the dtype times the largest |value|; the largest error measured after 50 steps is 11.
BOUND = 16


class Normals:
    """Normal values of some length, drawn once for all tests.

    Attributes:
        drawn: the arrays drawn so far.
    """

    def __init__(self, length: int) -> None:
        self.rng, self.length, self.drawn = np.random.default_rng(11), length, list[Array]()

    def __getitem__(self, i: int) -> Array:
        while len(self.drawn) <= i:
            self.drawn.append(self.rng.standard_normal(self.length))
        return self.drawn[i]


of_length = lru_cache(Normals)


class Tensors:
    """Tensors of SIZES, each at an odd address and surrounded by a canary, and their gradients."""

    def __init__(self, dtype: Any, sizes: tuple[int, ...] = SIZES) -> None:
        self.total, self.dtype, self.drawn = sum(sizes), dtype, 0
        self.slices = [slice(end - size, end) for size, end in zip(sizes, np.cumsum(sizes), strict=True)]
        flat = of_length(self.total)[0]
        parts = [(size, flat[part]) for size, part in zip(sizes, self.slices, strict=True)]
        self.guards = [guarded(n, dtype, 1 + 2 * (n % 4), part) for n, part in parts]
        self.grad_guards = [guarded(n, dtype, 1 + 2 * (n % 3)) for n in sizes]
        self.params, self.grads = ([g.array for g in guards] for guards in (self.guards, self.grad_guards))

    def draw(self) -> Array:
        """Draw new gradients and return them as one flat array."""
        self.drawn += 1
        flat = of_length(self.total)[self.drawn].astype(self.dtype)
        for grad, part in zip(self.grads, self.slices, strict=True):
            grad[...] = flat[part]
        return flat

    def check(self) -> None:
        """Assert that no byte beside a tensor has changed."""
        for guard in (*self.guards, *self.grad_guards):
            Guarded.check(guard)


def _state(optimizer: Any, param: Any, key: str) -> Array:
    value: Array = optimizer.state_of(param)[key]
    return value


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=IDS)
def test_reference(name: str, options: dict[str, Any], dtype: Any) -> None:
    """50 steps over 259 tensors of 0 to 100,003 elements in one call stay within the bound, and so does the state."""
    tensors = Tensors(dtype)
    optimizer = make(name, tensors.params, **options)
    want, state = np.concatenate(tensors.params).astype(np.float64), fresh(name, tensors.total, **options)
    certain = np.ones(tensors.total, bool)
    for step in range(1, STEPS + 1):
        grad = tensors.draw()
        optimizer.step(tensors.grads)
        assert same_bits(np.concatenate(tensors.grads), grad), "a gradient was written"
        certain &= sure(name, grad, state, options)
        want = reference_step(name, want, grad, state, step, **options)
    tensors.check()
    assert certain.mean() > 0.99
    assert error_in_ulps(np.concatenate(tensors.params)[certain], want[certain]) <= BOUND
    exact = dict(zip(STATE[name], state, strict=False))
    assert [k for k in optimizer.state_of(tensors.params[0]) if k != "step"] == kept(name, options)
    for key in kept(name, options):
        found = np.concatenate([_state(optimizer, p, key) for p in tensors.params])
        assert error_in_ulps(found, exact[key]) <= BOUND


class Row(NamedTuple):
    """A variant and dtype with the result of the base ISA on one thread."""

    name: str
    options: dict[str, Any]
    dtype: Any
    base: list[Array]


def _seven_steps(name: str, options: dict[str, Any], dtype: Any) -> list[Array]:
    """Return parameters and state after seven steps; RAdam's sixth step is its first rectified one."""
    tensors = Tensors(dtype, SAME_SIZES)
    optimizer = make(name, tensors.params, **options)
    for _ in range(7):
        tensors.draw()
        optimizer.step(tensors.grads)
    tensors.check()
    return [*tensors.params, *(_state(optimizer, p, key) for key in kept(name, options) for p in tensors.params)]


@pytest.fixture(scope="module", params=range(2 * len(VARIANTS)), ids=lambda i: f"{IDS[i // 2]}-float{32 << i % 2}")
def row(request: pytest.FixtureRequest) -> Row:
    """Return every variant and dtype in turn; the base result is computed once for all tests."""
    (name, options), dtype = VARIANTS[request.param // 2], DTYPES[request.param % 2]
    with running("base", 1):
        return Row(name, options, dtype, _seven_steps(name, options, dtype))


def test_same_bits(row: Row, isa: str, threads: int) -> None:
    """Parameters and state have the same bits on every ISA and for every thread count."""
    got = _seven_steps(row.name, row.options, row.dtype)
    assert len(got) == len(row.base) and all(map(same_bits, got, row.base))


# Options that change between steps, and that matter for state that parameters without a gradient must keep.
CHANGED: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.9, "dampening": 0.3},
    "Adam": {"betas": (0.5, 0.8), "amsgrad": True},
    "AdamW": {"betas": (0.5, 0.8), "amsgrad": True},
    "Adamax": {"betas": (0.5, 0.8)},
    "NAdam": {"betas": (0.5, 0.8), "momentum_decay": 0.1},
    "RAdam": {"betas": (0.5, 0.9)},
    "Adagrad": {"lr_decay": 0.5},
    "Adadelta": {"rho": 0.5},
    "RMSprop": {"momentum": 0.5, "centered": True, "alpha": 0.9},
    "Lion": {"betas": (0.5, 0.8)},
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_none_gradients(name: str, dtype: Any) -> None:
    """A tensor without a gradient stays as it is, with its state and step count; the next step continues from there."""
    options, sizes = CHANGED[name], tuple(range(0, 258, 5))
    tensors = Tensors(dtype, sizes)
    optimizer = make(name, tensors.params, **options)
    want = [p.astype(np.float64) for p in tensors.params]
    states, steps = [fresh(name, n) for n in sizes], [0] * len(sizes)
    for round_ in range(STEPS):
        tensors.draw()
        given = [None if (round_ + i) % 3 == 0 or i == 40 else g for i, g in enumerate(tensors.grads)]
        before = [everything(optimizer, [p]) for p in tensors.params]
        optimizer.step(given)
        for i, grad in enumerate(given):
            if grad is None:
                assert everything(optimizer, [tensors.params[i]]) == before[i]
            else:
                steps[i] += 1
                want[i] = reference_step(name, want[i], grad, states[i], steps[i], **options)
    tensors.check()
    for i, param in enumerate(tensors.params):
        assert error_in_ulps(param, want[i]) <= BOUND
        assert optimizer.state_of(param)["step"] == steps[i]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=IDS)
@pytest.mark.filterwarnings("ignore:.*invalid value:RuntimeWarning")
def test_special_gradients(name: str, options: dict[str, Any], value: float, dtype: Any, isa: str) -> None:
    """NaN and infinity in a gradient affect the same element of parameter and state, and no other."""
    tensors = Tensors(dtype, (67,) * 67)
    optimizer = make(name, tensors.params, **options)
    state = fresh(name, tensors.total, **options)
    want = np.concatenate(tensors.params).astype(np.float64)
    tensors.draw()
    for i, grad in enumerate(tensors.grads):
        grad[i] = value
    want = reference_step(name, want, np.concatenate(tensors.grads), state, 1, **options)
    optimizer.step(tensors.grads)
    assert error_in_ulps(np.concatenate(tensors.params), want) <= BOUND
    exact = dict(zip(STATE[name], state, strict=False))
    for key in kept(name, options):
        assert error_in_ulps(np.concatenate([_state(optimizer, p, key) for p in tensors.params]), exact[key]) <= BOUND


@pytest.mark.parametrize("name", NAMES)
def test_infinite_parameter_without_decay(name: str) -> None:
    """Without decay the parameter is not multiplied by 0: 0 * inf would be NaN."""
    param = np.array([np.inf, -np.inf, 1.0])
    make(name, [param], weight_decay=0).step([np.ones(3)])
    np.testing.assert_array_equal(np.isposinf(param), [True, False, False])
    np.testing.assert_array_equal(np.isneginf(param), [False, True, False])


@pytest.mark.parametrize("name", NAMES)
def test_groups_and_kinds_of_params(name: str) -> None:
    """Arrays, Parameters, pairs and groups take the same step; each group has its own options."""
    rng = np.random.default_rng(3)
    start, grads = rng.standard_normal((2, 5)), rng.standard_normal((2, 5))
    want = [reference_step(name, start[i], grads[i], fresh(name, 5), 1) for i in range(2)]

    arrays = list(start.copy())
    make(name, arrays).step(list(grads))
    named = list(start.copy())
    make(name, [("a", named[0]), ("b", named[1])]).step(list(grads))
    parameters = [nn.Parameter(a) for a in start.copy()]
    for parameter, grad in zip(parameters, grads, strict=True):
        parameter.grad = grad
    make(name, parameters).step()
    for got in (arrays, named, [p.data for p in parameters]):
        np.testing.assert_allclose(got, want, rtol=1e-13)

    grouped = list(start.copy())
    optimizer = make(name, [{"params": [grouped[0]]}, {"params": [grouped[1]], "lr": 0.0}])
    optimizer.step(list(grads))
    np.testing.assert_allclose(grouped[0], want[0], rtol=1e-13)
    np.testing.assert_array_equal(grouped[1], start[1])


@pytest.mark.parametrize(
    ("dtype", "state_dtype"),
    [(np.float64, None), (np.float32, None), (np.float32, "bfloat16"), (np.float32, "int8")],
)
@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_of_zeros_moves_nothing(name: str, dtype: Any, state_dtype: Any, isa: str) -> None:
    """Elements that have never had a gradient stay, beside others that move."""
    param = np.linspace(-1, 1, 150).astype(dtype)
    before, grad = param.copy(), np.zeros(150, dtype)
    grad[::7] = 1
    optimizer = make(name, [param], weight_decay=0.0, state_dtype=state_dtype)
    for _ in range(8):
        optimizer.step([grad])
    assert same_bits(param[grad == 0], before[grad == 0]) and (param[grad != 0] < before[grad != 0]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_that_stay_as_they_are(dtype: Any, isa: str) -> None:
    """With constant gradients the centred variance is 0 up to rounding, and never a root of less than 0."""
    param, grad = np.zeros(300, dtype), np.linspace(-3, 3, 300).astype(dtype)
    optimizer = make("RMSprop", [param], alpha=0.9, centered=True, eps=1e-3)
    for _ in range(400):
        optimizer.step([grad])
    assert np.isfinite(param).all() and (np.sign(param) == -np.sign(grad)).all()


OTHER: dict[str, Any] = {
    "lr": 0.3, "weight_decay": 0.2, "maximize": True, "eps": 0.1, "betas": (0.5, 0.6), "amsgrad": True,
    "decoupled_weight_decay": True, "momentum": 0.7, "dampening": 0.3, "nesterov": True, "momentum_decay": 0.5,
    "lr_decay": 0.4, "initial_accumulator_value": 0.7, "rho": 0.4, "alpha": 0.4, "centered": True,
}  # fmt: skip
WITHOUT_EFFECT = {"params", "foreach", "fused", "capturable", "differentiable"}


@pytest.mark.parametrize("name", NAMES)
def test_every_option_of_a_group(name: str) -> None:
    """A group with another value of any option, before or after one with the default, steps as if it were alone."""
    rng = np.random.default_rng(4)
    start, grads = rng.standard_normal((2, 7)), rng.standard_normal((9, 2, 7))
    grads *= 0.5 ** np.arange(9)[:, None, None]  # v becomes smaller, so that amsgrad matters
    usual = {**full_state(name), "weight_decay": 0.1}
    if "betas" in inspect.signature(getattr(optim, name)).parameters:
        usual["betas"] = (0.8, 0.9)
    for option in make(name, [start[0].copy()], **usual).param_groups[0].keys() - WITHOUT_EFFECT:
        for changed in (0, 1):
            grouped, alone = list(start.copy()), list(start.copy())
            options = [{**usual, **({option: OTHER[option]} if i == changed else {})} for i in range(2)]
            both = make(name, [{"params": [p], **given} for p, given in zip(grouped, options, strict=True)])
            single = [make(name, [{"params": [p], **given}]) for p, given in zip(alone, options, strict=True)]
            usually = [make(name, [p], **usual) for p in start.copy()]
            for grad in grads:
                both.step(list(grad))
                for i in range(2):
                    single[i].step([grad[i]])
                    usually[i].step([grad[i]])
            assert all(map(same_bits, grouped, alone)), option
            default = usually[changed].param_groups[0]["params"][0]
            assert usually[0].param_groups[0][option] == OTHER[option] or not same_bits(grouped[changed], default), (
                option
            )


@pytest.mark.parametrize("name", NAMES)
def test_float32_and_float64_in_one_list(name: str) -> None:
    """Both dtypes in one optimizer take the same steps as alone."""
    rng = np.random.default_rng(5)
    start, grads = rng.standard_normal((6, 300)), rng.standard_normal((6, 300))
    mixed = [p.astype(DTYPES[i % 2]) for i, p in enumerate(start)]
    alone = [p.copy() for p in mixed]
    optimizer = make(name, mixed, **CHANGED[name])
    singles = [make(name, [p], **CHANGED[name]) for p in alone]
    for _ in range(3):
        given = [g.astype(DTYPES[i % 2]) for i, g in enumerate(grads)]
        optimizer.step(given)
        for single, grad in zip(singles, given, strict=True):
            single.step([grad])
    assert all(map(same_bits, mixed, alone))


@pytest.mark.parametrize("name", NAMES)
def test_options_change_between_steps(name: str) -> None:
    """Options set in `param_groups` count from the next step on, by a schedule or by hand, and can be set back."""
    rng = np.random.default_rng(4)
    (param,) = params = [rng.standard_normal(20)]
    optimizer = getattr(optim, name)(params)
    usual = {k: optimizer.param_groups[0][k] for k in CHANGED[name]}
    want, state = param.copy(), fresh(name, 20)
    for step in range(1, 19):
        options = CHANGED[name] if 4 < step < 13 else usual
        optimizer.param_groups[0].update(options | {"lr": 0.01, "weight_decay": 0.1 * step})
        grad = rng.standard_normal(20)
        optimizer.step([grad])
        want = reference_step(name, want, grad, state, step, **options, weight_decay=0.1 * step)
    np.testing.assert_allclose(param, want, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_zero_learning_rate_moves_nothing(name: str) -> None:
    """lr = 0 is allowed and changes no bit of the parameter."""
    param = np.random.default_rng(0).standard_normal(100)
    before = param.copy()
    getattr(optim, name)([param], lr=0.0).step([np.ones(100)])
    assert same_bits(param, before)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_to_step(name: str) -> None:
    """Empty tensors and gradients that are all None are accepted."""
    empty, one = np.empty((0, 3), dtype=np.float32), np.ones(1, dtype=np.float32)
    optimizer = make(name, [empty, one], **full_state(name))
    optimizer.step([None, None])
    optimizer.step([np.empty((0, 3), dtype=np.float32), None])
    np.testing.assert_array_equal(one, 1)


@pytest.mark.parametrize("name", NAMES)
def test_closure(name: str) -> None:
    """A closure, as positional or keyword argument, runs first, and its loss is returned."""
    parameter = nn.Parameter(np.ones(3))

    def closure() -> float:
        parameter.grad = np.full(3, 2.0)
        return 7.5

    want = np.ones(3)
    make(name, [want]).step([np.full(3, 2.0)])
    optimizer = make(name, [parameter])
    assert optimizer.step(closure) == 7.5
    assert same_bits(parameter.data, want)
    assert optimizer.step(closure=closure) == 7.5 and optimizer.step() is None
    assert optimizer.state_of(parameter)["step"] == 3


def test_another_name_of_adagrad() -> None:
    """Adagrad is also available in the paper's spelling."""
    assert optim.AdaGrad is optim.Adagrad


@pytest.mark.parametrize("name", TORCH)
def test_defaults_are_torchs(name: str) -> None:
    """Names, order and defaults of the arguments equal torch's."""
    torch_optim = pytest.importorskip("torch").optim
    theirs = inspect.signature(getattr(torch_optim, name)).parameters
    ours = dict(inspect.signature(getattr(optim, name)).parameters)
    assert ours.pop("extras").kind is inspect.Parameter.VAR_KEYWORD
    assert [(k, p.kind, p.default) for k, p in ours.items()] == [(k, p.kind, p.default) for k, p in theirs.items()]
