"""What an optimizer takes as parameters, groups, gradients and settings, and what it then holds."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from support import Array
from variants import full_state

from fastnn import nn, optim


def _arrays(count: int = 3) -> list[Array]:
    return [np.full(3, i + 1.0) for i in range(count)]


def test_forms_of_the_same_parameters() -> None:
    """One group, groups, pairs and names beside the list, also from iterators, hold the same parameters in order."""
    names = ["a", "b", "c"]
    forms: list[tuple[Any, Any]] = [
        (lambda p: p, None),
        (lambda p: (x for x in p), None),
        (lambda p: {"params": p}, None),
        (lambda p: [{"params": p}], None),
        (lambda p: iter([{"params": iter(p), "param_names": None}]), None),
        (lambda p: zip(names, p, strict=True), names),
        (lambda p: [{"params": zip(names, p, strict=True)}], names),
        (lambda p: [{"params": iter(p), "param_names": iter(names)}], names),
        (lambda p: {"params": p, "param_names": names}, names),
    ]
    for form, want in forms:
        params = _arrays()
        optimizer = optim.SGD(form(params), lr=1.0)
        (group,) = optimizer.param_groups
        assert all(a is b for a, b in zip(group["params"], params, strict=True))
        assert group.get("param_names") == want and ("param_names" in group) == (want is not None)
        optimizer.step([np.ones(3), None, np.full(3, 2.0)])
        assert [p[0] for p in params] == [0, 2, 1]


@pytest.mark.parametrize("param", [np.ones((2, 3)), nn.Parameter(np.ones((2, 3)))], ids=["array", "Parameter"])
def test_one_parameter(param: Any) -> None:
    """A group may be one array or Parameter, with a name if one is given; as the whole argument it is refused."""
    for spec, name in (({"params": param}, "params[0]"), ({"params": param, "param_names": ["w"]}, "w")):
        optimizer = optim.SGD([spec])
        assert optimizer.param_groups[0]["params"] == (param,)
        with pytest.raises(ValueError, match=rf"^{name}.grad: got shape".replace("[0]", r"\[0\]")):
            optimizer.step([np.ones(3)])
    with pytest.raises(TypeError, match=rf"^params: got {type(param).__name__}, want a list .*; \[parameter\]"):
        optim.SGD(param)


def test_groups_among_other_objects() -> None:
    """All entries must be groups if the first one is; a name may come again in another group."""
    first, second, _ = _arrays()
    for other in (3, second, ["params"], "params", {"lr": 1.0}):
        with pytest.raises(ValueError, match=r"^params: got .* among groups, want dicts with a list under 'params'"):
            optim.SGD([{"params": [first]}, other])
    groups = optim.SGD([{"params": [("a", first)]}, {"params": [("a", second)]}]).param_groups
    assert [g["param_names"] for g in groups] == [["a"], ["a"]]


def test_numbers_of_parameters_in_messages_and_state() -> None:
    """Parameters are numbered through all groups, also through those that are added later."""
    params = _arrays(6)
    optimizer = optim.SGD([{"params": params[:1]}, {"params": params[1:3]}], momentum=0.5)
    optimizer.add_param_group({"params": params[3:]})
    saved = optimizer.state_dict()
    assert [g["params"] for g in saved["param_groups"]] == [[0], [1, 2], [3, 4, 5]] and [*saved["state"]] == [*range(6)]
    optimizer.step([np.full(3, float(i)) for i in range(6)])
    assert [s["momentum_buffer"][0] for s in optimizer.state_dict()["state"].values()] == [0, 1, 2, 3, 4, 5]
    for i in range(6):
        with pytest.raises(ValueError, match=rf"^params\[{i}\]\.grad: got shape \(2,\), want \(3,\)"):
            optimizer.step([np.ones(2) if j == i else None for j in range(6)])


def test_options_beside_the_optimizers_own() -> None:
    """A schedule's initial rate may be given with a group and by `setdefault`, and stays as it is."""
    first, second, _ = _arrays()
    optimizer = optim.SGD([{"params": [first], "initial_lr": 0.5}, {"params": [second]}], lr=0.25)
    groups = optimizer.param_groups
    assert groups[0]["initial_lr"] == 0.5 and "initial_lr" not in groups[1] and optimizer.defaults["lr"] == 0.25
    assert groups[0].setdefault("initial_lr", 3.0) == 0.5 and groups[1].setdefault("initial_lr", 3.0) == 3
    assert [g["initial_lr"] for g in groups] == [0.5, 3] and groups[1].setdefault("more") is None


def test_ways_to_set_options() -> None:
    """`update` with a dict, pairs or keywords, and `|=`, set every option that they are given, in the same group."""
    optimizer = optim.SGD(_arrays())
    group = same = optimizer.param_groups[0]
    group.update({"lr": 0.5})
    group.update([("momentum", 1)], nesterov=True)
    group |= {"weight_decay": 2, "foreach": True}
    got = [group[k] for k in ("lr", "momentum", "nesterov", "weight_decay", "foreach", "dampening")]
    assert got == [0.5, 1, True, 2, True, 0] and group is same is optimizer.param_groups[0]
    group["foreach"] = None
    assert group["foreach"] is None and type(group["weight_decay"]) is float
    for change in ({"dampening": 0.5}, {"momentum": 0.0}, {"momentum": 0.0, "nesterov": True}):
        before = dict(group)
        with pytest.raises(ValueError, match=r"^nesterov: got True, want it only with momentum > 0 and dampening = 0"):
            group.update(change)
        assert group == before
    group.update(momentum=0.0, nesterov=False)
    assert group["momentum"] == 0


def test_gradients_beside_a_closure() -> None:
    """With both, the closure runs first, its loss is returned, and the given gradients are used."""
    params, grads = _arrays(2), [np.zeros(3), np.zeros(3)]
    parameter = nn.Parameter(np.ones(3))

    def closure() -> str:
        grads[1][...] = 2
        return "loss"

    assert optim.SGD(params, lr=1.0).step(grads, closure) == "loss"
    assert [p[0] for p in params] == [1, 0]
    parameter.grad = np.full(3, 100.0)
    assert optim.SGD([parameter], lr=1.0).step(grads[1:], closure=closure) == "loss"
    assert parameter.data[0] == -1 and parameter.grad[0] == 100


def test_settings_of_the_constructor() -> None:
    """Each setting is held as given and has its effect from the first step on."""
    (param, _, _), grad = _arrays(), np.full(3, np.nan)
    optimizer = optim.SGD([param])
    assert (optimizer.clip_grad_norm, optimizer.zero_grad_after_step, optimizer.error_if_nonfinite) == (
        None,
        False,
        False,
    )
    assert (optimizer.last_grad_norm, optimizer.skipped_steps, optimizer.state_dtype) == (None, 0, None)
    optimizer = optim.SGD([param], clip_grad_norm=2, zero_grad_after_step=True, error_if_nonfinite=True)
    assert (optimizer.clip_grad_norm, optimizer.zero_grad_after_step, optimizer.error_if_nonfinite) == (2, True, True)
    with pytest.raises(FloatingPointError, match=r"^grads: got a norm of nan, want a finite one; "):
        optimizer.step([grad])
    assert optimizer.skipped_steps == 0 and np.isnan(optimizer.last_grad_norm) and (param == 1).all()
    for name, value in (("state_dtype", "int8"), ("state_dtype", None)):
        with pytest.raises(AttributeError):
            setattr(optimizer, name, value)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["copy", "pickle"])
def test_copies_keep_settings(copied: Any) -> None:
    """A copy has the settings, the counters and the groups, checks of their options included."""
    first, second = np.ones(3, np.float32), np.ones(4, np.float32)
    optimizer = optim.Adam([("a", first)], state_dtype="int8", clip_grad_norm=3.0, zero_grad_after_step=True)
    optimizer.add_param_group({"params": [("b", second)], "lr": 0.5})
    optimizer.step([np.full(3, np.nan, np.float32), None])
    optimizer.error_if_nonfinite = True
    other = copied(optimizer)
    for name in ("clip_grad_norm", "zero_grad_after_step", "error_if_nonfinite", "skipped_steps", "state_dtype"):
        assert getattr(other, name) == getattr(optimizer, name)
    assert (other.skipped_steps, other.state_dtype) == (1, "int8") and np.isnan(other.last_grad_norm)
    for ours, theirs in zip(optimizer.param_groups, other.param_groups, strict=True):
        assert {**ours, "params": 0} == {**theirs, "params": 0} and type(ours) is type(theirs)
        with pytest.raises(ValueError, match=r"^lr: got -1, want "):
            theirs["lr"] = -1
    other.add_param_group({"params": [("c", np.ones(2, np.float32))]})
    other.step([None, np.ones(4, np.float32), None])
    assert len(optimizer.param_groups) == 2 and (second == 1).all()
    assert (other.param_groups[1]["params"][0] < 1).all()


@pytest.mark.parametrize("name", ["SGD", "RMSprop"])
def test_an_added_group_is_zeroed_and_clipped_too(name: str) -> None:
    """The norm and `zero_grad` count the gradients of groups that were added later."""
    parameters = [nn.Parameter(np.zeros(2)) for _ in range(3)]
    optimizer = getattr(optim, name)(parameters[:1], clip_grad_norm=1.0, **full_state(name))
    optimizer.add_param_group({"params": parameters[1:]})
    for parameter, value in zip(parameters, (2.0, 4.0, 4.0), strict=True):
        parameter.grad = np.array([value, 0])
    optimizer.step()
    assert optimizer.last_grad_norm == 6
    optimizer.zero_grad()
    assert all(p.grad is None for p in parameters)
