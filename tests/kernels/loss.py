"""Losses."""

import itertools
from functools import partial
from typing import Any

import numpy as np
import reference
from c_api import Case
from calls import COLUMN, ROW, Call, X
from table import FLAT, LARGE, ROWS, Array, Arrays, Kernel, Shape

from fastnn import functional as F

SHAPES = (*ROWS[1:], (5, 1024), (3, 2049))


def _class_inputs(
    names: tuple[str, str], weighted: bool, ignored: bool, shape: Shape, dtype: Any, rng: np.random.Generator
) -> Arrays:
    labels = rng.integers(0, shape[1], shape[0]) if shape[1] else np.zeros(0, dtype=np.int64)
    if ignored:
        labels[1::3] = -100
    a = {names[0]: (3 * rng.standard_normal(shape)).astype(dtype), names[1]: labels}
    return a | ({"weight": rng.uniform(0.5, 2, shape[1]).astype(dtype)} if weighted else {})


def _probabilities(weighted: bool, shape: Shape, dtype: Any, rng: np.random.Generator) -> Arrays:
    a = _class_inputs(("logits", "labels"), weighted, False, shape, dtype, rng)
    return a | {"labels": rng.dirichlet(np.ones(shape[1]), shape[0]).astype(dtype)}


def _run(name: str, options: dict[str, Any], a: Arrays, out: Array) -> Arrays:
    loss, gradient, *others = getattr(F, name)(**a, **options, out=out)
    return {"gradient": gradient, "loss": loss, **dict(zip(("dvar",), others, strict=False))}


def _reference(name: str, options: dict[str, Any], a: Arrays) -> Arrays:
    loss, gradient, *others = getattr(reference, name)(**a, **options)
    return {"gradient": gradient, "loss": loss, **dict(zip(("dvar",), others, strict=False))}


def _kernel(name: str, shapes: Any, inputs: Any, bound: float, in_place: str, **options: Any) -> Kernel:
    return Kernel(shapes, inputs, partial(_run, name, options), partial(_reference, name, options), bound, (), in_place)


_ENTROPY, _NLL = ("logits", "labels"), ("input", "target")


def _entropy(inputs: Any, **options: Any) -> Kernel:
    return _kernel("softmax_cross_entropy", SHAPES, inputs, 3, "logits", **options)


CLASSES = {
    "softmax_cross_entropy": _entropy(partial(_class_inputs, _ENTROPY, False, False)),
    "softmax_cross_entropy-weight": _entropy(partial(_class_inputs, _ENTROPY, True, True), reduction="sum"),
    "softmax_cross_entropy-smooth": _entropy(partial(_class_inputs, _ENTROPY, True, True), label_smoothing=0.3),
    "softmax_cross_entropy-none": _entropy(partial(_class_inputs, _ENTROPY, False, True), reduction="none"),
    "softmax_cross_entropy-probabilities": _entropy(partial(_probabilities, True), label_smoothing=0.1),
    "softmax_cross_entropy-soft": _entropy(partial(_probabilities, False), reduction="sum"),
    "nll_loss": _kernel("nll_loss", SHAPES, partial(_class_inputs, _NLL, True, True), 2, "input"),
    "nll_loss-none": _kernel(
        "nll_loss", SHAPES, partial(_class_inputs, _NLL, False, False), 2, "input", reduction="none"
    ),
}


def _pair(target: str, shape: Shape, dtype: Any, rng: np.random.Generator) -> Arrays:
    x = 3 * rng.standard_normal(shape)
    t = {"real": rng.standard_normal(shape), "unit": rng.uniform(0, 1, shape), "log": -rng.exponential(1, shape)}
    return {"input": x.astype(dtype), "target": t[target].astype(dtype)}


def _weighted(shape: Shape, dtype: Any, rng: np.random.Generator) -> Arrays:
    a = _pair("unit", shape, dtype, rng)
    a["weight"] = rng.uniform(0.5, 2, shape).astype(dtype)
    a["pos_weight"] = rng.uniform(0.5, 2, shape[1:]).astype(dtype)
    return a


def _normal(shape: Shape, dtype: Any, rng: np.random.Generator) -> Arrays:
    return _pair("real", shape, dtype, rng) | {"var": rng.uniform(0, 2, shape).astype(dtype)}


_BCE = "binary_cross_entropy_with_logits"
ELEMENTS = {
    "mse_loss": _kernel("mse_loss", FLAT, partial(_pair, "real"), 2, "input"),
    "mse_loss-sum": _kernel("mse_loss", FLAT, partial(_pair, "real"), 2, "input", reduction="sum"),
    "l1_loss": _kernel("l1_loss", FLAT, partial(_pair, "real"), 1, "input"),
    "huber_loss": _kernel("huber_loss", FLAT, partial(_pair, "real"), 2, "input", delta=0.75),
    "smooth_l1_loss": _kernel("smooth_l1_loss", FLAT, partial(_pair, "real"), 2, "input", beta=0.75),
    "smooth_l1_loss-0": _kernel("smooth_l1_loss", FLAT, partial(_pair, "real"), 1, "input", beta=0),
    "gaussian_nll_loss": _kernel("gaussian_nll_loss", FLAT, _normal, 3, "input", eps=0.125),
    _BCE: _kernel(_BCE, FLAT, partial(_pair, "unit"), 4, "input", reduction="sum"),
    f"{_BCE}-weight": _kernel(_BCE, (*ROWS, (LARGE, 3)), _weighted, 4, "input"),
    "kl_div": _kernel("kl_div", FLAT, partial(_pair, "unit"), 3, "input", reduction="batchmean"),
    "kl_div-log": _kernel("kl_div", FLAT, partial(_pair, "log"), 3, "input", log_target=True),
}
ELEMENTS |= {
    f"{name}-none": _kernel(name.split("-")[0], shapes, inputs, bound, "input", reduction="none", **options)
    for name, shapes, inputs, bound, options in (
        ("mse_loss", FLAT, partial(_pair, "real"), 2, {}),
        ("l1_loss", FLAT, partial(_pair, "real"), 1, {}),
        ("huber_loss", FLAT, partial(_pair, "real"), 2, {"delta": 0.75}),
        ("smooth_l1_loss", FLAT, partial(_pair, "real"), 2, {"beta": 0.75}),
        ("gaussian_nll_loss", FLAT, _normal, 3, {"full": True, "eps": 0.125}),
        (_BCE, FLAT, partial(_pair, "unit"), 4, {}),
        (f"{_BCE}-weight", (*ROWS[::5], (LARGE, 3)), _weighted, 4, {}),
        ("kl_div", FLAT, partial(_pair, "unit"), 3, {}),
        ("kl_div-log", FLAT, partial(_pair, "log"), 3, {"log_target": True}),
    )
}

KERNELS = CLASSES | ELEMENTS

CALLS: dict[str, Call] = {
    "softmax_cross_entropy": Call(
        F.softmax_cross_entropy,
        {"logits": X, "labels": ROW, "weight": COLUMN, "out": X},
        ("out",),
        ("weight", "out"),
        ("logits",),
        labels=("labels",),
    ),
    "softmax_cross_entropy-probabilities": Call(
        F.softmax_cross_entropy, {"logits": X, "labels": X, "out": X}, ("out",), ("out",), ("logits",)
    ),
    "nll_loss": Call(
        F.nll_loss,
        {"input": X, "target": ROW, "weight": COLUMN, "out": X},
        ("out",),
        ("weight", "out"),
        ("input",),
        labels=("target",),
    ),
    "binary_cross_entropy_with_logits": Call(
        F.binary_cross_entropy_with_logits,
        {"input": X, "target": X, "weight": X, "pos_weight": COLUMN, "out": X},
        ("out",),
        ("weight", "pos_weight", "out"),
        ("input",),
    ),
    **{
        f.__name__: Call(f, {"input": X, "target": X, "out": X}, ("out",), ("out",), ("input",))
        for f in (F.mse_loss, F.l1_loss, F.huber_loss, F.smooth_l1_loss, F.kl_div)
    },
    "gaussian_nll_loss": Call(
        F.gaussian_nll_loss, {"input": X, "target": X, "var": X, "out": X}, ("out",), ("out",), ("input",)
    ),
}
LABELS = np.array([3, 0, -1, 6, 1])


THREE_BLOCKS = 2 * 16_384 + 40


def _c_softmax_cross_entropy(c: Any, a: Any) -> Any:
    x, w, got, want = a(5, 7), np.abs(a(7)), [], []
    for smoothing in (0.0, 0.1):
        d, loss = a(5, 7), np.empty(5)
        c.softmax_cross_entropy(d, loss, x, LABELS, w, 5, 7, smoothing, 1.0)
        got += [loss.astype(x.dtype), d]
        want += F.softmax_cross_entropy(x, LABELS, w, -1, "none", smoothing)
    return got, want


def _c_softmax_cross_entropy_soft(c: Any, a: Any) -> Any:
    x, t, got, want = a(5, 7), np.abs(a(5, 7)), [], []
    for w, smoothing in itertools.product((None, np.abs(a(7))), (0.0, 0.1)):
        d, loss = a(5, 7), np.empty(5)
        c.softmax_cross_entropy_soft(d, loss, x, t, w, 5, 7, smoothing, 1.0)
        got += [loss.astype(x.dtype), d]
        want += F.softmax_cross_entropy(x, t, w, reduction="none", label_smoothing=smoothing)
    return got, want


def _c_nll_loss(c: Any, a: Any) -> Any:
    x, got, want = a(5, 7), [], []
    for w in (None, np.abs(a(7))):
        d, loss = a(5, 7), np.empty(5)
        c.nll_loss(d, loss, x, LABELS, w, 5, 7, 1.0)
        got += [loss.astype(x.dtype), d]
        want += F.nll_loss(x, LABELS, w, -1, "none")
    return got, want


def _c_by_element(name: str, *options_of: tuple[tuple[Any, ...], dict[str, Any]]) -> Case:
    """A case for pairs of further arguments in C and options in Python."""

    def case(c: Any, a: Any) -> Any:
        n = THREE_BLOCKS
        x, t, got, want = a(n), np.abs(a(n)), [], []
        for arguments, options in options_of:
            d, loss = a(n), np.empty(1)
            getattr(c, name)(d, loss, x, t, n, *arguments, 1 / n)
            value, gradient = getattr(F, name)(x, t, **options)
            np.testing.assert_allclose(loss, value, rtol=1e-15)
            got.append(d)
            want.append(gradient)
        return got, want

    return case


def _c_binary_cross_entropy_with_logits(c: Any, a: Any) -> Any:
    n = THREE_BLOCKS
    x, t, ones, got, want = a(n), np.abs(a(n)), np.ones(n, a(1).dtype), [], []
    for w, q in ((None, None), (np.abs(a(n)), ones), (np.abs(a(n)), np.abs(a(n)))):  # weights come together
        d, loss = a(n), np.empty(1)
        c.binary_cross_entropy_with_logits(d, loss, x, t, w, None if w is None else q, n, 1 / n)
        value, gradient = F.binary_cross_entropy_with_logits(x, t, w, pos_weight=q)
        np.testing.assert_allclose(loss, value, rtol=1e-15)
        got.append(d)
        want.append(gradient)
    return got, want


def _c_gaussian_nll_loss(c: Any, a: Any) -> Any:
    n = THREE_BLOCKS
    x, t, v, got, want = a(n), a(n), np.abs(a(n)), [], []
    for full in (0, 1):
        d, dvar, loss = a(n), a(n), np.empty(1)
        c.gaussian_nll_loss(d, dvar, loss, x, t, v, n, 0.5, full, 1 / n)
        value, *gradients = F.gaussian_nll_loss(x, t, v, bool(full), 0.5)
        np.testing.assert_allclose(loss, value, rtol=1e-15)
        got += [d, dvar]
        want += gradients
    return got, want


C_CASES = {
    "softmax_cross_entropy": _c_softmax_cross_entropy,
    "softmax_cross_entropy_soft": _c_softmax_cross_entropy_soft,
    "nll_loss": _c_nll_loss,
    "mse_loss": _c_by_element("mse_loss", ((), {})),
    "l1_loss": _c_by_element("l1_loss", ((), {})),
    "huber_loss": _c_by_element("huber_loss", ((0.5,), {"delta": 0.5}), ((1.0,), {})),
    "smooth_l1_loss": _c_by_element("smooth_l1_loss", ((0.5,), {"beta": 0.5}), ((0.0,), {"beta": 0.0})),
    "gaussian_nll_loss": _c_gaussian_nll_loss,
    "kl_div": _c_by_element("kl_div", ((1,), {"log_target": True}), ((0,), {})),
    "binary_cross_entropy_with_logits": _c_binary_cross_entropy_with_logits,
}

SIGNATURES = (
    "binary_cross_entropy_with_logits(input, target, weight=None, reduction='mean', pos_weight=None, *, "
    "out=None, return_count=False)",
    "gaussian_nll_loss(input, target, var, full=False, eps=1e-06, reduction='mean', *, out=None, return_count=False)",
    "huber_loss(input, target, reduction='mean', delta=1.0, *, out=None, return_count=False)",
    "kl_div(input, target, reduction='mean', log_target=False, *, out=None, return_count=False)",
    "l1_loss(input, target, reduction='mean', *, out=None, return_count=False)",
    "mse_loss(input, target, reduction='mean', *, out=None, return_count=False)",
    "nll_loss(input, target, weight=None, ignore_index=-100, reduction='mean', *, out=None, return_count=False)",
    "smooth_l1_loss(input, target, reduction='mean', beta=1.0, *, out=None, return_count=False)",
    "softmax_cross_entropy(logits, labels, weight=None, ignore_index=-100, reduction='mean', "
    "label_smoothing=0.0, *, out=None, return_count=False)",
)
