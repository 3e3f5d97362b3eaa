"""The losses of fastnn.nn equal torch's, and the losses of their samples make up their mean."""

import copy
import itertools
import math
import pickle
from typing import Any

import numpy as np
import pytest
from support import DTYPES, Array, numeric_gradient, relative_error, same_bits

from fastnn import functional as F
from fastnn import nn
from fastnn.optim import SGD
from fastnn.training import Trainer
from fastnn.training.losses import batch_loss, batch_value
from fastnn.training.windows import Batch

RNG = np.random.default_rng(37)
N, E, C = 5, 3, 4
SHAPES = [(N, E), (N, 1), (N,), (N, 2, E)]
WEIGHT = RNG.uniform(0.5, 2, C)
ELEMENTS: dict[str, dict[str, Any]] = {
    "MSELoss": {},
    "L1Loss": {},
    "HuberLoss": {"delta": 0.5},
    "SmoothL1Loss": {"beta": 0.5},
    "BCEWithLogitsLoss": {},
    "KLDivLoss": {"log_target": True},
    "GaussianNLLLoss": {"full": True, "eps": 1e-3},
}
TASKS = {
    "BCEWithLogitsLoss": "binary",
    "KLDivLoss": "distribution",
    "CrossEntropyLoss": "classes",
    "NLLLoss": "classes",
}


def _arrays(name: str, shape: tuple[int, ...], dtype: Any = np.float64) -> tuple[Any, Array]:
    """Return an output of this shape, for GaussianNLLLoss with a variance, and targets."""
    output = RNG.standard_normal(shape).astype(dtype)
    target = {"BCEWithLogitsLoss": RNG.uniform(0, 1, shape), "KLDivLoss": np.log(RNG.uniform(0.1, 1, shape))}.get(
        name, RNG.standard_normal(shape)
    )
    pair = (output, RNG.uniform(0.5, 2, shape).astype(dtype))
    return pair if name == "GaussianNLLLoss" else output, target.astype(dtype)


def _torch(loss: Any, output: Any, target: Array) -> list[Array]:
    """Return torch's loss with the same options, and its gradients."""
    torch = pytest.importorskip("torch")
    options = {k: v for k, v in vars(loss).items() if v is not None}
    options = {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    leaves = [torch.from_numpy(a.copy()).requires_grad_() for a in (output if isinstance(output, tuple) else (output,))]
    wants_axis_1 = loss.task == "classes" and leaves[0].ndim > 2
    goal = torch.from_numpy(np.moveaxis(target, -1, 1) if wants_axis_1 and target.ndim == leaves[0].ndim else target)
    inputs = [torch.movedim(leaves[0], -1, 1).contiguous() if wants_axis_1 else leaves[0], goal, *leaves[1:]]
    value = getattr(torch.nn, type(loss).__name__)(**options)(*inputs)
    value.backward()
    return [value.detach().numpy(), *(leaf.grad.numpy() for leaf in leaves)]


def _flat(found: tuple[Any, Any]) -> list[Any]:
    value, gradient = found
    return [value, *(gradient if isinstance(gradient, tuple) else (gradient,))]


def _close(found: list[Any], want: list[Any]) -> None:
    for a, b in zip(found, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def _check_samples(loss: Any, output: Any, target: Array) -> None:
    """Assert that each sample has the loss and the gradient that it has alone, and that they make up the batch's."""
    each, *gradients = _flat(loss.each(output, target))
    counts = loss.counts(target)
    weights = np.ones(len(target)) if counts is None else counts
    assert each.shape == (len(target),) and each.dtype == gradients[0].dtype
    for i in range(len(target)):
        one = tuple(a[i : i + 1] for a in output) if isinstance(output, tuple) else output[i : i + 1]
        value, *alone = _flat(loss(one, target[i : i + 1]))
        _close([each[i], *(g[i : i + 1] for g in gradients)], [value if weights[i] else 0.0, *alone])
    value, *whole = _flat(loss(output, target))
    if loss.reduction == "sum":
        return _close([each.sum(), *gradients], [value, *whole])
    share = weights / weights.sum()
    scaled = [g * share.reshape(-1, *[1] * (g.ndim - 1)) for g in gradients]
    _close([float(share @ each), *scaled], [value, *whole])


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ELEMENTS)
@pytest.mark.filterwarnings("ignore:reduction:UserWarning")
def test_elementwise(name: str, shape: tuple[int, ...], reduction: str) -> None:
    """Loss and gradient equal torch's, and the mean or sum over the samples."""
    loss = getattr(nn, name)(**ELEMENTS[name], reduction=reduction)
    output, target = _arrays(name, shape)
    value, gradient = loss(output, target)
    assert isinstance(value, float) and loss.task == TASKS.get(name, "regression") and loss.counts(target) is None
    _check_samples(loss, output, target)
    _close(_flat((value, gradient)), _torch(loss, output, target))


def test_batchmean() -> None:
    """The divergence divided by the number of samples: the mean over samples of sums."""
    loss = nn.KLDivLoss("batchmean")
    output, target = RNG.standard_normal((N, E)), RNG.dirichlet(np.ones(E), N)
    _check_samples(loss, output, target)
    _close(_flat(loss(output, target)), _torch(loss, output, target))


@pytest.mark.parametrize(("w", "p"), [*itertools.product((None, (E,), (1, E)), (None, (E,)))])
def test_binary_weights(w: Any, p: Any) -> None:
    """Weights of elements and of the positive class, also as lists and in another dtype than the output's."""
    given = [None if s is None else RNG.uniform(0.5, 2, s) for s in (w, p)]
    output, target = _arrays("BCEWithLogitsLoss", (1, E))
    loss = nn.BCEWithLogitsLoss(given[0], pos_weight=given[1])
    _close(_flat(loss(output, target)), _torch(loss, output, target))
    lists = nn.BCEWithLogitsLoss(*(g if g is None else g.tolist() for g in given[:1]), "mean", given[1])
    assert lists(output, target)[0] == loss(output, target)[0]
    single = loss(output.astype(np.float32), target)
    assert single[1].dtype == np.float32 and single[0] == pytest.approx(loss(output, target)[0], rel=1e-5)


LABEL_SHAPES = [(N,), (N, 3), (N, 2, 3)]
CLASS_LOSSES: list[Any] = [
    *(getattr(nn, name)(w, i, r) for name in ("CrossEntropyLoss", "NLLLoss") for w in (None, WEIGHT)
      for i in (-100, 2) for r in ("mean", "sum")),
    nn.CrossEntropyLoss(label_smoothing=0.3), nn.CrossEntropyLoss(WEIGHT, label_smoothing=0.3),
]  # fmt: skip


@pytest.mark.parametrize("loss", CLASS_LOSSES, ids=repr)
@pytest.mark.parametrize("shape", LABEL_SHAPES, ids=str)
def test_classes(shape: tuple[int, ...], loss: Any) -> None:
    """Labels of any number of axes: torch's loss and gradient, each sample's own, and its weight in the mean."""
    output, labels = RNG.standard_normal((*shape, C)), RNG.integers(0, C, shape)
    labels[1:3].reshape(-1)[:4] = loss.ignore_index
    labels[2] = loss.ignore_index
    want = (np.ones(C) if loss.weight is None else WEIGHT)[np.where(labels < 0, 0, labels)]
    want[labels == loss.ignore_index] = 0
    np.testing.assert_allclose(loss.counts(labels), want.reshape(N, -1).sum(1), rtol=1e-14)
    each, gradient = loss.each(output, labels)
    assert each[2] == 0 and not gradient[2].any()
    _close(_flat(loss(output, labels)), _torch(loss, output, labels))
    with np.errstate(invalid="ignore"):
        kept = np.arange(N) != 2  # alone, a sample without a label has no mean
        _check_samples(loss, output[kept], labels[kept])


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "NLLLoss"])
def test_weights_of_any_kind(name: str) -> None:
    """Weights of classes as a list, as integers and in another dtype than the output's."""
    output, labels = RNG.standard_normal((N, C)).astype(np.float32), RNG.integers(0, C, N)
    want = getattr(nn, name)(np.array([1, 2, 3, 4], np.float32))(output, labels)
    for given in ([1, 2, 3, 4], (1.0, 2.0, 3.0, 4.0), np.arange(1, 5), np.arange(1.0, 5)):
        loss, gradient = getattr(nn, name)(given)(output, labels)
        assert loss == want[0] and same_bits(gradient, want[1])


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weight"])
@pytest.mark.parametrize("shape", LABEL_SHAPES, ids=str)
def test_weighted_samples(shape: tuple[int, ...], weight: Any, reduction: Any) -> None:
    """The trainer's loss of weighted samples, and its gradient, are those of labels weighted one by one."""
    output, labels = RNG.standard_normal((*shape, C)), RNG.integers(0, C, shape)
    labels.reshape(-1)[::4] = -100
    labels[2] = -100
    loss, of_sample = nn.CrossEntropyLoss(weight, reduction=reduction), RNG.uniform(0, 2, N)
    counts = loss.counts(labels)
    assert counts is not None
    total = float(of_sample @ counts)
    value, gradient = batch_loss(loss, output.copy(), Batch(output, labels, of_sample, total, 1.0, True, True))
    each, whole = F.softmax_cross_entropy(output, labels, weight, reduction="none")
    factor = of_sample.reshape(-1, *[1] * (labels.ndim - 1))
    want = whole * factor[..., None] / (1 if reduction == "sum" else total)
    _close([value, gradient], [(each * factor).sum() / total, want])
    zero = Batch(output, labels, np.zeros(N), 0.0, 1.0, True, True)
    value, gradient = batch_loss(loss, output.copy(), zero)
    assert math.isnan(value) and not gradient.any()


def test_counts() -> None:
    """Counts are None for ones; labels of several axes always have counts, so that batches can be compared."""
    plain, whole = nn.CrossEntropyLoss(), np.zeros(N, int)
    assert plain.counts(whole) is None and plain.counts(RNG.dirichlet(np.ones(C), N)) is None
    assert plain.counts(np.zeros((N, 3), np.uint8)).tolist() == [3.0] * N
    assert plain.counts(np.zeros((0, 3), int)).shape == (0,)
    with pytest.raises(IndexError, match=r"^target: got label -1 at row 0, want one in \[0, 4\)"):
        nn.CrossEntropyLoss(WEIGHT).counts(whole - 1)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("shape", LABEL_SHAPES, ids=str)
def test_probabilities(shape: tuple[int, ...], reduction: Any) -> None:
    """Probabilities of the output's shape: torch's loss, and the mean or sum of each sample's rows."""
    loss = nn.CrossEntropyLoss(WEIGHT, reduction=reduction, label_smoothing=0.1)
    output, target = RNG.standard_normal((*shape, C)), RNG.dirichlet(np.ones(C), shape)
    _check_samples(loss, output, target)
    _close(_flat(loss(output, target)), _torch(loss, output, target))


@pytest.mark.parametrize("loss", [nn.MSELoss(), nn.KLDivLoss(), nn.CrossEntropyLoss(), nn.GaussianNLLLoss()], ids=repr)
def test_gradients_of_samples(loss: Any) -> None:
    """The gradient of `each` is that of the sum of the samples' losses."""
    shape = (N, 2, C)
    output = RNG.standard_normal(shape)
    target = RNG.integers(0, C, shape[:2]) if loss.task == "classes" else RNG.uniform(0.1, 1, shape)
    given = (output, RNG.uniform(0.5, 2, shape)) if isinstance(loss, nn.GaussianNLLLoss) else output
    _, gradient, *_ = _flat(loss.each(given, target))
    assert relative_error(gradient, numeric_gradient(lambda: float(loss.each(given, target)[0].sum()), output)) <= 1e-6


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ELEMENTS)
def test_targets_are_converted(name: str, dtype: Any) -> None:
    """Integers, bools and other floats give the result of targets of the output's dtype, and are not changed."""
    loss = getattr(nn, name)(**{k: v for k, v in ELEMENTS[name].items() if k != "log_target"})
    output, _ = _arrays(name, (N, E), dtype)
    for given in (RNG.integers(0, 2, (N, E)), RNG.integers(0, 2, (N, E)).astype(bool), RNG.uniform(0, 1, (N, E)),
                  RNG.uniform(0, 1, (N, E)).astype(np.float16), RNG.integers(0, 2, (N, E)).astype(">i2")):  # fmt: skip
        before = given.copy()
        want = _flat(loss(output, given.astype(dtype)))
        found = _flat(loss(output, given))
        assert found[0] == want[0] and all(map(same_bits, found[1:], want[1:])) and same_bits(given, before)
        assert same_bits(loss.each(output, given)[0], loss.each(output, given.astype(dtype))[0])


def test_empty() -> None:
    """Without samples there is no loss of a sample; without elements the mean of a sample is NaN and the sum 0."""
    for name, (shape, samples) in itertools.product(ELEMENTS, (((0, 3), 0), ((2, 0), 2))):
        output, target = _arrays(name, shape)
        each = getattr(nn, name)().each(output, target)[0]
        assert each.shape == (samples,) and np.isnan(each).all()
        assert not getattr(nn, name)(reduction="sum").each(output, target)[0].any()
    for labels in (np.zeros((0, 3), int), np.zeros((2, 0), int)):
        each = nn.CrossEntropyLoss().each(np.ones((*labels.shape, C)), labels)[0]
        assert each.shape == (len(labels),) and not each.any()
    with pytest.raises(
        ValueError, match=r"^output: got shape \(\), want at least one axis.*; pass output.reshape\(1\)"
    ):
        nn.MSELoss().each(np.ones(()), np.ones(()))


def test_options_are_shown_and_kept() -> None:
    """The repr has the options that are not default; copies and pickles have the same."""
    shown = {
        nn.MSELoss(): "MSELoss()",
        nn.L1Loss("sum"): "L1Loss(reduction='sum')",
        nn.HuberLoss(delta=2): "HuberLoss(delta=2.0)",
        nn.SmoothL1Loss("sum", 0): "SmoothL1Loss(reduction='sum', beta=0.0)",
        nn.BCEWithLogitsLoss([1, 2], pos_weight=[3.0]): (
            "BCEWithLogitsLoss(weight=array([1., 2.]), pos_weight=array([3.]))"
        ),
        nn.KLDivLoss("batchmean", True): "KLDivLoss(reduction='batchmean', log_target=True)",
        nn.GaussianNLLLoss(full=True, eps=0.5, reduction="sum"): (
            "GaussianNLLLoss(full=True, eps=0.5, reduction='sum')"
        ),
        nn.NLLLoss([1, 2], 3, "sum"): "NLLLoss(weight=array([1., 2.]), ignore_index=3, reduction='sum')",
        nn.CrossEntropyLoss((1, 2), label_smoothing=1): "CrossEntropyLoss(weight=array([1., 2.]), label_smoothing=1.0)",
    }
    for loss, text in shown.items():
        assert repr(loss) == repr(copy.deepcopy(loss)) == repr(pickle.loads(pickle.dumps(loss))) == text
    weight = WEIGHT.astype(np.float32)
    assert nn.CrossEntropyLoss(weight).weight is weight


@pytest.mark.parametrize(
    ("name", "options", "error", "sentence"),
    [
        *((name, {"reduction": "none"}, ValueError, "^reduction: got 'none', want 'mean' or 'sum', since.*; .+")
          for name in (*ELEMENTS, "CrossEntropyLoss", "NLLLoss") if name != "KLDivLoss"),
        ("KLDivLoss", {"reduction": "none"}, ValueError, "^reduction: got 'none', want 'mean', 'sum' or 'batchmean', "),
        ("MSELoss", {"reduction": "batchmean"}, ValueError, "^reduction: got 'batchmean', want 'mean' or 'sum', "),
        ("HuberLoss", {"delta": 0}, ValueError, "^delta: got 0, want a finite number > 0"),
        ("SmoothL1Loss", {"beta": -1}, ValueError, "^beta: got -1, want a finite number >= 0"),
        ("GaussianNLLLoss", {"eps": 0.0}, ValueError, "^eps: got 0.0, want a finite number > 0"),
        ("GaussianNLLLoss", {"full": 1}, TypeError, "^full: got 1, want True or False"),
        ("KLDivLoss", {"log_target": None}, TypeError, "^log_target: got None, want True or False"),
        ("CrossEntropyLoss", {"label_smoothing": 2}, ValueError, r"^label_smoothing: got 2.0, want a number in \[0, 1"),
        ("NLLLoss", {"ignore_index": 1.5}, TypeError, "^ignore_index: got 1.5, want an integer; .+"),
        ("NLLLoss", {"weight": [1, -2]}, ValueError, "^weight: got -2.0, want finite numbers >= 0; leave weight out"),
        ("CrossEntropyLoss", {"weight": [1, math.nan]}, ValueError, "^weight: got nan, want finite numbers >= 0; .+"),
        ("BCEWithLogitsLoss", {"weight": [math.inf]}, ValueError, "^weight: got inf, want finite numbers >= 0; .+"),
        ("BCEWithLogitsLoss", {"pos_weight": -1.0}, ValueError, "^pos_weight: got -1.0, want finite numbers >= 0; .+"),
        ("BCEWithLogitsLoss", {"pos_weight": ["a"]}, TypeError, "^pos_weight: got <U1, want a numeric array; .+"),
    ],
)  # fmt: skip
def test_wrong_options(name: str, options: dict[str, Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        getattr(nn, name)(**options)


@pytest.mark.parametrize(
    ("loss", "output", "target", "error", "sentence"),
    [
        (
            nn.CrossEntropyLoss([1.0, 2.0]),
            np.ones((2, 3)),
            np.zeros(2, int),
            ValueError,
            r"^weight: got shape \(2,\), ",
        ),
        (nn.BCEWithLogitsLoss([1.0]), np.ones((2, 3)), np.ones((2, 3)), ValueError, r"^weight: got shape \(1,\), want"),
        (nn.MSELoss(), np.ones((2, 1)), np.ones(2), ValueError, r"^target: got .*; pass y\[:, None\] or y.reshape\(-1"),
        (nn.MSELoss(), np.ones((2, 3)), np.ones((3, 3)), ValueError, r"^target: got shape \(3, 3\), want \(2, 3\)"),
        (nn.MSELoss(), np.ones(2), [1.0, 2.0], TypeError, "^target: got list, want a numpy.ndarray"),
        (nn.GaussianNLLLoss(), np.ones(2), np.ones(2), TypeError, r"^output: got ndarray, want a tuple \(mean, var\)"),
        (nn.GaussianNLLLoss(), (np.ones(2), np.full(2, -1.0)), np.ones(2), ValueError, "^var: got -1.0, want varian"),
        (nn.GaussianNLLLoss(), (np.ones((2, 1)), np.ones((2, 1))), np.ones(2), ValueError, r"y\[:, None\]"),
        (nn.CrossEntropyLoss(), np.ones((2, 3)), np.array([0, 3]), IndexError, r"^labels\[1\]: got 3, want a class in"),
    ],
)
def test_wrong_calls(loss: Any, output: Any, target: Any, error: type[Exception], sentence: str) -> None:
    """Calls and `each` refuse shapes that do not fit; nothing is broadcast."""
    for call in (loss, loss.each):
        with pytest.raises(error, match=sentence):
            call(output, target)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [1, 10, 255, 256, 3000])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_value(reduction: Any, classes: int, dtype: Any, isa: str) -> None:
    """The loss without its gradient has the same bits, for short and long rows and all kinds of targets."""
    output, weight = RNG.standard_normal((37, classes)).astype(dtype), RNG.uniform(0.5, 2, classes)
    labels, shares = RNG.integers(0, classes, 37), F.softmax(output)
    labels[5] = -100
    for loss, target in (
        (nn.CrossEntropyLoss(weight, reduction=reduction), labels),
        (nn.CrossEntropyLoss(weight, reduction=reduction, label_smoothing=0.1), labels),
        (nn.CrossEntropyLoss(reduction=reduction), shares),
        (nn.NLLLoss(weight, reduction=reduction), labels),
    ):
        before = output.copy()
        assert loss.value(output, target) == loss(output, target)[0]
        assert same_bits(output, before)


def test_validation_computes_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss of a batch is the same in validation as in training, also as a sum or with weights of samples."""
    output, labels = RNG.standard_normal((N, C)), RNG.integers(0, C, N)
    for reduction in ("mean", "sum"):
        loss = nn.CrossEntropyLoss(reduction=reduction)  # type: ignore[arg-type]
        for weights in (None, np.arange(1.0, N + 1)):
            total = float(N) if weights is None else float(weights.sum())
            batch = Batch(output, labels, weights, total, 1.0, True, True)
            assert batch_value(loss, output, batch) == batch_loss(loss, output, batch)[0]

    def refused(*_: object) -> None:
        raise AssertionError("validation computed a gradient")

    monkeypatch.setattr(nn.CrossEntropyLoss, "__call__", refused)
    model = nn.Sequential(nn.Linear(C, C))
    trainer = Trainer(model, nn.CrossEntropyLoss(), SGD(model.parameters(), lr=0.1))
    assert math.isfinite(trainer.evaluate((output.astype(np.float32), labels))["loss"])
