"""Modules and functions of fastnn.torch take and refuse what torch's do, with the same values, strides and errors."""

import copy
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch_kernels import use_kernels  # noqa: E402

from fastnn import torch as ft  # noqa: E402
from fastnn.torch import cross_entropy  # noqa: E402


@pytest.fixture(autouse=True, params=["kernels", "limits"])
def seeded(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run every test with the kernels for all sizes, and with torch's operations for small ones."""
    if request.param == "kernels":
        use_kernels(monkeypatch)
    torch.manual_seed(1)
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # many small operations of both libraries: torch's threads would spin on fastnn's cores
    yield
    torch.set_num_threads(before)


def _outcome(call: Callable[[Any], Any], x: Any) -> Any:
    """Return an exception, or a result and its gradient."""
    if x.is_floating_point() and x.is_leaf:
        x = x.detach().requires_grad_()
    try:
        y = call(x)
        y = y[0] if isinstance(y, tuple) else y
        dy = torch.cos(torch.arange(y.numel()).reshape(y.shape)).to(y)
        return [y.detach(), *torch.autograd.grad(y, x, dy)] if y.requires_grad else [y]
    except Exception as error:
        return error


def _assert_same(got: Any, want: Any, case: Any, words: bool = True) -> None:
    if isinstance(want, Exception):
        assert isinstance(got, type(want)), (case, got, want)
        assert not words or str(got) == str(want), case
        return
    assert not isinstance(got, Exception), (case, got)
    assert got[0].stride() == want[0].stride(), (case, got[0].stride(), want[0].stride())
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-10, equal_nan=True, msg=lambda text: f"{case}: {text}")


INPUTS = [(4, 5), (5,), (4, 3, 2, 5), (4, 3, 5, 2), (2, 3, 4), (0, 5), (5, 0), (0,), (), (2, 3, 0), (0, 3, 2)]
TARGETS = [(4,), (), (5,), (4, 5), (4, 1), (4, 5, 2), (4, 2, 5), (4, 3, 2, 5), (40,), (2, 4), (0,), (5, 0), (2, 0)]
DTYPES = [torch.int64, torch.int32, torch.uint8, torch.bool, torch.float64]
OPTIONS: list[dict[str, Any]] = [
    {}, {"label_smoothing": 0.1}, {"reduction": "none"}, {"reduction": "sum", "ignore_index": 1},
    {"label_smoothing": 0.2, "ignore_index": 0}, {"label_smoothing": 2.0}, {"reduction": "median"},
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("shape", INPUTS, ids=str)
def test_cross_entropy(shape: tuple[int, ...], options: dict[str, Any]) -> None:
    x, classes = torch.randn(shape).double(), (*shape, *shape, 1)[min(len(shape) - 1, 1)] if shape else 1
    for target_shape, dtype, weights in itertools.product(TARGETS, DTYPES, (None, (classes,), (classes + 1,))):
        case = target_shape, dtype, weights
        target = torch.rand(target_shape) if dtype.is_floating_point else torch.randint(max(classes, 1), target_shape)
        target, weight = target.to(dtype), None if weights is None else torch.rand(weights).double()
        want = _outcome(lambda x: nn.functional.cross_entropy(x, target, weight, **options), x)  # noqa: B023
        got = _outcome(lambda x: ft.functional.cross_entropy(x, target, weight, **options), x)  # noqa: B023
        _assert_same(got, want, case)
        if weight is None:
            _assert_same(_outcome(lambda x: ft.nn.CrossEntropyLoss(**options)(x, target), x), want, case)  # noqa: B023


LABELS = {
    "all ignored": torch.full((4,), -100),
    "out of range": torch.tensor([0, 7, 2, 1]),
    "negative": torch.tensor([0, -1, 2, 1]),
    "some ignored": torch.tensor([0, -100, -100, 1]),
}


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("weight", [None, torch.zeros(5).double(), torch.tensor([0.0, 0, 3, 1, 2]).double()], ids=str)
def test_labels(labels: str, weight: Any) -> None:
    x = torch.randn(4, 5).double()
    for options in OPTIONS[:3]:
        losses = (library.CrossEntropyLoss(weight, **options) for library in (ft.nn, nn))
        _assert_same(*(_outcome(lambda x: loss(x, LABELS[labels]), x) for loss in losses), options)  # noqa: B023


def test_cross_entropy_copies_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    function = cross_entropy.fused
    monkeypatch.setattr(cross_entropy, "fused", lambda *args: ran.append(1) or function(*args))
    use_kernels(monkeypatch)
    x, target = torch.randn(2, 5, 4, 3), torch.randint(5, (2, 4, 3))
    for layout, kernels in ((torch.contiguous_format, 0), (torch.channels_last, 1)):
        given = x.to(memory_format=layout).requires_grad_()
        losses = [library.CrossEntropyLoss()(given, target) for library in (nn, ft.nn)]
        torch.testing.assert_close(*(torch.autograd.grad(loss, given) for loss in losses))
        assert len(ran) == kernels


def _images(*shape: int, last: bool = False) -> Any:
    x = torch.randn(shape, dtype=torch.float64)
    if last:
        x = x.to(memory_format=torch.channels_last if len(shape) == 4 else torch.channels_last_3d)
    return x


LAYOUTS: dict[str, Any] = {
    "rows": lambda: _images(4, 6), "sequences": lambda: _images(4, 6, 5), "images": lambda: _images(4, 6, 5, 7),
    "channels_last": lambda: _images(4, 6, 5, 7, last=True), "videos": lambda: _images(2, 6, 3, 4, 5),
    "videos, channels_last": lambda: _images(2, 6, 3, 4, 5, last=True), "an image": lambda: _images(6, 5, 7),
    "a row": lambda: _images(1, 6), "a pixel": lambda: _images(1, 6, 1, 1), "pixels": lambda: _images(2, 6, 1, 1),
    "gray": lambda: _images(4, 1, 5, 7, last=True), "one": lambda: _images(1, 6, 5, 7, last=True),
    "no rows": lambda: _images(0, 6), "no images": lambda: _images(0, 6, 5, 7),
    "no pixels": lambda: _images(4, 6, 0, 3),
    "a column": lambda: _images(1, 5, 6, 1).permute(0, 2, 1, 3), "columns": lambda: _images(2, 5, 6, 1).transpose(1, 2),
    "thin": lambda: _images(4, 1, 6).transpose(0, 2),
    "videos of a column": lambda: _images(2, 1, 3, 6, 4).transpose(1, 3),
    "a vector": lambda: _images(6), "a number": lambda: _images(), "nothing": lambda: _images(0),
    "other rows": lambda: _images(4, 5), "transposed": lambda: _images(6, 4).t(),
    "strided": lambda: _images(4, 12)[:, ::2], "expanded": lambda: _images(4, 1).expand(4, 6),
    "permuted": lambda: _images(4, 5, 7, 6).permute(0, 3, 2, 1),
    "columns of channels_last": lambda: _images(4, 6, 5, 14, last=True)[..., ::2],
    "channels of channels_last": lambda: _images(4, 12, 5, 7, last=True)[:, ::2],
    "integers": lambda: torch.ones(4, 6).long(), "complex": lambda: torch.randn(4, 6, dtype=torch.complex128),
}  # fmt: skip

SIZES = [2, (2,), [2], (2, 3), [2, 3], (1, 2, 3), (), [], 0, -1, 2.0, "2", True, torch.Size([2, 2]), 300, (16, 16)]
NORMS: list[dict[str, Any]] = [{}, {"eps": 0}, {"eps": -1.0}, {"eps": math.nan}]
BATCH: list[dict[str, Any]] = [
    *NORMS, {"affine": False}, {"momentum": None}, {"momentum": 1.5}, {"momentum": -0.5}, {"momentum": 0},
    {"track_running_stats": False},
]  # fmt: skip
MODULES: dict[str, Callable[[Any], Any]] = {
    **{f"MaxPool2d({s!r})": lambda library, s=s: library.MaxPool2d(s) for s in SIZES},
    **{f"MaxPool2d(3, {s!r})": lambda library, s=s: library.MaxPool2d(3, s) for s in [None, *SIZES]},
    **{f"MaxPool2d(3, 1, {s!r})": lambda library, s=s: library.MaxPool2d(3, 1, s) for s in SIZES},
    **{f"MaxPool2d(2, 1, 0, {s!r})": lambda library, s=s: library.MaxPool2d(2, 1, 0, s) for s in SIZES},
    **{f"BatchNorm1d(6, {o})": lambda library, o=o: library.BatchNorm1d(6, **o) for o in BATCH},
    **{f"BatchNorm2d(6, {o})": lambda library, o=o: library.BatchNorm2d(6, **o) for o in BATCH},
    **{f"BatchNorm2d(6, {o}).eval()": lambda library, o=o: library.BatchNorm2d(6, **o).eval() for o in BATCH},
    **{
        f"GroupNorm({g}, 6, {o})": lambda library, g=g, o=o: library.GroupNorm(g, 6, **o)
        for g in (1, 2, 6, 4)
        for o in [*NORMS, {"affine": False}]
    },
    **{
        f"{name}({s}, {o})": lambda library, name=name, s=s, o=o: getattr(library, name)(s, **o)
        for name in ("LayerNorm", "RMSNorm")
        for s in (6, (5, 7), (6, 5, 7), ())
        for o in [*NORMS, {"elementwise_affine": False}]
    },
    "GELU": lambda library: library.GELU(), "GELU('tanh')": lambda library: library.GELU("tanh"),
    "GELU('relu')": lambda library: library.GELU("relu"), "SiLU": lambda library: library.SiLU(),
    "Dropout(0.0)": lambda library: library.Dropout(0.0), "Dropout(1.0)": lambda library: library.Dropout(1.0),
}  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_modules(name: str) -> None:
    try:
        before = MODULES[name](nn).double()
    except Exception as error:
        with pytest.raises(type(error)):
            MODULES[name](ft.nn)
        return
    for case, make in LAYOUTS.items():
        x, modules = make(), [MODULES[name](ft.nn).double(), copy.deepcopy(before)]
        got, want = (_outcome(module, x) for module in modules)
        if "eps': 0" in name and not isinstance(want, Exception) and not want[0].isfinite().all():
            want = got  # 0 / 0 or rounding errors / 0
        if case in ("a column", "columns") and "BatchNorm2d" in name and not isinstance(want, Exception):
            got, want = got[:1], want[:1]  # torch mixes up the gradients of the channels here
        if case != "expanded" or "Norm" not in name:  # rounding errors, times 1 / sqrt(eps)
            _assert_same(got, want, case)
        if not isinstance(want, Exception):
            states = [module.state_dict() for module in modules]
            torch.testing.assert_close(*states, rtol=1e-9, atol=1e-11, equal_nan=True, msg=case)


FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "dropout, p = 1.5": lambda f, x: f.dropout(x, 1.5),
    "dropout, almost none": lambda f, x: f.dropout(x, 1e-13),
    "dropout, p = -1": lambda f, x: f.dropout(x, -1.0, training=False),
    "gelu": lambda f, x: f.gelu(x, approximate="identity"),
    "softmax": lambda f, x: f.softmax(x, 1),
    "softmax, far axis": lambda f, x: f.softmax(x, 9),
    "max_pool2d": lambda f, x: f.max_pool2d(x, [2], []),
    "max_pool2d, stride = 0": lambda f, x: f.max_pool2d(x, 2, 0),
    "max_pool2d, padding": lambda f, x: f.max_pool2d(x, 2, 1, 2),
    "max_pool2d, no window": lambda f, x: f.max_pool2d(x, (1, 50)),
    "batch_norm, other channels": lambda f, x: f.batch_norm(x, torch.zeros(9).double(), torch.ones(9).double()),
    "batch_norm, statistics strided": lambda f, x: f.batch_norm(
        x, torch.zeros(12).double()[::2], torch.ones(12).double()[::2], training=True
    ),
    "batch_norm, no statistics": lambda f, x: f.batch_norm(x, None, None),
    "batch_norm, learned statistics": lambda f, x: f.batch_norm(x, _images(6).requires_grad_(), x.new_ones(6)),
    "layer_norm, other shape": lambda f, x: f.layer_norm(x, (9,)),
    "layer_norm, other weight": lambda f, x: f.layer_norm(x, x.shape[-1:], torch.ones(9).double()),
    "layer_norm, weight strided": lambda f, x: f.layer_norm(x, (6,), torch.arange(12).double()[::2]),
    "rms_norm, number": lambda f, x: f.rms_norm(x, 6),
    "group_norm, weight of another shape": lambda f, x: f.group_norm(x, 2, torch.ones(6, 1).double()),
    "group_norm, no groups": lambda f, x: f.group_norm(x, 0),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    for case in (
        "rows",
        "images",
        "channels_last",
        "a row",
        "a vector",
        "no rows",
        "transposed",
        "integers",
        "complex",
    ):
        x = LAYOUTS[case]()
        got, want = (_outcome(lambda x: FUNCTIONS[name](f, x), x) for f in (ft.functional, nn.functional))  # noqa: B023
        _assert_same(got, want, case, words=False)


def test_linear_gelu_of_other_shapes() -> None:
    x, w = torch.randn(3, 5), torch.randn(4, 5)
    for bias in (torch.ones(3), torch.ones(1), torch.ones(4, 1), torch.ones(3, 4)):
        want = _outcome(lambda x: nn.functional.gelu(nn.functional.linear(x, w, bias)), x)  # noqa: B023
        got = _outcome(lambda x: ft.functional.linear_gelu(x, w, bias), x)  # noqa: B023
        _assert_same(
            got if isinstance(want, Exception) else [t.double().round(decimals=5) for t in got],
            want if isinstance(want, Exception) else [t.double().round(decimals=5) for t in want],
            bias.shape,
        )
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        ft.functional.linear_gelu(x, torch.randn(4, 6))
    with pytest.raises(RuntimeError, match="mat2 must be a matrix, got 1-D tensor"):
        ft.functional.linear_gelu(x, w[0], torch.ones(3))
    with pytest.raises(RuntimeError, match="approximate argument must be either none or tanh"):
        ft.functional.linear_gelu(x, w, None, "relu")


@pytest.mark.parametrize("shapes", [[(4,)] * 3, [()] * 3, [(3, 0), (5, 0), (5, 2)], [(0, 4), (3, 4), (3, 4)],
    [(3, 4), (0, 4), (0, 4)], [(3, 4), (5, 4), (5, 0)], [(2, 3, 4), (2, 5, 3), (2, 5, 4)]], ids=str)  # fmt: skip
@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"scale": 0.0}], ids=str)
def test_attention_of_other_shapes(shapes: list[tuple[int, ...]], options: dict[str, Any]) -> None:
    x, *rest = (torch.randn(shape).double() for shape in shapes)
    functions = (f.scaled_dot_product_attention for f in (ft.functional, nn.functional))
    _assert_same(*(_outcome(lambda x: f(x, *rest, None, 1e-13, **options), x) for f in functions), shapes)  # noqa: B023


ATTENTION_MASKS = {
    "none": None, "causal": torch.ones(4, 4, dtype=torch.bool).triu(1), "float32": torch.zeros(4, 4),
    "(1, L)": torch.zeros(1, 4).double(), "(L,)": torch.zeros(4).double(), "(L, 1)": torch.zeros(4, 1).double(),
    "(L, S)": torch.zeros(4, 6).double(), "(L + 1, L)": torch.zeros(5, 4).double(), "int": torch.zeros(4, 4).int(),
    "added": torch.linspace(-1, 1, 16).double().reshape(4, 4),
}  # fmt: skip
KEYS: dict[str, Callable[[Any], Any]] = {
    "the same": lambda x: x, "longer": lambda x: torch.cat([x, x[:2]]), "of another width": lambda x: x[..., :6],
    "of another batch": lambda x: x[:, :1], "of one sample": lambda x: x[:, 0], "none": lambda x: None,
}  # fmt: skip


@pytest.mark.parametrize("mask", ATTENTION_MASKS)
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_attention(mask: str, is_causal: bool, batch_first: bool) -> None:
    before: Any = nn.MultiheadAttention(12, 2, dropout=1e-13, batch_first=batch_first).double()
    after = copy.deepcopy(before)
    ft.replace(after)
    x = torch.randn(4, 3, 12).double()
    for case, make in KEYS.items():
        outcomes = []
        for module in (after, before):

            def call(x: Any, module: Any = module, make: Any = make) -> Any:
                key = make(x)
                q, k = (t.transpose(0, 1) if batch_first and t is not None and t.dim() == 3 else t for t in (x, key))
                return module(q, k, k, need_weights=False, attn_mask=ATTENTION_MASKS[mask], is_causal=is_causal)

            outcomes.append(_outcome(call, x))
        _assert_same(*outcomes, case)
