"""Losses and softmax: gradients agree with central differences and torch; values are right in hard cases."""

import math
from typing import Any

import numpy as np
import pytest
import reference
from support import (
    DTYPES,
    Array,
    assert_torch,
    check_gradients,
    numeric_gradient,
    relative_error,
    same_bits,
    torch_leaves,
)

from fastnn import functional as F
from fastnn import nn

RNG = np.random.default_rng(23)
N, C = 7, 5
WEIGHT = RNG.uniform(0.5, 2, C)
LABELS = np.array([0, 1, -100, 4, 2, -100, 3])
PROBABILITIES = RNG.dirichlet(np.ones(C), N)
UNIT = RNG.uniform(0, 1, (N, C))
REDUCTIONS = ("mean", "sum", "none")

CLASS_OPTIONS = [
    {"weight": w, "reduction": r, "label_smoothing": s}
    for w in (None, WEIGHT)
    for r in REDUCTIONS
    for s in (0.0, 0.3, 1.0)
]
CLASS_TARGETS = {"labels": LABELS, "all": np.abs(LABELS) % C, "probabilities": PROBABILITIES}
ELEMENT_CASES: list[tuple[str, dict[str, Any]]] = [
    *((f"{name}_loss", {"reduction": r}) for name in ("mse", "l1", "huber", "smooth_l1") for r in REDUCTIONS),
    ("huber_loss", {"delta": 0.3}),
    *(("smooth_l1_loss", {"beta": beta, "reduction": r}) for beta in (0.0, 0.3) for r in REDUCTIONS),
    *(("kl_div", {"reduction": r, "log_target": g}) for r in (*REDUCTIONS, "batchmean") for g in (False, True)),
    *(
        ("binary_cross_entropy_with_logits", {"reduction": r, "weight": w, "pos_weight": p})
        for r in REDUCTIONS
        for w in (None, UNIT + 0.5, WEIGHT)
        for p in (None, WEIGHT)
    ),
]


def _ids(value: Any) -> str:
    return "-".join(f"{k}{np.shape(v) or v}" for k, v in value.items()) if isinstance(value, dict) else str(value)


ELEMENTS = ("mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss", "binary_cross_entropy_with_logits", "kl_div")


def _total(loss: Any) -> float:
    return float(np.sum(loss))


def _check_reference(name: str, found: tuple[Any, Array], *args: Any, **options: Any) -> None:
    """Assert that loss and gradient equal the reference's."""
    for ours, want in zip(found, getattr(reference, name)(*args, **options), strict=True):
        np.testing.assert_allclose(ours, want, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax(name: str, dim: int) -> None:
    """Results agree with differences, the reference and torch for every axis; dx may be written over dy or y."""
    forward, backward = getattr(F, name), getattr(F, f"{name}_backward")
    x, dy = RNG.standard_normal((2, 3, 4, 5))
    y = forward(x, dim)
    dx = backward(dy, y, dim)
    check_gradients(lambda: forward(x, dim), dy, (x,), (dx,))
    for i in (0, 1):
        pair = [dy.copy(), y.copy()]
        assert same_bits(backward(*pair, dim, out=pair[i]), dx) and same_bits(pair[i], dx)
    np.testing.assert_allclose(y, getattr(reference, name)(x, dim), rtol=1e-13)
    np.testing.assert_allclose(dx, getattr(reference, f"{name}_backward")(dy, y, dim), rtol=1e-12, atol=1e-14)
    torch, (leaf,) = torch_leaves(x)
    theirs = getattr(torch.nn.functional, name)(leaf, dim)
    theirs.backward(torch.from_numpy(dy))
    assert_torch([y, dx], [theirs, leaf.grad])


@pytest.mark.parametrize("ignored", [0, 1, C - 1, C])
def test_no_class_of_soft_targets_is_ignored(ignored: int) -> None:
    """Probabilities have no label that could be ignored; a negative ignore_index, as the default is, has no effect."""
    x = RNG.standard_normal((N, C))
    with pytest.raises(ValueError, match=rf"^ignore_index: got {ignored}, want "):
        F.softmax_cross_entropy(x, PROBABILITIES, ignore_index=ignored)
    assert F.softmax_cross_entropy(x, PROBABILITIES, ignore_index=-1)[0] == F.softmax_cross_entropy(x, PROBABILITIES)[0]


@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_soft_targets_of_any_sum(smoothing: float, weight: Any, isa: str) -> None:
    """The sums of soft targets are not checked; loss and gradient agree for rows of any sum, 0 included."""
    x, target = RNG.standard_normal((6, C)), RNG.uniform(0, 1, (6, C))
    target[0], target[1] = 0, target[1] * 5
    loss, dx = F.softmax_cross_entropy(x, target, weight, reduction="sum", label_smoothing=smoothing)
    smooth = (1 - smoothing) * target + smoothing / C
    each = smooth * (1 if weight is None else weight)
    assert loss == pytest.approx(-(each * F.log_softmax(x, 1)).sum(), rel=1e-12)
    want = each.sum(1, keepdims=True) * F.softmax(x, 1) - each
    np.testing.assert_allclose(dx, want, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("unused", [np.inf, np.nan, 0.0])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_weight_of_a_class_without_labels(unused: float, reduction: Any, isa: str) -> None:
    """The weight of a class that no label has does not matter, as that of 1 / (number of labels) of an absent class."""
    x, labels = RNG.standard_normal((6, 4)), np.array([0, 1, 3, 1, -100, 0])
    weight = np.array([0.5, 2.0, unused, 1.5])
    one = np.where(np.arange(4) == 2, 1.0, weight)
    for loss in (F.softmax_cross_entropy, F.nll_loss):
        value, dx = loss(x, labels, weight, reduction=reduction)
        want, dwant = loss(x, labels, one, reduction=reduction)
        assert np.array_equal(value, want) and same_bits(dx, dwant)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (3, 70), (70, 3), (2, 20, 3), (2, 300), (300, 2), (2, 1500)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_shift_changes_nothing(dtype: Any, shape: tuple[int, ...], isa: str) -> None:
    """A number added to all logits changes no result, along any axis; here the sums are exact in float32."""
    x = np.random.default_rng(5).integers(-300, 300, shape).astype(dtype) / 64
    for shift in (-(2.0**14), 2.0**14):
        for dim in range(len(shape)):
            np.testing.assert_allclose(F.log_softmax(x + dtype(shift), dim), F.log_softmax(x, dim), rtol=1e-6)
            np.testing.assert_allclose(F.softmax(x + dtype(shift), dim), F.softmax(x, dim), rtol=1e-6)
        if len(shape) == 2:
            labels = np.arange(shape[0]) % shape[1]
            for smoothing in (0.0, 0.3):
                loss, dx = F.softmax_cross_entropy(x, labels, label_smoothing=smoothing)
                shifted, dshifted = F.softmax_cross_entropy(x + dtype(shift), labels, label_smoothing=smoothing)
                assert shifted == pytest.approx(loss, rel=1e-5)
                np.testing.assert_allclose(dshifted, dx, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_logit_above_all_others(dtype: Any, isa: str) -> None:
    """A logit at any place of a row of any length that is far above the others takes all the probability."""
    for n in (*range(1, 70), 255, 256, 257, 600):
        for others in (0.0, -np.inf):
            x = np.full((n, n), others, dtype)
            np.fill_diagonal(x, 200 if others == 0 else 0)
            np.testing.assert_allclose(F.softmax(x, 1), np.eye(n), atol=1e-80)
            np.testing.assert_allclose(F.softmax(x, 0), np.eye(n), atol=1e-80)
            want = np.where(np.eye(n), 0, others - x.max())
            np.testing.assert_allclose(F.log_softmax(x, 1), want, atol=1e-80)
            loss, dx = F.softmax_cross_entropy(x, np.arange(n))
            assert abs(loss) <= 1e-80 and np.abs(dx).max() <= 1e-80


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 5), (3, 40), (3, 3000)])
@pytest.mark.parametrize("dim", [0, 1])
def test_softmax_hard(shape: tuple[int, int], dim: int, dtype: Any, isa: str) -> None:
    """Masked, huge and infinite values agree with the reference; finite values never give NaN."""
    x = RNG.standard_normal(shape).astype(dtype)
    x[0, 0], x[1, 1], x[2, 2], x[:, 4] = -np.inf, np.inf, np.nan, -np.inf
    x[0, 3], x[1, 3] = np.finfo(dtype).max, np.finfo(dtype).min
    with np.errstate(over="ignore", invalid="ignore"):
        want = reference.softmax(x, dim), reference.log_softmax(x, dim)
    got = F.softmax(x, dim), F.log_softmax(x, dim)
    for g, w in zip(got, want, strict=True):
        with np.errstate(over="ignore"):
            np.testing.assert_allclose(g, w.astype(dtype), rtol=1e-5, atol=1e-6)
    assert np.isfinite(F.softmax(np.nan_to_num(x), dim)).all()
    assert not np.isnan(F.log_softmax(np.nan_to_num(x), dim)).any()


@pytest.mark.parametrize("target", CLASS_TARGETS)
@pytest.mark.parametrize("options", CLASS_OPTIONS, ids=_ids)
def test_cross_entropy(options: dict[str, Any], target: str) -> None:
    """Every option with every kind of target agrees with differences and torch; so does the count."""
    x, t = RNG.standard_normal((N, C)), CLASS_TARGETS[target]
    loss, dx, count = F.softmax_cross_entropy(x, t, **options, return_count=True)
    assert count == (int((LABELS >= 0).sum()) if target == "labels" else N)
    numeric = numeric_gradient(lambda: _total(F.softmax_cross_entropy(x, t, **options)[0]), x)
    assert relative_error(dx, numeric) <= 1e-6
    _check_reference("softmax_cross_entropy", (loss, dx), x, t, **options)
    torch, (leaf,) = torch_leaves(x)
    given = {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    theirs = torch.nn.functional.cross_entropy(leaf, torch.from_numpy(t), **given)
    theirs.sum().backward()
    assert_torch([loss, dx], [theirs, leaf.grad])
    if options["reduction"] != "none":
        assert nn.CrossEntropyLoss(**options)(x, t)[0] == loss


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weight"])
def test_nll(weight: Array | None, reduction: Any) -> None:
    """nll_loss with ignored rows agrees with differences and torch."""
    x = RNG.standard_normal((N, C))
    loss, dx, count = F.nll_loss(x, LABELS, weight, reduction=reduction, return_count=True)
    assert count == 5
    assert (
        relative_error(dx, numeric_gradient(lambda: _total(F.nll_loss(x, LABELS, weight, -100, reduction)[0]), x))
        <= 1e-6
    )
    _check_reference("nll_loss", (loss, dx), x, LABELS, weight, reduction=reduction)
    torch, (leaf,) = torch_leaves(x)
    w = None if weight is None else torch.from_numpy(weight)
    theirs = torch.nn.functional.nll_loss(leaf, torch.from_numpy(LABELS), w, reduction=reduction)
    theirs.sum().backward()
    assert_torch([loss, dx], [theirs, leaf.grad])


@pytest.mark.filterwarnings("ignore:reduction:UserWarning")
@pytest.mark.parametrize(("name", "options"), ELEMENT_CASES, ids=_ids)
def test_elementwise(name: str, options: dict[str, Any]) -> None:
    """Elementwise losses agree with differences and torch; so does the count."""
    x = RNG.standard_normal((N, C))
    target = np.log(UNIT) if options.get("log_target") else UNIT if name[0] in "kb" else RNG.standard_normal((N, C))
    run = getattr(F, name)
    loss, dx, count = run(x, target, **options, return_count=True)
    assert count == x.size
    assert relative_error(dx, numeric_gradient(lambda: _total(run(x, target, **options)[0]), x)) <= 1e-6
    _check_reference(name, (loss, dx), x, target, **options)
    torch, (leaf,) = torch_leaves(x)
    given = {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    theirs = getattr(torch.nn.functional, name)(leaf, torch.from_numpy(target), **given)
    theirs.sum().backward()
    assert_torch([loss, dx], [theirs, leaf.grad])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ELEMENTS)
def test_special_elements(name: str, value: float, dtype: Any, isa: str) -> None:
    """One NaN or infinity, at any position, spoils the same gradients and the same loss as in the reference."""
    x, target = RNG.standard_normal(67).astype(dtype), RNG.uniform(0.1, 0.9, 67).astype(dtype)
    for poisoned in (x, target):
        for i in range(67):
            kept, poisoned[i] = poisoned[i], value
            with np.errstate(invalid="ignore"):
                want = getattr(reference, name)(x, target)
            loss, dx = getattr(F, name)(x, target)
            each, alone = getattr(F, name)(x, target, reduction="none")
            np.testing.assert_allclose(dx, want[1], rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(alone / 67, want[1], rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose([loss, each.mean(dtype=float)], [want[0], want[0]], rtol=1e-5)
            poisoned[i] = kept


@pytest.mark.parametrize("dtype", DTYPES)
def test_binary_cross_entropy_far_out(dtype: Any, isa: str) -> None:
    """Small losses keep their digits and large logits stay finite: softplus to 3 ulp, its slope to 4."""
    x = np.linspace(-80, 80, 4001).astype(dtype)
    eps = float(np.finfo(dtype).eps)
    for value, far in ((x, 0.0), (-x, 1.0)):
        gradients = F.binary_cross_entropy_with_logits(value, np.full_like(x, far), reduction="sum")[1]
        slope = 1 / (1 + np.exp(-x.astype(np.float64)))
        np.testing.assert_allclose(np.abs(gradients), slope, rtol=4 * eps, atol=0)
        for i in range(0, x.size, 37):
            one, t = value[i : i + 1].copy(), np.full(1, far, dtype)
            exact = np.logaddexp(0, float(x[i]))
            assert abs(F.binary_cross_entropy_with_logits(one, t)[0] - exact) <= 3 * eps * exact
    loss, dx = F.binary_cross_entropy_with_logits(np.full(3, np.finfo(dtype).max), np.ones(3, dtype))
    assert loss == 0 and not dx.any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("beta", [0.0, 1e-50, 1.0])
def test_no_difference(beta: float, dtype: Any, isa: str) -> None:
    """Where input and target are equal, loss and gradient are 0, also for a beta that is 0 in float32."""
    x = np.arange(37, dtype=dtype)
    for loss, dx in (F.l1_loss(x, x), F.smooth_l1_loss(x, x, beta=beta), F.smooth_l1_loss(x, x, "none", beta)):
        assert not np.any(loss) and not dx.any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_divergence_of_nothing(dtype: Any, isa: str) -> None:
    """Elements with target 0 (or a very low log-target) add nothing, but NaN stays NaN."""
    x = np.array([-1, -np.inf, np.finfo(dtype).max, -2], dtype)
    target = np.array([0, 0, 0, 0.5], dtype)
    want = 0.5 * (math.log(0.5) + 2)
    assert F.kl_div(x, target, "sum")[0] == pytest.approx(want, rel=1e-6)
    log_target = np.array([-np.inf, -np.inf, np.finfo(dtype).min, np.log(0.5)], dtype)
    assert F.kl_div(x, log_target, "sum", True)[0] == pytest.approx(want, rel=1e-6)
    x[0] = np.nan
    assert math.isnan(F.kl_div(x, target, "sum")[0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_huge_differences(dtype: Any, isa: str) -> None:
    """The loss is a float64, so a square beyond float32's range is still finite."""
    x = np.full(3, 1e30, dtype)
    assert F.mse_loss(x, -x)[0] == pytest.approx(4e60, rel=1e-6)
    assert F.huber_loss(x, -x)[0] == pytest.approx(2e30, rel=1e-6)


@pytest.mark.parametrize("n", [5, 300])
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_that_do_not_count(dtype: Any, n: int, isa: str) -> None:
    """Ignored rows have zero gradients even if they are NaN; if all rows are ignored, the mean is NaN, as in torch."""
    x = RNG.standard_normal((3, n)).astype(dtype)
    x[1] = np.nan
    for smoothing in (0.0, 0.2):
        loss, dx = F.softmax_cross_entropy(x, np.array([0, 2, 1]), ignore_index=2, label_smoothing=smoothing)
        assert math.isfinite(loss) and not dx[1].any() and np.isfinite(dx).all()
        loss, dx, count = F.softmax_cross_entropy(x, np.full(3, -100), label_smoothing=smoothing, return_count=True)
        assert math.isnan(loss) and not dx.any() and count == 0
    loss, dx = F.nll_loss(x, np.full(3, -100))
    assert math.isnan(loss) and not dx.any()


def test_masked_class_of_a_soft_target() -> None:
    """A logit of -infinity whose target is 0 adds nothing."""
    logits, target = np.array([[1.0, -np.inf, 2.0]]), np.array([[0.4, 0.0, 0.6]])
    loss, dx = F.softmax_cross_entropy(logits, target)
    want, gradient = F.softmax_cross_entropy(logits[:, ::2].copy(), target[:, ::2].copy())
    assert loss == pytest.approx(want) and dx[0, 1] == 0
    np.testing.assert_allclose(dx[:, ::2], gradient)


def test_empty() -> None:
    """Over no elements the mean is NaN, and the sum and batchmean are 0, as in torch."""
    empty = np.ones((0, 3))
    for run in (getattr(F, name) for name in ELEMENTS):
        assert math.isnan(run(empty, empty)[0]) and run(empty, empty, reduction="sum")[0] == 0
        assert run(empty, empty, reduction="none")[0].shape == (0, 3)
    assert F.kl_div(empty, empty, "batchmean")[0] == 0
    for reduction, want in (("mean", math.nan), ("sum", 0.0)):
        for target in (np.zeros(0, int), empty):
            np.testing.assert_equal(F.softmax_cross_entropy(empty, target, reduction=reduction)[0], want)
    assert F.softmax(np.ones((2, 0))).shape == (2, 0) and F.softmax(np.ones(()))[()] == 1


class Failing:
    """An index whose conversion fails."""

    def __index__(self) -> int:
        raise RuntimeError("no index")


X, T = np.ones((2, 3)), np.zeros(2, int)


@pytest.mark.parametrize(
    ("run", "error", "sentence"),
    [
        (lambda: F.softmax(X, 2), ValueError, r"^dim: got 2, want an axis of x's shape \(2, 3\), in \[-2, 2\)"),
        (lambda: F.softmax_backward(X, X, -3), ValueError, "^dim: got -3, want"),
        (lambda: F.mse_loss(X, X, "avg"), ValueError, "^reduction: got 'avg', want one of 'mean', 'sum', 'none'$"),
        (lambda: F.mse_loss(X, X, None), ValueError, "^reduction: got None, want one of 'mean', 'sum', 'none'$"),
        (lambda: F.mse_loss(X, X, "batchmean"), ValueError, "^reduction: got 'batchmean', want one of 'mean'"),
        (lambda: F.kl_div(X, X, "avg"), ValueError, "^reduction: .*one of 'mean', 'sum', 'none', 'batchmean'$"),
        (lambda: F.kl_div(np.ones(()), np.ones(()), "batchmean"), ValueError, r"^input: got shape \(\), want a batch"),
        (lambda: F.softmax_cross_entropy(X, T, reduction="all"), ValueError, "^reduction: .* 'sum', 'none'$"),
        *(
            (lambda d=d: F.huber_loss(X, X, delta=d), ValueError, f"^delta: got {d}, want a finite number > 0")
            for d in (0.0, -1.0, math.nan, math.inf)
        ),
        *(
            (lambda b=b: F.smooth_l1_loss(X, X, beta=b), ValueError, f"^beta: got {b}, want a finite number >= 0")
            for b in (-1.0, math.nan, math.inf)
        ),
        *(
            (
                lambda s=s: F.softmax_cross_entropy(X, T, label_smoothing=s),
                ValueError,
                f"^label_smoothing: got {s}, want",
            )
            for s in (-0.1, 1.1, math.nan)
        ),
        (lambda: F.nll_loss(X, T, ignore_index=1.5), TypeError, "^ignore_index: got 1.5, want an int; .+"),
        (lambda: F.nll_loss(X, T, ignore_index=Failing()), RuntimeError, "^no index$"),  # type: ignore[arg-type]
        (lambda: F.nll_loss(X, T, ignore_index=2**64), ValueError, "^ignore_index: got .*, want an int of 64 bits; .+"),
        (lambda: F.softmax_cross_entropy(X, X, ignore_index=1), ValueError, "^ignore_index: got 1, want a neg.*; .+"),
        (
            lambda: F.nll_loss(X, T - 5),
            IndexError,
            r"^target\[0\]: got -5, want a class in \[0, 3\) or ignore_index -100",
        ),
        (lambda: F.mse_loss(np.ones((3, 1)), np.ones(3)), ValueError, r"^target: got shape \(3,\), want \(3, 1\)"),
        (lambda: nn.CrossEntropyLoss(reduction="none"), ValueError, "^reduction: got 'none', want 'mean' or 'sum'"),
    ],
)
def test_refused(run: Any, error: type[Exception], sentence: str) -> None:
    """Bad options and shapes are refused."""
    with pytest.raises(error, match=sentence):
        run()
