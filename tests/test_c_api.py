"""Every function of the C API beside its Python face, with ==, in float32 and float64, on every instruction set."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from c_api import ACTIVATIONS, Functions, Options, Random, integer_functions, like, signatures
from support import Array, running
from variants import NAMES, full_state, make

import fastnn
from fastnn import Generator, optim
from fastnn import functional as F
from fastnn.functional import DropoutMask

P, SCALE = 0.3, 0.25
HERE, MASK = Random(3, 2, 5), DropoutMask(P, 3, 2, 5)
LABELS = np.array([3, 0, -1, 6, 1])
Case = Callable[[Any, Callable[..., Array]], tuple[list[Any], list[Any]]]
CASES: dict[str, Case] = {}


def _generator() -> Generator:
    return Generator(3, 2).advance(5 * 64)


def _case(function: Case) -> Case:
    """Of two lists that must be equal: what the C API wrote, and what Python returned."""
    CASES[function.__name__.strip("_")] = function
    return function


@_case
def _activation(c: Any, a: Any) -> Any:
    x, got, want = a(4, 9), [], []
    for kind, name in enumerate(ACTIVATIONS[1:], 1):
        y = like(x)[0]
        option = {"leaky_relu": 0.01, "elu": 1.0, "softplus": 1.0}.get(name, 0.0)
        c.activation(y, x, x.size, kind, option, 20.0)
        got.append(y)
        want.append(F.gelu(x, "tanh") if name == "gelu_tanh" else getattr(F, name)(x))
    return got, want


@_case
def _activation_backward(c: Any, a: Any) -> Any:
    x, dy, dx = a(4, 9), a(4, 9), a(4, 9)
    c.activation_backward(dx, dy, x, x.size, ACTIVATIONS.index("silu"), 0.0, 0.0)
    return [dx], [F.silu_backward(dy, x)]


@_case
def _bias_activation(c: Any, a: Any) -> Any:
    x, b, y = a(6, 9), a(9), a(6, 9)
    c.bias_activation(y, x, b, 6, 9, ACTIVATIONS.index("gelu"), 0.0, 0.0, P, HERE)
    return [y], [F.bias_activation(x, b, "gelu", p=P, generator=_generator())]


@_case
def _bias_activation_backward(c: Any, a: Any) -> Any:
    dy, x, b, dx, db = a(6, 9), a(6, 9), a(9), a(6, 9), a(9)
    c.bias_activation_backward(dx, db, dy, x, b, 6, 9, ACTIVATIONS.index("gelu"), 0.0, 0.0, P, HERE)
    return [dx, db], list(F.bias_activation_backward(dy, x, b, "gelu", MASK))


@_case
def _dropout(c: Any, a: Any) -> Any:
    x, y = a(7, 50), a(7, 50)
    c.dropout(y, x, x.size, P, HERE)
    return [y], [F.dropout(x, P, generator=_generator())]


@_case
def _channel_dropout(c: Any, a: Any) -> Any:
    x, y = a(7, 5, 4), a(7, 5, 4)
    c.channel_dropout(y, x, 35, 4, P, HERE)
    return [y], [F.dropout2d(x, P, generator=_generator())]


@_case
def _alpha_dropout(c: Any, a: Any) -> Any:
    x, y, dx = a(7, 50), a(7, 50), a(7, 50)
    c.alpha_dropout(y, x, x.size, P, 0, HERE)
    c.alpha_dropout(dx, x, x.size, P, 1, HERE)
    return [y, dx], [F.alpha_dropout(x, P, generator=_generator()), F.alpha_dropout_backward(x, MASK)]


@_case
def _layer_norm(c: Any, a: Any) -> Any:
    x, w, b, y = a(6, 9), a(9), a(9), a(6, 9)
    mean, rstd = np.empty(6), np.empty(6)
    c.layer_norm(y, mean, rstd, x, w, b, 6, 9, 1e-3)
    return [y, mean, rstd], list(F.layer_norm(x, 9, w, b, 1e-3, return_stats=True))


@_case
def _layer_norm_backward(c: Any, a: Any) -> Any:
    x, dy, w, dx, dw, db = a(90, 9), a(90, 9), a(9), a(90, 9), a(9), a(9)
    _, mean, rstd = F.layer_norm(x, 9, w, return_stats=True)
    c.layer_norm_backward(dx, dw, db, dy, x, w, mean, rstd, 90, 9)
    return [dx, dw, db], list(F.layer_norm_backward(dy, x, w, mean, rstd))


@_case
def _rms_norm(c: Any, a: Any) -> Any:
    x, w, y, rrms = a(6, 9), a(9), a(6, 9), np.empty(6)
    c.rms_norm(y, rrms, x, w, 6, 9, 1e-3)
    return [y, rrms], list(F.rms_norm(x, 9, w, 1e-3, return_stats=True))


@_case
def _rms_norm_backward(c: Any, a: Any) -> Any:
    x, dy, dx, dw = a(90, 9), a(90, 9), a(90, 9), a(9)
    _, rrms = F.rms_norm(x, 9, return_stats=True)
    c.rms_norm_backward(dx, dw, dy, x, None, rrms, 90, 9)
    return [dx, dw], list(F.rms_norm_backward(dy, x, None, rrms))


@_case
def _dropout_add_layer_norm(c: Any, a: Any) -> Any:
    x, r, w, b, y, s = a(6, 9), a(6, 9), a(9), a(9), a(6, 9), a(6, 9)
    mean, rstd = np.empty(6), np.empty(6)
    c.dropout_add_layer_norm(y, s, mean, rstd, x, r, w, b, 6, 9, 1e-3, P, HERE)
    want = F.dropout_add_layer_norm(x, r, 9, w, b, P, 1e-3, generator=_generator(), return_stats=True)
    return [y, s, mean, rstd], list(want[:4])


@_case
def _dropout_add_layer_norm_backward(c: Any, a: Any) -> Any:
    x, dy, dsum, w, dx, dr, dw, db = a(90, 9), a(90, 9), a(90, 9), a(9), a(90, 9), a(90, 9), a(9), a(9)
    _, mean, rstd = F.layer_norm(x, 9, w, return_stats=True)
    c.dropout_add_layer_norm_backward(dx, dr, dw, db, dy, dsum, x, w, mean, rstd, 90, 9, P, HERE)
    return [dx, dr, dw, db], list(F.dropout_add_layer_norm_backward(dy, x, w, mean, rstd, MASK, dsum=dsum))


@_case
def _batch_norm(c: Any, a: Any) -> Any:
    x, w, b, r, y = a(5, 4, 3), a(4), a(4), a(5, 4, 3), a(5, 4, 3)
    ours, theirs = [a(4), np.abs(a(4))], []
    theirs = [t.copy() for t in ours]
    mean, rstd = np.empty(4), np.empty(4)
    c.batch_norm(y, mean, rstd, *ours, x, w, b, r, 5, 4, 3, 0.1, 1e-3, 1, 1, 1)
    want = F.batch_norm(x, *theirs, w, b, True, 0.1, 1e-3, residual=r, activation="relu", return_stats=True)
    return [y, mean, rstd, *ours], [*want, *theirs]


@_case
def _batch_norm_backward(c: Any, a: Any) -> Any:
    x, dy, w, dx, dr, dw, db = a(5, 4, 3), a(5, 4, 3), a(4), a(5, 4, 3), a(5, 4, 3), a(4), a(4)
    y, mean, rstd = F.batch_norm(x, None, None, w, None, True, activation="relu", return_stats=True)
    c.batch_norm_backward(dx, dr, dw, db, dy, x, y, w, mean, rstd, 5, 4, 3, 1)
    dx2, dw2, db2, dr2 = F.batch_norm_backward(dy, x, w, mean, rstd, y=y, residual=True)
    return [dx, dr, dw, db], [dx2, dr2, dw2, db2]


@_case
def _group_norm(c: Any, a: Any) -> Any:
    x, w, b, y = a(3, 6, 5), a(6), a(6), a(3, 6, 5)
    mean, rstd = np.empty((3, 2)), np.empty((3, 2))
    c.group_norm(y, mean, rstd, x, w, b, 3, 6, 2, 5, 1e-3)
    return [y, mean, rstd], list(F.group_norm(x, 2, w, b, 1e-3, return_stats=True))


@_case
def _group_norm_backward(c: Any, a: Any) -> Any:
    x, dy, w, dx, dw, db = a(3, 6, 5), a(3, 6, 5), a(6), a(3, 6, 5), a(6), a(6)
    _, mean, rstd = F.group_norm(x, 2, w, return_stats=True)
    c.group_norm_backward(dx, dw, db, dy, x, w, mean, rstd, 3, 6, 2, 5)
    return [dx, dw, db], list(F.group_norm_backward(dy, x, 2, w, mean, rstd))


@_case
def _weight_norm(c: Any, a: Any) -> Any:
    v, g, w, norm = a(6, 5), a(6, 1), a(6, 5), np.empty((6, 1))
    c.weight_norm(w, norm, v, g, 1, 6, 5)
    return [w, norm], list(F.weight_norm(v, g, return_norm=True))


@_case
def _weight_norm_backward(c: Any, a: Any) -> Any:
    v, dw, g, dv, dg = a(6, 5), a(6, 5), a(6, 1), a(6, 5), a(6, 1)
    _, norm = F.weight_norm(v, g, return_norm=True)
    c.weight_norm_backward(dv, dg, dw, v, g, norm, 1, 6, 5)
    return [dv, dg], list(F.weight_norm_backward(dw, v, g, norm))


@_case
def _max_pool(c: Any, a: Any) -> Any:
    x, y, bare, index = a(4, 7, 20), a(4, 3, 10), a(4, 3, 10), np.empty((4, 3, 10), np.uint8)
    c.max_pool(y, index, x, 4, 7, 20, 3, 2, 2, 2, 0, 0)
    c.max_pool(bare, None, x, 4, 7, 20, 3, 2, 2, 2, 0, 0)
    want = F.max_pool2d(x, (3, 2), 2, return_indices=True)
    return [y, index, bare], [*want, want[0]]


@_case
def _max_pool_backward(c: Any, a: Any) -> Any:
    x, dx, dy = a(4, 7, 20), a(4, 7, 20), a(4, 7, 21)
    _, index = F.max_pool2d(x, (3, 4), 1, (1, 2), return_indices=True)
    c.max_pool_backward(dx, dy, index, 4, 7, 20, 3, 4, 1, 1, 1, 2)
    return [dx], [F.max_pool2d_backward(dy, index, x.shape, (3, 4), 1, (1, 2))]


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax(name: str, dtype: Any) -> None:
    c, (x, y, dx) = Functions(dtype), (np.random.default_rng(1).standard_normal((3, 3, 7, 2)).astype(dtype))
    getattr(c, name)(y, x, 3, 7, 2)
    getattr(c, f"{name}_backward")(dx, x, y, 3, 7, 2)
    np.testing.assert_array_equal(y, getattr(F, name)(x, 1))
    np.testing.assert_array_equal(dx, getattr(F, f"{name}_backward")(x, y, 1))


@_case
def _cross_entropy(c: Any, a: Any) -> Any:
    x, w, got, want = a(5, 7), np.abs(a(7)), [], []
    for smoothing in (0.0, 0.1):
        d, loss = a(5, 7), np.empty(5)
        c.cross_entropy(d, loss, x, LABELS, w, 5, 7, smoothing, 1.0)
        got += [loss.astype(x.dtype), d]
        want += F.softmax_cross_entropy(x, LABELS, w, -1, "none", smoothing)
    return got, want


@_case
def _cross_entropy_soft(c: Any, a: Any) -> Any:
    x, t, d, loss = a(5, 7), np.abs(a(5, 7)), a(5, 7), np.empty(5)
    c.cross_entropy_soft(d, loss, x, t, None, 5, 7, 0.1, 1.0)
    want = F.softmax_cross_entropy(x, t, reduction="none", label_smoothing=0.1)
    return [loss.astype(x.dtype), d], list(want)


@_case
def _nll(c: Any, a: Any) -> Any:
    x, d, loss = a(5, 7), a(5, 7), np.empty(5)
    c.nll(d, loss, x, LABELS, None, 5, 7, 1.0)
    return [loss.astype(x.dtype), d], list(F.nll_loss(x, LABELS, ignore_index=-1, reduction="none"))


def _by_element(name: str, function: Any, *more: Any, **options: Any) -> None:
    def case(c: Any, a: Any) -> Any:
        x, t, d, loss = a(40), np.abs(a(40)), a(40), np.empty(1)
        getattr(c, name)(d, loss, x, t, *more, 1 / 40)
        value, gradient = function(x, t, **options)
        np.testing.assert_allclose(loss, value, rtol=1e-15)
        return [d], [gradient]

    CASES[name] = case


_by_element("mse", F.mse_loss, 40)
_by_element("l1", F.l1_loss, 40)
_by_element("huber", F.huber_loss, 40, 0.5, delta=0.5)
_by_element("kl_div", F.kl_div, 40, 1, log_target=True)


@_case
def _binary_cross_entropy(c: Any, a: Any) -> Any:
    x, t, w, q, d, loss = a(40), np.abs(a(40)), np.abs(a(40)), np.abs(a(40)), a(40), np.empty(1)
    c.binary_cross_entropy(d, loss, x, t, w, q, 40, 1 / 40)
    value, gradient = F.binary_cross_entropy_with_logits(x, t, w, pos_weight=q)
    np.testing.assert_allclose(loss, value, rtol=1e-15)
    return [d], [gradient]


FILLS: dict[str, tuple[float, ...]] = {
    "uniform": (-1.0, 2.0), "normal": (1.0, 2.0), "trunc_normal": (0.0, 1.0, -2.0, 2.0), "bernoulli": (0.3,),
    "exponential": (2.0,),
}  # fmt: skip


@pytest.mark.parametrize("name", FILLS)
def test_fill(name: str, dtype: Any) -> None:
    y, want = np.empty(1000, dtype), np.empty(1000, dtype)
    options = FILLS[name]
    for more in [(), (3.0, np.inf), (-5.0, -3.5)] if name == "trunc_normal" else [()]:
        chosen = (*options[:2], *more) if more else options
        getattr(Functions(dtype), name)(y, y.size, *chosen, HERE)
        np.testing.assert_array_equal(y, getattr(fastnn.random, f"{name}_")(want, *chosen, generator=_generator()))


def test_integers_permutation_philox() -> None:
    integers, permutation, philox = integer_functions()
    y, words = np.empty(100_000, np.int64), np.empty(128, np.uint32)
    integers(y, y.size, -5, 1000, HERE)
    np.testing.assert_array_equal(y, fastnn.random.integers_(np.empty_like(y), -5, 995, _generator()))
    permutation(y, y.size, HERE)
    np.testing.assert_array_equal(y, fastnn.random.permutation(y.size, _generator()))
    philox(words, 2, HERE)
    np.testing.assert_array_equal(words, _generator().random_raw(128))


@_case
def _sum_squares(c: Any, a: Any) -> Any:
    grads, sizes, total = [a(300), a(0), a(5)], np.array([300, 0, 5]), np.empty(1)
    c.sum_squares(total, grads, sizes, 3)
    return [np.sqrt(total[0])], [optim.clip_grad_norm_(grads, np.inf)]


@_case
def _scale(c: Any, a: Any) -> Any:
    grads, sizes = [a(300), a(5)], np.array([300, 5])
    want = [g * g.dtype.type(SCALE) for g in grads]
    c.scale(grads, sizes, 2, SCALE)
    return grads, want


@_case
def _clamp(c: Any, a: Any) -> Any:
    grads, sizes = [a(300), a(5)], np.array([300, 5])
    want = [np.clip(g, -0.5, 0.5) for g in grads]
    c.clamp(grads, sizes, 2, -0.5, 0.5)
    return grads, want


def _options(options: dict[str, Any]) -> Options:
    names = {name for name, _ in Options._fields_}
    chosen = {k: v for k, v in options.items() if k in names}
    first, second = options.get("betas", (0.0, 0.0))
    return Options(**chosen, beta1=first, beta2=second, gradient_scale=1.0)


@pytest.mark.parametrize("name", NAMES)
def test_optimizer(name: str, dtype: Any) -> None:
    rng = np.random.default_rng(2)
    ours = [rng.standard_normal(s).astype(dtype) for s in (300, 5)]
    theirs = [p.copy() for p in ours]
    optimizer = make(name, theirs, **full_state(name))
    group = optimizer.param_groups[0]
    kinds = list(optimizer.layout.kinds)
    state = [np.copy(optimizer.state_of(p).get(k, np.zeros_like(p))) for k in kinds for p in theirs]
    memory, c = np.ones(1), Functions(dtype)
    sizes = np.array([300, 5])
    function = {"adamw": "adam"}.get(name.lower(), name.lower())
    for t in range(1, 4):
        grads = [rng.standard_normal(p.shape).astype(dtype) for p in ours]
        optimizer.step(grads)
        getattr(c, function)(ours, grads, state, sizes, 2, t, memory, _options(dict(group)))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)
    for i, kind in enumerate(kinds):
        for j, p in enumerate(theirs):
            np.testing.assert_array_equal(state[2 * i + j], optimizer.state_of(p).get(kind, 0))


def _drawn(dtype: Any) -> Callable[..., Array]:
    rng = np.random.default_rng(7)
    return lambda *shape: rng.standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("isa", fastnn.supported_isas())
@pytest.mark.parametrize("name", CASES)
def test_function(name: str, isa: str, dtype: Any) -> None:
    with running(isa, 2):
        got, want = CASES[name](Functions(dtype), _drawn(dtype))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_every_function_is_tested() -> None:
    steps = {"sgd", "adam", "adamax", "nadam", "radam", "lion", "adagrad", "adadelta", "rmsprop"}
    softmaxes = {"softmax", "softmax_backward", "log_softmax", "log_softmax_backward"}
    assert set(signatures()) == set(CASES) | set(FILLS) | steps | softmaxes
