"""fastnn.torch.nn and replace: torch's modules become faster in models that otherwise stay the same."""

import contextlib
import copy
import pickle
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch_kernels import use_kernels  # noqa: E402

from fastnn import torch as ft  # noqa: E402
from fastnn.torch.limits import LEAST  # noqa: E402


@pytest.fixture(autouse=True)
def seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    use_kernels(monkeypatch)
    torch.manual_seed(1)


def _cnn() -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(0.0), nn.Flatten(), nn.Linear(144, 16),
        nn.GELU(approximate="tanh"), nn.BatchNorm1d(16, momentum=None), nn.SiLU(), nn.Linear(16, 16), nn.GELU(),
        nn.LayerNorm(16), nn.RMSNorm(16), nn.GroupNorm(2, 16), nn.Linear(16, 5),
    )  # fmt: skip


NAMES = {
    "1": ft.nn.BatchNorm2d, "3": ft.nn.Dropout, "6": ft.nn.GELU, "7": ft.nn.BatchNorm1d, "8": ft.nn.SiLU,
    "10": ft.nn.GELU, "11": ft.nn.LayerNorm, "12": ft.nn.RMSNorm, "13": ft.nn.GroupNorm,
}  # fmt: skip
FUSED = {"": ft.nn.Sequential} | NAMES


def _train(model: Any, steps: int = 4) -> list[Any]:
    """Return losses, gradients of the last step, buffers, and outputs in evaluation."""
    x, y = torch.randn(8, 1, 8, 8), torch.randint(0, 5, (8,))
    optimizer, losses = torch.optim.SGD(model.parameters(), 0.05), []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return [*losses, *(p.grad for p in model.parameters()), *model.buffers(), model.eval()(x)]


@pytest.mark.parametrize("fuse", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_replaced_model_trains_as_before(fuse: bool, dtype: Any) -> None:
    before = _cnn()
    after = copy.deepcopy(before)
    ft.replace(after, fuse=fuse)
    results = []
    for model in (before, after):
        torch.manual_seed(2)
        torch.set_default_dtype(dtype)
        try:
            results.append(_train(model.to(dtype)))
        finally:
            torch.set_default_dtype(torch.float32)
    tolerance = {"rtol": 2e-4, "atol": 2e-5} if dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-11}
    for got, want in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(got, want, **tolerance)


@pytest.mark.parametrize(("fuse", "names"), [(False, NAMES), (True, FUSED)])
def test_replace_says_what_it_did(fuse: bool, names: dict[str, Any]) -> None:
    model = _cnn()
    classes = {name: type(m) for name, m in model.named_modules()}
    done = ft.replace(model, fuse=fuse)
    assert {r.name: r.after for r in done} == names
    assert all(r.before is classes[r.name] for r in done)
    assert {name for name, m in model.named_modules() if type(m) is not classes[name]} == names.keys()
    assert ft.replace(model, fuse=fuse) == []


def test_state_dicts_are_loadable_both_ways() -> None:
    before, after = _cnn(), _cnn()
    parameters = list(map(id, after.parameters()))
    ft.replace(after, fuse=True)
    assert list(map(id, after.parameters())) == parameters
    after.load_state_dict(before.state_dict())
    before.load_state_dict(after.state_dict())


def test_replaced_model_is_copied_and_pickled() -> None:
    model = _cnn()
    ft.replace(model, fuse=True)
    x = torch.randn(3, 1, 8, 8)
    want = model.eval()(x)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(x), want)


POOLS: dict[str, tuple[bool, Any]] = {
    "2": (True, nn.MaxPool2d(2)),
    "3": (True, nn.MaxPool2d((3, 2), 2, (1, 0))),
    "ceil": (False, nn.MaxPool2d(2, ceil_mode=True)),
    "dilated": (False, nn.MaxPool2d(2, dilation=(1, 2))),
    "indices": (False, nn.MaxPool2d(2, return_indices=True)),
    "large": (False, nn.MaxPool2d(16, padding=8)),
}


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("kind", ["images", "an image", "channels_last", "strided", "bfloat16"])
def test_max_pool(name: str, kind: str) -> None:
    """Pooling equals torch's bit for bit, whichever library runs; `ours` marks the cases that fastnn runs."""
    ours, before = POOLS[name]
    after = copy.deepcopy(before)
    assert [r.after for r in ft.replace(after)] == [ft.nn.MaxPool2d]
    x = torch.randn(2, 3, 9, 11)
    x = {
        "images": lambda: x, "an image": lambda: x[0], "strided": lambda: x[..., ::2], "bfloat16": x.bfloat16,
        "channels_last": lambda: x.to(memory_format=torch.channels_last),
    }[kind]()  # fmt: skip
    results = []
    for layer in (before, after):
        given = x.detach().requires_grad_()
        y = layer(given)
        y = y[0] if isinstance(y, tuple) else y
        results.append([y, *torch.autograd.grad(y.square().sum(), given)])
    assert all(map(torch.equal, *results))
    fused = type(y.grad_fn).__name__.startswith("_Fused")
    assert fused == (ours and kind in ("images", "an image"))


MODULES: dict[str, tuple[Any, tuple[int, ...]]] = {
    "Dropout": (nn.Dropout(0.5), (2, 8)), "LayerNorm": (nn.LayerNorm(8), (2, 8)), "RMSNorm": (nn.RMSNorm(8), (2, 8)),
    "GroupNorm": (nn.GroupNorm(2, 8), (2, 8)), "BatchNorm1d": (nn.BatchNorm1d(8), (2, 8)),
    "BatchNorm2d": (nn.BatchNorm2d(2), (2, 2, 2, 2)), "GELU": (nn.GELU(), (2, 8)), "SiLU": (nn.SiLU(), (2, 8)),
    "MaxPool2d": (nn.MaxPool2d(2), (1, 4, 4)), "LinearGELU": (ft.nn.LinearGELU(8, 8), (2, 8)),
    "Linear": (ft.nn.Linear(8, 8), (2, 8)),
    "MultiheadAttention": (nn.MultiheadAttention(4, 2, dropout=0.5), (2, 2, 4)),
    "CrossEntropyLoss": (nn.CrossEntropyLoss(), (2, 8)),
    "Sequential": (nn.Sequential(nn.BatchNorm1d(8), nn.ReLU()), (2, 8)),
}  # fmt: skip


def _runs_kernels(module: Any, x: Any, monkeypatch: pytest.MonkeyPatch) -> bool:
    ran: list[Any] = []
    for space in ("functional", "norms", "cross_entropy", "autograd"):
        for name in ("fused", "fused_elementwise"):
            monkeypatch.setattr(f"fastnn.torch.{space}.{name}", lambda *args: ran.append(args), raising=False)
    rest = {nn.CrossEntropyLoss: (torch.tensor([1, 2]),), nn.MultiheadAttention: (x, x)}
    with contextlib.suppress(Exception):  # of what continues with None
        module(x, *rest.get(type(module).__mro__[1], ()), **({"need_weights": False} if "head" in repr(module) else {}))
    return bool(ran)


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("least", [16, 17])
@pytest.mark.parametrize("learns", [False, True])
def test_small_inputs_go_to_torch(name: str, least: int, learns: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits under no_grad and else are two, but for dropout."""
    module, shape = copy.deepcopy(MODULES[name][0]), MODULES[name][1]
    ft.replace(module, fuse=True)
    for operation in LEAST:
        monkeypatch.setitem(LEAST, operation, (99, least) if learns else (least, 99))
    with torch.set_grad_enabled(learns):
        assert _runs_kernels(module, torch.randn(shape), monkeypatch) == (least == 16)


def test_dropout_has_one_limit() -> None:
    """Checkpointing runs forward with gradients and without, and has to draw the same numbers."""
    assert all(len(set(LEAST[operation])) == 1 for operation in ("dropout", "attention"))


def test_a_loss_and_a_single_module() -> None:
    loss = nn.CrossEntropyLoss(torch.tensor([1.0, 2.0]), ignore_index=0, label_smoothing=0.1, reduction="sum")
    x, y = torch.randn(6, 2), torch.tensor([0, 1, 1, 0, 1, 1])
    want = loss(x, y)
    assert ft.replace(loss) == [("", nn.CrossEntropyLoss, ft.nn.CrossEntropyLoss)]
    torch.testing.assert_close(loss(x, y), want)


def test_a_loss_whose_targets_or_weight_learn() -> None:
    x, target = torch.randn(6, 2, requires_grad=True), torch.rand(6, 2, requires_grad=True)
    weight, labels = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([0, 1, 1, 0, 1, 1])
    for given in ((target, weight), (target.detach(), weight), (target, weight.detach())):
        sought = [x, *(t for t in given if t.requires_grad)]
        losses = (library.CrossEntropyLoss(given[1])(x, given[0]) for library in (nn, ft.nn))
        torch.testing.assert_close(*(torch.autograd.grad(loss, sought) for loss in losses))
    with pytest.raises(RuntimeError, match="not differentiable with respect to argument 'weight'"):
        ft.nn.CrossEntropyLoss(weight)(x, labels)


def test_what_is_not_fused() -> None:
    hooked = nn.BatchNorm1d(3)
    hooked.register_forward_hook(lambda *_: None)
    model = nn.Sequential(hooked, nn.ReLU(), nn.BatchNorm1d(3), nn.Identity(), nn.Linear(3, 3), nn.ReLU())
    assert {r.after for r in ft.replace(model, fuse=True)} == {ft.nn.BatchNorm1d}


@pytest.mark.parametrize("place", [0, 1])
def test_patched_forward_is_kept(place: int) -> None:
    """A forward that was patched on an instance, as by adapters and offloading hooks, is kept."""
    model = nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.LayerNorm(4))
    before = model[place].forward
    model[place].forward = lambda x: before(x) + 1
    model[2].forward = lambda x: x
    x = torch.randn(3, 4)
    want = model(x)
    assert [r.name for r in ft.replace(model, fuse=True)] == ["1"] * (place == 0)
    torch.testing.assert_close(model(x), want)


def test_what_is_left_alone() -> None:
    class Own(nn.LayerNorm):
        """A subclass may behave differently."""

    model = nn.Sequential(Own(4), nn.Dropout(0.5, inplace=True), nn.SiLU(inplace=True), nn.BatchNorm3d(2))
    assert ft.replace(model) == []
    with pytest.raises(TypeError, match=r"model: got list, want a torch\.nn\.Module"):
        ft.replace([model])


def test_hooks_stay() -> None:
    model, seen = nn.Sequential(nn.LayerNorm(4)), []
    model[0].register_forward_hook(lambda module, args, output: seen.append(output.shape))
    ft.replace(model)
    model(torch.randn(2, 4))
    assert seen == [(2, 4)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_other_dtypes_go_to_torch(dtype: Any) -> None:
    model = nn.Sequential(nn.LayerNorm(8), nn.BatchNorm1d(8), nn.GELU(), nn.Linear(8, 8), nn.GELU(), nn.Dropout(0.0))
    model, x = model.to(dtype), torch.randn(4, 8, dtype=dtype)
    want = model(x)
    ft.replace(model, fuse=True)
    assert torch.equal(model(x), want)


def test_batch_norm_of_one_value_is_refused() -> None:
    layer = ft.nn.BatchNorm1d(3)
    with pytest.raises(ValueError, match="Expected more than 1 value per channel when training"):
        layer(torch.randn(1, 3))
    with pytest.raises(ValueError, match="expected 4D input"):
        ft.nn.BatchNorm2d(3)(torch.randn(2, 3))


def test_constructed_modules() -> None:
    layer = ft.nn.LinearGELU(4, 3, approximate="tanh")
    assert "approximate='tanh'" in repr(layer)
    x = torch.randn(5, 4)
    want = nn.functional.gelu(nn.functional.linear(x, layer.weight, layer.bias), approximate="tanh")
    torch.testing.assert_close(layer(x), want)
    dropped = ft.nn.Dropout(0.5, inplace=True)(torch.ones(1000))
    assert 400 < dropped.count_nonzero() < 600


MASKS = {
    "none": None,
    "causal": torch.ones(6, 6, dtype=torch.bool).triu(1),
    "added": nn.Transformer.generate_square_subsequent_mask(6),
    "nothing left": torch.ones(6, 6, dtype=torch.bool),
    "per head": torch.zeros(8, 6, 6),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("batch_first", [False, True])
def test_attention(mask: str, batch_first: bool) -> None:
    """Attention with almost no dropout equals torch's without dropout."""
    before = nn.MultiheadAttention(12, 2, batch_first=batch_first).double()
    after = copy.deepcopy(before)
    assert [r.after for r in ft.replace(after)] == [ft.nn.MultiheadAttention]
    after.dropout = 1e-13
    x, other = torch.randn(2, 4, 6, 12, dtype=torch.float64)
    x, other = (t if batch_first else t.transpose(0, 1).contiguous() for t in (x, other))
    x.requires_grad_()
    for key in (x, other):
        results = []
        for layer in (before, after):
            y, weights = layer(x, key, key, need_weights=False, attn_mask=MASKS[mask])
            assert weights is None
            results.append([y, *torch.autograd.grad(y.square().sum(), [x, *layer.parameters()])])
        torch.testing.assert_close(*results, rtol=1e-9, atol=1e-11, equal_nan=True)


def test_attention_drops() -> None:
    layer = ft.nn.MultiheadAttention(8, 2, dropout=0.5, batch_first=True)
    x = torch.randn(2, 5, 8)
    torch.manual_seed(1)
    first, second = (layer(x, x, x, need_weights=False)[0] for _ in range(2))
    torch.manual_seed(1)
    assert torch.equal(layer(x, x, x, need_weights=False)[0], first) and not torch.equal(first, second)
    layer.eval()
    assert torch.equal(layer(x, x, x, need_weights=False)[0], layer(x, x, x, need_weights=False)[0])


def test_init_follows_torchs_generator() -> None:
    a, b = torch.empty(40, 30), torch.empty(40, 30)
    torch.manual_seed(4)
    ft.init.kaiming_normal_(a, nonlinearity="relu")
    torch.manual_seed(4)
    ft.init.kaiming_normal_(b, nonlinearity="relu")
    assert torch.equal(a, b) and a._version > 0
    ft.init.orthogonal_(b, generator=torch.Generator().manual_seed(4))
    ft.init.orthogonal_(a, generator=torch.Generator().manual_seed(4))
    assert torch.equal(a, b)
    p = nn.Parameter(torch.empty(5))
    assert ft.init.constant_(p, 3) is p and torch.equal(p.detach(), torch.full((5,), 3.0))
