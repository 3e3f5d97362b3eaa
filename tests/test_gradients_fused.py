"""Fused norms, RMS norms and dropouts: gradients agree with central differences in float64, everything with torch."""

from typing import Any

import numpy as np
import pytest
import reference
from support import Array, assert_torch, check_gradients, normals, torch_leaves

from fastnn import Generator
from fastnn import functional as F

RNG = np.random.default_rng(31)
SHAPES = [(9, 4), (4, 3, 5), (2, 4, 3, 4), (70, 2)]
LAYERS: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((5, 7), (7,)),
    ((3, 4, 5), (4, 5)),
    ((70, 3), (3,)),
    ((6,), (6,)),
]
SATURATION = -1.7580993408473766


def _first(x: Any, last: bool) -> Any:
    """Move the channels to axis 1, as in torch."""
    return x.movedim(-1, 1) if last else x


class BatchNorm:
    """A batch norm with residual and relu: its arguments, forward and backward."""

    def __init__(self, shape: tuple[int, ...], last: bool, relu: bool, residual: bool, training: bool) -> None:
        channels = shape[-1 if last else 1 :][:1]
        self.x, self.dy, self.residual = normals(RNG, *3 * (shape,))
        self.weight, self.bias, self.mean = normals(RNG, *3 * (channels,))
        self.var: Array = RNG.uniform(0.5, 2, channels)
        self.last, self.relu, self.added, self.training = last, False, residual, training
        while relu and np.abs(self.forward()).min() < 1e-4:  # too near the kink
            self.x[...] = RNG.standard_normal(shape)
        self.relu = relu

    def leaves(self) -> list[Array]:
        """Return the arrays that have a gradient, in the order of `backward`."""
        return [self.x, self.weight, self.bias, *([self.residual] if self.added else [])]

    def forward(self, stats: Any = False, running: Any = None) -> Any:
        """Return y; the running statistics are copies unless given."""
        running = (self.mean.copy(), self.var.copy()) if running is None else running
        return F.batch_norm(
            self.x,
            *running,
            self.weight,
            self.bias,
            self.training,
            0.2,
            residual=self.residual if self.added else None,
            activation="relu" if self.relu else None,
            channels_last=self.last,
            return_stats=stats,
        )

    def check_reference(self) -> None:
        """Assert that y and the running statistics equal those of the separate parts."""
        x = np.moveaxis(self.x, -1, 1) if self.last else self.x
        running = self.mean.copy(), self.var.copy()
        y, _, _, *after = reference.batch_norm(x, *running, self.weight, self.bias, self.training, 0.2)
        y = (np.moveaxis(y, 1, -1) if self.last else y) + (self.residual if self.added else 0)
        found = self.forward(running=running)
        np.testing.assert_allclose(found, np.maximum(y, 0) if self.relu else y, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(running, after, rtol=1e-13)

    def backward(self) -> Any:
        """Return the gradient with respect to each of `leaves`."""
        y, mean, rstd = self.forward(True)
        return F.batch_norm_backward(
            self.dy, self.x, self.weight, mean, rstd, self.training, y=y if self.relu else None,
            residual=self.added, channels_last=self.last,
        )  # fmt: skip


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm(shape: tuple[int, ...], last: bool, relu: bool, residual: bool, training: bool) -> None:
    """Every combination of residual, relu and layout agrees with differences and with torch's separate functions."""
    norm = BatchNorm(shape, last, relu, residual, training)
    gradients = norm.backward()
    check_gradients(norm.forward, norm.dy, norm.leaves(), gradients)
    norm.check_reference()
    torch, leaves = torch_leaves(*norm.leaves())
    running = [torch.from_numpy(a.copy()) for a in (norm.mean, norm.var)]
    theirs = torch.nn.functional.batch_norm(_first(leaves[0], last), *running, *leaves[1:3], training, 0.2)
    theirs = theirs.movedim(1, -1) if last else theirs
    theirs = theirs + leaves[3] if residual else theirs
    theirs = torch.relu(theirs) if relu else theirs
    theirs.backward(torch.from_numpy(norm.dy))
    ours = norm.mean, norm.var
    assert_torch([norm.forward(running=ours), *ours], [theirs, *running])
    assert_torch(gradients, [leaf.grad for leaf in leaves])


@pytest.mark.parametrize("eps", [None, 1e-5, 0.3])
@pytest.mark.parametrize(("shape", "normalized"), LAYERS)
def test_rms_norm(shape: tuple[int, ...], normalized: tuple[int, ...], eps: float | None) -> None:
    """rms_norm agrees with differences and torch, with a weight and without."""
    x, dy, scale = normals(RNG, shape, shape, normalized)
    for weight in (scale, None):
        y, rrms = F.rms_norm(x, normalized, weight, eps, return_stats=True)
        given = [x] if weight is None else [x, weight]
        gradients = F.rms_norm_backward(dy, x, weight, rrms)[: len(given)]
        check_gradients(lambda w=weight: F.rms_norm(x, normalized, w, eps), dy, given, gradients)  # type: ignore[misc]
        want, root = reference.rms_norm(x, len(normalized), weight, 2.0**-52 if eps is None else eps)
        np.testing.assert_allclose(y, want, rtol=1e-12)
        np.testing.assert_allclose(rrms, root, rtol=1e-14)
        torch, leaves = torch_leaves(*given)
        theirs = torch.nn.functional.rms_norm(leaves[0], normalized, *leaves[1:], eps=eps)
        theirs.backward(torch.from_numpy(dy))
        assert_torch([y, *gradients], [theirs, *(leaf.grad for leaf in leaves)])


@pytest.mark.parametrize("eps", [None, 1e-5])
def test_rms_norm_float32(eps: float | None) -> None:
    """eps=None means the eps of float32; small rows would show float64's."""
    x = (1e-4 * RNG.standard_normal((5, 33))).astype(np.float32)
    want, _ = reference.rms_norm(x, 1, None, 2.0**-23 if eps is None else eps)
    np.testing.assert_allclose(F.rms_norm(x, 33, eps=eps), want, rtol=2e-6)
    torch, _ = torch_leaves()
    theirs = torch.nn.functional.rms_norm(torch.from_numpy(x), (33,), eps=eps)
    np.testing.assert_allclose(F.rms_norm(x, 33, eps=eps), theirs.numpy(), rtol=2e-6)


@pytest.mark.parametrize("pre", [False, True], ids=["post", "pre"])
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize(("shape", "normalized"), LAYERS)
def test_residual_norm(
    shape: tuple[int, ...], normalized: tuple[int, ...], residual: bool, p: float, pre: bool
) -> None:
    """Results agree with differences and torch for dropout's mask; in a pre-norm block the sum has a gradient, too."""
    x, r, dy, dsum, weight, bias = normals(RNG, *4 * (shape,), normalized, normalized)
    given = [x, r, weight, bias] if residual else [x, weight, bias]
    keep, mask = F.dropout(np.ones(shape), p, generator=Generator(5, 6), return_mask=True)

    def forward() -> Any:
        return F.dropout_add_layer_norm(
            x, r if residual else None, normalized, weight, bias, p, generator=Generator(5, 6), return_stats=True
        )

    done = forward()
    assert done.mask == mask
    dx, dr, dweight, dbias = F.dropout_add_layer_norm_backward(
        dy, done.sum, weight, done.mean, done.rstd, done.mask, dsum=dsum if pre else None
    )
    gradients = [dx, dr, dweight, dbias] if residual else [dx, dweight, dbias]
    both = np.stack([dy, dsum if pre else np.zeros(shape)])
    check_gradients(lambda: np.stack([(f := forward()).y, f.sum]), both, given, gradients)
    added = x * keep + (r if residual else 0)
    np.testing.assert_array_equal(done.sum, added)
    want, mean, rstd = reference.layer_norm(added, len(normalized), weight, bias)
    for found, exact in ((done.y, want), (done.mean, mean), (done.rstd, rstd)):
        np.testing.assert_allclose(found, exact, rtol=1e-12, atol=1e-13)
    torch, leaves = torch_leaves(*given)
    total = leaves[0] * torch.from_numpy(keep) + (leaves[1] if residual else 0)
    theirs = torch.nn.functional.layer_norm(total, normalized, *leaves[-2:])
    torch.autograd.backward([theirs, total], [torch.from_numpy(g) for g in both])
    assert_torch([done.y, done.sum, *gradients], [theirs, total, *(leaf.grad for leaf in leaves)])


@pytest.mark.parametrize("p", [0.0, 0.4, 1.0])
def test_residual_norm_in_evaluation(p: float) -> None:
    """Evaluation drops nothing and draws no bits, and x and residual share one gradient."""
    x, r, dy, weight, bias = normals(RNG, (4, 9), (4, 9), (4, 9), (9,), (9,))
    g = Generator(1)
    done = F.dropout_add_layer_norm(x, r, 9, weight, bias, p, training=False, generator=g, return_stats=True)
    assert g.offset == 0
    dx, dr, *rest = F.dropout_add_layer_norm_backward(dy, done.sum, weight, done.mean, done.rstd, done.mask)
    assert dx is dr
    want = reference.layer_norm(x + r, 1, weight, bias)[0], *reference.layer_norm_backward(dy, x + r, 1, weight)
    for found, exact in zip((done.y, dx, *rest), want, strict=True):
        np.testing.assert_allclose(found, exact, rtol=1e-11, atol=1e-12)
    torch, leaves = torch_leaves(x, r, weight, bias)
    theirs = torch.nn.functional.layer_norm(leaves[0] + leaves[1], (9,), *leaves[2:])
    theirs.backward(torch.from_numpy(dy))
    assert_torch([done.y, dx, dr, *rest], [theirs, *(leaf.grad for leaf in leaves)])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("p", [0.0, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("kind", ["dropout", "not inverted", "dropout2d", "alpha_dropout"])
def test_dropouts(kind: str, p: float, training: bool) -> None:
    """Gradients agree with differences for a fixed mask, and with each kind's formula for the mask that ones reveal."""
    run, back = (
        (F.dropout, F.dropout_backward)
        if kind == "not inverted"
        else (getattr(F, kind), getattr(F, f"{kind}_backward"))
    )
    options: dict[str, Any] = {"inverted": False} if kind == "not inverted" else {}
    x, dy = normals(RNG, (5, 6, 7), (5, 6, 7))

    def forward(x: Array = x) -> Array:
        y: Array = run(x, p, training, generator=Generator(3, 4), **options)
        return y

    _, mask = run(x, p, training, generator=Generator(3, 4), return_mask=True, **options)
    dx = back(dy, mask)
    check_gradients(forward, dy, (x,), (dx,))
    keep = (
        F.dropout_backward(
            np.ones((5, 6) if kind == "dropout2d" else x.shape), F.DropoutMask(p if training else 0.0, 3, 4, 0)
        )
        != 0
    )
    keep = keep[..., None] if kind == "dropout2d" else keep
    a, b = 1.0, 0.0
    if kind == "alpha_dropout" and 0 < p < 1 and training:
        a = ((1 - p) * (1 + p * SATURATION**2)) ** -0.5
        b = -a * p * SATURATION
    elif kind == "not inverted":
        a = 1.0 if training else 1 - p
    elif training:
        a = 1 / (1 - p) if p < 1 else 0.0
    dropped = a * SATURATION + b if kind == "alpha_dropout" and 0 < p < 1 and training else 0.0
    np.testing.assert_allclose(forward(), np.where(keep, a * x + b, dropped), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(dx, np.where(keep, a * dy, 0), rtol=1e-12, atol=0)
