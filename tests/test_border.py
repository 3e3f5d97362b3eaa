"""Every invalid argument of a function raises with its message, before anything is written."""

import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from calls import (
    COLUMNS,
    EXTRA_AXIS,
    FORTRAN,
    OTHER_DTYPE,
    OTHER_SHAPE,
    READ_ONLY,
    ROWS,
    WRONG,
    Call,
    misaligned,
    strided,
)
from in_place import leaves
from kernels import CALLS
from support import Array, refused, same_bits

import fastnn
from fastnn import Generator, init
from fastnn import functional as F

NAN, INF = math.nan, math.inf


def _wrong_arguments() -> list[Any]:
    """Return (call, argument, kind of invalid array) for every array argument of every call."""
    cases = []
    for name, call in CALLS.items():
        first = next(iter(call.shapes))
        for argument, shape in call.shapes.items():
            kinds = {} if argument in call.labels + call.places else dict(WRONG)
            # other arrays are taken for labels
            if name == "softmax_cross_entropy-probabilities" and argument == "labels":
                kinds = {k: v for k, v in WRONG.items() if v[1] is ValueError}
            kinds |= {"fortran": FORTRAN} if sum(n > 1 for n in shape) > 1 and kinds else {}
            kinds |= {"read-only": READ_ONLY} if argument in call.written else {}
            if argument != first:
                kinds |= {"shape": OTHER_SHAPE, "axis": EXTRA_AXIS}
                kinds |= {} if argument in call.labels + call.places else {"dtype": OTHER_DTYPE}
            if argument in call.optional or argument.startswith("running"):  # for these see test_shapes
                kinds.pop("None", None)
            if name == "kaiming_normal_":  # the shape is read before the argument checks
                kinds = {k: v for k, v in kinds.items() if v[1] is ValueError}
            cases += [pytest.param(call, argument, *how, id=f"{name}-{argument}-{k}") for k, how in kinds.items()]
    return cases


@pytest.mark.parametrize(("call", "argument", "spoil", "error", "sentence"), _wrong_arguments())
def test_wrong_array(
    call: Call, argument: str, spoil: Callable[[Array], Any], error: type[Exception], sentence: str
) -> None:
    """The message names the argument, the value received, the value wanted, and a remedy."""
    arrays = call.arrays()
    arrays[argument] = spoil(arrays[argument])
    remedy = "" if argument in ("labels", "target", "mean") and "shape" in sentence else ".*; .+"
    refused(lambda: call(**arrays), arrays, error, f"^{argument}: {sentence}{remedy}")


# The neutral value of each optional argument: an array full of it must give the same result as None.
NEUTRAL = {"weight": 1.0, "bias": 0.0, "residual": 0.0, "dsum": 0.0, "pos_weight": 1.0, "y": 1.0}


@pytest.mark.parametrize("name", CALLS)
def test_good_arrays_pass(name: str) -> None:
    """Read-only inputs give the same results as writable ones; omitted arguments count as ones or zeros."""
    call = CALLS[name]

    def run(**arrays: Any) -> list[Array]:
        fastnn.manual_seed(1)
        return leaves(call(**arrays))

    want = run(**call.arrays())
    assert want and all(np.isfinite(leaf).all() for leaf in want)
    inputs = call.arrays()
    for argument in set(inputs) - set(call.written):
        inputs[argument].flags.writeable = False
    found = run(**inputs)
    assert len(found) == len(want) and all(map(same_bits, found, want))
    needed = {k: a for k, a in call.arrays().items() if k not in call.optional}
    neutral = {k: np.full(call.shapes[k], NEUTRAL[k]) for k in call.optional if k != "out"}
    bare = run(**{k: np.copy(a) for k, a in needed.items()}, **dict.fromkeys(_required(call)))
    for left, whole in zip(bare, run(**needed, **neutral), strict=False):  # a missing bias has no gradient
        assert same_bits(left, whole)


def _required(call: Call) -> set[str]:
    """Return which of `weight` and `bias` have no default in a backward function."""
    return {"weight", "bias"} & set(call.shapes) if "dy" in call.shapes else set()


def test_read_only_running_statistics_in_evaluation() -> None:
    """Evaluation only reads the running statistics, so read-only arrays are accepted."""
    x, mean, var = np.full((3, 2), 5.0), np.array([1.0, 2.0]), np.array([4.0, 9.0])
    mean.flags.writeable = var.flags.writeable = False
    np.testing.assert_array_equal(F.batch_norm(x, mean, var, eps=0.0), [[2.0, 1.0]] * 3)
    np.testing.assert_array_equal(
        F.instance_norm(x[..., None], mean, var, use_input_stats=False, eps=0)[0, :, 0], [2, 1]
    )
    assert mean.tolist() == [1, 2] and var.tolist() == [4, 9]


OVERLAPS = [(n, a) for n, c in CALLS.items() if "out" in c.shapes for a in c.shapes if a != "out"]


@pytest.mark.parametrize(("name", "argument"), OVERLAPS)
def test_out_overlaps(name: str, argument: str) -> None:
    """`out` may not share its last or first element with an input; it may be the whole input only where allowed."""
    call = CALLS[name]
    for shift in (1, -1):
        arrays = call.arrays()
        size, total = arrays[argument].size, arrays["out"].size
        buffer = np.zeros(size + total - 1)
        parts = (slice(total), slice(total - 1, None)) if shift > 0 else (slice(size - 1, None), slice(size))
        out = buffer[parts[0]].reshape(arrays["out"].shape)
        seen = buffer[parts[1]].view(arrays[argument].dtype)
        source = (seen[:size] if shift > 0 else seen[-size:]).reshape(arrays[argument].shape)
        source[...] = arrays[argument]
        arrays |= {"out": out, argument: source}
        sentence = f"^(out: got memory that overlaps {argument}|{argument}: got memory that overlaps out), want .*; .+"
        refused(partial(call, **arrays), arrays, ValueError, sentence)
    if argument in call.same:
        arrays = call.arrays()
        arrays["out"] = arrays[argument]
        call(**arrays)


@pytest.mark.parametrize(("name", "argument"), OVERLAPS)
def test_out_next_to_an_input(name: str, argument: str) -> None:
    """`out` may begin where an input ends, and end where it begins."""
    call = CALLS[name]
    fastnn.manual_seed(1)
    call(**(want := call.arrays()))
    for first in (argument, "out"):
        arrays = call.arrays()
        size = -(-arrays[first].nbytes // 8) * 8  # where a double may begin
        buffer = np.zeros((arrays[argument].nbytes + arrays["out"].nbytes) // 8 + 1).view(np.uint8)
        for key, begin in ((first, 0), ("out" if first == argument else argument, size)):
            place = buffer[begin : begin + arrays[key].nbytes].view(arrays[key].dtype).reshape(arrays[key].shape)
            place[...] = arrays[key]
            arrays[key] = place
        fastnn.manual_seed(1)
        call(**arrays)
        assert same_bits(arrays["out"], want["out"]) and same_bits(arrays[argument], want[argument])


STATISTICS = ("running_mean", "running_var")
TRAINING = [name for name, call in CALLS.items() if "running_mean" in call.written]


@pytest.mark.parametrize(
    ("name", "written", "other"),
    [(n, w, o) for n in TRAINING for w in STATISTICS for o in CALLS[n].shapes if o != w and (o, w) != STATISTICS],
)
def test_running_statistics_overlap(name: str, written: str, other: str) -> None:
    """Running statistics that share an element with any other argument, or with each other, are refused."""
    call = CALLS[name]
    for at_end in (True, False):
        arrays = call.arrays()
        size, count = arrays[other].size, arrays[written].size
        buffer = np.ones(size + count - 1)
        first, second = (buffer[:size], buffer[size - 1 :]) if at_end else (buffer[count - 1 :], buffer[:count])
        arrays |= {other: first.reshape(arrays[other].shape), written: second}
        sentence = (
            f"^({written}: got memory that overlaps {other}|{other}: got memory that overlaps {written}), want .*; .+"
        )
        refused(partial(call, **arrays), arrays, ValueError, sentence)


@pytest.mark.parametrize(
    ("labels", "error", "sentence"),
    [
        ([0] * ROWS, TypeError, "^labels: got list.*, want .*int.*; .+"),
        (None, TypeError, "^labels: got NoneType.*, want .*int.*; .+"),
        (np.zeros(ROWS), TypeError, "^labels: got .*float64.*, want .*int.*; .+"),
        (np.zeros(ROWS, bool), TypeError, "^labels: got .*bool.*, want .*int.*; .+"),
        (np.zeros((ROWS, 1), np.int64), ValueError, r"^labels: got shape \(6, 1\), want \(6,\)"),
        (np.zeros((1, ROWS), np.int64), ValueError, r"^labels: got shape \(1, 6\), want \(6,\)"),
        (np.zeros(ROWS - 1, np.int64), ValueError, r"^labels: got shape \(5,\), want \(6,\)"),
        (np.array(0), ValueError, r"^labels: got shape \(\), want \(6,\)"),
        (np.array([0, 0, 4, 0, 0, 0]), IndexError, r"^labels\[2\]: got 4, want a class in \[0, 4\)"),
        (np.array([0, 0, 0, 0, 0, -1]), IndexError, r"^labels\[5\]: got -1, want a class in \[0, 4\)"),
        (np.array([-(2**63)] * ROWS), IndexError, r"^labels\[0\]: got -9223372036854775808, want"),
        (np.array([2**64 - 1] * ROWS, np.uint64), IndexError, r"^labels\[0\]: got .*, want"),
        (np.array([2**64 - 2**63] * ROWS, np.uint64), IndexError, r"^labels\[0\]: got .*, want"),
        (np.array([2**64 - 100] * ROWS, np.uint64), IndexError, r"^labels\[0\]: got .*, want"),  # not -100, left out
    ],
)
def test_labels(labels: Any, error: Any, sentence: str) -> None:
    """Labels of a wrong type or shape, and labels outside the classes, are refused."""
    arrays = CALLS["softmax_cross_entropy"].arrays() | {"labels": labels}
    before = arrays["logits"].copy(), arrays["out"].copy()
    with pytest.raises(error, match=sentence):
        F.softmax_cross_entropy(**arrays)
    assert same_bits(arrays["logits"], before[0]) and same_bits(arrays["out"], before[1])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint64", ">i4", "<i8"])
def test_labels_of_any_integer(dtype: str) -> None:
    """Labels of every integer dtype, also strided and misaligned ones, are converted, since they are only read."""
    logits = np.random.default_rng(0).standard_normal((ROWS, COLUMNS))
    labels = np.arange(ROWS) % COLUMNS
    want, gradient = F.softmax_cross_entropy(logits, labels)
    for given in (labels.astype(dtype), misaligned(labels.astype(dtype)), strided(labels.astype(dtype))):
        loss, other = F.softmax_cross_entropy(logits, given)
        assert loss == want and same_bits(gradient, other)


def test_labels_beyond_a_byte() -> None:
    """Unsigned labels of 64 bits are kept, also those above 127."""
    logits = np.random.default_rng(0).standard_normal((4, 300))
    labels = np.array([0, 126, 200, 299])
    want, gradient = F.softmax_cross_entropy(logits, labels)
    loss, other = F.softmax_cross_entropy(logits, labels.astype(np.uint64))
    assert loss == want and same_bits(gradient, other)


@pytest.mark.parametrize("label", [2**60 + 1, 2**63 - 1, -(2**63) + 1])
def test_large_labels_left_out(label: int) -> None:
    """A label that a double cannot hold leaves its rows out, in every layout; its neighbour does not."""
    logits = np.random.default_rng(0).standard_normal((ROWS, COLUMNS))
    labels = np.arange(ROWS) % COLUMNS
    labels[2] = label
    want = np.delete(logits, 2, axis=0), np.delete(labels, 2)
    others = [labels.astype(np.uint64)] if label > 0 else []
    for given in (labels, strided(labels), labels.astype(">i8"), *others):
        assert F.softmax_cross_entropy(logits, given, ignore_index=label)[0] == pytest.approx(
            F.softmax_cross_entropy(*want)[0], rel=1e-14
        )
        with pytest.raises(IndexError, match=rf"^labels\[2\]: got {label}, want"):
            F.softmax_cross_entropy(logits, given, ignore_index=label - 1)


@pytest.mark.parametrize("distance", [0, 1, 2, 100])
def test_unsigned_labels_do_not_become_negative(distance: int) -> None:
    """An unsigned label beyond int64 is refused, even if the signed number with its bits is left out."""
    labels = np.array([2**63 + distance] * ROWS, np.uint64)
    with pytest.raises(IndexError, match=r"^labels\[0\]: got .*, want a class in"):
        F.softmax_cross_entropy(np.ones((ROWS, COLUMNS)), labels, ignore_index=-(2**63) + distance)


def _option(run: Callable[..., Any], name: str, **options: Any) -> Any:
    shown = re.escape(repr(options[name]))
    return pytest.param(run, options, rf"^{name}: got {shown}, want ", id=f"{run.__name__}-{name}-{options[name]}")


def dropout(**options: Any) -> Any:
    """Call dropout on a small array."""
    return F.dropout(np.ones(3), **options)


def layer_norm(**options: Any) -> Any:
    """Call layer_norm on a small array."""
    return F.layer_norm(np.ones((2, 3)), 3, **options)


def batch_norm(**options: Any) -> Any:
    """Call batch_norm on a small array."""
    return F.batch_norm(np.ones((2, 3)), training=True, **options)


def uniform(**options: Any) -> Any:
    """Call uniform_ on a small array."""
    return init.uniform_(np.ones(3), **options)


def normal(**options: Any) -> Any:
    """Call normal_ on a small array."""
    return init.normal_(np.ones(3), **options)


OPTIONS = [
    *(_option(dropout, "p", p=v) for v in (NAN, INF, -INF, -0.1, 1.1)),
    *(_option(layer_norm, "eps", eps=v) for v in (NAN, INF, -1e-5)),
    *(_option(batch_norm, "eps", eps=v) for v in (NAN, INF, -1e-5)),
    *(_option(batch_norm, "momentum", momentum=v) for v in (NAN, INF, -0.1, 1.1)),
    *(_option(uniform, "a", a=v) for v in (NAN, INF, -INF)),
    *(_option(uniform, "b", b=v) for v in (NAN, INF)),
    _option(uniform, "a", a=2.0, b=1.0),
    *(_option(normal, "mean", mean=v) for v in (NAN, INF)),
    *(_option(normal, "std", std=v) for v in (NAN, INF, -1.0)),
]


@pytest.mark.parametrize(("run", "options", "sentence"), OPTIONS)
def test_options(run: Callable[..., Any], options: dict[str, Any], sentence: str) -> None:
    """NaN, infinite, negative and too large options are refused."""
    refused(lambda: run(**options), {}, ValueError, sentence)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1e39), (-3e38, 3e38), (-1e39, 0.0)])
def test_interval_beyond_float32(low: float, high: float) -> None:
    """Bounds or a width that float32 cannot represent are refused; float64 represents them."""
    target, wide = np.zeros(1000, np.float32), np.zeros(1000)
    with pytest.raises(ValueError, match=f"^b: got {re.escape(str(high))}, want "):
        init.uniform_(target, low, high, Generator(1))
    assert not target.any()
    init.uniform_(wide, low, high, Generator(1))
    assert (low <= wide).all() and (wide < high).all() and wide.std() > 0


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1), (1, 3, 1, 1)])
def test_batch_of_one(shape: tuple[int, ...]) -> None:
    """Training refuses one value per channel, which has no variance; evaluation accepts it."""
    x, mean, var = np.ones(shape), np.zeros(3), np.ones(3)
    arrays = {"x": x, "mean": mean, "var": var}
    sentence = r"^x: got one value per channel, shape \(1, 3.*, want at least two in training.*; .+"
    refused(lambda: F.batch_norm(x, mean, var, training=True, out=x), arrays, ValueError, sentence)
    assert F.batch_norm(x, mean, var).shape == shape
    for several in [(1, 3, 2), (1, 3, 2, 1), (2, 3), (2, 3, 1)]:
        values = np.arange(float(np.prod(several))).reshape(several)
        y = F.batch_norm(values, None, None, training=True, eps=0.0)
        np.testing.assert_allclose(y, np.sign(y), rtol=1e-12)  # one standard deviation on either side


def _one_axis_backward() -> Any:
    one = np.ones(3)
    return F.batch_norm_backward(one, one, None, one, one)


@pytest.mark.parametrize(
    ("run", "sentence"),
    [
        (lambda: F.batch_norm(np.ones((2, 3))), "^running_mean.*: got no running_mean.*, want"),
        (lambda: F.batch_norm(np.ones((2, 3)), np.ones(3), None), "^running_.*: got only running_mean, want both"),
        (
            lambda: F.batch_norm(np.ones((2, 3)), None, np.ones(3), training=True),
            "^running_.*: got no running_mean, want both",
        ),
        (lambda: F.batch_norm(np.ones(3), training=True), r"^x: got shape \(3,\), want \(N, C\)"),
        (_one_axis_backward, r"^x: got shape \(3,\), want"),
        (lambda: F.layer_norm(np.ones((2, 3)), 2), r"^x: got shape \(2, 3\), want a shape that ends in .*\(2,\)"),
        (lambda: F.layer_norm(np.ones((2, 3)), ()), r"^x: got shape \(2, 3\), want a shape that ends in .*\(\)"),
        (lambda: F.layer_norm(np.ones(3), (2, 3)), r"^x: got shape \(3,\), want a shape that ends in .*\(2, 3\)"),
        (lambda: F.layer_norm(np.ones((2, 3)), -1), r"^x: got shape \(2, 3\), want a shape that ends in .*\(-1,\)"),
        (lambda: F.softmax_cross_entropy(np.ones(3), np.zeros(3, int)), r"^logits: got shape \(3,\), want \(N, C\)"),
    ],
)
def test_shapes(run: Callable[[], Any], sentence: str) -> None:
    """A wrong number of axes, and one running statistic without the other, are refused."""
    refused(run, {}, ValueError, sentence)


def test_impossible_isa() -> None:
    """The message lists the possible ISAs, and the current one stays in use."""
    before = fastnn.isa()
    for name in ("sse9", "", "AVX2", "base "):
        with pytest.raises(ValueError, match=f"got '{name}', want .*{', '.join(fastnn.supported_isas())}$"):
            fastnn.use_isa(name)
    assert fastnn.isa() == before


@pytest.mark.parametrize("n", [0, -1, True, False, 2**31, 2**70, -(2**70)])
def test_number_of_threads(n: int) -> None:
    """A number of threads that is not positive, a bool, or larger than an int is refused."""
    before = fastnn.get_num_threads()
    with pytest.raises(ValueError, match=f"^n: got {n}, want an integer"):
        fastnn.set_num_threads(n)
    assert fastnn.get_num_threads() == before


def test_zero_size_and_zero_dimensional_arrays() -> None:
    """Arrays without elements or without axes are accepted."""
    for shape in ((0,), (0, 3), (3, 0, 2), ()):
        x = np.ones(shape)
        for y in (F.relu(x), F.relu_backward(x, x), F.dropout(x, 0.0)):
            assert same_bits(y, x)
    loss, gradient = F.softmax_cross_entropy(np.ones((0, 3)), np.zeros(0, int))
    assert math.isnan(loss) and gradient.shape == (0, 3)
    F.softmax_cross_entropy(np.ones((0, 0)), np.zeros(0, int))
