"""Fused and RMS norms: same bits as their parts, tiny probabilities, masks, layouts, running statistics."""

import itertools
from typing import Any

import numpy as np
import pytest
from support import DTYPES, Array, same_bits, torch_leaves

from fastnn import Generator, nn
from fastnn import functional as F

RNG = np.random.default_rng(37)
LENGTHS = [1, 7, 64, 100, 128, 129, 300]
SHAPES = [(300, 5), (6, 5, 7), (3, 5, 6, 7), (2, 3, 1, 40), (40, 50, 1, 3)]


def _normals(dtype: Any, *shapes: tuple[int, ...]) -> list[Array]:
    return [RNG.standard_normal(shape).astype(dtype) for shape in shapes]


def _all_same(got: Any, want: Any) -> bool:
    return all(map(same_bits, got, want))


PARTS = list(itertools.product([True, False], [0.0, 0.3, 1.0], [True, False], [True, False]))


@pytest.mark.parametrize(("residual", "p", "norm", "affine"), PARTS)
@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_residual_norm_has_the_bits_of_its_parts(
    n: int, residual: bool, p: float, norm: bool, affine: bool, dtype: Any, isa: str
) -> None:
    """The fused call has the bits of layer_norm(residual + dropout(x)), dropout's mask and offset; also in place."""
    x, r, weight, bias = _normals(dtype, (11, n), (11, n), (n,), (n,))
    parts = (weight, bias) if affine and norm else (None, None)
    a, b = Generator(5, 6), Generator(5, 6)
    dropped, mask = F.dropout(x, p, generator=a, return_mask=True)
    total = dropped + r if residual else dropped
    want = F.layer_norm(total, n, *parts, return_stats=True) if norm else (total, None, None)
    shape = n if norm else None
    got = F.dropout_add_layer_norm(x, r if residual else None, shape, *parts, p, generator=b, return_stats=True)
    assert got.mask == mask and repr(a) == repr(b)
    assert same_bits(got.y, want[0])
    if norm:
        assert _all_same((got.sum, got.mean, got.rstd), (total, *want[1:]))
    for i in (0, 1) if residual else (0,):
        given = [x.copy(), r.copy() if residual else None]
        y = F.dropout_add_layer_norm(*given, shape, *parts, p, generator=Generator(5, 6), out=given[i])
        assert y is given[i] and same_bits(y, want[0])


@pytest.mark.parametrize("pre", [True, False])
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_residual_norm_backward_has_the_bits_of_its_parts(n: int, p: float, pre: bool, dtype: Any, isa: str) -> None:
    """The fused backward is layer_norm_backward, plus the sum's own gradient, then dropout_backward; also in place."""
    x, dy, dsum, weight = _normals(dtype, (70, n), (70, n), (70, n), (n,))
    mask = F.DropoutMask(p, 5, 6, 7)
    _, mean, rstd = F.layer_norm(x, n, return_stats=True)
    for scale in (weight, None):
        total, dweight, dbias = F.layer_norm_backward(dy, x, scale, mean, rstd)
        total = total + dsum if pre else total
        want = F.dropout_backward(total, mask), total, dweight, dbias
        for target in (None, 0, 1):
            given = [dy.copy(), x.copy()]
            got = F.dropout_add_layer_norm_backward(
                *given,
                scale,
                mean,
                rstd,
                mask,
                dsum=dsum if pre else None,
                out=None if target is None else given[target],
            )
            assert _all_same(got, want)
            assert target is None or got[1] is given[target]


@pytest.mark.parametrize("part", ["sum", "y", "backward"])
def test_residual_norm_of_a_tiny_probability(part: str) -> None:
    """A p below 2**-17 drops nothing, and dropout still multiplies by 1 / (1 - p)."""
    x, dy = _normals(np.float64, (3, 7), (3, 7))
    dropped, mask = F.dropout(x, 2**-20, generator=Generator(1), return_mask=True)
    got = F.dropout_add_layer_norm(x, None, 7, p=2**-20, generator=Generator(1), return_stats=True)
    dx, total, _, _ = F.dropout_add_layer_norm_backward(dy, got.sum, None, got.mean, got.rstd, mask)
    pairs = {
        "sum": (got.sum, dropped),
        "y": (got.y, F.layer_norm(dropped, 7)),
        "backward": (dx, F.dropout_backward(total, mask)),
    }
    assert same_bits(*pairs[part])


def test_statistics_without_a_norm() -> None:
    """Without a norm the statistics are zeros, whatever the memory held before."""
    for _ in range(20):
        np.full(3, 7.0), np.full(3, 7.0)
        done = F.dropout_add_layer_norm(np.ones((3, 7)), np.ones((3, 7)), return_stats=True)
        assert not np.any(done.mean) and not np.any(done.rstd)


def test_mask_across_calls() -> None:
    """Two calls never share a mask, and an odd number of elements uses whole blocks."""
    g = Generator(1)
    x = np.ones((3, 43))
    first, second = (F.dropout_add_layer_norm(x, p=0.5, generator=g, return_stats=True).mask for _ in range(2))
    assert second.block == first.block + 2 and g.offset == 4 * 64


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_channels_last_is_a_matrix(shape: tuple[int, ...], training: bool, dtype: Any, isa: str) -> None:
    """(N, ..., C) gives the same bits as (N * ..., C), forward and backward, also for running statistics."""
    x, r, dy = _normals(dtype, shape, shape, shape)
    c = shape[-1]
    weight, bias, mean = _normals(dtype, (c,), (c,), (c,))
    results = []
    for flat in (False, True):
        a, b, d = (v.reshape(-1, c) if flat else v for v in (x, r, dy))
        running = mean.copy(), np.full(c, 1.5, dtype)
        options: dict[str, Any] = {} if flat else {"channels_last": True}
        y, used, rstd = F.batch_norm(
            a, *running, weight, bias, training, residual=b, activation="relu", return_stats=True, **options
        )
        grads = F.batch_norm_backward(d, a, weight, used, rstd, training, y=y, residual=True, **options)
        results.append([v.reshape(shape) if v.ndim > 1 else v for v in (y, used, rstd, *running, *grads)])
    assert _all_same(*results)


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_batch_norm_has_the_bits_of_its_parts(shape: tuple[int, ...], last: bool, dtype: Any, isa: str) -> None:
    """The fused call has the bits of relu(batch_norm + residual), with any part left out, forward and backward."""
    x, r, dy = _normals(dtype, shape, shape, shape)
    c = shape[-1 if last else 1]
    weight, bias, mean = _normals(dtype, (c,), (c,), (c,))
    var = np.full(c, 1.5, dtype)
    for training, added, relu in itertools.product((True, False), (True, False), (True, False)):
        layout = {"channels_last": last}

        def running() -> tuple[Array, Array]:
            return mean.copy(), var.copy()

        plain, used, rstd = F.batch_norm(x, *running(), weight, bias, training, return_stats=True, **layout)
        want = plain + r if added else plain
        want = F.relu(want) if relu else want
        fused: dict[str, Any] = {"residual": r if added else None, "activation": "relu" if relu else None, **layout}
        y, *stats = F.batch_norm(x, *running(), weight, bias, training, return_stats=True, **fused)
        assert _all_same((y, *stats), (want, used, rstd))
        g = F.relu_backward(dy, y) if relu else dy
        gradients = F.batch_norm_backward(g, x, weight, used, rstd, training, **layout)
        for target in (None, 0, 1, 2):
            given = [dy.copy(), x.copy(), y.copy()]
            got = F.batch_norm_backward(
                *given[:2], weight, used, rstd, training, y=given[2] if relu else None, residual=added, **layout,
                out=None if target is None else given[target],
            )  # fmt: skip
            assert _all_same(got, (*gradients, g))
            assert target is None or got[0] is given[target]


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("unbiased", [True, False])
def test_unbiased(unbiased: bool, last: bool) -> None:
    """The running variance divides by n - 1 or by n; y does not change."""
    x = RNG.standard_normal((4, 3, 5))
    over = (0, 1) if last else (0, 2)
    c = x.shape[-1 if last else 1]
    mean, var = np.zeros(c), np.ones(c)
    y = F.batch_norm(x, mean, var, training=True, momentum=1.0, channels_last=last, unbiased=unbiased)
    np.testing.assert_allclose(var, x.var(over, ddof=int(unbiased)), rtol=1e-13)
    np.testing.assert_allclose(mean, x.mean(over), rtol=1e-12, atol=1e-15)
    assert same_bits(y, F.batch_norm(x, training=True, channels_last=last))


@pytest.mark.parametrize("name", ["BatchNorm1d", "BatchNorm2d"])
def test_cumulative_average(name: str) -> None:
    """With momentum=None all batches count equally, as in torch, and evaluation in between changes nothing."""
    shape = (4, 3, 5, 2) if name == "BatchNorm2d" else (4, 3, 5)
    ours = getattr(nn, name)(3, momentum=None, dtype=np.float64)
    means: list[Array] = []
    variances: list[Array] = []
    for step in range(6):
        x = 2 * RNG.standard_normal((step + 2, *shape[1:])) + 1
        ours.train()(x)
        over = (0, *range(2, x.ndim))
        means.append(x.mean(over))
        variances.append(x.var(over, ddof=1))
        np.testing.assert_allclose(ours.running_mean, np.mean(means, 0), rtol=1e-12)
        np.testing.assert_allclose(ours.running_var, np.mean(variances, 0), rtol=1e-12)
        scale = np.sqrt(ours.running_var + 1e-5)[:, None, *[None] * (x.ndim - 3)]
        y = (x - ours.running_mean[:, None, *[None] * (x.ndim - 3)]) / scale
        np.testing.assert_allclose(ours.eval()(x)[0], y, rtol=1e-10, atol=1e-12)
        assert int(ours.num_batches_tracked) == step + 1
    torch, _ = torch_leaves()
    ours, theirs = (
        getattr(nn, name)(3, momentum=None, dtype=np.float64),
        getattr(torch.nn, name)(3, momentum=None).double(),
    )
    means = []
    for step in range(6):
        x = 2 * RNG.standard_normal((step + 2, *shape[1:])) + 1
        for mode in (True, False):
            ours.train(mode)
            theirs.train(mode)
            np.testing.assert_allclose(ours(x)[0], theirs(torch.from_numpy(x)).detach().numpy(), rtol=1e-10, atol=1e-10)
        means.append(np.moveaxis(x, 1, 0).reshape(3, -1).mean(1))
        assert int(ours.num_batches_tracked) == int(theirs.num_batches_tracked) == step + 1
    np.testing.assert_allclose(ours.running_mean, np.mean(means, 0), rtol=1e-12)
    np.testing.assert_allclose(ours.running_mean, theirs.running_mean.numpy(), rtol=1e-10)
    np.testing.assert_allclose(ours.running_var, theirs.running_var.numpy(), rtol=1e-10)


@pytest.mark.parametrize("dtype", DTYPES)
def test_backward_without_a_mask(dtype: Any) -> None:
    """Where nothing was dropped, the mask may be left out of backward, or None."""
    x, dy, bias = _normals(dtype, (5, 7), (5, 7), (7,))
    done = F.dropout_add_layer_norm(x, dy, 7, p=0.0, return_stats=True)
    saved = dy, done.sum, None, done.mean, done.rstd
    want = F.layer_norm_backward(*saved[:2], None, done.mean, done.rstd)
    for mask in ((), (None,), (done.mask,)):
        assert _all_same(F.dropout_add_layer_norm_backward(*saved, *mask), (want[0], *want))
    _, full = F.bias_activation(x, bias, "tanh", return_mask=True)
    slope = 1 - np.tanh((x + bias).astype(np.float64)) ** 2
    for mask in ((), (None,), (full,)):
        dx, dbias = F.bias_activation_backward(dy, x, bias, "tanh", *mask)
        np.testing.assert_allclose(dx, dy * slope, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(dbias, (dy * slope).sum(axis=0), rtol=1e-5, atol=1e-5)
