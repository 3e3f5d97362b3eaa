"""Parameter groups: added later, options that cannot be removed, and the rule for which weights decay."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from support import Array, same_bits
from variants import NAMES, everything, full_state, make

from fastnn import nn, optim


def _arrays(count: int, seed: int = 1, dtype: Any = np.float32) -> list[Array]:
    return list(np.random.default_rng(seed).standard_normal((count, 70)).astype(dtype))


@pytest.mark.parametrize("state_dtype", [None, "bfloat16", "int8"])
@pytest.mark.parametrize("name", NAMES)
def test_added_group(name: str, state_dtype: Any) -> None:
    """Adding a group keeps the state of the others bit for bit; the new parameters use their own options."""
    params, options = _arrays(3), {**full_state(name), "state_dtype": state_dtype}
    optimizer = make(name, params[:2], **options)
    groups = optimizer.param_groups
    optimizer.step(_arrays(2, 2))
    before = [everything(optimizer, [p])[:4] for p in params[:2]]
    copied = [p.copy() for p in params[:2]]
    unchanged = make(name, copied, **options)
    unchanged.load_state_dict(optimizer.state_dict())
    optimizer.add_param_group({"params": params[2:], "lr": 0.5})
    assert [everything(optimizer, [p])[:4] for p in params[:2]] == before
    assert optimizer.param_groups is groups and [len(g["params"]) for g in groups] == [2, 1]
    assert [g["lr"] for g in groups] == [0.01, 0.5] and groups[1].keys() == groups[0].keys()
    alone = params[2].copy()
    make(name, [alone], **options | {"lr": 0.5, "state_dtype": None}).step(_arrays(3, 3)[2:])
    optimizer.step(_arrays(3, 3))
    assert [optimizer.state_of(p)["step"] for p in params] == [2, 2, 1]
    if state_dtype is None:
        unchanged.step(_arrays(3, 3)[:2])
        assert all(map(same_bits, copied, params[:2]))
    assert same_bits(params[2], alone)


@pytest.mark.parametrize(
    ("make_group", "sentence"),
    [
        (lambda p: None, "got .*NoneType.*, want "),
        (lambda p: [p[1]], "got .*list.*, want "),
        (lambda p: {}, "params.*want "),
        (lambda p: {"params": 3}, "got int, want "),
        (lambda p: {"params": [p[1], 3]}, r"^params\[3\]: got int, want "),
        (lambda p: {"params": [p[1]], "lrr": 1.0}, r"got a group with \['lrr'\], want "),
        (lambda p: {"params": [p[1]], "lr": np.nan}, "^lr: got nan, want "),
        (lambda p: {"params": [p[1]], "betas": (0.9, 1.0)}, "^betas: got .*, want "),
        (lambda p: {"params": [p[1][::2]]}, r"^params\[2\]: got strided memory, want "),
        (lambda p: {"params": [p[1], p[1].astype(np.float16)]}, r"^params\[3\]: got dtype float16, want "),
        (lambda p: {"params": [p[1], p[0]]}, r"^params\[\d\]: got memory that overlaps params\[\d\], want "),
        (lambda p: {"params": [p[1], p[1]]}, r"^params\[\d\]: got memory that overlaps params\[\d\], want "),
        (lambda p: {"params": [("a", p[1]), p[2]]}, "^params: got some .*, want "),
        (lambda p: {"params": p[1:3], "param_names": ["a"]}, "^param_names: got 1 names for 2 parameters, want "),
        (lambda p: {"params": p[1:3], "param_names": ["a", "b", "c"]}, "^param_names: got 3 names for 2 "),
        (lambda p: {"params": p[1:3], "param_names": ["a", "a"]}, r"^params: got the names \['a'\] twice, want "),
    ],
)
def test_refused_group(make_group: Any, sentence: str) -> None:
    """A refused group changes nothing, and the next step is as before."""
    params = _arrays(4)
    optimizer = optim.Adam([params[0], params[3]])
    optimizer.step(_arrays(2, 2))
    before, groups = everything(optimizer, [params[0], params[3]]), optimizer.param_groups
    with pytest.raises((TypeError, ValueError), match=sentence):
        optimizer.add_param_group(make_group(params))
    assert everything(optimizer, [params[0], params[3]]) == before
    assert optimizer.param_groups is groups and len(groups) == 1
    optimizer.step(_arrays(2, 3))
    assert optimizer.state_of(params[3])["step"] == 2
    with pytest.raises(KeyError):
        optimizer.state_of(params[1])


@pytest.mark.parametrize("name", NAMES)
def test_options_stay(name: str) -> None:
    """An option cannot be removed from a group, but can still be set."""
    optimizer = make(name, _arrays(1))
    group = optimizer.param_groups[0]
    before = dict(group)
    for take in (
        lambda: group.__delitem__("lr"),
        lambda: group.pop("lr"),
        lambda: group.pop("lr", None),
        lambda: group.popitem(),
        lambda: group.clear(),
    ):
        with pytest.raises(TypeError, match=r"^param_groups: got .*, want .*; .+"):
            take()
        assert group == before
    assert group.setdefault("lr", 3.0) == 0.01 and group["lr"] == 0.01
    group["lr"] = 3
    assert type(group["lr"]) is float and group["lr"] == 3
    group["initial_lr"] = 0.1  # a schedule's option
    assert optimizer.state_dict()["param_groups"][0]["initial_lr"] == 0.1


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda group: dict.__delitem__(group, "lr"), KeyError),
        (lambda group: dict.__setitem__(group, "lr", "much"), TypeError),
    ],
)
def test_the_kernels_look_at_options_too(spoil: Any, error: type[Exception]) -> None:
    """The kernels check options, too, in case the checks of a group were circumvented."""
    params = _arrays(1)
    optimizer = optim.SGD(params, 0.1)
    before = params[0].copy()
    spoil(optimizer.param_groups[0])
    with pytest.raises(error):
        optimizer.step(_arrays(1))
    assert np.array_equal(params[0], before)


def test_groups_stay() -> None:
    """Neither a group's parameters nor the list of groups can be replaced without the optimizer noticing."""
    params = _arrays(2)
    optimizer = optim.Adam([{"params": params[:1]}, {"params": params[1:]}])
    before = everything(optimizer, params)
    with pytest.raises(TypeError, match=r"^params: got other parameters, want .*; .+"):
        optimizer.param_groups[0]["params"] = params[1:]
    groups = list(optimizer.param_groups)
    for others in (groups[:1], groups[::-1], [*groups, groups[0]], [dict(groups[0]), groups[1]]):
        optimizer.param_groups[:] = others
        with pytest.raises(ValueError, match=r"^param_groups: got .*, want .*; .+"):
            optimizer.step(_arrays(2, 2))
        optimizer.param_groups[:] = groups
        assert everything(optimizer, params) == before


def test_names_are_given_once() -> None:
    """Parameters with equal names are refused, because loading state could not tell them apart."""
    first, second = _arrays(2)
    with pytest.raises(ValueError, match=r"^params: got the names \['a'\] twice, want .+"):
        optim.Adam([("a", first), ("a", second)])


@pytest.mark.parametrize("state_dtype", [None, "int8"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["copy", "pickle"])
def test_copies(copied: Any, name: str, state_dtype: Any) -> None:
    """A copy continues with its own parameters and state, and the same bits."""
    params = _arrays(2)
    optimizer = make(name, params, **full_state(name), state_dtype=state_dtype)
    optimizer.step(_arrays(2, 2))
    other = copied(optimizer)
    optimizer.step(_arrays(2, 3))
    other.step(_arrays(2, 3))
    others = other.param_groups[0]["params"]
    assert all(map(same_bits, params, others)) and not np.shares_memory(params[0], others[0])
    other.step(_arrays(2, 4))
    assert not same_bits(params[0], others[0])
    with pytest.raises(ValueError, match=r"^lr: got nan, want "):
        other.param_groups[0]["lr"] = np.nan
    if name == "SGD":  # options that are valid, but not together
        with pytest.raises(ValueError, match=r"^nesterov: got True"):
            other.param_groups[0].update({"nesterov": True, "momentum": 0.0})
        assert not other.param_groups[0]["nesterov"]
    third = copied(other)
    third.step(_arrays(2, 5))
    other.step(_arrays(2, 5))
    assert all(map(same_bits, third.param_groups[0]["params"], others))


@pytest.mark.parametrize("name", NAMES)
def test_unknown_arguments(name: str) -> None:
    """A misspelt keyword raises a TypeError that names it."""
    with pytest.raises(TypeError, match="lrr"):
        make(name, _arrays(1), lrr=1)
    with pytest.raises(TypeError, match="grad_clip"):
        make(name, _arrays(1), grad_clip=1)


def test_weights_that_decay() -> None:
    """Matrices decay, parameters with fewer than two dimensions do not; an empty group is left out."""
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2))
    first, second = optim.no_decay_groups(model)
    assert [n for n, _ in first["params"]] == ["0.weight", "3.weight"] and first["weight_decay"] == 1e-2
    assert [n for n, _ in second["params"]] == ["0.bias", "1.weight", "1.bias", "3.bias"]
    assert second["weight_decay"] == 0
    optimizer = optim.AdamW(optim.no_decay_groups(model, 0.5), lr=0.1)
    before = [p.data.copy() for _, p in model.named_parameters()]
    for _, parameter in model.named_parameters():
        parameter.grad = np.zeros(parameter.shape, parameter.dtype)
    optimizer.step()
    for (_, parameter), old in zip(model.named_parameters(), before, strict=True):
        np.testing.assert_allclose(parameter.data, old * (0.95 if old.ndim > 1 else 1), rtol=1e-6)
    assert len(optim.no_decay_groups(nn.LayerNorm(3))) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -1, "x", None, True, 10**400])
def test_bad_decay(value: Any) -> None:
    """The weight decay is checked like an optimizer's option."""
    with pytest.raises((TypeError, ValueError), match=r"^weight_decay: got .*, want "):
        optim.no_decay_groups(nn.Linear(2, 2), value)
