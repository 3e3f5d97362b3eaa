"""state_dict and load_state_dict: a resumed run keeps the same bits; a state that does not fit changes nothing."""

import copy
import io
import math
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support import Array, same_bits
from variants import IDS, NAMES, TORCH_IDS, TORCH_VARIANTS, VARIANTS, everything, full_state, kept, make

from fastnn import nn, optim
from fastnn.random import Generator

SHAPES = ((3, 5), (), (300,), (1, 1, 2))
KINDS = ("array-float32", "array-float64", "Parameter-float32", "tensor-float32", "tensor-float64", "tensor-bfloat16")


def _params(kind: str, seed: int = 1) -> list[Any]:
    """Return parameters of this kind; the same seed gives the same values."""
    what, dtype = kind.split("-")
    rng = np.random.default_rng(seed)
    arrays = [np.asarray(rng.standard_normal(s), "float32" if dtype == "bfloat16" else dtype) for s in SHAPES]
    if what == "tensor":
        torch = pytest.importorskip("torch")
        return [torch.from_numpy(a).to(getattr(torch, dtype)) for a in arrays]
    return [nn.Parameter(a) for a in arrays] if what == "Parameter" else arrays


def _values(params: list[Any]) -> list[Array]:
    arrays = [p.data if isinstance(p, nn.Parameter) else p for p in params]
    arrays = [a.float() if str(a.dtype) == "torch.bfloat16" else a for a in arrays]
    return [a if isinstance(a, np.ndarray) else a.numpy() for a in arrays]


def _run(optimizer: Any, params: list[Any], kind: str, steps: range) -> None:
    """Take steps with gradients that depend only on the step's number."""
    for step in steps:
        grads = _params(kind, 100 + step)
        optimizer.step([g.data if isinstance(g, nn.Parameter) else g for g in grads])


def _copied(params: list[Any]) -> list[Any]:
    return [nn.Parameter(p.data.copy()) if isinstance(p, nn.Parameter) else copy.deepcopy(p) for p in params]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("state_dtype", [None, "bfloat16", "int8"])
@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=IDS)
def test_resume(name: str, options: dict[str, Any], state_dtype: Any, kind: str) -> None:
    """Loading replaces the options, and the run continues with the same bits, random rounding included."""
    if state_dtype is not None and (not kind.endswith("float32") or options.get("centered")):
        return  # refused, see test_optim_memory.py
    params = _params(kind)
    first = make(name, params, **options, state_dtype=state_dtype)
    _run(first, params, kind, range(4))
    saved, others = copy.deepcopy(first.state_dict()), _copied(params)
    second = make(name, others, lr=0.5, state_dtype=state_dtype, generator=Generator(99))
    second.load_state_dict(saved)
    for optimizer, stepped in ((first, params), (second, others)):
        _run(optimizer, stepped, kind, range(4, 9))
    assert all(map(same_bits, _values(params), _values(others)))
    for param, other in zip(params, others, strict=True):
        for key in kept(name, options):
            assert same_bits(first.state_of(param)[key], second.state_of(other)[key])
    ends = [optimizer.state_dict() for optimizer in (first, second)]
    assert ends[0].get("generator") == ends[1].get("generator")
    assert ends[0]["param_groups"] == ends[1]["param_groups"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_save_before_the_first_step(name: str, kind: str) -> None:
    """A new optimizer can be saved and loaded; SGD's velocity is None before the first step, as in torch."""
    params, options = _params(kind), full_state(name) | ({"dampening": 0.5} if name == "SGD" else {})
    first = make(name, params, **options)
    saved, others = first.state_dict(), _copied(params)
    if name == "SGD":
        assert saved["state"] == {i: {"momentum_buffer": None} for i in range(len(SHAPES))}
    second = make(name, others, **options)
    _run(second, others, kind, range(100, 103))
    for other, param in zip(others, _copied(params), strict=True):
        data = other.data if isinstance(other, nn.Parameter) else other
        data[...] = param.data if isinstance(param, nn.Parameter) else param
    second.load_state_dict(saved)
    for optimizer, stepped in ((first, params), (second, others)):
        _run(optimizer, stepped, kind, range(3))
    assert all(map(same_bits, _values(params), _values(others)))


@pytest.mark.parametrize("name", NAMES)
def test_layout(name: str) -> None:
    """Keys are torch's, steps are ints, arrays have their parameter's shape and dtype, and pickle keeps everything."""
    params = _params("array-float32")
    optimizer = make(name, params, **full_state(name))
    _run(optimizer, params, "array-float32", range(2))
    saved = optimizer.state_dict()
    again = pickle.loads(pickle.dumps(saved))
    assert saved.keys() == {"state", "param_groups"} and again["param_groups"] == saved["param_groups"]
    (group,) = saved["param_groups"]
    assert type(group) is dict and group["params"] == [0, 1, 2, 3]
    assert group.keys() == optimizer.param_groups[0].keys() == {"params", *optimizer.param_groups[0].checks}
    for i, param in enumerate(params):
        entry = saved["state"][i]
        numbers = {"SGD": set(), "NAdam": {"step", "mu_product"}}.get(name, {"step"})
        assert entry.keys() == {*numbers, *kept(name, full_state(name))}
        assert name == "SGD" or (entry["step"] == 2 and type(entry["step"]) is int)
        for key in kept(name, full_state(name)):
            assert entry[key].shape == param.shape and entry[key].dtype == np.float32


TWO_WAYS = pytest.mark.parametrize(("name", "options"), TORCH_VARIANTS, ids=TORCH_IDS)


@TWO_WAYS
@pytest.mark.parametrize("from_torch", [True, False])
def test_torch_and_back(name: str, options: dict[str, Any], from_torch: bool) -> None:
    """A state dict of either library, saved with torch.save, continues in the other to 1e-12."""
    torch = pytest.importorskip("torch")
    torch.set_default_dtype(torch.float64)  # the dtype of torch's mu_product
    try:
        makers: list[Callable[..., Any]] = [
            lambda p, **o: getattr(torch.optim, name)(p, **{"lr": 0.01, **o}),
            lambda p, **o: make(name, p, **o),
        ]
        first_maker, second_maker = makers if from_torch else makers[::-1]
        params = [torch.nn.Parameter(p) for p in _params("tensor-float64")]
        first, file = first_maker(params, **options), io.BytesIO()
        _train(first, params, range(5))
        torch.save(first.state_dict(), file)
        others = [torch.nn.Parameter(p.detach().clone()) for p in params]
        second = second_maker(others, lr=0.5)
        second.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
        for optimizer, stepped in ((first, params), (second, others)):
            _train(optimizer, stepped, range(5, 15))
        for param, other in zip(params, others, strict=True):
            torch.testing.assert_close(other, param, rtol=1e-12, atol=1e-12)
        assert not torch.equal(params[0], _params("tensor-float64")[0])
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", ["SGD", "Adam", "Adagrad"])
def test_bfloat16_state_of_torch(name: str) -> None:
    """torch keeps the state of bfloat16 parameters in bfloat16; here it continues in float32 with the same values."""
    torch = pytest.importorskip("torch")
    params = [p.requires_grad_() for p in _params("tensor-bfloat16")]
    theirs = getattr(torch.optim, name)(params, lr=0.01, **full_state(name))
    for param, grad in zip(params, _params("tensor-bfloat16", 7), strict=True):
        param.grad = grad
    theirs.step()
    ours = make(name, params)
    ours.load_state_dict(theirs.state_dict())
    for param in params:
        for key in kept(name, full_state(name)):
            assert theirs.state[param][key].dtype == torch.bfloat16
            assert same_bits(ours.state_of(param)[key], theirs.state[param][key].float().numpy())


def _train(optimizer: Any, params: list[Any], steps: range) -> None:
    for step in steps:
        for param, grad in zip(params, _params("tensor-float64", 100 + step), strict=True):
            param.grad = grad
        optimizer.step()


@pytest.mark.parametrize("kind", ["array-float32", "tensor-float32"])
@pytest.mark.parametrize("name", NAMES)
def test_steps_beyond_float32(name: str, kind: str) -> None:
    """Step counts grow by one beyond float32's integers, also after saving and loading."""
    params = _params(kind)
    optimizer = make(name, params)
    _run(optimizer, params, kind, range(1))
    if name == "SGD":
        return  # SGD counts no steps
    for many in (2**24 + 1, 2**40 + 1):
        saved = copy.deepcopy(optimizer.state_dict())
        for entry in saved["state"].values():
            entry["step"] = many
        optimizer.load_state_dict(saved)
        _run(optimizer, params, kind, range(1))
        steps = [optimizer.state_of(p)["step"] for p in params]
        assert steps == [many + 1] * len(params) and all(type(s) is int for s in steps)
        again = make(name, _params(kind))
        again.load_state_dict(optimizer.state_dict())
        assert int(optimizer.state_dict()["state"][0]["step"]) == many + 1
        assert [s["step"] for s in again.state_dict()["state"].values()] == [many + 1] * len(params)


def _named(names: str, **options: Any) -> tuple[Any, dict[str, Array]]:
    """Return an optimizer of parameters with one-letter names, and its arrays; a bar separates the two groups."""
    arrays = {n: np.full(4, ord(n), np.float64) for n in names if n != "|"}
    groups = [{"params": [(n, arrays[n]) for n in part]} for part in names.split("|")]
    return optim.Adam(groups, **options), arrays


def test_matched_by_name() -> None:
    """Named parameters in another order get their own state; without names, positions decide."""
    saved_by, arrays = _named("abc|de")
    saved_by.step([np.full(4, float(i)) for i in range(5)])
    saved = saved_by.state_dict()
    for names in ("cab|ed", "abc|de"):
        loaded, others = _named(names)
        loaded.load_state_dict(saved)
        for n in arrays:
            assert same_bits(loaded.state_of(others[n])["exp_avg"], saved_by.state_of(arrays[n])["exp_avg"])
        assert loaded.state_dict()["param_groups"][0]["param_names"] == list(names[:3])
    unnamed = [np.ones(4) for _ in range(5)]
    loaded = optim.Adam([{"params": unnamed[:3]}, {"params": unnamed[3:]}])
    loaded.load_state_dict(saved)
    assert [loaded.state_of(p)["exp_avg"][0] for p in unnamed] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    for names in ("abd|ce", "abx|de"):
        _refused(_named(names)[0], saved, r"^param_names: got entries without \[.*\] and with unknown \[.*\], want ")


def _refused(optimizer: Any, saved: Any, sentence: str = "want ", **options: Any) -> None:
    """Assert that loading raises with this message and changes nothing in the optimizer."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    before, groups = everything(optimizer, params), list(map(id, optimizer.param_groups))
    try:
        with pytest.raises((TypeError, ValueError, KeyError), match=sentence):
            optimizer.load_state_dict(saved, **options)
    finally:
        assert everything(optimizer, params) == before and list(map(id, optimizer.param_groups)) == groups


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Return a function that sets the value at a path of keys, or removes it if the value is Ellipsis."""

    def change(saved: Any) -> None:
        *way, last = (int(key) if key.isdigit() else key for key in path.split("/"))
        for key in way:
            saved = saved[key]
        if value is ...:
            del saved[last]
        else:
            saved[last] = value

    return change


_A = np.ones((3, 5), np.float32)
SPOILED: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "no groups": (_set("param_groups", ...), "param_groups.*want "),
    "no state": (_set("state", ...), "state.*want "),
    "one group less": (_set("param_groups/1", ...), r"^param_groups: got \[2\] parameters, want \[2, 2\]; .+"),
    "no parameters": (_set("param_groups/0/params", ...), "params.*want "),
    "other parameters": (_set("param_groups/0/params", [0]), r"^param_groups: got \[1, 2\] parameters, want \[2, 2\]"),
    "no option": (_set("param_groups/1/eps", ...), r"^param_groups: got a group without \['eps'\], want "),
    "bad option": (_set("param_groups/1/lr", math.nan), "^lr: got nan, want "),
    "bad pair": (_set("param_groups/1/betas", (0.9, 1.0)), "^betas: got .*, want "),
    "bad flag": (_set("param_groups/1/maximize", 1), "^maximize: got 1, want "),
    "no entry": (_set("state/3", ...), r"^state of params\[3\]: got .*, want "),
    "unknown entry": (_set("state/7", {}), r"^state: got entries \[7\] of no parameter, want "),
    "no mapping": (_set("state/3", 5), "want "),
    "no array": (_set("state/3/exp_avg", ...), r"^state of params\[3\]: got entries without \['exp_avg'\].*, want "),
    "no step": (_set("state/3/step", ...), r"^state of params\[3\]: got entries without \['step'\].*, want "),
    "another kind": (_set("state/3/sum", _A), r"^state of params\[3\]: got .* unknown \['sum'\], want "),
    "shape": (_set("state/0/exp_avg", _A.T.copy()), r"^exp_avg of params\[0\]: got shape \(5, 3\), want \(3, 5\); .+"),
    "broadcast": (_set("state/0/exp_avg", _A[:1]), r"^exp_avg of params\[0\]: got shape \(1, 5\), want \(3, 5\); .+"),
    "dtype": (
        _set("state/0/exp_avg", _A.astype(float)),
        r"^exp_avg of params\[0\]: got float64, want a float32 .*; .+",
    ),
    "integers": (_set("state/0/exp_avg", _A.astype(int)), r"^exp_avg of params\[0\]: got int64, want a float32 .*; .+"),
    "list": (_set("state/0/exp_avg", _A.tolist()), r"^exp_avg of params\[0\]: got list, want a float32 array; .+"),
    "None": (_set("state/0/exp_avg", None), r"^exp_avg of params\[0\]: got NoneType, want a float32 array; .+"),
    **{
        f"step {value}": (_set("state/3/step", value), r"^step of params\[3\]: got .*, want a (whole )?number.*")
        for value in (-1, 1.5, math.nan, math.inf, 1e300, "x", None, [1, 2])
    },
}


@pytest.mark.parametrize("state_dtype", [None, "bfloat16", "int8"])
@pytest.mark.parametrize("kind", SPOILED)
def test_refused(kind: str, state_dtype: Any) -> None:
    """Any fault, in the last group, too, is found before anything changes."""
    spoil, sentence = SPOILED[kind]
    params = _params("array-float32")
    optimizer = optim.Adam([{"params": params[:2]}, {"params": params[2:], "lr": 0.1}], state_dtype=state_dtype)
    _run(optimizer, params, "array-float32", range(3))
    saved = copy.deepcopy(optimizer.state_dict())
    _run(optimizer, params, "array-float32", range(3, 5))
    spoil(saved)
    _refused(optimizer, saved, sentence)
    assert optimizer.state_of(params[3])["step"] == 5


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, 1.5, "x", None])
def test_refused_product_of_momenta(value: Any) -> None:
    """NAdam's mu_product must be in [0, 1]."""
    params = _params("array-float32")
    optimizer = optim.NAdam(params)
    _run(optimizer, params, "array-float32", range(3))
    saved = copy.deepcopy(optimizer.state_dict())
    _set("state/3/mu_product", value)(saved)
    _refused(optimizer, saved, r"^mu_product of params\[3\]: got .*, want ")


@pytest.mark.parametrize("state_dtype", ["bfloat16", "int8"])
@pytest.mark.parametrize("key", ["seed", "stream", "offset", "spawned"])
@pytest.mark.parametrize("value", [..., -1, 2**64, "x", None, 1.5])
def test_refused_generator(key: str, value: Any, state_dtype: Any) -> None:
    """The saved state of the random rounding must consist of integers in [0, 2**64)."""
    params = _params("array-float32")
    optimizer = optim.Adam(params, state_dtype=state_dtype)
    _run(optimizer, params, "array-float32", range(3))
    saved = copy.deepcopy(optimizer.state_dict())
    _set(f"generator/{key}", value)(saved)
    _run(optimizer, params, "array-float32", range(1))
    _refused(optimizer, saved, f"{re.escape(key)}.*, want ")


@pytest.mark.parametrize("state_dtype", [None, "bfloat16", "int8"])
@pytest.mark.parametrize("name", NAMES)
def test_state_is_handed_on(name: str, state_dtype: Any) -> None:
    """What was loaded is saved again, before any step, and a third optimizer continues from it."""
    params = [_params("array-float32", 5) for _ in range(3)]
    options = {**full_state(name), "state_dtype": state_dtype}
    first, second, third = (make(name, p, **options) for p in params)
    _run(first, params[0], "array-float32", range(3))
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    handed = copy.deepcopy(second.state_dict())
    third.load_state_dict(handed)
    for own, other in zip(params[0], params[2], strict=True):
        other[...] = own
    for optimizer, own in ((first, params[0]), (third, params[2])):
        _run(optimizer, own, "array-float32", range(3, 6))
    assert all(map(same_bits, params[0], params[2]))


UNUSED = [("SGD", "momentum", 0.9, 0.0), ("RMSprop", "momentum", 0.9, 0.0), ("Adam", "amsgrad", True, False)]


@pytest.mark.parametrize(("name", "option", "used", "unused"), UNUSED)
def test_state_that_is_not_used_for_now(name: str, option: str, used: Any, unused: Any) -> None:
    """State that an option no longer uses is saved and loaded too, for when the option is set again."""
    params, copies = _params("array-float32"), _params("array-float32", 9)
    optimizer, resumed = make(name, params, **{option: used}), make(name, copies, **{option: unused})
    _run(optimizer, params, "array-float32", range(4))
    optimizer.param_groups[0][option] = unused
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for own, other in zip(params, copies, strict=True):
        other[...] = own
    assert resumed.param_groups[0][option] == unused
    for each, arrays in ((optimizer, params), (resumed, copies)):
        _run(each, arrays, "array-float32", range(4, 6))
        each.param_groups[0][option] = used
        _run(each, arrays, "array-float32", range(6, 9))
    assert all(map(same_bits, params, copies))


@pytest.mark.parametrize("name", NAMES)
def test_another_optimizers_state(name: str) -> None:
    """A state dict of another class is refused, unless it has all the options and the same state."""
    for other in NAMES:
        if {name, other} <= {"Adam", "AdamW"} or name == other:
            continue
        params = _params("array-float64")
        optimizer, foreign = (make(n, params, **full_state(n)) for n in (name, other))
        _run(foreign, params, "array-float64", range(2))
        _run(optimizer, params, "array-float64", range(2))
        saved, own = foreign.state_dict(), optimizer.state_dict()
        has_options = saved["param_groups"][0].keys() >= own["param_groups"][0].keys()
        if not (has_options and saved["state"][0].keys() == own["state"][0].keys()):
            _refused(optimizer, saved, r"^(param_groups|state).*: got .*, want ")


@pytest.mark.parametrize("state_dtype", [None, "bfloat16", "int8"])
@pytest.mark.parametrize("name", NAMES)
def test_not_strict(name: str, state_dtype: Any) -> None:
    """Parameters without an entry start anew, the others resume; torch omits those that never had a gradient."""
    options = full_state(name) | ({"initial_accumulator_value": 0.5} if name == "Adagrad" else {})
    params = _params("array-float32")
    optimizer = make(name, params, **options, state_dtype=state_dtype)
    new = {k: v.copy() for k, v in optimizer.state_of(params[2]).items() if k != "step"}
    _run(optimizer, params, "array-float32", range(3))
    saved = copy.deepcopy(optimizer.state_dict())
    del saved["state"][2]
    _refused(optimizer, saved, r"^state of params\[2\]: got .*, want ")
    optimizer.load_state_dict(saved, strict=False)
    again = optimizer.state_of(params[2])
    assert again.pop("step") == 0 and again.keys() == new.keys() and all(same_bits(again[k], new[k]) for k in new)
    assert name == "SGD" or optimizer.state_of(params[0])["step"] == 3
    assert any(v.any() for v in optimizer.state_of(params[0]).values() if isinstance(v, np.ndarray))
    saved["state"][9] = {}
    _refused(optimizer, saved, r"^state: got entries \[9\] of no parameter, want ", strict=False)
