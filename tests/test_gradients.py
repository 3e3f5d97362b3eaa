"""Every backward function agrees with central differences in float64 and, if torch is installed, with torch."""

from typing import Any

import numpy as np
import pytest
from support import Array, assert_torch, check_gradients, normals, numeric_gradient, relative_error, torch_leaves

from fastnn import functional as F
from fastnn import optim

RNG = np.random.default_rng(17)


def test_relu() -> None:
    x, dy = normals(RNG, (6, 7), (6, 7))
    x += np.sign(x) * 0.01  # away from the kink
    check_gradients(lambda: F.relu(x), dy, (x,), (F.relu_backward(dy, x),))
    np.testing.assert_array_equal(F.relu_backward(dy, x), F.relu_backward(dy, F.relu(x)))


@pytest.mark.parametrize("p", [0.0, 0.3, 0.9, 1.0])
def test_dropout(p: float) -> None:
    x, dy = normals(RNG, (20, 13), (20, 13))
    _, mask = F.dropout(x, p, return_mask=True)
    check_gradients(lambda: F.dropout_backward(x, mask), dy, (x,), (F.dropout_backward(dy, mask),))


@pytest.mark.parametrize(("shape", "normalized"), [((5, 7), (7,)), ((3, 4, 5), (4, 5)), ((70, 3), (3,)), ((6,), (6,))])
def test_layer_norm(shape: tuple[int, ...], normalized: tuple[int, ...]) -> None:
    x, dy, weight, bias = normals(RNG, shape, shape, normalized, normalized)
    _, mean, rstd = F.layer_norm(x, normalized, weight, bias, return_stats=True)
    gradients = F.layer_norm_backward(dy, x, weight, mean, rstd)
    check_gradients(lambda: F.layer_norm(x, normalized, weight, bias), dy, (x, weight, bias), gradients)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(9, 4), (4, 3, 5), (3, 4, 3, 2), (70, 2)])
def test_batch_norm(shape: tuple[int, ...], training: bool) -> None:
    x, dy = normals(RNG, shape, shape)
    weight, bias, running_mean = normals(RNG, *3 * ((shape[1],),))
    running_var = RNG.uniform(0.5, 2, shape[1])

    def forward() -> Array:
        return F.batch_norm(x, running_mean.copy(), running_var.copy(), weight, bias, training)

    running = running_mean.copy(), running_var.copy()
    _, mean, rstd = F.batch_norm(x, *running, weight, bias, training, return_stats=True)
    check_gradients(forward, dy, (x, weight, bias), F.batch_norm_backward(dy, x, weight, mean, rstd, training))


@pytest.mark.parametrize("shape", [(1, 5), (6, 4), (3, 40)])
def test_softmax_cross_entropy(shape: tuple[int, ...]) -> None:
    (logits,) = normals(RNG, shape)
    labels = RNG.integers(0, shape[1], shape[0])
    _, gradient = F.softmax_cross_entropy(logits, labels)
    assert (
        relative_error(gradient, numeric_gradient(lambda: F.softmax_cross_entropy(logits, labels)[0], logits)) <= 1e-6
    )


def test_torch_layer_norm() -> None:
    x, dy, weight, bias = normals(RNG, (90, 6, 17), (90, 6, 17), (6, 17), (6, 17))
    torch, leaves = torch_leaves(x, weight, bias)
    theirs = torch.nn.functional.layer_norm(leaves[0], (6, 17), *leaves[1:])
    theirs.backward(torch.from_numpy(dy))
    y, mean, rstd = F.layer_norm(x, (6, 17), weight, bias, return_stats=True)
    assert_torch([y, *F.layer_norm_backward(dy, x, weight, mean, rstd)], [theirs, *(leaf.grad for leaf in leaves)])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(33, 5), (7, 5, 9), (7, 5, 6, 8)])
def test_torch_batch_norm(shape: tuple[int, ...], training: bool) -> None:
    x, dy = normals(RNG, shape, shape)
    weight, bias, mean = normals(RNG, (5,), (5,), (5,))
    var: Array = RNG.uniform(0.5, 2, 5)
    torch, leaves = torch_leaves(x, weight, bias)
    running = [torch.from_numpy(a.copy()) for a in (mean, var)]
    theirs = torch.nn.functional.batch_norm(leaves[0], *running, *leaves[1:], training, 0.2)
    theirs.backward(torch.from_numpy(dy))
    y, used, rstd = F.batch_norm(x, mean, var, weight, bias, training, 0.2, return_stats=True)
    d = F.batch_norm_backward(dy, x, weight, used, rstd, training)
    assert_torch([y, mean, var, *d], [theirs, *running, *(leaf.grad for leaf in leaves)])


def test_torch_relu_and_cross_entropy() -> None:
    x, dy = normals(RNG, (31, 10), (31, 10))
    labels = RNG.integers(0, 10, 31)
    torch, (leaf,) = torch_leaves(x)
    theirs = torch.relu(leaf)
    theirs.backward(torch.from_numpy(dy))
    assert_torch([F.relu(x), F.relu_backward(dy, x)], [theirs, leaf.grad])
    torch, (leaf,) = torch_leaves(x)
    theirs = torch.nn.functional.cross_entropy(leaf, torch.from_numpy(labels))
    theirs.backward()
    assert_torch(F.softmax_cross_entropy(x, labels), [theirs, leaf.grad])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {}),
        ("SGD", {"momentum": 0.9, "dampening": 0.2, "weight_decay": 0.05}),
        ("SGD", {"momentum": 0.9, "nesterov": True, "maximize": True}),
        ("Adam", {}),
        ("Adam", {"weight_decay": 0.05, "maximize": True}),
        ("AdamW", {}),
        ("AdamW", {"betas": (0.8, 0.99), "eps": 1e-5, "weight_decay": 0.2}),
    ],
    ids=str,
)
def test_torch_optimizers(name: str, options: dict[str, Any]) -> None:
    """100 steps of three tensors, one of which has no gradient every fourth time, agree with torch to 1e-12."""
    params = normals(RNG, (3, 50), (17,), (200,))
    torch, leaves = torch_leaves(*params)
    ours, theirs = getattr(optim, name)(params, lr=0.01, **options), getattr(torch.optim, name)(leaves, 0.01, **options)
    for step in range(100):
        grads = [RNG.standard_normal(p.shape) if i or step % 4 else None for i, p in enumerate(params)]
        for leaf, grad in zip(leaves, grads, strict=True):
            leaf.grad = None if grad is None else torch.from_numpy(grad.copy())
        ours.step(grads)
        theirs.step()
    for param, leaf in zip(params, leaves, strict=True):
        exact = leaf.detach().numpy()
        np.testing.assert_allclose(param, exact, rtol=1e-12, atol=1e-12 * np.abs(exact).max())
