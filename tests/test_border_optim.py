"""Optimizers refuse bad parameters, gradients and options, and then write nothing in any group."""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from calls import EXTRA_AXIS, FORTRAN, OTHER_DTYPE, OTHER_SHAPE, READ_ONLY, WRONG
from support import Array
from variants import NAMES, everything, full_state

from fastnn import nn, optim

NAN, INF = math.nan, math.inf


def _make(name: str, params: Any, **options: Any) -> Any:
    return getattr(optim, name)(params, **full_state(name) | options)


def _arrays(*shapes: tuple[int, ...]) -> list[Array]:
    return [np.random.default_rng(2).uniform(0.5, 2, shape) for shape in shapes]


def _kinds(*more: tuple[str, Any]) -> list[Any]:
    return [pytest.param(*how, id=kind) for kind, how in (*WRONG.items(), ("fortran", FORTRAN), *more)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("spoil", "error", "sentence"), _kinds(("read-only", READ_ONLY)))
def test_wrong_parameter(name: str, spoil: Callable[[Array], Any], error: type[Exception], sentence: str) -> None:
    """A parameter that cannot be changed in place is refused, with its index or its name in the message."""
    sentence = sentence.replace("a numpy.ndarray", ".*a numpy.ndarray")  # a Parameter is wanted, too
    good, bad = _arrays((3, 4), (3, 4))
    with pytest.raises(error, match=rf"^params\[1\]: {sentence}.*; .+"):
        _make(name, [good, spoil(bad)])
    with pytest.raises(error, match=rf"^layer\.bias: {sentence}"):
        _make(name, [("layer.weight", good), ("layer.bias", spoil(bad))])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("spoil", "error", "sentence"), _kinds(("shape", OTHER_SHAPE), ("axis", EXTRA_AXIS), ("dtype", OTHER_DTYPE))
)
def test_wrong_gradient(name: str, spoil: Callable[[Array], Any], error: type[Exception], sentence: str) -> None:
    """If the second group's gradient is bad, no parameter, state or step count of either group changes."""
    if spoil(np.ones((1, 1))) is None:
        return  # None skips a parameter
    params, grads = _arrays((3, 4), (2, 2), (3, 4)), _arrays((3, 4), (2, 2), (3, 4))
    optimizer = _make(name, [{"params": params[:1]}, {"params": params[1:]}])
    optimizer.step(grads)
    before = everything(optimizer, params)
    with pytest.raises(error, match=rf"^params\[2\]\.grad: {sentence}.*; .+"):
        optimizer.step([*grads[:2], spoil(grads[2])])
    assert everything(optimizer, params) == before
    optimizer.step(grads)
    assert [optimizer.state_of(p)["step"] for p in params] == [2, 2, 2]


@pytest.mark.parametrize("name", NAMES)
def test_read_only_gradient(name: str) -> None:
    """A read-only gradient is accepted and gives the same step as a writable one."""
    (param, other), (grad, writable) = _arrays((3,), (3,)), _arrays((3,), (3,))
    other[...], writable[...] = param, grad
    grad.flags.writeable = False
    for array, gradient in ((param, grad), (other, writable)):
        optimizer = _make(name, [array])
        for _ in range(2):
            optimizer.step([gradient])
    assert (param == other).all() and (param != _arrays((3,))[0]).all() and (grad == writable).all()


@pytest.mark.parametrize("groups", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_same_or_overlapping_parameters(name: str, groups: bool) -> None:
    """A parameter given twice, or two that share an element, are refused, in one group or in two."""
    buffer = np.ones(10)
    for first, second in ((buffer, buffer), (buffer[:6], buffer[5:]), (buffer, buffer[4:6]), (buffer[3:4], buffer)):
        params: Any = [{"params": [first]}, {"params": [second]}] if groups else [first, second]
        with pytest.raises(ValueError, match=r"^params\[[01]\]: got memory that overlaps params\[[01]\], want .*; .+"):
            _make(name, params)
    _make(name, [buffer[:5], buffer[5:]])
    parameter = nn.Parameter(buffer)
    with pytest.raises(ValueError, match=r"^b: got memory that overlaps a, want .*; .+"):
        _make(name, [("a", parameter), ("b", parameter)])


@pytest.mark.parametrize("groups", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_overlapping_gradient(name: str, groups: bool) -> None:
    """A gradient that shares an element with any parameter or state is refused, also across groups."""
    buffer = np.ones(30)
    params = [buffer[:5], buffer[10:15]]
    optimizer = _make(name, [{"params": [p]} for p in params] if groups else params)
    good = np.ones(5)
    state = next(v for v in optimizer.state_of(params[0]).values() if isinstance(v, np.ndarray))
    before = everything(optimizer, params)
    for bad in (params[0], params[1], buffer[4:9], buffer[6:11], buffer[14:19], state):
        for grads in ([bad, good], [good, bad]):
            with pytest.raises(ValueError, match=r"overlaps.*, want .*; .+"):
                optimizer.step(grads)
            assert everything(optimizer, params) == before
    optimizer.step([buffer[5:10], buffer[15:20]])


@pytest.mark.parametrize("name", NAMES)
def test_number_of_gradients(name: str) -> None:
    """Too few gradients, too many, or none at all are refused if parameters are arrays."""
    params = _arrays((3,), (2,))
    optimizer = _make(name, params)
    before = everything(optimizer, params)
    for count in (0, 1, 3):
        with pytest.raises(ValueError, match=f"^grads: got {count} gradients, want 2"):
            optimizer.step([None] * count)
    with pytest.raises(TypeError, match=r"^grads: got none, want one per parameter"):
        optimizer.step()
    assert everything(optimizer, params) == before


@pytest.mark.parametrize("name", NAMES)
def test_parameter_made_read_only_later(name: str) -> None:
    """Every step checks that the parameters are writable."""
    params = _arrays((3,), (2,))
    optimizer = _make(name, params)
    params[1].flags.writeable = False
    before = everything(optimizer, params)
    with pytest.raises(ValueError, match=r"^params\[1\]: got a read-only array, want a writable one"):
        optimizer.step(_arrays((3,), (2,)))
    assert everything(optimizer, params) == before


@pytest.mark.parametrize("params", [[], None, 3, [[]], [{"lr": 1.0}], [("a",)], ["a"]])
def test_no_parameters(params: Any) -> None:
    """An empty list, a group without a list, and other objects are refused."""
    with pytest.raises((TypeError, ValueError), match=r"^params.*: got .*, want "):
        optim.AdamW(params)


_NUMBER: list[Any] = [NAN, INF, -INF, -1, -1e-9, "x", None, True, 10**400, 1e39, 1j, [0.1]]
_FLAG: list[Any] = [1, 0, None, "yes", NAN]
_PAIRS = [pair for x in [*_NUMBER, 1, 1.5] for pair in ((x, 0.9), (0.9, x))]
_NUMBERS = (
    "lr",
    "weight_decay",
    "eps",
    "momentum",
    "dampening",
    "lr_decay",
    "initial_accumulator_value",
    "momentum_decay",
)
_FLAGS = ("maximize", "nesterov", "amsgrad", "centered", "capturable", "decoupled_weight_decay")
BAD: dict[str, list[Any]] = {
    **{option: _NUMBER for option in _NUMBERS},
    **{option: [*_NUMBER, 1.0000001] for option in ("rho", "alpha")},
    "betas": [*_PAIRS, (), (0.9,), (0.9, 0.9, 0.9), None, 0.9, "ab", {0.8, 0.9}],
    **{option: _FLAG for option in _FLAGS},
    **{option: [1, 0, "yes", NAN] for option in ("foreach", "fused")},
    "differentiable": [*_FLAG, True],
}
_ALL = ["lr", "weight_decay", "maximize"]
_TORCHS = [*_ALL, "eps", "foreach", "differentiable"]
OPTIONS = {
    "SGD": [*_ALL, "momentum", "dampening", "nesterov", "foreach", "differentiable", "fused"],
    "Adam": [*_TORCHS, "betas", "amsgrad", "capturable", "fused", "decoupled_weight_decay"],
    "AdamW": [*_TORCHS, "betas", "amsgrad", "capturable", "fused", "decoupled_weight_decay"],
    "Adamax": [*_TORCHS, "betas", "capturable"],
    "NAdam": [*_TORCHS, "betas", "momentum_decay", "decoupled_weight_decay", "capturable"],
    "RAdam": [*_TORCHS, "betas", "decoupled_weight_decay", "capturable"],
    "Adagrad": [*_TORCHS, "lr_decay", "initial_accumulator_value", "fused"],
    "Adadelta": [*_TORCHS, "rho", "capturable"],
    "RMSprop": [*_TORCHS, "alpha", "momentum", "centered", "capturable"],
    "Lion": [*_ALL, "betas"],
}
CASES: list[Any] = [(name, option, value) for name in NAMES for option in OPTIONS[name] for value in BAD[option]]


@pytest.mark.parametrize("name", NAMES)
def test_all_options_are_in_the_table(name: str) -> None:
    """The table of options has every option of the optimizer."""
    assert sorted(OPTIONS[name]) == sorted(_make(name, _arrays((3,))).param_groups[0].keys() - {"params"})


@pytest.mark.parametrize(("name", "option", "value"), CASES, ids=lambda v: str(v)[:20])
def test_options(name: str, option: str, value: Any) -> None:
    """A bad option is refused by the constructor, in a group, and when it is set later, where the old value stays."""
    params = _arrays((3,), (2,))
    # the message shows the pair, or the bad number in it
    named = [value, *value] if isinstance(value, tuple) else [value]
    sentence = rf"^{option}: got (a number of|{'|'.join(re.escape(repr(x)) for x in named if x != 10**400)}).*, want "
    error = (TypeError, ValueError)
    if (name, option) != ("AdamW", "decoupled_weight_decay"):  # AdamW has no such argument
        with pytest.raises(error, match=sentence):
            _make(name, params, **{option: value})
    with pytest.raises(error, match=sentence):
        _make(name, [{"params": params[:1]}, {"params": params[1:], option: value}])
    optimizer = _make(name, [{"params": params[:1]}, {"params": params[1:]}])
    kept = dict(optimizer.param_groups[1])
    before = everything(optimizer, params)
    with pytest.raises(error, match=sentence):
        optimizer.param_groups[1][option] = value
    with pytest.raises(error, match=sentence):
        optimizer.param_groups[1].update({option: value})
    with pytest.raises(error, match=sentence):
        optimizer.add_param_group({"params": _arrays((4,)), option: value})
    assert optimizer.param_groups[1] == kept and everything(optimizer, params) == before
    assert len(optimizer.param_groups) == 2


@pytest.mark.parametrize("name", NAMES)
def test_good_options(name: str) -> None:
    """The ends of the ranges, integers and NumPy's numbers are accepted."""
    (param,) = _arrays((3,))
    for zero in (0, np.float32(0), np.int64(0)):
        group = _make(name, [param], lr=zero, weight_decay=zero).param_groups[0]
        assert group["lr"] == 0 and type(group["lr"]) is float
    edges = {"betas": [0, 0], "rho": 1, "alpha": 1, "foreach": None, "fused": True, "capturable": True}
    optimizer = _make(name, [param], **{k: v for k, v in edges.items() if k in OPTIONS[name]})
    optimizer.step([np.ones(3)])
    assert np.isfinite(param).all()


@pytest.mark.parametrize("name", NAMES)
def test_options_merged_in(name: str) -> None:
    """`group |= options` is checked like other ways to set options."""
    optimizer = _make(name, _arrays((3,)))
    group = optimizer.param_groups[0]
    before = dict(group)
    with pytest.raises(ValueError, match=r"^lr: got nan, want "):
        group |= {"maximize": True, "lr": NAN}
    assert optimizer.param_groups[0] == before


def test_unknown_option_and_nesterov() -> None:
    """A misspelt option in a group, and nesterov without momentum or with dampening, are refused."""
    with pytest.raises(ValueError, match=r"^params: got a group with \['lrr'\], want options among"):
        optim.SGD([{"params": _arrays((2,)), "lrr": 1.0}])
    for momentum, dampening in ((0.0, 0.0), (0.9, 0.1)):
        with pytest.raises(ValueError, match=r"^nesterov: got True, want"):
            optim.SGD(_arrays((2,)), momentum=momentum, dampening=dampening, nesterov=True)


def test_state_of_another_parameter() -> None:
    """Only the optimizer's own parameters have state; an equal array has none."""
    (param,) = _arrays((2,))
    with pytest.raises(KeyError, match="param: got an object that is not a parameter"):
        optim.Adam([param]).state_of(param.copy())
