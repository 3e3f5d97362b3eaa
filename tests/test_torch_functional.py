"""fastnn.torch.functional agrees with torch.nn.functional: values, gradients, and the rules of autograd."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional as theirs  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402
from torch_kernels import use_kernels  # noqa: E402

from fastnn.torch import functional as ours  # noqa: E402

LABELS = torch.tensor([3, 0, -100, 6, 1])
CLASS_WEIGHT = torch.linspace(0.5, 2, 7, dtype=torch.float64)


@pytest.fixture(autouse=True)
def kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    use_kernels(monkeypatch)


def _tensors(*shapes: tuple[int, ...]) -> list[Any]:
    rng = np.random.default_rng(3)
    return [torch.from_numpy(rng.standard_normal(s)).requires_grad_() for s in shapes]


def _batch_norm(library: Any, training: bool, activation: str | None = None) -> Callable[..., Any]:
    def call(x: Any, w: Any, b: Any) -> Any:
        running = torch.linspace(-1, 1, 4).to(x), torch.linspace(0.5, 2, 4).to(x)
        if activation is None or library is theirs:
            y = library.batch_norm(x, *running, w, b, training, 0.2, 1e-3)
            y = y if activation is None else theirs.relu(y)
        else:
            y = library.batch_norm(x, *running, w, b, training, 0.2, 1e-3, activation=activation)
        return y, *running

    return call


# name, shapes of the tensors, the call with either library
CASES: list[tuple[str, list[tuple[int, ...]], Callable[..., Any]]] = [
    ("layer_norm", [(3, 5, 7), (7,), (7,)], lambda f, x, w, b: f.layer_norm(x, (7,), w, b, 1e-3)),
    ("layer_norm of two axes", [(3, 5, 7), (5, 7)], lambda f, x, w: f.layer_norm(x, (5, 7), w)),
    ("layer_norm without", [(3, 7)], lambda f, x: f.layer_norm(x, (7,))),
    ("layer_norm with bias alone", [(3, 7), (7,)], lambda f, x, b: f.layer_norm(x, (7,), None, b)),
    ("rms_norm", [(3, 5, 7), (7,)], lambda f, x, w: f.rms_norm(x, (7,), w, 1e-3)),
    ("rms_norm without", [(3, 7)], lambda f, x: f.rms_norm(x, (7,))),
    ("group_norm", [(2, 6, 5), (6,), (6,)], lambda f, x, w, b: f.group_norm(x, 3, w, b)),
    ("batch_norm", [(5, 4, 3, 2), (4,), (4,)], lambda f, *t: _batch_norm(f, True)(*t)),
    ("batch_norm in evaluation", [(5, 4), (4,), (4,)], lambda f, *t: _batch_norm(f, False)(*t)),
    ("batch_norm, relu", [(5, 4, 3), (4,), (4,)], lambda f, *t: _batch_norm(f, True, "relu")(*t)),
    ("gelu", [(4, 9)], lambda f, x: f.gelu(x)),
    ("gelu, tanh", [(4, 9)], lambda f, x: f.gelu(x, approximate="tanh")),
    ("max_pool2d", [(2, 3, 6, 9)], lambda f, x: f.max_pool2d(x, 2)),
    ("max_pool2d, overlapping", [(3, 7, 8)], lambda f, x: f.max_pool2d(x, (3, 2), 1, (1, 0))),
    ("silu", [(4, 9)], lambda f, x: f.silu(x)),
    ("softmax", [(4, 9, 3)], lambda f, x: f.softmax(x, 1)),
    ("cross_entropy", [(5, 7)], lambda f, x: f.cross_entropy(x, LABELS)),
    (
        "cross_entropy, sum",
        [(5, 7)],
        lambda f, x: f.cross_entropy(x, LABELS, CLASS_WEIGHT, ignore_index=-100, reduction="sum"),
    ),
    ("cross_entropy, none", [(5, 7)], lambda f, x: f.cross_entropy(x, LABELS, reduction="none", label_smoothing=0.1)),
    ("cross_entropy of pixels", [(2, 7, 3)], lambda f, x: f.cross_entropy(x, torch.tensor([[0, 1, 6], [2, 2, -100]]))),
    ("cross_entropy of pixels, none", [(1, 7, 5)], lambda f, x: f.cross_entropy(x, LABELS[None], reduction="none")),
    ("cross_entropy of one", [(7,)], lambda f, x: f.cross_entropy(x, torch.tensor(3))),
    ("cross_entropy of probabilities", [(5, 7)], lambda f, x: f.cross_entropy(x, torch.ones(5, 7).to(x) / 7)),
]
IDS = [name for name, _, _ in CASES]
ATTENTION: dict[str, dict[str, Any]] = {
    "plain": {}, "causal": {"is_causal": True}, "scaled": {"scale": 0.3},
    "bool": {"attn_mask": torch.ones(5, 6, dtype=torch.bool).tril(2)},
    "added": {"attn_mask": torch.ones(5, 6).tril(1).double()},
}  # fmt: skip


@pytest.mark.parametrize("options", ATTENTION.values(), ids=ATTENTION)
def test_attention(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """With a dropout that keeps everything, which shows the rest, the result is torch's without dropout."""
    monkeypatch.setattr(ours, "dropout", lambda x, p: x)
    tensors = _tensors((2, 3, 5, 4), (2, 3, 6, 4), (2, 3, 6, 7))
    results = [
        _results(f, lambda f, *t, p=p: f.scaled_dot_product_attention(*t, dropout_p=p, **options), tensors)
        for f, p in ((ours, 0.5), (theirs, 0.0))
    ]
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-11)
    for wrong in ({"attn_mask": torch.ones(5, 6), "is_causal": True}, {"attn_mask": torch.ones(5, 6).int()}):
        for library in (ours, theirs):
            with pytest.raises(RuntimeError, match="attn_mask"):
                library.scaled_dot_product_attention(*tensors, dropout_p=0.5, **wrong)


def _results(library: Any, call: Callable[..., Any], tensors: list[Any]) -> list[Any]:
    result = call(library, *tensors)
    results = list(result) if isinstance(result, tuple) else [result]
    dy = torch.cos(torch.arange(results[0].numel()).reshape(results[0].shape).to(results[0]))
    return results + list(torch.autograd.grad(results[0], tensors, dy))


@pytest.mark.parametrize(("name", "shapes", "call"), CASES, ids=IDS)
def test_as_torch(name: str, shapes: list[tuple[int, ...]], call: Callable[..., Any]) -> None:
    tensors = _tensors(*shapes)
    for got, want in zip(_results(ours, call, tensors), _results(theirs, call, tensors), strict=True):
        assert got.shape == want.shape and got.dtype == want.dtype
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("name", "shapes", "call"), CASES, ids=IDS)
def test_strided_input(name: str, shapes: list[tuple[int, ...]], call: Callable[..., Any]) -> None:
    tensors = _tensors(*shapes)
    base = tensors[0].detach().repeat_interleave(2, -1).requires_grad_()
    got = _results(ours, lambda f, base, *rest: call(f, base[..., ::2], *rest), [base, *tensors[1:]])
    want = _results(ours, call, tensors)
    places = len(got) - len(tensors)
    got[places] = got[places][..., ::2]
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_linear_gelu() -> None:
    x, w, b = _tensors((3, 2, 5), (4, 5), (4,))
    for approximate in ("none", "tanh"):
        for bias in (b, None):
            got = ours.linear_gelu(x, w, bias, approximate)
            want = theirs.gelu(theirs.linear(x, w, bias), approximate=approximate)
            inputs = [t for t in (x, w, bias) if t is not None]
            grads = [torch.autograd.grad(y, inputs, torch.ones_like(y)) for y in (got, want)]
            torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)
            torch.testing.assert_close(*grads, rtol=1e-10, atol=1e-12)


KERNELS = [case for case in CASES if "pixels" not in case[0]]


@pytest.mark.parametrize(("name", "shapes", "call"), KERNELS, ids=[case[0] for case in KERNELS])
def test_second_derivative_is_refused(name: str, shapes: list[tuple[int, ...]], call: Callable[..., Any]) -> None:
    tensors = _tensors(*shapes)
    result = call(ours, *tensors)
    y = result[0] if isinstance(result, tuple) else result
    (dx,) = torch.autograd.grad((y * y).sum(), tensors[:1], create_graph=True)
    with pytest.raises(RuntimeError, match="second backward through its gradient, want a first derivative only"):
        dx.sum().backward()


@pytest.mark.parametrize(("name", "shapes", "call"), KERNELS, ids=[case[0] for case in KERNELS])
def test_second_derivative_of_a_linear_loss(name: str, shapes: list[tuple[int, ...]], call: Callable[..., Any]) -> None:
    """The first gradient comes from a dy that needs no gradient, as in MAML; its own must not silently be 0."""
    tensors = _tensors(*shapes)
    result = call(ours, *tensors)
    y = result[0] if isinstance(result, tuple) else result
    (dx,) = torch.autograd.grad(y.sum(), tensors[:1], create_graph=True)
    if "max_pool2d" in name:  # linear in x
        assert not dx.requires_grad
        return
    for backward in ((y.sum() + dx.square().sum()).backward, lambda: torch.autograd.grad(dx.sum(), tensors[:1])):
        with pytest.raises(RuntimeError, match="second backward through its gradient, want a first derivative only"):
            backward()


def test_second_derivative_by_the_bias() -> None:
    x, w, b = _tensors((3, 5), (4, 5), (4,))
    (dx,) = torch.autograd.grad(ours.linear_gelu(x, w, b).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="linear_gelu: got a second backward through its gradient"):
        torch.autograd.grad(dx.sum(), b)


@pytest.mark.parametrize(("name", "shapes", "call"), CASES, ids=IDS)
def test_gradients_of_leaves_add_up(name: str, shapes: list[tuple[int, ...]], call: Callable[..., Any]) -> None:
    """A returned gradient becomes x.grad and is then written in place, which must not change the next gradient."""
    tensors = _tensors(*shapes)
    result = call(ours, *tensors)
    y = result[0] if isinstance(result, tuple) else result
    dy = torch.cos(torch.arange(y.numel()).reshape(y.shape).to(y))
    want = [3 * g for g in torch.autograd.grad(y, tensors, dy, retain_graph=True)]
    y.backward(dy, retain_graph=True)
    for t in tensors:
        t.grad.zero_()
    for _ in range(3):
        y.backward(dy, retain_graph=True)
    torch.testing.assert_close([t.grad for t in tensors], want, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_without_autograd(reduction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under no_grad, or for logits that need none, no gradient is computed; the loss has the same bits."""
    x = _tensors((5, 7))[0]
    want = ours.cross_entropy(x, LABELS, reduction=reduction)
    monkeypatch.delattr("fastnn.functional.softmax_cross_entropy")
    with torch.no_grad():
        assert torch.equal(ours.cross_entropy(x, LABELS, reduction=reduction), want)
    assert torch.equal(ours.cross_entropy(x.detach(), LABELS, reduction=reduction), want)


def test_cross_entropy_after_its_graph_is_freed() -> None:
    loss = ours.cross_entropy(_tensors((5, 7))[0], LABELS)
    loss.backward()
    with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
        loss.backward()


def test_cross_entropy_of_learned_targets() -> None:
    x, target, weight = _tensors((5, 7), (5, 7), (7,))
    for library in (ours, theirs):
        with pytest.raises(RuntimeError, match="is not differentiable with respect to argument 'weight'"):
            library.cross_entropy(x, LABELS, weight)
    for given in ((x, target), (x, target.detach(), weight)):
        learned = [t for t in given if t.requires_grad]
        losses = [library.cross_entropy(*given) for library in (ours, theirs)]
        torch.testing.assert_close(*(torch.autograd.grad(loss, learned) for loss in losses))


def test_changed_input_is_noticed() -> None:
    x, w, b = _tensors((3, 7), (7,), (7,))
    x = x * 1
    y = ours.layer_norm(x, (7,), w, b)
    x.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_changed_result_is_noticed() -> None:
    x = _tensors((3, 7))[0]
    y = ours.softmax(x, 1)
    with torch.no_grad():
        y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_bias_may_change_before_backward() -> None:
    """It does not matter for torch's gradients."""
    x, w, b = _tensors((3, 5), (4, 5), (4,))
    want = torch.autograd.grad(ours.linear_gelu(x, w, b).sum(), [x, b])
    y = ours.linear_gelu(x, w, b)
    with torch.no_grad():
        b.mul_(2)
    torch.testing.assert_close(torch.autograd.grad(y.sum(), [x, b]), want, rtol=0, atol=0)


@pytest.mark.parametrize(("name", "shapes", "call"), [*CASES, ("dropout", [(4, 6)], lambda f, x: f.dropout(x, 1e-13))])
def test_misaligned_memory(name: str, shapes: list[tuple[int, ...]], call: Callable[..., Any]) -> None:
    """torch.frombuffer gives such tensors, and torch computes with them."""

    def misaligned(t: Any) -> Any:
        return torch.from_numpy(np.ndarray(t.shape, np.float64, bytearray(8 * t.numel() + 1), 1)).copy_(t)

    tensors = _tensors(*shapes)
    results = []
    for library, change in ((ours, misaligned), (theirs, torch.clone)):
        result = call(library, *(t if i else change(t.detach()).requires_grad_() for i, t in enumerate(tensors)))
        y = result[0] if isinstance(result, tuple) else result
        aligned = call(library, *tensors)
        aligned = aligned[0] if isinstance(aligned, tuple) else aligned
        dy = change(torch.cos(torch.arange(y.numel()).reshape(y.shape).double()))
        results.append([y, *torch.autograd.grad(aligned, tensors, dy)])
    torch.testing.assert_close(*results, rtol=1e-10, atol=1e-12)


def test_running_statistics_count_as_written() -> None:
    mean, var = torch.zeros(4), torch.ones(4)
    ours.batch_norm(torch.randn(5, 4), mean, var, training=True)
    assert mean._version == var._version == 1


def test_channels_last() -> None:
    x, w, b = _tensors((5, 4, 3, 2), (4,), (4,))
    last = x.detach().to(memory_format=torch.channels_last).requires_grad_()
    got = _results(ours, lambda f, *t: _batch_norm(f, True)(*t), [last, w, b])
    want = _results(theirs, lambda f, *t: _batch_norm(f, True)(*t), [x, w, b])
    assert got[0].is_contiguous(memory_format=torch.channels_last)
    for a, c in zip(got, want, strict=True):
        torch.testing.assert_close(a, c, rtol=1e-10, atol=1e-12)


def test_dropout() -> None:
    x = torch.ones(1000, 300, requires_grad=True)
    y = ours.dropout(x, 0.3)
    y.backward(torch.full_like(y, 2))
    kept = y != 0
    assert abs(kept.float().mean() - 0.7) < 5 * (0.21 / x.numel()) ** 0.5
    assert torch.equal(y[kept].unique(), torch.tensor([1 / 0.7]))
    assert torch.equal(x.grad, 2 * y.detach())
    assert torch.equal(ours.dropout(x, 0.3, training=False), x) and torch.equal(ours.dropout(x, 0.0), x)
    assert not ours.dropout(x, 1.0).any()
    with pytest.raises(ValueError, match="dropout probability has to be between 0 and 1"):
        ours.dropout(x, 1.5)


def test_dropout_follows_torchs_generator() -> None:
    x = torch.ones(50, 50)
    torch.manual_seed(5)
    first, second = ours.dropout(x), ours.dropout(x)
    torch.manual_seed(5)
    assert torch.equal(ours.dropout(x), first) and not torch.equal(first, second)


def test_checkpoint_draws_the_same_mask() -> None:
    """Checkpointing runs forward again during backward with torch's generator restored, so the mask is the same."""
    x = torch.ones(50, 50, requires_grad=True)
    y = checkpoint(lambda t: ours.dropout(t * 3), x, use_reentrant=False)
    y.sum().backward()
    assert torch.equal(x.grad != 0, y != 0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.half, torch.long])
def test_other_dtypes_are_torchs(dtype: Any) -> None:
    x = torch.arange(16).reshape(4, 4).to(dtype)
    if dtype is torch.long:
        with pytest.raises(NotImplementedError, match="not implemented for 'Long'"):
            ours.layer_norm(x, (4,))
    else:
        torch.testing.assert_close(ours.layer_norm(x, (4,)), theirs.layer_norm(x, (4,)), rtol=0, atol=0)


def test_autocast_is_heeded() -> None:
    x, w = torch.ones(4, 2, 4), torch.ones(4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert ours.linear_gelu(x, w).dtype is torch.bfloat16
        assert ours.scaled_dot_product_attention(x, x, x, dropout_p=0.1).dtype is torch.bfloat16


def test_mixed_dtypes_are_refused() -> None:
    with pytest.raises(RuntimeError, match="mixed dtype"):
        ours.layer_norm(torch.ones(4, 4), (4,), torch.ones(4).double())


def test_labels_out_of_range_are_refused() -> None:
    with pytest.raises(IndexError, match="Target 7 is out of bounds"):
        ours.cross_entropy(torch.zeros(2, 7), torch.tensor([0, 7]))


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32])
def test_a_row_that_is_masked_completely(dtype: Any) -> None:
    """It gives zeros, as in torch."""
    x = torch.randn(2, 3, 4)
    mask = torch.tensor([[True, True, False], [False, False, False], [True, True, True]])
    mask = mask if dtype is torch.bool else torch.zeros(3, 3).masked_fill(~mask, -torch.inf)
    y = ours.scaled_dot_product_attention(x, x, x, mask, 0.5)
    assert not y[:, 1].any() and y.isfinite().all()


def test_gradient_of_a_scaled_loss() -> None:
    x = _tensors((5, 7))[0]
    (3 * ours.cross_entropy(x, LABELS)).backward(retain_graph=True)
    want = x.grad.clone()
    ours.cross_entropy(x, LABELS).backward()
    torch.testing.assert_close(x.grad, want / 3 * 4)


def test_empty() -> None:
    x = torch.ones(0, 4, requires_grad=True)
    y = ours.layer_norm(x, (4,), torch.ones(4), torch.ones(4))
    y.sum().backward()
    assert y.shape == x.grad.shape == (0, 4)
