"""fastnn.torch.nn under checkpointing, torch's modes and devices, FSDP, and without gradients."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.autograd import forward_ad  # noqa: E402
from torch.overrides import TorchFunctionMode  # noqa: E402
from torch.utils import checkpoint as checkpoints  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402
from torch_kernels import use_kernels  # noqa: E402

from fastnn import torch as ft  # noqa: E402


@pytest.fixture(autouse=True)
def seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    use_kernels(monkeypatch)
    torch.manual_seed(1)


class _Passing(TorchDispatchMode):
    """Runs every operation as it is."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


class _PassingFunctions(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


class _Block(nn.Module):
    """Every module that draws numbers or saves tensors for backward."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.Sequential(nn.LayerNorm(8), nn.GELU(), nn.RMSNorm(8), nn.SiLU(), nn.Dropout(0.4))
        self.attention = nn.MultiheadAttention(8, 2, dropout=0.3, batch_first=True)
        self.rows = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.BatchNorm1d(8), nn.ReLU(), nn.GroupNorm(2, 8))
        self.last = nn.Dropout(0.5)

    def forward(self, x: Any) -> Any:
        x = self.norms(x)
        x = self.attention(x, x, x, need_weights=False)[0]
        return self.last(self.rows(x.flatten(0, 1)))


def _selective(*saved: Any) -> Callable[[], Any]:
    def policy(_: Any, operation: Any, *args: Any, **kwargs: Any) -> Any:
        policies = checkpoints.CheckpointPolicy
        return policies.MUST_SAVE if operation in saved else policies.PREFER_RECOMPUTE

    return lambda: checkpoints.create_selective_checkpoint_contexts(policy)


aten = torch.ops.aten
RUNS: dict[str, tuple[dict[str, Any], Callable[[], Any]]] = {
    "reentrant": ({"use_reentrant": True}, contextlib.nullcontext),
    "not reentrant": ({}, contextlib.nullcontext),
    "no early stop": ({}, lambda: checkpoints.set_checkpoint_early_stop(False)),
    "selective, nothing saved": ({"context_fn": _selective()}, contextlib.nullcontext),
    "selective, products saved": ({"context_fn": _selective(aten.mm.default, aten.addmm.default, aten.bmm.default)},
                                  contextlib.nullcontext),
    "selective, seeds saved": ({"context_fn": _selective(aten.randint.low, aten.randint.default, aten.randint.generator,
                                                         aten._local_scalar_dense.default)}, contextlib.nullcontext),
    "a mode in forward": ({"context_fn": lambda: (_Passing(), contextlib.nullcontext())}, contextlib.nullcontext),
    "a mode in backward": ({"context_fn": lambda: (contextlib.nullcontext(), _Passing())}, contextlib.nullcontext),
    "a mode around forward": ({}, _Passing),
    "a mode around forward, reentrant": ({"use_reentrant": True}, _Passing),
    "a mode of functions": ({}, _PassingFunctions),
    "FlopCounterMode": ({}, lambda: FlopCounterMode(display=False)),
    "debug": ({"debug": True}, contextlib.nullcontext),
    "meta as default device": ({}, lambda: torch.device("meta")),
    "cpu as default device": ({"use_reentrant": True}, lambda: torch.device("cpu")),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", RUNS)
def test_checkpoint_draws_the_same_numbers(name: str) -> None:
    options, context = RUNS[name]
    x, results = torch.randn(4, 6, 8, dtype=torch.float64), []
    model = _Block().double()
    ft.replace(model, fuse=name != "FlopCounterMode")  # its hooks of all modules separate pairs
    for run in (model, lambda x: checkpoints.checkpoint(model, x, **{"use_reentrant": False} | options)):
        given, parameters = x.clone().requires_grad_(), list(model.parameters())
        torch.manual_seed(5)
        with context() if run is not model else contextlib.nullcontext():
            y = run(given)
        for tensor in parameters:
            tensor.grad = None
        y.square().sum().backward()
        results.append([y, given.grad, *(p.grad for p in parameters)])
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=0)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_default_device(device: str) -> None:
    x = torch.randn(4, 6, 8)
    results = []
    for context in (contextlib.nullcontext(), torch.device(device)):
        torch.manual_seed(2)
        with context:
            y = ft.functional.dropout(x)
            z = ft.functional.scaled_dot_product_attention(x, x, x, dropout_p=0.5, is_causal=True)
        w = torch.empty(5, 4)
        with context:
            results.append([y, z, ft.init.normal_(w), ft.nn.Dropout(0.5)(x.transpose(0, 1))])
    torch.testing.assert_close(*results, rtol=0, atol=0)


OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "Dropout": lambda x: ft.nn.Dropout(0.5)(x),
    "LayerNorm": lambda x: ft.nn.LayerNorm(8, elementwise_affine=False)(x),
    "BatchNorm1d": lambda x: ft.nn.BatchNorm1d(6, affine=False)(x),
    "GroupNorm": lambda x: ft.nn.GroupNorm(3, 6, affine=False)(x),
    "GELU": lambda x: ft.nn.GELU()(x),
    "MaxPool2d": lambda x: ft.nn.MaxPool2d(2)(x),
    "CrossEntropyLoss": lambda x: ft.nn.CrossEntropyLoss()(x[:, 0], torch.tensor([1, 2, 0, 7])),
    "softmax": lambda x: ft.functional.softmax(x, 1),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_function_without_gradients(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(4, 6, 8, requires_grad=True)
    torch.manual_seed(3)
    want = OPERATIONS[name](x)
    monkeypatch.setattr("fastnn.torch.autograd._Fused.apply", None)
    for context, given in ((torch.no_grad(), x), (torch.enable_grad(), x.detach()), (torch.inference_mode(), x)):
        torch.manual_seed(3)
        with context:
            got = OPERATIONS[name](given)
        assert not got.requires_grad and got.grad_fn is None
        assert got.is_inference() == isinstance(context, torch.inference_mode)
        torch.testing.assert_close(got.clone(), want.detach(), rtol=0, atol=0)


def test_running_statistics_in_inference_mode() -> None:
    with torch.inference_mode():
        before, after = nn.BatchNorm1d(3), ft.nn.BatchNorm1d(3)
        x = torch.randn(5, 3)
        torch.testing.assert_close(after(x), before(x))
        torch.testing.assert_close(after.running_mean, before.running_mean)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("module", [nn.GELU(), nn.LayerNorm(8), nn.SiLU(), nn.Softmax(-1), nn.Dropout(0.0)], ids=str)
def test_forward_mode_differentiation(module: Any) -> None:
    """A tangent without requires_grad must not be lost."""
    x, tangent = torch.randn(4, 8), torch.randn(4, 8)
    tangents = []
    for _ in range(2):
        with forward_ad.dual_level():
            y = module(forward_ad.make_dual(x, tangent))
            tangents.append(forward_ad.unpack_dual(y).tangent)
        ft.replace(module)
    torch.testing.assert_close(*tangents)


def test_negated_views() -> None:
    """Some views of torch, such as `z.conj().imag`, hold the negatives of what is in memory."""
    x, dy = torch.randn(4, 6), torch.randn(4, 6)
    view = torch._neg_view(x)
    assert view.is_contiguous() and view.is_neg()
    torch.testing.assert_close(ft.nn.GELU()(view), nn.functional.gelu(-x))
    x.requires_grad_()
    got = torch.autograd.grad(ft.nn.GELU()(x), x, torch._neg_view(dy))
    torch.testing.assert_close(got, torch.autograd.grad(nn.functional.gelu(x), x, -dy))


def test_storages_stay_resizable() -> None:
    x, layer = torch.randn(4, 8), ft.nn.LayerNorm(8)
    layer(x).sum().backward()
    ft.nn.CrossEntropyLoss(torch.ones(8))(x, torch.tensor([1, 2, 3, 4]))
    for tensor in (x, layer.weight.data, layer.bias.data):
        tensor.untyped_storage().resize_(0)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[None]:
    distributed = pytest.importorskip("torch.distributed")
    if not distributed.is_available() or not distributed.is_gloo_available():
        pytest.skip("needs torch.distributed with gloo")
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def _one(model: Any) -> Any:
    from torch.distributed.fsdp import FullyShardedDataParallel

    return FullyShardedDataParallel(model, device_id=torch.device("cpu"))


def _one_original(model: Any) -> Any:
    from torch.distributed.fsdp import FullyShardedDataParallel

    return FullyShardedDataParallel(model, device_id=torch.device("cpu"), use_orig_params=True)


def _two(model: Any) -> Any:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (1,))
    for layer in model:
        if next(layer.parameters(), None) is not None:
            fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def _two_whole(model: Any) -> Any:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    return fully_shard(model, mesh=init_device_mesh("cpu", (1,)))


@pytest.mark.filterwarnings("ignore:.*")
@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("shard", [_one, _one_original, _two, _two_whole])
def test_fsdp(shard: Callable[[Any], Any]) -> None:
    results = []
    x, y = torch.randn(8, 12), torch.randint(0, 3, (8,))
    for replaced in (False, True):
        torch.manual_seed(4)
        model: Any = nn.Sequential(
            nn.Linear(12, 8), nn.GELU(), nn.LayerNorm(8), nn.BatchNorm1d(8), nn.ReLU(), nn.RMSNorm(8),
            nn.Dropout(0.0), nn.GroupNorm(2, 8), nn.Linear(8, 3),
        )  # fmt: skip
        criterion = nn.CrossEntropyLoss()
        if replaced:
            ft.replace(model, fuse=True)
            ft.replace(criterion)
        model = shard(model)
        optimizer, losses = torch.optim.SGD(model.parameters(), 0.1), []
        for _ in range(4):
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        results.append(losses)
    np.testing.assert_allclose(results[1], results[0], rtol=1e-4)


def test_saved_tensors_may_come_back_strided() -> None:
    x = torch.randn(4, 6, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.t().contiguous(), lambda t: t.t()):
        y = ft.nn.GELU()(x)
    torch.testing.assert_close(torch.autograd.grad(y.sum(), x), torch.autograd.grad(nn.functional.gelu(x).sum(), x))


def test_batched_gradients_are_refused() -> None:
    x = torch.randn(4, 6, requires_grad=True)
    with pytest.raises(RuntimeError, match="Batching rule not implemented for gelu: got gradients of several"):
        torch.autograd.grad(ft.nn.GELU()(x), x, torch.randn(3, 4, 6), is_grads_batched=True)


def test_tracing_warns_of_nothing() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.LayerNorm(8), nn.SiLU())
    ft.replace(model, fuse=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("error", torch.jit.TracerWarning)
        torch.jit.trace(model, torch.randn(3, 8))
