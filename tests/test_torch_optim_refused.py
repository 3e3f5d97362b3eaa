"""Steps that the kernels do not take, or refuse: torch's own code runs on the state, or nothing has changed."""

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from fastnn import optim  # noqa: E402
from fastnn import torch as ft  # noqa: E402

KINDS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9, "dampening": 0.1}),
    ("Adam", {"amsgrad": True}),
    ("AdamW", {"foreach": True}),
    ("Adamax", {}),
    ("NAdam", {}),
    ("RAdam", {}),
    ("Adagrad", {}),
    ("Adadelta", {}),
    ("RMSprop", {"momentum": 0.9, "centered": True}),
]


@pytest.mark.parametrize("kind", ["complex64", "float16", "strided", "sparse", "differentiable"])
def test_torch_steps_what_the_kernels_cannot(kind: str) -> None:
    """Then hooks run once, and the state is still torch's."""
    results = []
    for library in (ft.optim, torch.optim):
        torch.manual_seed(0)
        dtype = getattr(torch, kind) if hasattr(torch, kind) and kind.endswith(("64", "16")) else torch.float32
        p = torch.randn(4, 6, dtype=dtype)
        p = (p.t() if kind == "strided" else p).requires_grad_()
        if kind == "sparse":
            optimizer = library.SGD([p], lr=0.1, momentum=0.9)
        else:
            optimizer = library.AdamW([p], lr=0.1, differentiable=kind == "differentiable")
            if kind == "differentiable":
                p = p.clone()
                optimizer.param_groups[0]["params"] = [p]
        calls: list[int] = []
        optimizer.register_step_pre_hook(lambda *_, calls=calls: calls.append(1))
        for _ in range(3):
            grad = torch.randn_like(p.detach())
            p.grad = grad.to_sparse() if kind == "sparse" else grad
            optimizer.step()
        assert len(calls) == 3
        assert library is torch.optim or optimizer.used_kernels is False
        results.append(p.detach())
    assert torch.equal(*results)


@pytest.mark.parametrize("kind", ["shared memory", "its own gradient", "gradients of another dtype"])
def test_momentum_begins_as_in_torch(kind: str) -> None:
    """Without dampening in its first step, even where the kernels refuse the tensors only once they step."""
    results = []
    for library in (ft.optim, torch.optim):
        p = nn.Parameter(torch.linspace(-1, 1, 6))
        params = [p, nn.Parameter(p.data)] if kind == "shared memory" else [p]
        optimizer = library.SGD(params, lr=0.1, momentum=0.9, dampening=0.5, foreach=False)
        for t in range(3):
            for q in params:
                q.grad_dtype = None
                grad = q.data if kind == "its own gradient" else torch.cos(q.detach() + t)
                q.grad = grad.bfloat16() if kind == "gradients of another dtype" else grad
            optimizer.step()
        assert library is torch.optim or optimizer.used_kernels is False
        results.append(p.detach())
    torch.testing.assert_close(*results, rtol=1e-6, atol=0)


def test_a_refused_step_leaves_the_state() -> None:
    p = nn.Parameter(torch.zeros(3))
    optimizer = ft.optim.SGD([p, q := nn.Parameter(p.data)], lr=0.1, momentum=0.9, clip_grad_norm=1.0)
    optimizer.state[q]["note"] = 1
    p.grad = q.grad = torch.ones(3)
    with pytest.raises(ValueError, match="memory"):
        optimizer.step()
    assert p not in optimizer.state and optimizer.state[q] == {"note": 1}


@pytest.mark.parametrize(("name", "options"), KINDS)
def test_torch_steps_bfloat16_after_the_kernels(name: str, options: dict[str, Any]) -> None:
    """The kernels keep its state in float32, where torch's code wants bfloat16."""
    used = []
    p, q = (nn.Parameter(torch.linspace(-1, 1, 12).view(3, 4).bfloat16()) for _ in range(2))
    ours, theirs = (getattr(o, name)([x], lr=0.01, **options) for o, x in ((ft.optim, p), (torch.optim, q)))
    for t in range(4):
        for x, optimizer in ((p, ours), (q, theirs)):
            x.grad = torch.cos(x.detach())
            if t % 2:
                x.grad = x.grad.t().contiguous().t()
            optimizer.step()
        used.append(ours.used_kernels)
    assert used == [True, False, True, False]
    torch.testing.assert_close(p, q, rtol=0.02, atol=0.02)


def test_extras_are_never_dropped() -> None:
    """A step with clipping cannot run torch's code, which would not clip."""
    p = nn.Parameter(torch.zeros(4, 6).t())
    p.grad = torch.ones_like(p)
    with pytest.raises(ValueError, match="got strided memory"):
        ft.optim.SGD([p], lr=0.1, clip_grad_norm=1.0).step()
    assert not p.any()


@pytest.mark.filterwarnings("ignore:Dynamo does not know how to trace:UserWarning")
@pytest.mark.parametrize("around", ["mode", "compile"])
@pytest.mark.parametrize("extras", [{"clip_grad_norm": 1.0}, {"zero_grad_after_step": True}, {"state_dtype": "int8"}])
def test_extras_under_modes(extras: dict[str, Any], around: str) -> None:
    """The kernels run, since torch's code would leave out what the extras ask for."""
    results = []
    for is_plain in (True, False):
        p = nn.Parameter(torch.zeros(4))
        optimizer = ft.optim.Adam([p], lr=0.1, eps=1.0, generator=1, **extras)
        for _ in range(2):
            p.grad = torch.full((4,), 3.0)
            if is_plain:
                optimizer.step()
            elif around == "mode":
                with _Mode():
                    optimizer.step()
            else:
                torch.compile(optimizer.step, backend="eager")()
        assert optimizer.used_kernels
        results.append((p.detach(), p.grad))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("name", ["Lion", "Adam"])
def test_extras_cannot_be_differentiated(name: str) -> None:
    p = nn.Parameter(torch.zeros(4))
    optimizer = getattr(ft.optim, name)([p], **({"clip_grad_norm": 1.0} if name == "Adam" else {}))
    optimizer.param_groups[0]["differentiable"] = True
    p.grad = torch.ones(4)
    with pytest.raises(ValueError, match="differentiable: got True, want False in Lion and with state_dtype"):
        optimizer.step()
    assert not p.any() and not optimizer.state


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def test_a_skipped_first_step_leaves_no_momentum() -> None:
    p = nn.Parameter(torch.zeros(3))
    optimizer = ft.optim.SGD([p], lr=1.0, momentum=0.9, dampening=0.5, clip_grad_norm=1e9)
    for value in (torch.nan, 1.0):
        p.grad = torch.full((3,), value)
        optimizer.step()
    assert optimizer.skipped_steps == 1 and torch.equal(p.detach(), torch.full((3,), -1.0))


def test_a_skipped_first_step_leaves_notes() -> None:
    p = nn.Parameter(torch.zeros(3))
    optimizer = ft.optim.SGD([p], momentum=0.9, clip_grad_norm=1.0, state_dtype="int8")
    optimizer.state[p]["note"] = 1
    p.grad = torch.full((3,), torch.nan)
    optimizer.step()
    assert optimizer.state[p] == {"note": 1}


@pytest.mark.parametrize("library", [optim, ft.optim])
@pytest.mark.parametrize("state_dtype", [None, "bfloat16", "int8"])
def test_state_of_another_dtype_than_the_parameter(library: Any, state_dtype: Any) -> None:
    """State is never written beyond its end; torch's users may convert the model back."""
    model = nn.Linear(40, 50)

    def step() -> None:
        optimizer.zero_grad()
        model(torch.ones(2, 40, dtype=model.weight.dtype)).sum().backward()
        optimizer.step()

    optimizer = library.SGD(model.parameters(), lr=0.1, state_dtype=state_dtype)
    step()
    model.double()
    optimizer.param_groups[0]["momentum"] = 0.9
    before = model.weight.detach().clone()
    if library is ft.optim and state_dtype is None:
        step()
        assert optimizer.state[model.weight]["momentum_buffer"].dtype is torch.float64
        return
    for _ in range(2):
        with pytest.raises(ValueError, match="want the dtype and shape for which its state was made; make a new"):
            step()
    assert torch.equal(model.weight, before)
    model.float()
    step()
    assert not torch.equal(model.weight.double(), before)


def test_a_larger_parameter() -> None:
    p, q = nn.Parameter(torch.zeros(10)), nn.Parameter(torch.zeros(2))
    optimizer = optim.Adam([p])
    p.data = torch.zeros(20_000)
    with pytest.raises(ValueError, match=r"^params\[0\]: got float32 of shape \(20000,\), want the dtype and shape"):
        optimizer.add_param_group({"params": [q]})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize("change", ["no scales", "strided", "scales of fewer"])
def test_bytes_without_their_scales(change: str) -> None:
    p = nn.Parameter(torch.zeros(20, 20))
    optimizer = ft.optim.AdamW([p], state_dtype="int8")
    p.grad = torch.ones(20, 20)
    optimizer.step()
    entry = optimizer.state[p]
    if change == "no scales":
        del entry["exp_avg_scale"]
    elif change == "strided":
        entry["exp_avg"] = entry["exp_avg"].t()
    else:
        entry["exp_avg_scale"] = entry["exp_avg_scale"][:2]
    with pytest.raises(ValueError, match=r"got bytes in another order than exp_avg_scale|its state was made"):
        optimizer.step()


def test_clipping_raises_as_in_torch() -> None:
    p = nn.Parameter(torch.zeros(3))
    p.grad = torch.full((3,), torch.nan)
    for clip in (ft.clip_grad_norm_, nn.utils.clip_grad_norm_):
        with pytest.raises(RuntimeError, match=r"norm of|non-finite"):
            clip(p, 1.0, error_if_nonfinite=True)
