"""Frozen parameters: no gradient is computed for them, and optimizers, clipping and checks leave them out."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import diagnosis, nn, optim

X = np.random.default_rng(3).normal(size=(6, 4))


def frozen(shape: Any = 3) -> nn.Parameter:
    """Return a frozen parameter of ones."""
    return nn.Parameter(np.ones(shape), requires_grad=False)


def model() -> nn.Sequential:
    """Return two Linears with each norm between them, in float64."""
    return nn.Sequential(
        nn.Linear(4, 5, dtype="f8"), nn.BatchNorm1d(5, dtype="f8"), nn.LayerNorm(5, dtype="f8"), nn.ReLU(),
        nn.Linear(5, 2, dtype="f8"),
    )  # fmt: skip


def test_accumulate_does_nothing() -> None:
    """The function is not called; setting False discards the gradient, and True starts without one."""
    p = nn.Parameter(np.ones(3))
    assert p.requires_grad
    p.accumulate(lambda out: out.fill(1))
    p.requires_grad = False
    assert p.grad is None
    p.accumulate(lambda out: pytest.fail("called"))
    assert p.grad is None
    p.requires_grad = True
    p.accumulate(lambda out: out.fill(2))
    assert p.grad is not None and (p.grad == 2).all()


@pytest.mark.parametrize("value", [1, 0, None, "yes", np.True_])
def test_other_values_are_refused(value: Any) -> None:
    """Only a bool is a flag; nothing changes otherwise, also in a whole tree."""
    p, net = nn.Parameter(np.ones(3)), model()
    for change in (lambda: setattr(p, "requires_grad", value), lambda: net.requires_grad_(value),
                   lambda: nn.ReLU().requires_grad_(value), lambda: nn.Parameter(np.ones(3), value)):  # fmt: skip
        with pytest.raises(TypeError, match=r"^requires_grad: got .*, want True or False"):
            change()
    assert p.requires_grad and all(q.requires_grad for q in net.parameters())


def test_an_assigned_gradient_is_used() -> None:
    """As in torch, a gradient assigned by hand counts whatever the flag."""
    p = frozen()
    p.grad = np.full(3, 2.0)
    optim.SGD([p], lr=0.5).step()
    assert (p.data == 0).all()


def test_the_flag_is_copied_and_shown() -> None:
    """deepcopy and pickle keep the flag, and repr shows it; the state dict does not have it."""
    net = model()
    assert net[0].requires_grad_(False) is net[0]
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert [p.requires_grad for p in twin.parameters()] == [False] * 2 + [True] * 6
        assert list(twin.state_dict()) == list(net.state_dict())
    assert repr(frozen()) == "Parameter(shape=(3,), dtype=float64, requires_grad=False)"
    assert all(p.requires_grad for p in net.requires_grad_().parameters())


@pytest.mark.parametrize("names", [("0",), ("1", "2"), ("1.weight",), ("2.bias",), ("4",), ("0", "1", "2", "4")])
def test_gradients_of_the_others_are_the_same(names: tuple[str, ...]) -> None:
    """Frozen parameters get no gradient from any layer; dx and the other gradients keep their bits."""
    net = model()
    y, backward = net(X)
    dx = backward(np.ones_like(y))
    want = {name: np.array(p.grad) for name, p in net.named_parameters()}
    net.zero_grad()
    for name, p in net.named_parameters():
        p.requires_grad = not any(name == n or name.startswith(f"{n}.") for n in names)
    y, backward = net(X)
    np.testing.assert_array_equal(backward(np.ones_like(y)), dx)
    for name, p in net.named_parameters():
        if p.requires_grad:
            np.testing.assert_array_equal(p.grad, want[name])
        else:
            assert p.grad is None


class Counted(nn.Linear):
    """A layer that counts how often its closure runs."""

    def __call__(self, x: Any) -> Any:
        self.runs = getattr(self, "runs", 0)
        y, inner = super().__call__(x)

        def backward(dy: Any, input_grad: bool = True) -> Any:
            self.runs += 1
            return inner(dy, input_grad)

        return y, backward


@pytest.mark.parametrize(("first", "runs"), [(0, [1, 1, 1]), (1, [0, 1, 1]), (2, [0, 0, 1]), (3, [0, 0, 0])])
@pytest.mark.parametrize("nested", [False, True])
def test_backward_stops_at_the_first_trained_layer(first: int, runs: list[int], nested: bool) -> None:
    """Without dx, closures of layers below the first trained one do not run, also inside a nested Sequential."""
    layers = [Counted(4, 4, dtype="f8") for _ in runs]
    net = nn.Sequential(nn.Sequential(*layers[:2]), layers[2]) if nested else nn.Sequential(*layers)
    for layer in layers[:first]:
        layer.requires_grad_(False)
    y, backward = net(X)
    assert backward(np.ones_like(y), input_grad=False) is None
    assert [layer.runs for layer in layers] == runs
    assert backward(np.ones_like(y)) is not None and [layer.runs for layer in layers] == [n + 1 for n in runs]


def test_optimizer_and_clipping_leave_frozen_parameters_out() -> None:
    """No update and no weight decay; the norm counts the others alone."""
    net = model()
    net[4].requires_grad_(False)
    before = copy.deepcopy(net.state_dict())
    optimizer = optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.5)
    y, backward = net(X)
    backward(np.ones_like(y), input_grad=False)
    norm = optim.clip_grad_norm_(net.parameters(), 1e9)
    grads = [p.grad for p in net.parameters() if p.grad is not None]
    assert len(grads) == 6 and norm == pytest.approx(np.sqrt(sum((g**2).sum() for g in grads)))
    optimizer.step()
    for name in ("4.weight", "4.bias"):
        np.testing.assert_array_equal(net.state_dict()[name], before[name])
    assert not np.array_equal(net.state_dict()["0.weight"], before["0.weight"])


def test_gradient_checks_leave_frozen_parameters_out() -> None:
    """A frozen parameter has no gradient, which is no mistake of the layer."""
    net = model().eval()
    net[0].requires_grad_(False)
    found = diagnosis.check_gradients(net, nn.CrossEntropyLoss(), (X, np.arange(6) % 2))
    assert found.ok and "0.weight" not in found.errors and "4.weight" in found.errors
    assert not net[0].weight.requires_grad


def test_frozen_parameters_are_not_idle() -> None:
    """The verdict on a batch names parameters that should have been trained and were not, not frozen ones."""
    net = model()
    net[0].requires_grad_(False)
    trainer = fastnn.Trainer(net, nn.CrossEntropyLoss(), optim.AdamW(net.parameters(), lr=0.05))
    assert diagnosis.overfit_one_batch(trainer, (X, np.arange(6) % 2), steps=50).idle == ()


def test_agrees_with_torch() -> None:
    """Flags, gradients and a step of SGD with weight decay equal torch's with the same parameters frozen."""
    torch = pytest.importorskip("torch")
    net = model()
    peer = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.BatchNorm1d(5), torch.nn.LayerNorm(5), torch.nn.ReLU(),
                               torch.nn.Linear(5, 2)).double()  # fmt: skip
    peer.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in net.state_dict().items()})
    for module in (net, peer):
        module[1].requires_grad_(False)
        module[4].weight.requires_grad = False
    assert [p.requires_grad for p in net.parameters()] == [p.requires_grad for p in peer.parameters()]
    y, backward = net(X)
    backward(np.ones_like(y), input_grad=False)
    peer(torch.from_numpy(X)).sum().backward()
    optim.SGD(net.parameters(), lr=0.1, weight_decay=0.5).step()
    torch.optim.SGD(peer.parameters(), lr=0.1, weight_decay=0.5).step()
    for ours, theirs in zip(net.parameters(), peer.parameters(), strict=True):
        assert (ours.grad is None) is (theirs.grad is None)
        np.testing.assert_allclose(ours.data, theirs.detach().numpy(), rtol=1e-9, atol=1e-12)
