"""What torch refuses or leaves alone: sets, non-leaf and uninitialized tensors, frozen ones, exhausted generators."""

import itertools
import warnings

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.training import Freeze, Trainer

torch = pytest.importorskip("torch")
ft = pytest.importorskip("fastnn.torch")

NAMES = ["SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "Adagrad", "Adadelta", "RMSprop", "Lion"]
OPTIONS = {"SGD": {"momentum": 0.9, "weight_decay": 0.1}, "RMSprop": {"momentum": 0.9, "weight_decay": 0.1}}


def make(package, name, params, **options):
    return getattr(package, name)(params, lr=0.1, **(OPTIONS.get(name, {"weight_decay": 0.1}) | options))


def parameter(*shape):
    return torch.nn.Parameter(torch.ones(shape or (3,)))


class Name(str):
    """A name that a WeakSet can hold."""


def collections(value):
    from weakref import WeakSet

    return {"set": {value}, "frozenset": frozenset([value]), "WeakSet": WeakSet([value])}


TAKERS = {
    "params": lambda params: optim.SGD(params, lr=0.1),
    "params of a group": lambda params: optim.SGD([{"params": params}], lr=0.1),
    "params of a further group": lambda params: optim.SGD([parameter()], 0.1).add_param_group({"params": params}),
    "params in torch": lambda params: ft.optim.SGD(params, lr=0.1),
    "parameters": lambda params: optim.clip_grad_norm_(params, 1.0),
    "parameters by value": lambda params: optim.clip_grad_value_(params, 1.0),
    "parameters in torch": lambda params: ft.clip_grad_norm_(params, 1.0),
    "parameters by value in torch": lambda params: ft.clip_grad_value_(params, 1.0),
    "param_names": lambda names: optim.SGD([{"params": [parameter()], "param_names": names}], lr=0.1),
    "grads": lambda grads: optim.SGD([parameter()], lr=0.1).step(grads),
}


@pytest.mark.parametrize("kind", ["set", "frozenset", "WeakSet"])
@pytest.mark.parametrize("taker", TAKERS)
def test_sets_are_refused(taker, kind):
    value = Name("a") if taker == "param_names" else parameter()
    given = collections(value)[kind]
    with pytest.raises(
        TypeError, match=rf"^{taker.split()[0]}: got a {kind}, want an ordered collection.*; pass a list"
    ):
        TAKERS[taker](given)
    TAKERS[taker](list(given))


@pytest.mark.parametrize("kind", [set, frozenset])
def test_sets_where_else_order_counts(kind):
    """Other collections whose order changes the result are refused as sets, too; that of names to freeze does not."""
    model = nn.Sequential(nn.Linear(3, 2))
    o = optim.SGD(model.parameters(), lr=0.1)
    for name, take in (
        ("schedulers", lambda s: optim.lr_scheduler.SequentialLR(o, s, [3])),
        ("schedulers", lambda s: optim.lr_scheduler.ChainedScheduler(s)),
        ("callbacks", lambda s: Trainer(model, nn.MSELoss(), o, callbacks=s)),
        ("modules", lambda s: nn.ModuleList(s)),
        ("modules", lambda s: nn.ModuleList().extend(s)),
    ):
        with pytest.raises(TypeError, match=rf"^{name}: got a {kind.__name__}, want an ordered collection"):
            take(kind([1, 2]))
    assert set(Freeze(kind(["a", "b"])).names) == {"a", "b"}


@pytest.mark.parametrize("taker", TAKERS)
def test_views_of_a_dict_are_ordered(taker):
    value = "a" if taker == "param_names" else parameter()
    TAKERS[taker]({"a": value}.values())
    TAKERS[taker](dict.fromkeys([value]).keys())


@pytest.mark.parametrize("package", [optim, ft.optim])
@pytest.mark.parametrize(
    "make_tensor", [lambda: parameter() * 2, lambda: parameter()[1:], lambda: parameter().float() + 0]
)
def test_non_leaf_tensors_are_refused(package, make_tensor):
    for params, name in (([parameter(), make_tensor()], r"params\[1\]"), ([("a", make_tensor())], "a")):
        words = rf"^{name}: got a non-leaf tensor, .*\.detach\(\)\.clone\(\)\.requires_grad_"
        with pytest.raises(ValueError, match=words if package is optim else "can't optimize a non-leaf Tensor"):
            package.SGD(params, lr=0.1)
    optimizer = package.SGD([parameter()], lr=0.1)
    with pytest.raises(ValueError, match=r"a non-leaf [tT]ensor"):
        optimizer.add_param_group({"params": [make_tensor()]})
    assert len(optimizer.param_groups) == 1
    package.SGD([make_tensor().detach().clone().requires_grad_()], lr=0.1)


def test_non_leaf_tensors_that_keep_their_gradient_are_stepped_as_in_torch():
    results = []
    for package in (torch.optim, optim):
        x = parameter() * 2
        x.retain_grad()
        optimizer = package.SGD([x], lr=0.1)
        x.sum().backward()
        optimizer.step()
        results.append(x.detach())
    assert torch.equal(*results) and float(results[0][0]) == pytest.approx(1.9)


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_uninitialized_parameters_are_refused():
    model = torch.nn.Sequential(torch.nn.LazyLinear(3), torch.nn.ReLU())
    with pytest.raises(ValueError, match=r"^params\[0\]: got an uninitialized parameter, .*; run the model on a batch"):
        optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"^0\.weight: got an uninitialized parameter"):
        optim.SGD(model.named_parameters(), lr=0.1)
    assert ft.replace(model, fuse=True) == []
    model(torch.ones(2, 4)).sum()
    optim.SGD(model.parameters(), lr=0.1)


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_uninitialized_parameters_are_accepted_as_in_torch():
    results = []
    for package in (torch.optim, ft.optim):
        torch.manual_seed(0)
        model = torch.nn.LazyLinear(3)
        optimizer = package.SGD(model.parameters(), lr=0.1)
        model(torch.ones(2, 4)).sum().backward()
        optimizer.step()
        results.append(model.weight.detach())
    assert torch.equal(*results)


@pytest.mark.parametrize("frozen_after", ["step", "backward", "zero_grad"])
@pytest.mark.parametrize("zeroes", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_frozen_tensor_does_not_move(name, zeroes, frozen_after):
    """Neither a gradient that is left, nor zeros, nor momentum or weight decay move it; unfrozen it goes on."""
    first, second = parameter(), parameter(2)
    optimizer = make(optim, name, [first, second], zero_grad_after_step=zeroes)

    def run(freeze=""):
        if not zeroes:
            optimizer.zero_grad()
        if freeze == "zero_grad":
            first.requires_grad_(False)
        (3 * first.sum() + second.sum()).backward()
        if freeze == "backward":
            first.requires_grad_(False)
        optimizer.step()
        if freeze == "step":
            first.requires_grad_(False)

    run()
    run(frozen_after)
    before, state = first.detach().clone(), optimizer.state_of(first)["step"] if name != "Lion" else 0
    others = [second.detach().clone()]
    for _ in range(3):
        run()
        assert torch.equal(first, before)
        assert not zeroes or not first.grad.any()  # or the next backward would add to what is left
        others.append(second.detach().clone())
    assert not any(torch.equal(a, b) for a, b in itertools.pairwise(others))
    assert name == "Lion" or optimizer.state_of(first)["step"] == state
    first.requires_grad_(True)
    run()
    assert not torch.equal(first, before)
    assert zeroes is (first.grad is not None and not first.grad.any()) and (zeroes or torch.all(first.grad == 3))


@pytest.mark.parametrize("name", NAMES)
def test_freezing_in_a_loop_equals_torch(name):
    """With zero_grad before every backward, torch's own optimizers leave a frozen parameter alone too."""
    if not hasattr(torch.optim, name):
        pytest.skip("torch has no such optimizer")
    results = []
    for package in (torch.optim, ft.optim, optim):
        first, second = (
            torch.nn.Parameter(torch.ones(3, dtype=torch.float64)),
            torch.nn.Parameter(torch.ones(2).double()),
        )
        optimizer = make(package, name, [first, second])
        for step in range(8):
            first.requires_grad_(step not in (3, 4, 5))
            optimizer.zero_grad()
            ((step + 1) * first.square().sum() + second.sum()).backward()
            optimizer.step()
        results.append(torch.cat([first, second]).detach())
    assert torch.equal(results[1], results[2])
    torch.testing.assert_close(results[0], results[1], rtol=1e-6 if name == "NAdam" else 1e-12, atol=0)


def test_gradients_of_tensors_that_never_trained_are_used_as_in_torch():
    results = []
    for package in (torch.optim, optim):
        x = torch.ones(3)
        x.grad = torch.ones(3)
        package.SGD([x], lr=0.1).step()
        results.append(x)
    assert torch.equal(*results) and float(results[0][0]) == pytest.approx(0.9)


def test_a_frozen_tensor_may_still_be_given_a_gradient():
    x = parameter().requires_grad_(False)
    optimizer = optim.SGD([parameter(), x.requires_grad_(True)], lr=0.5)
    x.requires_grad_(False)
    optimizer.step([None, torch.ones(3)])
    assert torch.equal(x, torch.full((3,), 0.5))


def test_frozen_tensors_do_not_count_in_the_norm():
    first, second = parameter(), parameter(4)
    optimizer = optim.SGD([first, second], lr=0.1, clip_grad_norm=100.0)
    (1000 * first.sum() + second.sum()).backward()
    first.requires_grad_(False)
    optimizer.step()
    assert optimizer.last_grad_norm == 2


EMPTY = r"^`parameters` is an empty generator, no gradient clipping will occur"


@pytest.mark.parametrize(
    "clip", [optim.clip_grad_norm_, optim.clip_grad_value_, ft.clip_grad_norm_, ft.clip_grad_value_]
)
def test_an_exhausted_generator_is_told_where_gradients_are_clipped(clip):
    model = torch.nn.Linear(2, 2)
    for parameters in (model.parameters(), map(lambda p: p, model.parameters()), iter([parameter()])):
        list(parameters)
        with pytest.warns(UserWarning, match=EMPTY) as found:
            clip(parameters, 1.0)
        assert found[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clip([], 1.0)
        clip(model.parameters(), 1.0)


def test_an_exhausted_generator_is_told_by_optimizers():
    used = iter([parameter()])
    list(used)
    with pytest.raises(ValueError, match=r"^params: got an empty list, .*; a generator can be read only once"):
        optim.SGD(used, lr=0.1)
    with pytest.warns(UserWarning, match=r"^`params` is an empty generator, the group has no parameters"):
        optim.SGD([{"params": used}, {"params": [parameter()]}], lr=0.1)
    optim.SGD([{"params": []}, {"params": [parameter()]}], lr=0.1)  # as in torch


def test_parameters_of_this_package():
    """A frozen Parameter has no gradient, and sets of them are refused like others."""
    fastnn.manual_seed(0)
    p = nn.Parameter(np.ones(3, np.float32))
    optimizer = optim.SGD([p], lr=0.1, momentum=0.9)
    p.grad = np.ones(3, np.float32)
    optimizer.step()
    before, p.requires_grad = p.data.copy(), False
    optimizer.step()
    assert np.array_equal(p.data, before)
    with pytest.raises(TypeError, match="got a set"):
        optim.SGD({p}, lr=0.1)
