"""The Gaussian negative log-likelihood agrees with differences and torch, for every shape of the variances."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import reference
from support import DTYPES, assert_torch, numeric_gradient, refused, relative_error, same_bits, torch_leaves

from fastnn import functional as F

RNG = np.random.default_rng(29)
SHAPE = (3, 4, 5)
VAR_SHAPES = [SHAPE, (3, 4, 1), (3, 4)]
X, T = RNG.standard_normal(SHAPE), RNG.standard_normal(SHAPE)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("shape", "full"), [*itertools.product(VAR_SHAPES, (False, True))], ids=str)
def test_gradients(shape: tuple[int, ...], full: bool, reduction: Any) -> None:
    """Loss and gradients agree with differences and torch; the gradient of var has var's shape."""
    x, var = X.copy(), RNG.uniform(0.5, 2, shape)

    def total() -> float:
        return float(np.sum(F.gaussian_nll_loss(x, T, var, full, reduction=reduction)[0]))

    loss, dx, dvar, count = F.gaussian_nll_loss(x, T, var, full, reduction=reduction, return_count=True)
    assert count == x.size and dvar.shape == shape and np.shape(loss) == (SHAPE if reduction == "none" else ())
    assert relative_error(dx, numeric_gradient(total, x)) <= 1e-6
    assert relative_error(dvar, numeric_gradient(total, var)) <= 1e-6
    torch, (mean, variance) = torch_leaves(x, var)
    theirs = torch.nn.functional.gaussian_nll_loss(mean, torch.from_numpy(T), variance, full=full, reduction=reduction)
    theirs.sum().backward()
    assert_torch([loss, dx, dvar], [theirs, mean.grad, variance.grad])


def test_least_variance() -> None:
    """A variance below eps counts as eps, also in its own gradient, which is not 0 there, as in torch."""
    var = np.array([0.0, 1e-9, 0.5, 2.0])
    x, t = np.array([0.1, 0.2, 0.3, 0.4]), np.zeros(4)
    ours = F.gaussian_nll_loss(x, t, var, eps=1e-3)
    assert (ours[2] != 0).all()
    torch, (mean, variance) = torch_leaves(x, var)
    theirs = torch.nn.functional.gaussian_nll_loss(mean, torch.from_numpy(t), variance, eps=1e-3)
    theirs.backward()
    assert_torch(ours, [theirs, mean.grad, variance.grad])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_special_elements(value: float, dtype: Any, isa: str) -> None:
    """NaN and infinity at any position of any input give the reference's loss and gradients."""
    arrays = [RNG.uniform(0.5, 2, 35).astype(dtype) for _ in range(3)]
    for poisoned in arrays:
        for i in range(35):
            kept, poisoned[i] = poisoned[i], value
            for reduction in ("mean", "none"):
                found = F.gaussian_nll_loss(*arrays, reduction=reduction)  # type: ignore[call-overload]
                for ours, want in zip(found, reference.gaussian_nll_loss(*arrays, reduction=reduction), strict=True):
                    np.testing.assert_allclose(ours, want, rtol=1e-5, atol=1e-6)
            poisoned[i] = kept


@pytest.mark.parametrize("dtype", DTYPES)
def test_far_means(dtype: Any, isa: str) -> None:
    """The loss is finite where the square of a difference overflows float32, and so is the gradient of var."""
    one = np.full(3, 1e25, dtype)
    loss, dx, dvar = F.gaussian_nll_loss(one, np.zeros(3, dtype), np.full(3, 1e20, dtype))
    assert loss == pytest.approx(5e29, rel=1e-5)
    np.testing.assert_allclose(dx, 1e5 / 3, rtol=1e-5)
    np.testing.assert_allclose(dvar, -5e9 / 3, rtol=1e-5)


def test_in_place_and_empty() -> None:
    x, var = X.copy(), np.ones(SHAPE)
    want = F.gaussian_nll_loss(x, T, var)
    found = F.gaussian_nll_loss(x, T, var, out=x)
    assert found[1] is x and all(map(same_bits, found, want))
    empty = np.ones((0, 3))
    assert math.isnan(F.gaussian_nll_loss(empty, empty, empty)[0])
    loss, dx, dvar = F.gaussian_nll_loss(empty, empty, np.ones((0, 1)), reduction="none")
    assert loss.shape == dx.shape == (0, 3) and dvar.shape == (0, 1)
    assert F.gaussian_nll_loss(np.ones((2, 0)), np.ones((2, 0)), np.ones(2))[2].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"var": np.ones((3, 1, 5))}, r"^var: got shape \(3, 1, 5\), want \(3, 4, 5\), or .* last axis of 1.*; .+"),
        ({"var": np.ones(5)}, r"^var: got shape \(5,\), want \(3, 4, 5\), or .*; .+"),
        ({"var": np.ones(())}, r"^var: got shape \(\), want \(3, 4, 5\), or .*; .+"),
        ({"var": np.full((3, 4), -0.5)}, "^var: got -0.5, want variances >= 0; .+"),
        ({"var": np.where(np.arange(60) == 58, -1.5, np.nan).reshape(SHAPE)}, "^var: got -1.5, want variances >= 0; "),
        *(
            ({"eps": eps}, f"^eps: got {eps}, want a finite number > 0.*; .+")
            for eps in (0.0, -1.0, math.nan, math.inf)
        ),
        ({"reduction": "avg"}, "^reduction: got 'avg', want one of 'mean', 'sum', 'none'$"),
    ],
)
def test_refused(options: dict[str, Any], sentence: str) -> None:
    """Bad shapes, variances and options are refused before anything is written."""
    arrays = {"input": X, "target": T, "var": np.ones(SHAPE), "out": np.full(SHAPE, 7.0)} | options
    refused(lambda: F.gaussian_nll_loss(**arrays), arrays, ValueError, sentence)


def test_eps_below_float32() -> None:
    """An eps that is 0 in float32 is refused there."""
    small = np.ones(3, np.float32)
    with pytest.raises(ValueError, match=r"^eps: got 1e-50, want a finite number > 0 of var's dtype; "):
        F.gaussian_nll_loss(small, small, small, eps=1e-50)
