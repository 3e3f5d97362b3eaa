"""replace(model, fuse=True): pairs run in one pass, and changes of the model afterwards lose or move no activation."""

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn.utils import fusion, parametrize  # noqa: E402
from torch_kernels import use_kernels  # noqa: E402

from fastnn import torch as ft  # noqa: E402


@pytest.fixture(autouse=True)
def seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    use_kernels(monkeypatch)
    torch.manual_seed(1)


def _model() -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 16), nn.GELU("tanh"),
        nn.Linear(16, 16), nn.GELU(), nn.BatchNorm1d(16), nn.ReLU(inplace=True), nn.Linear(16, 3),
    )  # fmt: skip


class _Adapted(nn.Module):
    """An adapter around a Linear, as of LoRA."""

    def __init__(self, base: Any) -> None:
        super().__init__()
        self.base, self.down = base, nn.Linear(base.in_features, 1)

    def forward(self, x: Any) -> Any:
        return self.base(x) + self.down(x)


class _Halved(nn.Module):
    def forward(self, weight: Any) -> Any:
        return weight / 2


def _set(place: int, make: Callable[[Any], Any]) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        torch.manual_seed(3)
        model[place] = make(model[place])

    return change


def _fold(model: Any) -> None:
    model[0] = fusion.fuse_conv_bn_eval(model[0].eval(), model[1].eval())
    model[1] = nn.Identity()


def _sync(model: Any) -> None:
    nn.SyncBatchNorm.convert_sync_batchnorm(model)
    model.eval()


def _hook(place: int) -> Callable[[Any], None]:
    return lambda model: model[place].register_forward_hook(lambda module, args, output: output + 1) and None


def _patch(model: Any) -> None:
    before = model[4].forward
    model[4].forward = lambda x: before(x) - 1


CHANGES: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda model: None,
    "convert_sync_batchnorm": _sync,
    "fuse_conv_bn_eval": _fold,
    "batch norm to group norm": _set(1, lambda _: nn.GroupNorm(2, 4)),
    "batch norm to nothing": _set(1, lambda _: nn.Identity()),
    "Linear to adapter": _set(4, _Adapted),
    "GELU to ReLU": _set(5, lambda _: nn.ReLU()),
    "ReLU to another ReLU": _set(2, lambda _: nn.ReLU()),
    "ReLU to nothing": _set(2, lambda _: nn.Identity()),
    "approximation": lambda model: setattr(model[7], "approximate", "tanh"),
    "hook of the first": _hook(4),
    "hook of the second": _hook(5),
    "pre-hook": lambda model: model[2].register_forward_pre_hook(lambda module, args: (args[0] + 1,)) and None,
    "patched": _patch,
    "parametrized": lambda model: parametrize.register_parametrization(model[4], "weight", _Halved()) and None,
    "something between": lambda model: model.insert(5, nn.Sigmoid()) and None,
    "removed": lambda model: model.__delitem__(5),
    "appended": lambda model: model.append(nn.GELU()) and None,
}


def _outputs(model: Any) -> list[Any]:
    x = torch.linspace(-1, 1, 8 * 64, dtype=torch.float64).sin().reshape(8, 1, 8, 8)
    y = model.double()(x)
    return [y, *torch.autograd.grad(y.square().sum(), [p for p in model.parameters()]), *model.buffers()]


@pytest.mark.filterwarnings("ignore:.*")
@pytest.mark.parametrize("change", CHANGES)
def test_changed_afterwards(change: str) -> None:
    before = _model()
    after = copy.deepcopy(before)
    assert ft.nn.Sequential in {r.after for r in ft.replace(after, fuse=True)}
    for model in (before, after):
        CHANGES[change](model)
    torch.testing.assert_close(_outputs(after), _outputs(before), rtol=1e-8, atol=1e-10)


PARTS: dict[str, Callable[[Any], Any]] = {
    "the first alone": lambda model: model[1],
    "a slice that ends between": lambda model: model[1:2],
    "a slice": lambda model: model[1:3],
    "the second alone": lambda model: model[2],
    "a loop": lambda model: lambda x: model[2](model[1](x)),
}


@pytest.mark.parametrize("part", PARTS)
def test_parts(part: str) -> None:
    before = _model()
    after = copy.deepcopy(before)
    ft.replace(after, fuse=True)
    x = torch.randn(2, 4, 6, 6)
    torch.testing.assert_close(PARTS[part](after)(x), PARTS[part](before)(x))


def _saved(model: Any) -> Any:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    theirs = [nn.Conv2d, nn.ReLU, nn.Flatten, nn.Linear, set]
    with torch.serialization.safe_globals(theirs):
        return torch.load(file, weights_only=True)


COPIES: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "torch.load(weights_only=True)": _saved,
}


@pytest.mark.parametrize("how", COPIES)
def test_copies(how: str) -> None:
    model = _model()
    ft.replace(model, fuse=True)
    other = COPIES[how](model)
    assert [type(m) for m in other.modules()] == [type(m) for m in model.modules()]
    torch.testing.assert_close(_outputs(other), _outputs(model), rtol=0, atol=0)


def test_pairs_run_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(nn.Module, "__call__", lambda self, *args: seen.append(type(self)) or self.forward(*args))
    model = _model()
    ft.replace(model, fuse=True)
    model(torch.randn(2, 1, 8, 8))
    assert seen == [ft.nn.Sequential, nn.Conv2d, nn.Flatten, nn.Linear]


def test_global_hooks_see_every_module() -> None:
    model, seen = _model(), []
    ft.replace(model, fuse=True)
    handle = nn.modules.module.register_module_forward_hook(lambda module, args, output: seen.append(module))
    try:
        model(torch.randn(2, 1, 8, 8))
    finally:
        handle.remove()
    assert seen == [*model, model]


@pytest.mark.parametrize("calls", [(True, True), (False, True), (True, False), (False, False, True)])
def test_replace_again(calls: tuple[bool, ...]) -> None:
    once, again = _model(), _model()
    ft.replace(once, fuse=True)
    done = [ft.replace(again, fuse=fuse) for fuse in calls]
    assert [type(m) for m in again.modules()] == [type(m) for m in once.modules()]
    assert (done[-1] == []) == (calls[-2:] != (False, True))


def test_shared_modules() -> None:
    norm = nn.BatchNorm1d(5)
    before = nn.Sequential(norm, nn.ReLU(), norm, nn.Linear(5, 5), nn.GELU(), norm)
    after = copy.deepcopy(before)
    ft.replace(after, fuse=True)
    x = torch.randn(6, 5)
    torch.testing.assert_close(after(x), before(x), rtol=1e-4, atol=1e-5)
