"""Loading a state dict: other groups and names, options that are missing or set for later, numbers at their limits."""

import copy
from typing import Any

import numpy as np
import pytest
from support import Array, same_bits
from variants import everything, make

from fastnn import Generator, optim


def _arrays(count: int = 2, size: int = 3) -> list[Array]:
    return [np.full(size, i + 1.0, np.float32) for i in range(count)]


def _refused(optimizer: Any, saved: Any, sentence: str) -> None:
    params = [p for group in optimizer.param_groups for p in group["params"]]
    before = everything(optimizer, params)
    with pytest.raises((TypeError, ValueError), match=sentence):
        optimizer.load_state_dict(saved)
    assert everything(optimizer, params) == before


def test_the_optimizer_keeps_its_list_and_the_dict_its_values() -> None:
    """The list of groups stays the same object, as schedules hold it; the state dict is copied, not held."""
    params, others = _arrays(), _arrays()
    first, second = optim.Adam(params, lr=0.5), optim.Adam(others)
    first.step([np.ones(3, np.float32)] * 2)
    groups, arrays = second.param_groups, second.state_of(others[0])["exp_avg"]
    saved = copy.deepcopy(first.state_dict())
    kept = copy.deepcopy(saved)
    second.load_state_dict(saved)
    assert second.param_groups is groups and groups[0]["lr"] == 0.5 and groups[0]["params"][1] is others[1]
    assert second.state_of(others[0])["exp_avg"] is arrays
    second.step([np.full(3, 7, np.float32)] * 2)
    groups[0]["lr"] = 0.25
    for i in range(2):
        assert all(np.array_equal(saved["state"][i][k], kept["state"][i][k]) for k in kept["state"][i])
    assert saved["param_groups"] == kept["param_groups"]
    first.load_state_dict(first.state_dict())  # which shares the optimizer's own memory
    assert np.array_equal(first.state_of(params[0])["exp_avg"], kept["state"][0]["exp_avg"])


@pytest.mark.parametrize("are_named", [(True, False), (False, True), (False, False)])
def test_positions_decide_unless_both_have_names(are_named: tuple[bool, bool]) -> None:
    """If only one side has names, state goes to the parameter in the same place, in each of three groups."""
    optimizers, arrays = [], []
    for named, names in zip(are_named, ("abcdef", "fedcba"), strict=True):
        params = _arrays(6)
        given: list[Any] = list(zip(names, params, strict=True)) if named else params
        optimizers.append(optim.Lion([{"params": given[a:b]} for a, b in ((0, 1), (1, 3), (3, 6))]))
        arrays.append(params)
    optimizers[0].step([np.full(3, float(i), np.float32) for i in range(6)])
    optimizers[1].load_state_dict(optimizers[0].state_dict())
    for first, second in zip(*arrays, strict=True):
        assert same_bits(optimizers[0].state_of(first)["exp_avg"], optimizers[1].state_of(second)["exp_avg"])
    if are_named[1]:
        assert [g["param_names"] for g in optimizers[1].param_groups] == [["f"], ["e", "d"], ["c", "b", "a"]]


@pytest.mark.parametrize("saved_names", [["a"], ["a", "b", "a"], ["a", "b", "c"], ["a", "a"]])
def test_other_names(saved_names: list[str]) -> None:
    """The saved names must be those of the group, one for each parameter."""
    optimizer = optim.Lion(zip("ab", _arrays(), strict=True))
    saved = copy.deepcopy(optimizer.state_dict())
    saved["param_groups"][0]["param_names"] = saved_names
    with pytest.raises(ValueError, match=r"names|zip\(\)"):
        optimizer.load_state_dict(saved)


def test_a_parameter_twice() -> None:
    """A state dict that names one entry for two parameters, in one group or in two, is refused."""
    params = _arrays(3)
    for groups, ids in (([params], [[0, 0, 2]]), ([params[:1], params[1:]], [[0], [2, 0]])):
        optimizer = optim.Adam([{"params": g} for g in groups])
        saved = copy.deepcopy(optimizer.state_dict())
        del saved["state"][1]
        for group, numbers in zip(saved["param_groups"], ids, strict=True):
            group["params"] = numbers
        _refused(optimizer, saved, r"^param_groups: got a parameter twice, want each once")


def test_numbers_of_another_program() -> None:
    """Entries are found by the numbers that the groups name, whatever they are."""
    params = _arrays(3)
    optimizer = optim.Lion([{"params": params[:1]}, {"params": params[1:]}])
    saved = copy.deepcopy(optimizer.state_dict())
    saved["param_groups"][0]["params"], saved["param_groups"][1]["params"] = (7,), (9, 4)
    saved["state"] = {i: {"step": 1, "exp_avg": np.full(3, i, np.float32)} for i in (4, 7, 9)}
    optimizer.load_state_dict(saved)
    assert [optimizer.state_of(p)["exp_avg"][0] for p in params] == [7, 9, 4]
    assert optimizer.state_dict()["param_groups"][1]["params"] == [1, 2]


def test_a_group_without_some_option() -> None:
    """With strict=False, an option that the dict lacks keeps each group's own value; the others are loaded."""
    params = _arrays()
    optimizer = optim.Adam([{"params": params[:1], "eps": 0.5}, {"params": params[1:], "eps": 0.25}], lr=0.1)
    saved = copy.deepcopy(optimizer.state_dict())
    for i, group in enumerate(saved["param_groups"]):
        del group["eps"], group["amsgrad"]
        group["lr"] = i + 1
    _refused(optimizer, saved, r"^param_groups: got a group without \['eps', 'amsgrad'\], want one saved by Adam; ")
    optimizer.load_state_dict(saved, strict=False)
    assert [(g["lr"], g["eps"], g["amsgrad"]) for g in optimizer.param_groups] == [(1, 0.5, False), (2, 0.25, False)]


def test_incompatible_options() -> None:
    """Saved options that are valid alone but not together are refused like those that are set."""
    optimizer = optim.SGD(_arrays(), momentum=0.5)
    saved = copy.deepcopy(optimizer.state_dict())
    saved["param_groups"][0] |= {"nesterov": True, "dampening": 0.5}
    _refused(optimizer, saved, r"^nesterov: got True, want ")


@pytest.mark.parametrize(
    ("name", "option", "value", "kind"),
    [
        ("SGD", "momentum", 0.5, "momentum_buffer"),
        ("Adam", "amsgrad", True, "max_exp_avg_sq"),
        ("RMSprop", "centered", True, "grad_avg"),
        ("RMSprop", "momentum", 0.5, "momentum_buffer"),
    ],
)
def test_state_of_loaded_options(name: str, option: str, value: Any, kind: str) -> None:
    """State that the loaded options need is there at once, for parameters without an entry, too."""
    (param,), (other,) = _arrays(1), _arrays(1)
    saved = make(name, [param], **{option: value}).state_dict()
    optimizer = make(name, [other])
    assert kind not in optimizer.state_of(other)
    optimizer.load_state_dict(saved | {"state": {}}, strict=False)
    assert optimizer.param_groups[0][option] == value and not optimizer.state_of(other)[kind].any()
    optimizer = make(name, [other])
    optimizer.load_state_dict(saved)
    assert optimizer.state_dict()["state"][0].keys() == saved["state"][0].keys() >= {kind}
    assert name != "SGD" or optimizer.state_dict()["state"] == {0: {"momentum_buffer": None}}


@pytest.mark.parametrize("as_type", [int, float, np.float64, lambda x: np.array(float(x))])
def test_step_counts_at_the_limit(as_type: Any) -> None:
    """Whole numbers below 2**53 are step counts, as numbers or arrays without axes; at 2**53 float64 would stick."""
    (param,) = _arrays(1)
    optimizer = optim.Lion([param])
    saved = copy.deepcopy(optimizer.state_dict())
    for count in (0, 1, 2**53 - 1):
        saved["state"][0]["step"] = as_type(count)
        optimizer.load_state_dict(saved)
        assert optimizer.state_of(param)["step"] == count
    saved["state"][0]["step"] = as_type(2**53)
    _refused(optimizer, saved, r"^step of params\[0\]: got .*, want a whole number in \[0, 2\*\*53\)")


def test_products_of_momenta_at_the_limits() -> None:
    """mu_product may be 1, as before the first step, or 0, which it reaches in a long training."""
    for product in (0, 0.0, 5e-324, 1, 1.0):
        params = [np.ones(3)]
        optimizer = optim.NAdam(params, lr=0.1)
        saved = copy.deepcopy(optimizer.state_dict())
        saved["state"][0] |= {"mu_product": product, "step": 5}
        optimizer.load_state_dict(saved)
        assert optimizer.state_dict()["state"][0]["mu_product"] == product
        optimizer.step([np.ones(3)])
        assert np.isfinite(params[0]).all() and (params[0] < 1).all()


@pytest.mark.parametrize("state_dtype", ["bfloat16", "int8"])
def test_uncoded_state_into_coded(state_dtype: Any) -> None:
    """A state dict without a generator, from uncoded state, leaves the optimizer's own where it is."""
    params, others, generator = _arrays(), _arrays(), Generator(5, 6)
    plain = optim.Adam(params, lr=0.5)
    coded = optim.Adam(others, state_dtype=state_dtype, generator=generator)
    grads = [np.ones(3, np.float32)] * 2
    coded.step(grads)
    plain.step(grads)
    before = generator.state
    for saved in (plain.state_dict(), plain.state_dict() | {"generator": None}):
        coded.load_state_dict(saved)
        assert generator.state == before == coded.state_dict()["generator"]
    assert coded.param_groups[0]["lr"] == 0.5 and coded.state_of(others[0])["step"] == 1
    assert coded.state_of(others[0])["exp_avg"] == pytest.approx(0.1, rel=0.07)
    for bad in (5, [1], "x"):
        _refused(coded, plain.state_dict() | {"generator": bad}, r"^generator: got .*, want a dict; save it again")
    plain.load_state_dict(copy.deepcopy(coded.state_dict()))  # its generator is not needed
    assert "generator" not in plain.state_dict()


@pytest.mark.parametrize("other", [None, 3, [], "state", [("state", {}), ("param_groups", [])]])
def test_no_state_dict(other: Any) -> None:
    """Anything but a mapping is refused as a whole."""
    _refused(optim.Lion(_arrays()), other, r"^(param_groups|state): got no .*, want what state_dict\(\) returns")


def test_product_of_momenta_that_starts_anew() -> None:
    """With strict=False, NAdam's product of a parameter without an entry is 1 again, and its next step the first."""
    (param,), (fresh,) = _arrays(1), _arrays(1)
    optimizer, grads = optim.NAdam([param], lr=0.1), [np.ones(3, np.float32)]
    optimizer.step(grads)
    param[...] = fresh
    optimizer.load_state_dict(optimizer.state_dict() | {"state": {}}, strict=False)
    assert optimizer.state_dict()["state"][0]["mu_product"] == 1
    optimizer.step(grads)
    optim.NAdam([fresh], lr=0.1).step(grads)
    assert same_bits(param, fresh)
