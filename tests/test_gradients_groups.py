"""Group, instance and weight norm: gradients against central differences in float64, everything against torch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support import Array

from fastnn import functional as F

RNG = np.random.default_rng(29)
STEP = 1e-5


def _numeric(loss: Callable[[], float], at: Array) -> Array:
    """d loss / d at by central differences, changing one element at a time in place."""
    gradient = np.empty_like(at)
    for i in np.ndindex(at.shape):
        kept = at[i]
        at[i] = kept + STEP
        above = loss()
        at[i] = kept - STEP
        gradient[i] = (above - loss()) / (2 * STEP)
        at[i] = kept
    return gradient


def _check(forward: Callable[[], Array], dy: Array, wrt: tuple[Array, ...], gradients: tuple[Array, ...]) -> None:
    for at, gradient in zip(wrt, gradients, strict=True):
        numeric = _numeric(lambda: float((forward() * dy).sum()), at)
        assert np.linalg.norm(gradient - numeric) <= 1e-6 * np.linalg.norm(numeric)


def _normals(*shapes: tuple[int, ...]) -> list[Array]:
    return [RNG.standard_normal(shape) for shape in shapes]


@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("shape", [(5, 12), (70, 12), (3, 6, 5), (2, 6, 3, 4)])
def test_group_norm(shape: tuple[int, ...], groups: int) -> None:
    x, dy, weight, bias = _normals(shape, shape, shape[1:2], shape[1:2])
    _, mean, rstd = F.group_norm(x, groups, weight, bias, return_stats=True)
    gradients = F.group_norm_backward(dy, x, groups, weight, mean, rstd)
    _check(lambda: F.group_norm(x, groups, weight, bias), dy, (x, weight, bias), gradients)


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 4, 3, 4)])
def test_instance_norm(shape: tuple[int, ...], own: bool) -> None:
    x, dy, weight, bias, running_mean = _normals(shape, shape, (4,), (4,), (4,))
    running_var: Array = RNG.uniform(0.5, 2, 4)

    def forward() -> Array:
        return F.instance_norm(x, running_mean.copy(), running_var.copy(), weight, bias, own)

    running = running_mean.copy(), running_var.copy()
    _, mean, rstd = F.instance_norm(x, *running, weight, bias, own, return_stats=True)
    _check(forward, dy, (x, weight, bias), F.instance_norm_backward(dy, x, weight, mean, rstd, own))


@pytest.mark.parametrize("dim", [0, 1, 2, None])
def test_weight_norm(dim: int | None) -> None:
    v, dw = _normals((3, 4, 5), (3, 4, 5))
    (g,) = _normals(tuple(n if axis == dim else 1 for axis, n in enumerate(v.shape)))
    _, norm = F.weight_norm(v, g, dim, return_norm=True)
    _check(lambda: F.weight_norm(v, g, dim), dw, (v, g), F.weight_norm_backward(dw, v, g, norm, dim))


def _torch(*arrays: Array) -> tuple[Any, list[Any]]:
    torch = pytest.importorskip("torch")
    return torch, [torch.from_numpy(a.copy()).requires_grad_() for a in arrays]


def _close(ours: Any, theirs: Any) -> None:
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b.detach().numpy(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("groups", [1, 3, 12])
@pytest.mark.parametrize("shape", [(33, 12), (130, 24), (7, 12, 9), (7, 12, 6, 8)])
def test_torch_group_norm(shape: tuple[int, ...], groups: int) -> None:
    x, dy, weight, bias = _normals(shape, shape, shape[1:2], shape[1:2])
    torch, leaves = _torch(x, weight, bias)
    theirs = torch.nn.functional.group_norm(leaves[0], groups, *leaves[1:])
    theirs.backward(torch.from_numpy(dy))
    y, mean, rstd = F.group_norm(x, groups, weight, bias, return_stats=True)
    d = F.group_norm_backward(dy, x, groups, weight, mean, rstd)
    _close([y, *d], [theirs, *(leaf.grad for leaf in leaves)])


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("shape", [(7, 5, 9), (7, 5, 6, 8), (1, 5, 2)])
def test_torch_instance_norm(shape: tuple[int, ...], own: bool) -> None:
    x, dy, weight, bias, mean = _normals(shape, shape, (5,), (5,), (5,))
    var: Array = RNG.uniform(0.5, 2, 5)
    torch, leaves = _torch(x, weight, bias)
    running = [torch.from_numpy(a.copy()) for a in (mean, var)]
    theirs = torch.nn.functional.instance_norm(leaves[0], *running, *leaves[1:], own, 0.2)
    theirs.backward(torch.from_numpy(dy))
    y, used, rstd = F.instance_norm(x, mean, var, weight, bias, own, 0.2, return_stats=True)
    d = F.instance_norm_backward(dy, x, weight, used, rstd, own)
    _close([y, mean, var, *d], [theirs, *running, *(leaf.grad for leaf in leaves)])


@pytest.mark.parametrize("dim", [0, 1, 2, None])
def test_torch_weight_norm(dim: int | None) -> None:
    v, dw = _normals((6, 7, 9), (6, 7, 9))
    (g,) = _normals(() if dim is None else tuple(n if axis == dim else 1 for axis, n in enumerate(v.shape)))
    torch, leaves = _torch(v, g)
    theirs = torch._weight_norm(*leaves, -1 if dim is None else dim)
    theirs.backward(torch.from_numpy(dw))
    w, norm = F.weight_norm(v, g, dim, return_norm=True)
    assert norm.shape == g.shape
    _close([w, *F.weight_norm_backward(dw, v, g, norm, dim)], [theirs, *(leaf.grad for leaf in leaves)])


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1), (1, 3, 1)])
def test_torch_refuses_the_same(shape: tuple[int, ...]) -> None:
    """One value per instance."""
    torch = pytest.importorskip("torch")
    x = np.ones(shape)
    with pytest.raises(ValueError, match="more than 1 spatial element"):
        torch.nn.functional.instance_norm(torch.from_numpy(x))
    with pytest.raises(ValueError, match="one value per instance"):
        F.instance_norm(x)
