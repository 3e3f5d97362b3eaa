"""fastnn's products inside PyTorch: functional.linear, nn.Linear and replace(model, products=True)."""

import copy
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from support import running  # noqa: E402
from torch import nn  # noqa: E402

import fastnn  # noqa: E402
from fastnn import functional as F  # noqa: E402
from fastnn import torch as ft  # noqa: E402

ACTIVATIONS = {"identity": nn.Identity(), "relu": nn.ReLU(), "gelu": nn.GELU(), "gelu_tanh": nn.GELU("tanh")}
each_activation = pytest.mark.parametrize("activation", ACTIVATIONS)


@each_activation
@pytest.mark.parametrize("shape", [(5, 7), (2, 3, 7), (7,)], ids=str)
def test_gradients(activation: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x, w, b = (torch.randn(*s, dtype=torch.double, requires_grad=True) for s in (shape, (4, 7), (4,)))
    for arguments in ((x, w, b), (x, w)):
        assert torch.autograd.gradcheck(lambda *a: ft.functional.linear(*a, activation=activation), arguments)
    y = ft.functional.linear(x, w, b, activation=activation)
    torch.testing.assert_close(y, ACTIVATIONS[activation](nn.functional.linear(x, w, b)))


def _model() -> Any:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(30, 40), nn.ReLU(), nn.Linear(40, 20), nn.GELU(), nn.Linear(20, 3)).requires_grad_()


@pytest.mark.parametrize("fuse", [False, True])
def test_a_training_step_has_the_same_bits_everywhere(fuse: bool) -> None:
    model, x = _model(), torch.randn(50, 30)
    theirs = model(x)
    changed = ft.replace(model, fuse=fuse, products=True)
    assert [r.after for r in changed if r.before is nn.Linear] == [ft.nn.Linear] * 3
    torch.testing.assert_close(model(x), theirs)
    results = []
    for isa in fastnn.supported_isas():
        for threads in (1, 3):
            with running(isa, threads):
                model.zero_grad()
                y = model(x)
                y.square().sum().backward()
                results.append([y.detach().numpy(), *(p.grad.numpy() for p in model.parameters())])
                assert torch.equal(model(x[3:4]), y[3:4])
    assert all(np.array_equal(a, b) for other in results for a, b in zip(results[0], other, strict=True))


def test_pairs_run_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x, called = _model(), torch.randn(50, 30), []
    ft.replace(model, fuse=True, products=True)
    monkeypatch.setattr(F, "linear", lambda *a, real=F.linear, **k: called.append(a[3]) or real(*a, **k))
    model(x)
    assert called == ["relu", "gelu", "identity"]
    model[1].register_forward_hook(lambda *_: None)
    model(x)
    assert called[3:] == ["identity", "gelu", "identity"]


def test_whatever_torch_takes() -> None:
    """Other dtypes, empty batches, autocast and wrong shapes run torch's code, and raise its errors."""
    layer = copy.deepcopy(ft.nn.Linear(4, 3))
    assert layer(torch.empty(0, 4)).shape == (0, 3)
    assert layer.bfloat16()(torch.ones(2, 4, dtype=torch.bfloat16)).dtype is torch.bfloat16
    layer = layer.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(torch.ones(2, 4)).dtype is torch.bfloat16
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
        layer(torch.ones(2, 5))
    with pytest.raises(RuntimeError, match=r"same dtype"):
        layer(torch.ones(2, 4, dtype=torch.double))
    frozen = layer.requires_grad_(False)
    x = torch.ones(2, 4, requires_grad=True)
    frozen(x).sum().backward()
    torch.testing.assert_close(x.grad, frozen.weight.sum(0).expand(2, 4))


def test_a_second_derivative_is_refused() -> None:
    x, w = torch.randn(3, 4, requires_grad=True), torch.randn(2, 4, requires_grad=True)
    (dx,) = torch.autograd.grad(ft.functional.linear(x, w).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="linear: got a second backward through its gradient"):
        dx.sum().backward()


def test_only_what_is_needed_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in torch: a weight may change before backward if the input learns nothing, and the other way round."""
    layer = ft.nn.Linear(5, 3)
    first, second = layer(torch.randn(4, 5)), layer(torch.randn(4, 5))
    first.sum().backward()
    torch.optim.SGD(layer.parameters(), 0.1).step()
    second.sum().backward()
    layer.weight.requires_grad_(False)
    x = torch.randn(4, 5, requires_grad=True) * 1
    y = layer(x)
    x.add_(1)
    counted: list[int] = []
    monkeypatch.setattr(F, "matmul", lambda *a, real=F.matmul: counted.append(1) or real(*a))
    (y.sum() + x.sum()).backward()
    assert len(counted) == 1
    layer(torch.randn(4, 5)).sum().backward()  # only the bias learns
    assert len(counted) == 1


def test_the_product_is_freed_in_backward() -> None:
    x, w = torch.randn(500, 64), torch.randn(500, 64, requires_grad=True)
    y = ft.functional.linear(x, w, activation="gelu")
    before = fastnn.memory_stats()["used_bytes"]
    y.sum().backward()
    w.grad = None
    assert fastnn.memory_stats()["used_bytes"] <= before - 500 * 500 * 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("activation", ["rellu", "", "silu", None])
def test_unknown_activations(activation: Any, dtype: Any) -> None:
    with pytest.raises(ValueError, match=r"activation: got .*, want one of identity, relu, gelu, gelu_tanh"):
        ft.functional.linear(torch.ones(2, 3, dtype=dtype), torch.ones(4, 3, dtype=dtype), activation=activation)
