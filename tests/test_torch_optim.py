"""fastnn.torch.optim does what torch's schedulers, hooks, savers and trainers expect of a torch.optim.Optimizer."""

import copy
import functools
import inspect
import pickle
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.optim import lr_scheduler  # noqa: E402

from fastnn import optim  # noqa: E402
from fastnn import torch as ft  # noqa: E402

NAMES = [name for name in ft.optim.__all__ if name not in ("Optimizer", "as_torch")]
THEIRS = [name for name in NAMES if hasattr(torch.optim, name)]


def _params(seed: int = 0) -> list[Any]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(3, 5), (7,), ()]
    return [nn.Parameter(torch.randn(s, generator=generator, dtype=torch.float64)) for s in shapes]


def _steps(optimizer: Any, params: list[Any], steps: int = 5) -> list[Any]:
    for t in range(steps):
        for i, p in enumerate(params):
            p.grad = torch.cos(p.detach() * (t + 1) + i)
        optimizer.step()
    return [p.detach().clone() for p in params]


def _assert_equal(a: list[Any], b: list[Any]) -> None:
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("name", THEIRS)
def test_as_torch(name: str) -> None:
    ours, theirs = _params(), _params()
    got = _steps(getattr(ft.optim, name)(ours, lr=0.01, weight_decay=0.1), ours)
    want = _steps(getattr(torch.optim, name)(theirs, lr=0.01, weight_decay=0.1), theirs)
    torch.testing.assert_close(got, want, rtol=1e-6 if name == "NAdam" else 1e-12, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_is_a_torch_optimizer(name: str) -> None:
    made = getattr(ft.optim, name)(_params(), lr=0.01)
    assert isinstance(made, torch.optim.Optimizer) and type(made).__name__ == name in repr(made)
    assert inspect.signature(type(made)) == inspect.signature(getattr(optim, name))
    assert set(made.param_groups[0]) == {"params", *made.defaults}


def test_wrapped_as_trainers_do() -> None:
    """An optimizer wrapped as Lightning does, in a class of wrapper and optimizer with copied attributes, works."""
    params = _params()
    inner = ft.optim.AdamW(params, lr=0.01)
    outer = object.__new__(type("Wrapped", (type(inner),), {}))
    outer.__dict__ = {k: v for k, v in inner.__dict__.items() if k != "step"}
    others = _params()
    _assert_equal(_steps(outer, params), _steps(ft.optim.AdamW(others, lr=0.01), others))


SCHEDULES: dict[str, Any] = {
    "StepLR": lambda o: lr_scheduler.StepLR(o, 2, 0.5),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=20),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, 4, cycle_momentum=True),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 4),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=1),
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda t: 0.9**t),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.1), lr_scheduler.ExponentialLR(o, 0.9)], [3]
    ),
}


@pytest.mark.parametrize("kind", SCHEDULES)
def test_schedules_of_torch(kind: str) -> None:
    runs = []
    for library in (ft.optim, torch.optim):
        params = _params()
        optimizer = library.SGD(params, lr=0.05, momentum=0.9)
        schedule = SCHEDULES[kind](optimizer)
        rates = []
        for _ in range(8):
            _steps(optimizer, params, 1)
            schedule.step(*((1.0,) if kind == "ReduceLROnPlateau" else ()))
            rates.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
        runs.append((rates, [p.detach() for p in params]))
    assert runs[0][0] == runs[1][0]
    torch.testing.assert_close(runs[0][1], runs[1][1], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("keeps_attributes", [True, False])
def test_hooks_of_a_patched_class(keeps_attributes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loggers replace `step` in the class, of optimizers that exist already."""
    counts = []
    for cls in (ft.optim.Adam, torch.optim.Adam):
        params, called = _params(), []
        optimizer, original = cls(params), cls.step

        def step(self: Any, closure: Any = None, original: Any = original) -> Any:
            return original(self, closure)

        monkeypatch.setattr(cls, "step", functools.wraps(original)(step) if keeps_attributes else step)
        optimizer.register_step_post_hook(lambda *_, called=called: called.append("after"))
        _steps(optimizer, params, 2)
        counts.append(len(called))
    assert counts == [2, 2]


def test_hooks_of_a_subclass() -> None:
    """They run around its step and around the one that it calls."""
    counts = []
    for cls in (ft.optim.Adam, torch.optim.Adam):

        class Halving(cls):  # type: ignore[misc, valid-type]
            def step(self, closure: Any = None) -> Any:
                self.param_groups[0]["lr"] /= 2
                return super().step(closure)

        params, called = _params(), []
        optimizer = Halving(params)
        optimizer.register_step_pre_hook(lambda *_, called=called: called.append("before"))
        _steps(optimizer, params, 2)
        counts.append(len(called))
    assert counts == [4, 4]


def test_hooks() -> None:
    params, called = _params(), []
    optimizer = ft.optim.Adam(params)
    optimizer.register_step_pre_hook(lambda *_: called.append("before"))
    optimizer.register_step_post_hook(lambda *_: called.append("after"))
    optimizer.register_state_dict_pre_hook(lambda *_: called.append("save"))
    optimizer.register_state_dict_post_hook(lambda _, d: d | {"note": 1})
    optimizer.register_load_state_dict_pre_hook(lambda _, d: {k: v for k, v in d.items() if k != "note"})
    optimizer.register_load_state_dict_post_hook(lambda *_: called.append("loaded"))
    _steps(optimizer, params, 1)
    saved = optimizer.state_dict()
    assert saved["note"] == 1
    optimizer.load_state_dict(saved)
    assert called == ["before", "after", "save", "loaded"]


@pytest.mark.parametrize("name", NAMES)
def test_saved_loaded_copied_pickled(name: str) -> None:
    """A saved, loaded, copied or pickled optimizer continues with the same bits."""
    params = _params()
    optimizer = getattr(ft.optim, name)(params, lr=0.01)
    _steps(optimizer, params, 3)
    pairs = [copy.deepcopy((params, optimizer)), pickle.loads(pickle.dumps((params, optimizer)))]
    loaded = [nn.Parameter(p.detach().clone()) for p in params]
    pairs.append((loaded, getattr(ft.optim, name)(loaded, lr=0.5)))
    pairs[-1][1].load_state_dict(optimizer.state_dict())
    want = _steps(optimizer, params, 3)
    for others, other in pairs:
        _assert_equal(_steps(other, others, 3), want)


@pytest.mark.parametrize("name", THEIRS)
def test_state_dicts_of_torch(name: str) -> None:
    """State dicts can be exchanged with torch in both directions, in the middle of a run."""
    ours, theirs = _params(), _params()
    a, b = getattr(ft.optim, name)(ours, lr=0.01), getattr(torch.optim, name)(theirs, lr=0.01)
    _steps(a, ours, 3), _steps(b, theirs, 3)
    state_of_a = copy.deepcopy(a.state_dict())
    a.load_state_dict(b.state_dict())
    b.load_state_dict(state_of_a)
    torch.testing.assert_close(_steps(a, ours), _steps(b, theirs), rtol=1e-6 if name == "NAdam" else 1e-10, atol=1e-12)


def test_groups() -> None:
    params, more = _params(), nn.Parameter(torch.zeros(2))
    optimizer = ft.optim.SGD([{"params": params[:2], "lr": 0.1}, {"params": params[2:]}], lr=0.01)
    optimizer.add_param_group({"params": [more], "lr": 0.5})
    assert [g["lr"] for g in optimizer.param_groups] == [0.1, 0.01, 0.5]
    more.grad = torch.ones(2)
    optimizer.step()
    assert torch.equal(more.detach(), torch.full((2,), -0.5))
    with pytest.raises(ValueError, match="can't optimize a non-leaf Tensor"):
        ft.optim.SGD([more * 2], lr=0.1)


def test_closure_and_zero_grad() -> None:
    p = nn.Parameter(torch.ones(3))
    optimizer = ft.optim.SGD([p], lr=0.1)

    def closure() -> Any:
        optimizer.zero_grad()
        assert p.grad is None
        loss = (p * p).sum()
        loss.backward()
        return loss

    with torch.no_grad():
        assert optimizer.step(closure).item() == 3
    torch.testing.assert_close(p.detach(), torch.full((3,), 0.8))


def test_stale_backward_is_noticed() -> None:
    """A graph built before the step needs the old parameters, so its backward must raise."""
    p, x = nn.Parameter(torch.ones(3)), torch.ones(3, requires_grad=True)
    frozen = nn.Parameter(torch.ones(3))
    optimizer = ft.optim.SGD([p, frozen], lr=0.1)
    loss = (p * x).sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    assert p._version == 1 and frozen._version == p.grad._version == 0
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_writes_are_counted() -> None:
    p = nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    optimizer = ft.optim.SGD([p], lr=0.1, clip_grad_norm=1.0, zero_grad_after_step=True)
    optimizer.step()
    assert p._version == p.grad._version == 1
    p.grad = torch.full((3,), torch.nan)
    optimizer.step()
    assert p._version == 1 and p.grad._version == 1  # the step was skipped, the gradient zeroed


def test_state_in_fewer_bits() -> None:
    p = nn.Parameter(torch.ones(300))
    optimizer = ft.optim.AdamW([p], state_dtype="int8", clip_grad_norm=1.0)
    p.grad = torch.ones(300)
    optimizer.step()
    assert optimizer.last_grad_norm == pytest.approx(300**0.5)
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))


@pytest.mark.parametrize("norm_type", [1.0, 2.0, float("inf")])
def test_clipping(norm_type: float) -> None:
    params, others = _params(), _params()
    for p, q in zip(params, others, strict=True):
        p.grad, q.grad = 3 * p.detach(), 3 * q.detach()
    got = ft.clip_grad_norm_(iter(params), 0.5, norm_type)
    want = nn.utils.clip_grad_norm_(others, 0.5, norm_type)
    torch.testing.assert_close(got, want, rtol=1e-12, atol=0)
    ft.clip_grad_value_(params, 0.01)
    nn.utils.clip_grad_value_(others, 0.01)
    torch.testing.assert_close([p.grad for p in params], [q.grad for q in others], rtol=1e-10, atol=0)
    assert all(p.grad._version == 2 for p in params)


@pytest.mark.parametrize("dtypes", [(), (torch.float32,), (torch.bfloat16,), (torch.float32, torch.float64)], ids=str)
def test_clipped_norm_has_the_dtype_of_the_gradients(dtypes: tuple[Any, ...]) -> None:
    params = [nn.Parameter(torch.ones(3, dtype=d)) for d in (*dtypes, torch.float64)]
    results = []
    for clip in (ft.clip_grad_norm_, nn.utils.clip_grad_norm_):
        for p in params[:-1]:
            p.grad = torch.full_like(p, 2)
        results.append(clip(params, 0.5))
    assert results[0].dtype == results[1].dtype
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("kind", ["strided", "float16"])
def test_torch_clips_what_the_kernels_cannot(kind: str) -> None:
    results = []
    for library in (ft, nn.utils):
        grad = torch.arange(6.0).reshape(2, 3)
        p = nn.Parameter(torch.zeros(3, 2) if kind == "strided" else torch.zeros_like(grad))
        p = nn.Parameter(p.half()) if kind == "float16" else p
        p.grad = grad.t() if kind == "strided" else grad.half()
        library.clip_grad_value_([p], 4.0)
        results.append((library.clip_grad_norm_([p], 2.0), p.grad))
    torch.testing.assert_close(*results, rtol=0, atol=0)
