"""Losses."""

from functools import partial
from typing import Any

import numpy as np
import reference

from fastnn import functional as F
from kernels.table import FLAT, LARGE, ROWS, Array, Arrays, Kernel, Shape

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
    loss, gradient = getattr(F, name)(**a, **options, out=out)
    return {"gradient": gradient, "loss": loss}


def _reference(name: str, options: dict[str, Any], a: Arrays) -> Arrays:
    loss, gradient = getattr(reference, name)(**a, **options)
    return {"gradient": gradient, "loss": loss}


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


_BCE = "binary_cross_entropy_with_logits"
ELEMENTS = {
    "mse_loss": _kernel("mse_loss", FLAT, partial(_pair, "real"), 2, "input"),
    "mse_loss-sum": _kernel("mse_loss", FLAT, partial(_pair, "real"), 2, "input", reduction="sum"),
    "l1_loss": _kernel("l1_loss", FLAT, partial(_pair, "real"), 1, "input"),
    "huber_loss": _kernel("huber_loss", FLAT, partial(_pair, "real"), 2, "input", delta=0.75),
    _BCE: _kernel(_BCE, FLAT, partial(_pair, "unit"), 4, "input", reduction="sum"),
    f"{_BCE}-weight": _kernel(_BCE, (*ROWS, (LARGE, 3)), _weighted, 4, "input"),
    "kl_div": _kernel("kl_div", FLAT, partial(_pair, "unit"), 3, "input", reduction="batchmean"),
    "kl_div-log": _kernel("kl_div", FLAT, partial(_pair, "log"), 3, "input", log_target=True),
}

KERNELS = CLASSES | ELEMENTS
