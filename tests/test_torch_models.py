"""Whole torch models after fastnn.torch.replace: they learn as before, and torch's transforms work on them."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402
from torch.fx.experimental.proxy_tensor import make_fx  # noqa: E402
from torch_kernels import use_kernels  # noqa: E402

from fastnn import torch as ft  # noqa: E402

ALMOST_NONE = 1e-13  # probability of dropout: the fused passes run and drop nothing


@pytest.fixture(autouse=True)
def seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    use_kernels(monkeypatch)
    torch.manual_seed(1)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Limit torch to one thread, because its threads spin on cores that fastnn's threads need, for seconds."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _cnn() -> tuple[Any, Any, Any]:
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.GroupNorm(2, 8), nn.SiLU(),
        nn.MaxPool2d(2), nn.Dropout(ALMOST_NONE), nn.Flatten(), nn.Linear(128, 32), nn.GELU(), nn.Linear(32, 10),
    )  # fmt: skip
    return model, torch.randn(16, 1, 12, 12), torch.randint(0, 10, (16,))


class _Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        block = nn.TransformerEncoderLayer(16, 2, 32, ALMOST_NONE, nn.GELU(), batch_first=True, norm_first=True)
        self.embedding = nn.Embedding(11, 16)
        self.blocks = nn.TransformerEncoder(block, 2, nn.LayerNorm(16), enable_nested_tensor=False)
        self.head = nn.Linear(16, 11)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(12))

    def forward(self, x: Any) -> Any:
        return self.head(self.blocks(self.embedding(x), self.mask, is_causal=True)).flatten(0, 1)


def _transformer() -> tuple[Any, Any, Any]:
    return _Transformer(), torch.randint(0, 11, (8, 12)), torch.randint(0, 11, (8 * 12,))


def _losses(model: Any, criterion: Any, optimizer: Any, x: Any, y: Any) -> list[float]:
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("made", [_cnn, _transformer])
def test_learns_as_before(made: Callable[[], tuple[Any, Any, Any]]) -> None:
    before, x, y = made()
    after, criterion = copy.deepcopy(before), nn.CrossEntropyLoss()
    assert len(ft.replace(after, fuse=True)) >= 7 and len(ft.replace(criterion)) == 1
    got = _losses(after, criterion, ft.optim.AdamW(after.parameters(), lr=3e-3), x, y)
    want = _losses(before, nn.CrossEntropyLoss(), torch.optim.AdamW(before.parameters(), lr=3e-3), x, y)
    assert got == pytest.approx(want, rel=1e-5) and got[-1] < 0.8 * got[0]


AUTOCAST: dict[str, Callable[[], Any]] = {
    "products": lambda: nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 4)),
    "Linear, GELU": lambda: nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 4)),
    "attention": lambda: nn.TransformerEncoderLayer(8, 2, 16, 1e-13, nn.GELU(), batch_first=True),
    "attention behind a norm": lambda: nn.TransformerEncoderLayer(8, 2, 16, 1e-13, batch_first=True, norm_first=True),
}


@pytest.mark.parametrize("name", AUTOCAST)
def test_autocast_goes_to_torch(name: str) -> None:
    model, x = AUTOCAST[name](), torch.randn(4, 5, 8)
    results = []
    for replaced in (False, True):
        if replaced:
            ft.replace(model, fuse=True)
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            y = model(x)
        y.float().square().sum().backward()
        results.append([y.float(), *(p.grad.clone() for p in model.parameters())])
    torch.testing.assert_close(*results, rtol=5e-2, atol=5e-2)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_compiled_model_is_torchs() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.GELU())
    ft.replace(model)
    graphs = []

    def backend(graph: Any, _: Any) -> Any:
        graphs.append([str(node.target) for node in graph.graph.nodes])
        return graph.forward

    compiled = torch.compile(model, backend=backend, fullgraph=True)
    compiled(torch.randn(2, 8))
    assert any("layer_norm" in target for target in graphs[0])


def _model() -> Any:
    return nn.Sequential(
        nn.Linear(8, 8), nn.GELU(), nn.LayerNorm(8), nn.RMSNorm(8), nn.SiLU(), nn.GELU(), nn.Linear(8, 3)
    )


def _replaced() -> Any:
    model = _model()
    ft.replace(model, fuse=True)
    return model


TRANSFORMS: dict[str, Callable[[Any, Any], Any]] = {
    "vmap": lambda model, x: torch.vmap(model)(x),
    "grad": lambda model, x: torch.func.grad(lambda t: model(t).square().sum())(x),
    "grad of grad": lambda model, x: torch.func.hessian(lambda t: model(t).square().sum())(x[:1]),
    "jvp": lambda model, x: torch.func.jvp(model, (x,), (x.cos(),)),
    "per sample": lambda model, x: torch.vmap(
        torch.func.grad(lambda p, t: torch.func.functional_call(model, p, (t,)).sum()), (None, 0)
    )(dict(model.named_parameters()), x),
    "make_fx": lambda model, x: make_fx(model)(torch.zeros_like(x))(x),
    "fx": lambda model, x: torch.fx.symbolic_trace(model)(x),
    "trace": lambda model, x: torch.jit.trace(model, torch.zeros_like(x))(x),
    "export, any batch": lambda model, x: torch.export.export(
        model, (torch.zeros_like(x),), dynamic_shapes=({0: torch.export.Dim("batch")},)
    ).module()(x[:3]),
    "compile, any batch": lambda model, x: torch.compile(model, backend="eager", fullgraph=True, dynamic=True)(x),
    "export": lambda model, x: torch.export.export(model, (torch.zeros_like(x),)).module()(x),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_are_torchs(name: str) -> None:
    x, before, after = torch.randn(5, 8), _model(), _replaced()
    after.load_state_dict(before.state_dict())
    got, want = (TRANSFORMS[name](model, x) for model in (after, before))
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged], ids=str)
def test_nested_tensors_go_to_torch(layout: Any) -> None:
    parts = [torch.randn(length, 8) for length in (2, 5)]
    before, after = (nn.Sequential(nn.LayerNorm(8), nn.GELU(), nn.SiLU()) for _ in range(2))
    ft.replace(after)
    x = torch.nested.nested_tensor(parts, layout=layout)
    for got, want in zip(after(x).unbind(), before(x).unbind(), strict=True):
        torch.testing.assert_close(got, want)


def test_fake_tensors_go_to_torch() -> None:
    with FakeTensorMode() as mode:
        model, x = _replaced(), torch.randn(5, 8)
    for y in (model(x), model[2](x)):
        assert y.fake_mode is mode and y.shape[0] == 5


def test_subclasses_go_to_torch() -> None:
    class Own(torch.Tensor):
        """A subclass may behave differently."""

    assert type(_replaced()[2](torch.randn(5, 8).as_subclass(Own))) is Own
    assert type(ft.functional.gelu(torch.randn(5, 8).as_subclass(Own))) is Own


def test_functions_under_transforms() -> None:
    x = torch.randn(5, 8)
    torch.testing.assert_close(torch.vmap(ft.functional.silu)(x), nn.functional.silu(x))
