"""Group, instance and weight norm: gradients agree with central differences in float64, everything with torch."""

import numpy as np
import pytest
from support import Array, assert_torch, check_gradients, normals, torch_leaves

from fastnn import functional as F

RNG = np.random.default_rng(29)


@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("shape", [(5, 12), (70, 12), (3, 6, 5), (2, 6, 3, 4)])
def test_group_norm(shape: tuple[int, ...], groups: int) -> None:
    x, dy, weight, bias = normals(RNG, shape, shape, shape[1:2], shape[1:2])
    _, mean, rstd = F.group_norm(x, groups, weight, bias, return_stats=True)
    gradients = F.group_norm_backward(dy, x, groups, weight, mean, rstd)
    check_gradients(lambda: F.group_norm(x, groups, weight, bias), dy, (x, weight, bias), gradients)


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 4, 3, 4)])
def test_instance_norm(shape: tuple[int, ...], own: bool) -> None:
    x, dy, weight, bias, running_mean = normals(RNG, shape, shape, (4,), (4,), (4,))
    running_var: Array = RNG.uniform(0.5, 2, 4)

    def forward() -> Array:
        return F.instance_norm(x, running_mean.copy(), running_var.copy(), weight, bias, own)

    running = running_mean.copy(), running_var.copy()
    _, mean, rstd = F.instance_norm(x, *running, weight, bias, own, return_stats=True)
    check_gradients(forward, dy, (x, weight, bias), F.instance_norm_backward(dy, x, weight, mean, rstd, own))


@pytest.mark.parametrize("dim", [0, 1, 2, None])
def test_weight_norm(dim: int | None) -> None:
    v, dw = normals(RNG, (3, 4, 5), (3, 4, 5))
    (g,) = normals(RNG, tuple(n if axis == dim else 1 for axis, n in enumerate(v.shape)))
    _, norm = F.weight_norm(v, g, dim, return_norm=True)
    check_gradients(lambda: F.weight_norm(v, g, dim), dw, (v, g), F.weight_norm_backward(dw, v, g, norm, dim))


@pytest.mark.parametrize("groups", [1, 3, 12])
@pytest.mark.parametrize("shape", [(33, 12), (130, 24), (7, 12, 9), (7, 12, 6, 8)])
def test_torch_group_norm(shape: tuple[int, ...], groups: int) -> None:
    x, dy, weight, bias = normals(RNG, shape, shape, shape[1:2], shape[1:2])
    torch, leaves = torch_leaves(x, weight, bias)
    theirs = torch.nn.functional.group_norm(leaves[0], groups, *leaves[1:])
    theirs.backward(torch.from_numpy(dy))
    y, mean, rstd = F.group_norm(x, groups, weight, bias, return_stats=True)
    d = F.group_norm_backward(dy, x, groups, weight, mean, rstd)
    assert_torch([y, *d], [theirs, *(leaf.grad for leaf in leaves)])


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("shape", [(7, 5, 9), (7, 5, 6, 8), (1, 5, 2)])
def test_torch_instance_norm(shape: tuple[int, ...], own: bool) -> None:
    x, dy, weight, bias, mean = normals(RNG, shape, shape, (5,), (5,), (5,))
    var: Array = RNG.uniform(0.5, 2, 5)
    torch, leaves = torch_leaves(x, weight, bias)
    running = [torch.from_numpy(a.copy()) for a in (mean, var)]
    theirs = torch.nn.functional.instance_norm(leaves[0], *running, *leaves[1:], own, 0.2)
    theirs.backward(torch.from_numpy(dy))
    y, used, rstd = F.instance_norm(x, mean, var, weight, bias, own, 0.2, return_stats=True)
    d = F.instance_norm_backward(dy, x, weight, used, rstd, own)
    assert_torch([y, mean, var, *d], [theirs, *running, *(leaf.grad for leaf in leaves)])


@pytest.mark.parametrize("dim", [0, 1, 2, None])
def test_torch_weight_norm(dim: int | None) -> None:
    v, dw = normals(RNG, (6, 7, 9), (6, 7, 9))
    (g,) = normals(RNG, () if dim is None else tuple(n if axis == dim else 1 for axis, n in enumerate(v.shape)))
    torch, leaves = torch_leaves(v, g)
    theirs = torch._weight_norm(*leaves, -1 if dim is None else dim)
    theirs.backward(torch.from_numpy(dw))
    w, norm = F.weight_norm(v, g, dim, return_norm=True)
    assert norm.shape == g.shape
    assert_torch([w, *F.weight_norm_backward(dw, v, g, norm, dim)], [theirs, *(leaf.grad for leaf in leaves)])


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1), (1, 3, 1)])
def test_torch_refuses_the_same(shape: tuple[int, ...]) -> None:
    """One value per instance is refused, as in torch."""
    torch = pytest.importorskip("torch")
    x = np.ones(shape)
    with pytest.raises(ValueError, match="more than 1 spatial element"):
        torch.nn.functional.instance_norm(torch.from_numpy(x))
    with pytest.raises(ValueError, match="one value per instance"):
        F.instance_norm(x)
