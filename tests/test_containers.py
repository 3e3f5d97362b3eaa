"""Sequential, ModuleList and ModuleDict as lists and dicts, Residual, and members in nested containers."""

import copy
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from support import check_gradients

from fastnn import nn, optim

X = np.random.default_rng(5).normal(size=(3, 4))


def parts(n: int) -> list[Any]:
    """Return n different layers."""
    return [nn.Linear(4, 4, bias=False, dtype="f8") for _ in range(n)]


LISTS = (nn.Sequential, lambda *layers: nn.ModuleList(layers), nn.Residual)
A, B, C, D, E = parts(5)
EDITS = {
    "set": (lambda m: m.__setitem__(1, D), [A, D, C]),
    "set last": (lambda m: m.__setitem__(-1, D), [A, B, D]),
    "set, NumPy's integer": (lambda m: m.__setitem__(np.int64(0), D), [D, B, C]),
    "delete": (lambda m: m.__delitem__(1), [A, C]),
    "delete last": (lambda m: m.__delitem__(-1), [A, B]),
    "delete slice": (lambda m: m.__delitem__(slice(0, 3, 2)), [B]),
    "delete all": (lambda m: m.__delitem__(slice(None)), []),
    "append": (lambda m: m.append(D), [A, B, C, D]),
    "append twice": (lambda m: m.append(D).append(E), [A, B, C, D, E]),
    "insert": (lambda m: m.insert(1, D), [A, D, B, C]),
    "insert first": (lambda m: m.insert(-3, D), [D, A, B, C]),
    "insert at the end": (lambda m: m.insert(3, D), [A, B, C, D]),
    "extend": (lambda m: m.extend(part for part in (D, E)), [A, B, C, D, E]),
    "extend by a Sequential": (lambda m: m.extend(nn.Sequential(D, E)), [A, B, C, D, E]),
    "extend by itself": (lambda m: m.extend(m), [A, B, C, A, B, C]),
    "pop": (lambda m: m.pop(0), [B, C]),
}


@pytest.mark.parametrize("make", LISTS, ids=["Sequential", "ModuleList", "Residual"])
@pytest.mark.parametrize("name", EDITS)
def test_edits(name: str, make: Any) -> None:
    """Lists of modules change as lists do; everything sees the new layers, under consecutive numbers."""
    edit, want = EDITS[name]
    model = make(A, B, C)
    edit(model)
    assert list(model) == want and len(model) == len(want) and all(model[i] is layer for i, layer in enumerate(want))
    assert list(model.state_dict()) == [f"{i}.weight" for i in range(len(want))]
    assert [name for name, _ in model.named_children()] == [str(i) for i in range(len(want))]
    assert {id(p) for p in model.parameters()} == {id(layer.weight) for layer in want}
    assert repr(model).count("Linear") == len(want)
    model.eval()
    assert not any(layer.training for layer in want)
    model.train()


@pytest.mark.parametrize("name", EDITS)
def test_edits_agree_with_torch(name: str) -> None:
    """torch's containers have the same names and order after the same edit."""
    torch = pytest.importorskip("torch")
    edit, want = EDITS[name]
    if name in ("delete slice", "set, NumPy's integer", "extend by itself", "extend by a Sequential", "pop"):
        return  # torch's methods do not take these, or fail
    peers = {id(layer): torch.nn.Linear(4, 4, bias=False) for layer in (A, B, C, D, E)}

    class Peer:
        """Passes torch's layers on instead of ours."""

        def __init__(self, container: Any) -> None:
            self.container = container

        def __getattr__(self, method: str) -> Any:
            def call(*args: Any) -> Any:
                swapped = [
                    peers.get(id(a), list(map(peers.get, map(id, a))) if method == "extend" else a) for a in args
                ]
                getattr(self.container, method)(*swapped)
                return self

            return call

        def __setitem__(self, i: Any, v: Any) -> None:
            self.container[i] = peers[id(v)]

        def __delitem__(self, i: Any) -> None:
            del self.container[i]

    theirs = torch.nn.Sequential(*(peers[id(layer)] for layer in (A, B, C)))
    edit(Peer(theirs))
    assert [name for name, _ in theirs.named_children()] == [str(i) for i in range(len(want))]
    assert list(theirs) == [peers[id(layer)] for layer in want]


def test_slices() -> None:
    """A slice is a container of the same class with the same layers; changing it leaves the other as it is."""
    for make in LISTS:
        model = make(A, B, C)
        head = model[1:]
        assert (
            type(head) is type(model) and list(head) == [B, C] and list(head.state_dict()) == ["0.weight", "1.weight"]
        )
        head.append(D)
        assert list(model) == [A, B, C] and list(model[::-1]) == [C, B, A] and model[-3] is A


WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "set": (lambda m: m.__setitem__(0, [B]), TypeError, r"\[0\]: got list, want a Module; unpack"),
    "set a class": (
        lambda m: m.__setitem__(0, nn.ReLU),
        TypeError,
        r"\[0\]: got the class ReLU, .*; make an object of",
    ),
    "set a function": (lambda m: m.__setitem__(0, abs), TypeError, r"\[0\]: got builtin_.*, want a Module; derive"),
    "set outside": (
        lambda m: m.__setitem__(3, D),
        IndexError,
        r"index: got 3, want an integer in \[-3, 3\) or a slice",
    ),
    "set a slice": (lambda m: m.__setitem__(slice(1), D), TypeError, r"index: got slice.*, want an integer"),
    "get": (lambda m: m[-4], IndexError, r"index: got -4, want an integer in \[-3, 3\)"),
    "get by name": (lambda m: m["0"], TypeError, r"index: got '0', want an integer"),
    "delete": (lambda m: m.__delitem__(3), IndexError, r"index: got 3, want"),
    "append": (lambda m: m.append(None), TypeError, r"module: got NoneType, want a Module"),
    "insert": (lambda m: m.insert(1, 3), TypeError, r"module: got int, want a Module"),
    "insert outside": (lambda m: m.insert(5, D), ValueError, r"index: got 5, want an integer in \[-3, 3\]; append"),
    "extend": (lambda m: m.extend([D, 4]), TypeError, r"modules\[1\]: got int, want a Module"),
    "extend by one": (lambda m: m.extend(D), TypeError, r"modules: got Linear, want a list of modules; \[module\]"),
    "extend by a dict": (lambda m: m.extend({"a": D}), TypeError, r"modules: got dict, want a list of modules"),
}


@pytest.mark.parametrize("make", LISTS, ids=["Sequential", "ModuleList", "Residual"])
@pytest.mark.parametrize("name", WRONG)
def test_wrong_edits_change_nothing(name: str, make: Any) -> None:
    """The sentence says what was given; the container is as before."""
    edit, error, sentence = WRONG[name]
    model = make(A, B, C)
    with pytest.raises(error, match=f"^{sentence}"):
        edit(model)
    assert list(model) == [A, B, C] and list(model.state_dict()) == ["0.weight", "1.weight", "2.weight"]


def test_a_new_head_is_trained() -> None:
    """A replaced layer runs and is trained; a closure of the old layers still works."""
    model = nn.Sequential(*parts(2))
    y, backward = model(X)
    old = model[1]
    model[1] = head = nn.Linear(4, 2, dtype="f8")
    del model[0]
    backward(np.ones_like(y))
    assert old.weight.grad is not None and head.weight.grad is None
    assert model(X)[0].shape == (3, 2)
    optim.SGD(model.parameters(), lr=0.1)


def named() -> nn.Sequential:
    """Return a Sequential with names."""
    return nn.Sequential(OrderedDict(fc=A, act=nn.ReLU(), head=B))


def test_names() -> None:
    """Names are those of the state dict, and attributes that can be replaced; new layers get numbers."""
    model = named()
    assert list(model.state_dict()) == ["fc.weight", "head.weight"] and model.fc is A and model[2] is B
    model.head = C
    assert model[2] is C and list(model.state_dict()) == ["fc.weight", "head.weight"] and "head" not in vars(model)
    model.append(D)
    assert list(model.state_dict()) == ["fc.weight", "head.weight", "3.weight"]
    del model[1]
    assert list(model.state_dict()) == ["fc.weight", "head.weight", "2.weight"]
    assert list(model[1:].state_dict()) == ["head.weight", "1.weight"]
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), copy.copy(model)):
        assert list(twin.state_dict()) == list(model.state_dict()) and len(twin) == 3
    with pytest.raises(TypeError, match=r"^\[1\]: got int, want a Module"):
        model.head = 3
    with pytest.raises(AttributeError, match="'Sequential' object has no attribute 'tail'"):
        model.tail  # noqa: B018


def test_names_agree_with_torch() -> None:
    """torch's Sequential of a dict has the same state_dict names."""
    torch = pytest.importorskip("torch")
    t = torch.nn
    theirs = t.Sequential(OrderedDict(fc=t.Linear(4, 4, bias=False), act=t.ReLU(), head=t.Linear(4, 4, bias=False)))
    assert list(theirs.state_dict()) == list(named().state_dict())
    theirs = t.ModuleDict({"a": t.Linear(4, 4, bias=False), "b": t.ModuleList([t.Linear(4, 4, bias=False)])})
    assert list(theirs.state_dict()) == list(nn.ModuleDict({"a": A, "b": nn.ModuleList([B])}).state_dict())


@pytest.mark.parametrize(
    ("names", "error", "sentence"),
    [
        ({"a.b": A}, ValueError, r"modules: got the name 'a.b', want one that is not empty and has no dot"),
        ({"": A}, ValueError, r"modules: got the name '', want"),
        ({1: A}, TypeError, r"modules: got the name 1, want a str; str\(1\)"),
        ({"a": 3}, TypeError, r"modules\['a'\]: got int, want a Module"),
        ({"append": A}, ValueError, r"layers: got the name 'append', want one that no attribute has; rename it"),
        ({"_layers": A}, ValueError, r"layers: got the name '_layers', want one that no attribute has"),
    ],
)
def test_wrong_names(names: Any, error: type[Exception], sentence: str) -> None:
    """Names that would collide or be ambiguous are refused; attributes are no matter in a ModuleDict."""
    with pytest.raises(error, match=f"^{sentence}"):
        nn.Sequential(names)
    if "attribute" not in sentence:
        with pytest.raises(error, match=f"^{sentence}"):
            nn.ModuleDict(names)


def test_module_dict() -> None:
    """ModuleDict has a dict's interface, all or nothing."""
    d = nn.ModuleDict({"a": A})
    d["b"] = B
    d.update([("c", C), ("a", D)])
    assert list(d) == list(d.keys()) == ["a", "b", "c"] and list(d.values()) == [D, B, C] and "c" in d and len(d) == 3
    assert d.pop("b") is B and dict(d.items()) == {"a": D, "c": C}
    del d["c"]
    assert list(d.state_dict()) == ["a.weight"] and list(d.parameters()) == [D.weight] and "(a): Linear" in repr(d)
    with pytest.raises(TypeError, match=r"^modules\['z'\]: got int, want a Module"):
        d.update({"y": A, "z": 1})
    with pytest.raises(KeyError, match=r"key: got 'q', want one of \['a'\]"):
        d["q"]
    with pytest.raises(KeyError, match="key: got 'q'"):
        d.pop("q")
    for wrong in (3, [A], "ab"):
        with pytest.raises(TypeError, match=r"^modules: got .*, want a dict of modules"):
            nn.ModuleDict(wrong)  # type: ignore[arg-type]
    assert list(d) == ["a"]
    d.clear()
    assert len(d) == 0 and len(nn.ModuleDict()) == len(nn.ModuleList()) == 0


def test_lists_and_dicts_cannot_be_called() -> None:
    """The sentence says what to call."""
    for container in (nn.ModuleList([A]), nn.ModuleDict({"a": A})):
        with pytest.raises(NotImplementedError, match=r"^Module\w+: got a call, want calls of its modules; "):
            container(X)


class Nested(nn.Module):
    """Members in dicts and nested lists."""

    def __init__(self) -> None:
        self.heads = {"a": nn.Linear(2, 1), 3: [nn.Parameter(np.ones(1)), (nn.Linear(1, 1, bias=False), np.ones(2))]}
        self.deep = [[A], {"x": nn.Dropout(0.1)}, "text", None]
        self.options = {"a.b": 1, None: "no member", "sizes": {1, 2}}


def test_nested_members() -> None:
    """All of them are found everywhere, under names of their places."""
    net = Nested()
    want = ["heads.3.0", "heads.3.1.1", "heads.a.weight", "heads.a.bias", "heads.3.1.0.weight", "deep.0.0.weight"]
    assert list(net.state_dict()) == want
    assert [n for n, _ in net.named_parameters()] == [n for n in want if n != "heads.3.1.1"]
    assert [n for n, _ in net.named_children()] == ["heads.a", "heads.3.1.0", "deep.0.0", "deep.1.x"]
    assert len(list(net.modules())) == 5 and "(deep.1.x): Dropout" in repr(net)
    assert not net.eval().deep[1]["x"].training  # type: ignore[index, call-overload]
    other = Nested()
    other.load_state_dict(net.state_dict())
    np.testing.assert_array_equal(other.heads["a"].weight.data, net.heads["a"].weight.data)  # type: ignore[union-attr]
    A.train()


@pytest.mark.parametrize(
    ("value", "error", "sentence"),
    [
        ({A, B}, TypeError, "value: got a set of modules or parameters, want them in an order; use a list"),
        (frozenset([nn.Parameter(np.ones(1))]), TypeError, "value: got a set"),
        ([{"k": {A}}], TypeError, "value.0.k: got a set"),
        (
            {"a.b": A},
            ValueError,
            "value: got the key 'a.b' of a member, want an int or a str without a dot.*; rename it",
        ),
        ({"a.b": [A]}, ValueError, "value: got the key 'a.b'"),
        ({1: A, "1": B}, ValueError, "value: got the key 1 of a member"),
        ({None: A}, ValueError, "value: got the key None of a member"),
    ],
)
def test_members_without_a_name(value: Any, error: type[Exception], sentence: str) -> None:
    """Sets, and keys whose names may be those of other members, are refused when the members are read."""
    net = nn.Module()
    net.value = value  # type: ignore[attr-defined]
    for read in (lambda: list(net.parameters()), net.state_dict, net.eval, lambda: repr(net)):
        with pytest.raises(error, match=f"^{sentence}"):
            read()


def test_residual() -> None:
    """y = x + f(x), and dx = dy + the layers' dx; an empty one doubles; state as in Sequential."""
    model = nn.Residual(nn.LayerNorm(4, dtype="f8"), nn.Linear(4, 4, dtype="f8"), nn.Tanh())
    y, backward = model(X)
    inner, inner_backward = nn.Sequential(*model)(X)
    np.testing.assert_array_equal(y, X + inner)
    dy = np.random.default_rng(6).normal(size=y.shape)
    kept = dy.copy()
    np.testing.assert_array_equal(backward(dy), dy + inner_backward(dy))  # type: ignore[operator]
    assert (dy == kept).all() and backward(dy, input_grad=False) is None
    assert list(model.state_dict())[:1] == ["0.weight"] and (nn.Residual()(X)[0] == 2 * X).all()
    x = X.copy()
    check_gradients(lambda: model(x)[0], dy, [x], [backward(dy)])  # type: ignore[list-item]
    with pytest.raises(
        ValueError, match=r"^x: got float64 \(3, 4\) and float64 \(3, 2\) from the layers, want the same"
    ):
        nn.Residual(nn.Linear(4, 2, dtype="f8"))(X)
